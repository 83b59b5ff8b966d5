"""The ports: one small interface per kind of device, and the clock.

Every device port has the same three verbs. ``submit(command, key)`` hands over a command and returns at once;
``poll(key)`` tells how it stands; ``lookup(key)`` is poll after a crash: it may ask the device's own memory and
must say NOT_FOUND only when the device certainly never received the key, UNKNOWN when it cannot tell. A key
names one physical action for ever; submitting a key the device already has changes nothing.

Expected failures are values: a FAILED report carries in ``result`` the state the failure left behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Status(StrEnum):
    """How a command stands."""

    NOT_FOUND = "not-found"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """A device's answer about one key."""

    status: Status
    result: Mapping[str, Any] = field(default_factory=dict)
    """JSON values only; see each command for its keys. Empty while running."""
    message: str = ""
    """For people; empty unless FAILED or UNKNOWN, or RUNNING with a trouble that may pass."""
    ready_at: datetime | None = None
    """When a RUNNING command is expected to end (UTC); None when the device does not say."""
    ended_at: datetime | None = None
    """When a DONE or FAILED command ended (UTC), by the device's own word; None when it does not say."""


@dataclass(frozen=True, slots=True)
class ProvenFile:
    """A file that goes with a load, as it was proven; a driver refuses another one."""

    name: str
    """What it is for: of a table, the parameter of the protocol file that takes it."""
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class RunLoad:
    """Pipette one deck load of a protocol (LiquidHandler).

    Result: ``transfers``: list of [transfer_id, volume_nl really dispensed], in order of execution, also when
    FAILED (what had moved before the failure). A volume below the plan says air was drawn or a tip clogged, as
    far as the handler noticed; 0 means nothing was dispensed. Where the handler can tell: ``drawn``, likewise, what a
    transfer took from its source, also of one that was not dispensed; and ``steps``, numbers of other steps done. One
    listed in ``drawn`` and not in ``transfers`` was under way when the load stopped, and nothing after it was begun.

    FAILED with nothing listed does not say that nothing was begun: the first transfer may have been under way. Where
    that is certain, ``begun`` is 0 (or the result is empty and the message ends in "nothing moved"); only then may the
    load be run again.
    """

    protocol_path: Path
    """The protocol as JSON (protocols.model.Protocol)."""
    rendered_path: Path | None
    """The same load as the vendor's protocol file; None where the device reads the JSON."""
    protocol_digest: str
    load: int
    rendered_sha256: str = ""
    """Of the rendered file as it was proven; a driver that sends the file refuses another one. "" when unknown."""
    tables: tuple[ProvenFile, ...] = ()
    """CSV runtime parameters that the rendered file takes; the steps of the load are in them."""
    offsets: ProvenFile | None = None
    """Labware offsets, protocols.offsets.read_offsets, that a run is given beside those the file sets; None: none."""


@dataclass(frozen=True, slots=True)
class Move:
    """One plate from one place to another.

    Places: ``hotel/<barcode>`` (each source plate's home, and that of an empty plate for dilutions), ``waste`` (where
    one that is used up ends), ``stack/new`` and ``stack/done`` (assay plates),
    ``deck/<slot>``, ``tips/<barcode>`` (a tip rack's home), ``incubator``, ``imager``, ``washer``, ``dispenser``,
    ``shaker`` and ``reader`` (transfer stations).
    """

    barcode: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class MovePlates:
    """Move plates one after another (PlateMover).

    Result: ``moved``: barcodes moved, in order. A mover that FAILED because a plate stood where one was to be put may
    say so in ``occupied``: [place, its barcode, "" when unknown]; the plate in hand is then back where it was.
    """

    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class StorePlate:
    """Take a plate in from the transfer station (Incubator). Result: ``slot``."""

    barcode: str


@dataclass(frozen=True, slots=True)
class FetchPlate:
    """Put a plate out on the transfer station (Incubator). Result: empty."""

    barcode: str


@dataclass(frozen=True, slots=True)
class AcquirePlate:
    """Image every well of the plate on the stage (Imager).

    Result: ``folder``: path of the readout relative to the lab folder (absolute only where it cannot lie or be linked
    there), ``images``: count written.
    """

    barcode: str


@dataclass(frozen=True, slots=True)
class WashPlate:
    """Wash the plate on the washer by a program (Washer). Result: ``program``."""

    barcode: str
    program: str
    """A name that the driver's options or the device itself knows."""


@dataclass(frozen=True, slots=True)
class DispensePlate:
    """Add reagent to the plate on the dispenser by a program (Dispenser). Result: ``program``."""

    barcode: str
    program: str
    """A name that the driver's options or the device itself knows."""


@dataclass(frozen=True, slots=True)
class ShakePlate:
    """Shake the plate on the shaker, then stand still again (Shaker).

    Result: ``shaken_s``, also when FAILED, except where the device does not tell for how long a shake that failed was.
    """

    barcode: str
    speed_rpm: int
    duration_s: int


@dataclass(frozen=True, slots=True)
class ReadBarcode:
    """Read the plate in front of the reader (BarcodeReader).

    Result: ``barcode``: what was read. Where another one was expected, the report is FAILED and tells what was read;
    FAILED without ``barcode``: nothing was read.
    """

    expected: str = ""
    """Empty: whatever stands there."""


Command = (
    RunLoad | MovePlates | StorePlate | FetchPlate | AcquirePlate | WashPlate | DispensePlate | ShakePlate | ReadBarcode
)


class Device(Protocol):
    """What every device port can do; none of the verbs blocks."""

    def submit(self, command: Any, key: str) -> None:
        """Hand over a command under a key.

        Raises:
            Transient: the device may or may not have it; lookup(key) tells.
            NeedsOperator: refused; nothing moved.
        """

    def poll(self, key: str) -> Report:
        """Tell how the command stands."""

    def lookup(self, key: str) -> Report:
        """Tell how the command stands after a crash, from the device's own memory."""


@runtime_checkable
class Sensing(Protocol):
    """What a device beside its port may have: sensors that tell whether it may be given anything now."""

    def readings(self) -> Mapping[str, float]:
        """Return what the sensors said last, by name with the unit (temperature_c, co2_percent, door_open 0 or 1).

        Never waits for the device; what is not known is left out.
        """


class LiquidHandler(Device, Protocol):
    """Takes RunLoad."""


class PlateMover(Device, Protocol):
    """Takes MovePlates."""


class Incubator(Device, Protocol):
    """Takes StorePlate and FetchPlate."""


class Imager(Device, Protocol):
    """Takes AcquirePlate."""


class Washer(Device, Protocol):
    """Takes WashPlate."""


class Dispenser(Device, Protocol):
    """Takes DispensePlate."""


class Shaker(Device, Protocol):
    """Takes ShakePlate."""


class BarcodeReader(Device, Protocol):
    """Takes ReadBarcode."""


class Clock(Protocol):
    """Time as a port. All times are UTC with tzinfo."""

    is_virtual: bool
    """True when time stands still until wait_until is called."""

    def now(self) -> datetime:
        """Return the time."""

    def wait_until(self, when: datetime) -> None:
        """Return at or after ``when``; a real clock may return early when interrupted."""
