"""LiCONiC STX through the vendor's "STX Driver" service, TCP 3333 (facts/devices.md 4.2).

::

    [[device]]
    kind = "incubator"
    driver = "liconic-service"
    options = { port = "socket://192.168.0.7:3333", cassettes = 5, levels = 22 }

Each command has a connection of its own, so that a late answer is never taken for another's. A move blocks its
connection until it is done; when that takes longer than ``move_s`` the sensors say how it ended. Slot 1 is level 1 of
cassette 1, then upwards, then the next cassette. The service has no sensor for the shovel: a process killed between
the note that a plate is to be fetched and the frame that fetches it leaves a question for a person.

Verified, on the emulator (sim/wire/liconic_service.py) only: every fault of the script on every command of a store and
a fetch; a process killed before and after every frame, answer and file; late answers; jams, an open door, lost contact.

Not verified, since no real service has been talked to and its manual is not public; the facts page has it from the
public driver that it names: that bit 1 of the status ("plate ready") means a plate on the transfer station; that the
status is answered while a move blocks another connection; that a move goes on when its connection is closed; that
cassettes and levels count from 1, and that the two "TransSlot" words are 0; what a failed move answers (here: anything
but 1 is a refusal, and the sensors are asked); which of the two gases comes first (neither is told).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.deadline import Deadline
from drivers.incubator_handler import Climate, Stand, Verb
from drivers.incubator_options import incubator_device, incubator_options
from drivers.liconic_service_words import climate, stand, succeeded
from drivers.serial_options import wire_of
from drivers.wire import Garbled, LineSettings, Wire
from drivers.wire_log import printable
from drivers.worker import WorkerDevice
from nextplate.errors import SettingsError

SETTINGS = LineSettings()
"""A socket has none."""
_REQUIRED: Mapping[str, type] = {"cassettes": int, "levels": int}
_OPTIONAL: Mapping[str, type] = {"id": str, "plate_type": int, "move_s": float}


@dataclass(frozen=True, slots=True)
class ServiceShape:
    """What the service moves in; all cassettes are alike."""

    cassettes: int
    levels: int
    device_id: str = "STX"
    plate_type: int = 0
    """0 microplate, 1 deep well, 3 P28."""


def make(kind: str, options: Mapping[str, Any], lab: Path) -> WorkerDevice:
    """Make the driver of an incubator (drivers.options.Make).

    Raises:
        SettingsError: an option is missing, unknown or wrong; not an incubator.
    """
    # serial_options takes numbers above 0 only, and a microplate is 0, which is what may be left out
    said = incubator_options("liconic-service", kind, options, _REQUIRED, _OPTIONAL)
    if not said["port"].startswith(("socket://", "replay://")):
        raise SettingsError(f"option port = {said['port']!r} should be socket://host:3333, the STX Driver service")
    if not re.fullmatch(r"\w{1,20}", said.get("id", "STX"), re.ASCII):
        raise SettingsError(
            f"option id = {said['id']!r} should be the letters by which the service knows the incubator"
        )
    shape = ServiceShape(said["cassettes"], said["levels"], said.get("id", "STX"), said.get("plate_type", 0))
    move_s = said.get("move_s", 0.6 * said.get("handling_s", 120.0))
    handler = LiconicService(wire_of(said, SETTINGS, kind, lab), shape, reply_s=said.get("reply_s", 2.0), move_s=move_s)
    return incubator_device(handler, said, kind, lab)


class LiconicService:
    """A LiCONiC STX behind its service (drivers.incubator_handler.Handler)."""

    tries = 1

    def __init__(self, wire: Wire, shape: ServiceShape, *, reply_s: float = 2.0, move_s: float = 72.0) -> None:
        self._wire, self._shape, self._reply_s, self._move_s = wire, shape, reply_s, move_s
        self.n_slots = shape.cassettes * shape.levels

    def connect(self, until: Deadline) -> None:
        """See that the service answers for this incubator; nothing moves."""
        stand(self._asked("STX2GetSysStatus", (), until.within(self._reply_s)))

    def stand(self, until: Deadline) -> Stand:
        """Read the status."""
        return stand(self._asked("STX2GetSysStatus", (), until.within(self._reply_s)))

    def activate(self, until: Deadline) -> None:
        """Activate the incubator, as after it was switched on."""
        succeeded(self._asked("STX2Activate", (), until.within(self._move_s)), "STX2Activate")

    def arm(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Do nothing: a move names its slot."""

    def go(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Move the plate; returns when the service says that it is done.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may move.
        """
        cassette, level = divmod(slot - 1, self._shape.levels)
        shape, station, inside = self._shape, (1, 0, 0), (2, cassette + 1, level + 1)
        source, target = (station, inside) if verb == "store" else (inside, station)
        words = (*source, 0, shape.plate_type, shape.device_id, *target, 0, shape.plate_type)
        reply = self._asked("STX2ServiceMovePlate", words, until.within(self._move_s))
        succeeded(reply, "STX2ServiceMovePlate")

    def end_access(self, until: Deadline) -> None:
        """Do nothing: the service closes the gate."""

    def climate(self, until: Deadline) -> Climate:
        """Read set and actual values; without the gases, whose order is not certain."""
        actual = climate(self._asked("STX2ReadActualClimate", (), until.within(self._reply_s)))
        wanted = climate(self._asked("STX2ReadSetClimate", (), until.within(self._reply_s)))
        return Climate(
            temperature_c=actual[0],
            humidity_percent=actual[1],
            temperature_set_c=wanted[0],
            humidity_set_percent=wanted[1],
        )

    def identify(self, until: Deadline) -> Mapping[str, str]:  # noqa: ARG002
        """Say what is known; the service has no question for model or version."""
        return {"device": f"LiCONiC {self._shape.device_id} (STX Driver service)"}

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _asked(self, name: str, words: tuple[int | str, ...], until: Deadline) -> str:
        """Send a command on a connection of its own and return the line that answers it.

        Raises:
            DeviceError: no connection, no answer, or noise.
        """
        self._wire.close()
        self._wire.open()
        try:
            request = f"{name}({','.join(map(str, (self._shape.device_id, *words)))})\r"
            self._wire.write(request.encode("ascii"), until)
            line = self._wire.read_line(b"\r\n", until, max_bytes=1024)
        finally:
            self._wire.close()
        if not (line.isascii() and all(b >= 0x20 for b in line)):
            raise Garbled(f"{self._wire.port} answered {name} with noise: {printable(line[:60])}")
        return line.decode("ascii")
