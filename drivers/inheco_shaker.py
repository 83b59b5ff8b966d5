"""An Inheco as a shaker: its drawer is the clamp. Closed, it holds the plate; open, the arm reaches it."""

from collections.abc import Mapping
from typing import Any

from drivers.deadline import Deadline
from drivers.inheco_incubator import identified
from drivers.inheco_unit import Unit, again
from drivers.inheco_words import FASTEST_RPM, NOT_INITIALISED, SLOWEST_RPM, rpm_of, steps_of
from drivers.shaker_handler import Rotor
from nextplate.errors import NeedsOperator

_POLL_S = 0.2


class InhecoShaker:
    """Shakes what lies in its drawer (drivers.shaker_handler.ShakerHandler)."""

    def __init__(self, unit: Unit, amplitude_mm: float = 3.0, *, sees_open: bool = True) -> None:
        self._unit, self._amplitude_mm, self._sees_open = unit, amplitude_mm, sees_open
        self._armed_rpm: int | None = None

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and hear that an Inheco answers; moves nothing.

        Raises:
            DeviceError: no port, no answer, another protocol's, or a model without a shaker.
        """
        self._unit.link.connect(until)
        if not (model := again(lambda: self._unit.model(until), until)).has_shaker:
            raise NeedsOperator(f"{model.name} has no shaker")

    def rotor(self, until: Deadline) -> Rotor:
        """Read shaker, drawer and plate; a set speed that is not ours any more tells of a restart."""
        sight = self._unit.sight(until)
        found = self._unit.speed_rpm("RFX0", until) if self._armed_rpm is not None else None
        is_seen = self._sees_open or sight.is_open is False
        return Rotor(
            is_turning=sight.is_shaking,
            is_stopping=sight.is_stopping,
            error="" if sight.is_initialised else NOT_INITIALISED,
            is_clamped=None if sight.is_open is None else not sight.is_open,
            has_plate=sight.has_plate if is_seen else None,
            is_restarted=found != self._armed_rpm,
        )

    def speeds_rpm(self, until: Deadline) -> tuple[int, int]:  # noqa: ARG002
        """Return the slowest and the fastest speed it turns at."""
        return SLOWEST_RPM, FASTEST_RPM

    def has_timer(self, until: Deadline) -> bool:  # noqa: ARG002
        """Say no: it turns until it is stopped."""
        return False

    def arm(self, speed_rpm: int, until: Deadline) -> None:
        """Write speed and amplitude, and read the speed back; it has steps of 6 rpm.

        Raises:
            DeviceError: it could not be written.
        """
        again(lambda: self._unit.set_speed(speed_rpm, self._amplitude_mm, until), until)
        self.expect(speed_rpm)

    def expect(self, speed_rpm: int) -> None:
        """Remember the speed that another process wrote."""
        self._armed_rpm = rpm_of(steps_of(speed_rpm))

    def clamp(self, until: Deadline) -> None:
        """Close the drawer, and wait until it is closed.

        Raises:
            DeviceError: it is not.
        """
        self._unit.drive("ACD", _POLL_S, until)

    def start(self, duration_s: int | None, until: Deadline) -> None:  # noqa: ARG002
        """Start to shake, with a plate behind a closed drawer only.

        Raises:
            NeedsOperator: refused, by the device or because it is not so.
            Transient: no answer, or a strange one; it may turn.
        """
        sight = again(lambda: self._unit.sight(until), until)
        if sight.is_open is not False or not sight.has_plate:
            raise NeedsOperator("no plate is in the closed drawer, says its sensor")
        self._unit.order("ASEND", until)

    def stop(self, until: Deadline) -> None:
        """Stop the shaker."""
        self._unit.order("ASE0", until)

    def release(self, until: Deadline) -> None:
        """Open the drawer, and wait until it is open.

        Raises:
            DeviceError: it is not.
        """
        self._unit.drive("AOD", _POLL_S, until)

    def speed_rpm(self, until: Deadline) -> float | None:
        """Return how fast it turns now."""
        return float(self._unit.speed_rpm("RFX1", until))

    def identify(self, until: Deadline) -> Mapping[str, Any]:
        """Return model, firmware, serial number, temperature."""
        return {**identified(self._unit, until), "temperature_c": self._unit.temperatures(until)[1]}

    def close(self) -> None:
        """Let go of the port."""
        self._unit.link.close()
