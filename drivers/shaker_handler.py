"""What a shaker's driver has to bring: what its rotor does, and the frames that start and stop it.

`drivers.shaker` does with it what is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from drivers.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Rotor:
    """What a shaker says of itself."""

    is_turning: bool
    """Also while it speeds up or brakes."""
    is_stopping: bool = False
    """It turns, but was told to stop, or its time is over."""
    error: str = ""
    """What the device complains of, in words; "" for nothing."""
    is_clamped: bool | None = None
    """The plate is held; None: not known, or no clamp."""
    has_plate: bool | None = None
    """None: it has no such sensor."""
    is_restarted: bool = False
    """The device was switched off since its last `ShakerHandler.arm`."""


@dataclass(frozen=True, slots=True)
class ShakerPace:
    """How long things take, in seconds."""

    poll_s: float = 0.2
    """Between two looks."""
    patience_s: float = 3.0
    """A rotor that stands still for so long after it was started was not started."""
    stop_s: float = 20.0
    """Within which a rotor that was told to stop stands still."""
    connect_s: float = 15.0
    """Within which the device answers after the port was opened."""
    tolerance_s: float = 2.0
    """A plate that was shaken so much too short or too long was not shaken as asked."""


class ShakerHandler(Protocol):
    """A vendor's shaker on its wire. Calls end by their deadline and raise DeviceError."""

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and greet the device; nothing moves."""

    def rotor(self, until: Deadline) -> Rotor:
        """Read how it stands."""

    def speeds_rpm(self, until: Deadline) -> tuple[int, int]:
        """Return the slowest and the fastest speed it turns at."""

    def has_timer(self, until: Deadline) -> bool:
        """Say whether the device can stop by itself after a time, also when nobody is there any more."""

    def arm(self, speed_rpm: int, until: Deadline) -> None:
        """Tell the device how fast to turn, and read it back; nothing moves."""

    def expect(self, speed_rpm: int) -> None:
        """Remember what another process armed, so that `Rotor.is_restarted` is told; asks nothing."""

    def clamp(self, until: Deadline) -> None:
        """Hold the plate; may be repeated, and is done only while the rotor stands still."""

    def start(self, duration_s: int | None, until: Deadline) -> None:
        """Send the one frame that starts the rotor, once; None: until `stop`.

        Raises:
            NeedsOperator: the device refused.
            Transient: it did not answer as it should, and may turn.
        """

    def stop(self, until: Deadline) -> None:
        """Tell the rotor to stop; may be repeated at any time."""

    def release(self, until: Deadline) -> None:
        """Let go of the plate; may be repeated, and is done only while the rotor stands still."""

    def speed_rpm(self, until: Deadline) -> float | None:
        """Return how fast it turns now; None where it does not say."""

    def identify(self, until: Deadline) -> Mapping[str, Any]:
        """Return what the device says it is, and its readings: model, firmware, temperature, ..."""

    def close(self) -> None:
        """Let go of the port."""
