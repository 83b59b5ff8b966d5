"""One unit of an Inheco stack: its sensors and settings, asked over its link; facts/devices.md 4.6."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from drivers.deadline import Deadline
from drivers.inheco_frames import MOVING, Refused
from drivers.inheco_link import Link
from drivers.inheco_words import Model, choice, model, nothing, rpm_of, steps_of, whole
from drivers.wire import Garbled, Silent
from nextplate.errors import NeedsOperator

TRIES = 3
"""Of a question or a setting, which may be repeated freely."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sight:
    """What the sensors say."""

    is_initialised: bool
    is_open: bool | None
    """The drawer; None: it is on its way, or stuck there."""
    has_plate: bool
    is_shaking: bool
    """Also while it runs down."""
    is_stopping: bool


class Unit:
    """Asks and sets."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._model: Model | None = None

    def model(self, until: Deadline) -> Model:
        """Return what it is, heard twice the same.

        Raises:
            DeviceError: it was not.
        """
        if self._model is None:
            first, second = (model(self.link.ask("RTS", until)) for _ in range(2))
            if first != second:
                raise Garbled(f"the Inheco says it is an {first.name}, and then an {second.name}")
            self._model = first
        return self._model

    def sight(self, until: Deadline) -> Sight:
        """Read all sensors."""
        shaking = choice(self.link.ask("RSE", until), "RSE", range(3)) if self.model(until).has_shaker else 0
        return Sight(
            is_initialised=choice(self.link.ask("REE", until), "REE", range(4)) in (0, 2),
            is_open=self._drawer(until),
            has_plate=choice(self.link.ask("RLW", until), "RLW", range(2)) == 1,
            is_shaking=shaking != 0,
            is_stopping=shaking == 2,
        )

    def order(self, command: str, until: Deadline) -> None:
        """Give a command, once.

        Raises:
            Refused: by the device.
            Transient: no answer, or a strange one; it may act.
        """
        nothing(self.link.ask(command, until), command)

    def drive(self, command: str, poll_s: float, until: Deadline) -> None:
        """Open (AOD) or close (ACD) the drawer and wait until it is at that end; never while the shaker moves.

        Raises:
            NeedsOperator: the shaker moves, the device refused, or the drawer does not get there.
        """
        wanted = command == "AOD"
        if (sight := again(lambda: self.sight(until), until)).is_shaking:
            raise NeedsOperator("the shaker moves; its drawer stays as it is")
        if sight.is_open is wanted:
            return
        again(lambda: self.order(command, until), until)
        while not self._is_there(wanted, until):
            if until.is_over:
                raise NeedsOperator(f"the drawer was told to {'open' if wanted else 'close'} and did not")
            until.pause(poll_s)

    def _is_there(self, wanted: bool, until: Deadline) -> bool:
        try:
            return again(lambda: self._drawer(until), until) is wanted
        except Silent:
            if until.is_over:
                return False
            raise

    def temperatures(self, until: Deadline) -> tuple[float, float, bool]:
        """Return set and actual temperature in Celsius, and whether it heats."""
        target, actual = (whole(self.link.ask(name, until), name) / 10 for name in ("RTT", "RAT1"))
        return target, actual, choice(self.link.ask("RHE", until), "RHE", range(3)) > 0

    def heat(self, temperature_c: float, until: Deadline) -> None:
        """Set the temperature and heat, unless it does so already; read back.

        Raises:
            DeviceError: it does not take it.
        """
        tenths = round(temperature_c * 10)

        def is_so() -> bool:
            target, _, is_heating = self.temperatures(until)
            return is_heating and round(target * 10) == tenths

        def set_it() -> None:
            self.order(f"STT{tenths}", until)
            self.order("SHE1", until)
            if not is_so():
                raise Garbled(f"the incubator does not take {temperature_c:g} C as its temperature")

        if not again(is_so, until):
            again(set_it, until)

    def set_speed(self, speed_rpm: int, amplitude_mm: float, until: Deadline) -> None:
        """Write speed and amplitude of an orbit, and read the speed back.

        Raises:
            DeviceError: it does not take them.
        """
        steps, tenths = steps_of(speed_rpm), round(amplitude_mm * 10)
        self.order(f"SSP{tenths},{tenths},{steps},{steps},90", until)
        for name in ("RFX0", "RFY0"):
            if (found := whole(self.link.ask(name, until), name)) != steps:
                raise Garbled(f"the shaker has a speed of {rpm_of(found)} rpm ({name}), not {rpm_of(steps)}")

    def speed_rpm(self, name: str, until: Deadline) -> int:
        """Return the set (RFX0) or actual (RFX1) speed."""
        return rpm_of(whole(self.link.ask(name, until), name))

    def _drawer(self, until: Deadline) -> bool | None:
        try:
            return choice(self.link.ask("RDS", until), "RDS", range(2)) == 1
        except Refused as error:
            if error.code != MOVING:
                raise
            return None


def again(act: Callable[[], _T], until: Deadline) -> _T:
    """Do what may be repeated freely, up to `TRIES` times.

    Raises:
        DeviceError: it failed every time.
    """
    for n in range(1, TRIES + 1):
        try:
            return act()
        except (Silent, Garbled, NeedsOperator):
            # a refusal too: noise on the line makes a command that it does not know
            if n == TRIES or until.is_over:
                raise
    raise AssertionError("unreachable")
