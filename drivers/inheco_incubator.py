"""An Inheco as an incubator with one slot: open, its drawer is the transfer station; closed, it is the slot."""

from collections.abc import Mapping

from drivers.deadline import Deadline
from drivers.incubator_handler import Climate, Stand, Verb
from drivers.inheco_unit import TRIES, Sight, Unit
from drivers.inheco_words import NOT_INITIALISED

_MOTION: Mapping[Verb, str] = {"store": "ACD", "fetch": "AOD"}


class InhecoIncubator:
    """Moves its drawer (drivers.incubator_handler.Handler)."""

    n_slots = 1
    tries = TRIES
    """Noise on the line makes a frame that it refuses; its sensors show that nothing moved."""

    def __init__(self, unit: Unit, temperature_c: float | None = None, *, sees_open: bool = True) -> None:
        self._unit, self._temperature_c, self._sees_open = unit, temperature_c, sees_open

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and hear that an Inheco answers; moves nothing.

        Raises:
            DeviceError: no port, no answer, or another protocol's.
        """
        self._unit.link.connect(until)

    def activate(self, until: Deadline) -> None:
        """Do nothing: to initialise moves the drawer, and is a person's."""

    def stand(self, until: Deadline) -> Stand:
        """Read the sensors; a drawer between its ends is not ready."""
        sight = self._unit.sight(until)
        is_ready = sight.is_initialised and sight.is_open is not None and not sight.is_shaking
        return Stand(
            is_ready=is_ready,
            has_station_plate=sight.is_open is True and (sight.has_plate or not self._sees_open),
            has_shovel_plate=False,  # it has none; a plate never leaves the drawer by itself
            error=_error(sight),
            has_slot_plate=self._inside(sight),
        )

    def arm(self, verb: Verb, slot: int, until: Deadline) -> None:  # noqa: ARG002
        """Set the temperature before a plate comes in.

        Raises:
            DeviceError: it could not be set.
        """
        if verb == "store" and self._temperature_c is not None:
            self._unit.heat(self._temperature_c, until)

    def go(self, verb: Verb, slot: int, until: Deadline) -> None:  # noqa: ARG002
        """Start the drawer.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may move.
        """
        self._unit.order(_MOTION[verb], until)

    def end_access(self, until: Deadline) -> None:
        """Do nothing: after a fetch the arm has to reach the plate."""

    def climate(self, until: Deadline) -> Climate:
        """Read set and actual temperature."""
        target, actual, _ = self._unit.temperatures(until)
        return Climate(temperature_set_c=target, temperature_c=actual)

    def identify(self, until: Deadline) -> Mapping[str, str]:
        """Return model, firmware, serial number, and whether it heats."""
        return identified(self._unit, until)

    def close(self) -> None:
        """Let go of the port."""
        self._unit.link.close()

    def _inside(self, sight: Sight) -> bool | None:
        if sight.is_open is None:
            return None
        return sight.has_plate and not sight.is_open if self._sees_open or not sight.is_open else None


def identified(unit: Unit, until: Deadline) -> Mapping[str, str]:
    """Return model, firmware, serial number, and whether the unit heats."""
    return {
        "device": unit.model(until).name,
        "firmware": unit.link.firmware,
        "serial number": unit.link.ask("RFV2", until)[:60],
        "heating": "on" if unit.temperatures(until)[2] else "off",
    }


def _error(sight: Sight) -> str:
    if not sight.is_initialised:
        return NOT_INITIALISED
    return "its shaker moves; stop it at the device" if sight.is_shaking else ""
