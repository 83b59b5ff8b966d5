"""What an incubator's driver has to bring: its sensors, its climate, and the frames that move a plate.

`drivers.incubator` does with it what is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from drivers.deadline import Deadline

Verb = Literal["store", "fetch"]


@dataclass(frozen=True, slots=True)
class Stand:
    """What an incubator's sensors say."""

    is_ready: bool
    """Nothing moves, and the device takes commands."""
    has_station_plate: bool
    """On the transfer station."""
    has_shovel_plate: bool | None
    """On the handler; None: it has no such sensor."""
    error: str
    """What the device complains of, in words; "" for nothing."""
    is_door_open: bool | None = None
    """The user's door; None: not known."""
    is_restarted: bool = False
    """The device was switched off since its last `Handler.arm`."""
    has_slot_plate: bool | None = None
    """In its slot, where there is only one; None: no sensor tells."""


@dataclass(frozen=True, slots=True)
class Climate:
    """Set and actual climate; None where the device does not have it."""

    temperature_c: float | None = None
    temperature_set_c: float | None = None
    humidity_percent: float | None = None
    humidity_set_percent: float | None = None
    co2_percent: float | None = None
    co2_set_percent: float | None = None
    o2_percent: float | None = None
    o2_set_percent: float | None = None
    n2_percent: float | None = None
    n2_set_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds."""

    handling_s: float = 120.0
    """After which a motion counts as stalled."""
    poll_s: float = 0.2
    """Between two looks."""
    patience_s: float = 3.0
    """A device that is ready and has changed nothing for so long after a command has not begun it."""
    connect_s: float = 15.0
    """Within which the device is ready after the port was opened."""


class Handler(Protocol):
    """A vendor's incubator on its wire. Calls end by their deadline and raise DeviceError."""

    n_slots: int
    tries: int
    """How often a motion is offered to a device that refuses it for no reason that its sensors show; mostly 1."""

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and greet the device; nothing moves."""

    def stand(self, until: Deadline) -> Stand:
        """Read the sensors."""

    def activate(self, until: Deadline) -> None:
        """Make a device that is idle and not ready take commands; asked for only with an empty shovel."""

    def arm(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Tell the device which slot comes next; nothing moves."""

    def go(self, verb: Verb, slot: int, until: Deadline) -> None:
        """Send the one frame that starts the motion, once.

        Raises:
            NeedsOperator: the device refused.
            Transient: it did not answer as it should, and may move.
        """

    def end_access(self, until: Deadline) -> None:
        """Close the gate after a motion, where the device does not by itself."""

    def climate(self, until: Deadline) -> Climate:
        """Read the climate."""

    def identify(self, until: Deadline) -> Mapping[str, str]:
        """Return what the device says it is: model, firmware, ..."""

    def close(self) -> None:
        """Let go of the port."""
