"""The physics of a shaking incubator for one plate: a drawer that is open, closed or on its way, and the rotor in it.

Seen from outside like `sim.wire.hotel.Hotel`: the open drawer is the station, the closed one slot 1, between its ends
the plate is on the "shovel".
"""

from dataclasses import dataclass, field

from sim.wire.emulator import Act
from sim.wire.hotel import Jam
from sim.wire.rotor import Phase, RotorPhysics, Stuck
from sim.wire.time import EmulatedTime


@dataclass(slots=True)
class Tray:
    """A drawer around a rotor; the rotor's clamp is the closed drawer."""

    time: EmulatedTime
    rotor: RotorPhysics
    handling_s: float = 5.0
    """From end to end, of the device's clock."""
    jam: Jam | None = None
    """For the next motion: PICK, it does not leave its end; PUT, it stops half way; STALL, likewise, without an end."""
    is_between: bool = False
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    n_slots: int = 1
    _opens: bool = False
    _ends_s: float | None = None

    @property
    def is_moving(self) -> bool:
        """Say whether the drawer is on its way, as of now."""
        self.advance()
        return self._ends_s is not None

    @property
    def is_open(self) -> bool | None:
        """Say where the drawer is; None between its ends."""
        self.advance()
        return None if self.is_between else not self.rotor.is_clamped

    @property
    def station(self) -> str | None:
        """Return the plate that the arm can reach."""
        return self.rotor.plate if self.is_open else None

    @property
    def shovel(self) -> str | None:
        """Return the plate in a drawer between its ends."""
        return self.rotor.plate if self.is_open is None else None

    @property
    def slots(self) -> dict[int, str]:
        """Return the plate inside."""
        return {1: self.rotor.plate} if self.rotor.plate is not None and self.is_open is False else {}

    def drive(self, *, opens: bool) -> None:
        """Begin to open or to close; where it is there already nothing happens."""
        if self.rotor.phase is not Phase.STILL:
            self.violations.append("the drawer was moved while the shaker moved")
        if self.is_open is opens or self.rotor.stuck is (Stuck.OPEN if opens else Stuck.CLAMP):
            return
        if self._ends_s is not None:
            self.violations.append("the drawer was moved in the midst of a motion")
            return
        jam, self.jam = self.jam, None
        if jam is Jam.PICK:
            return
        now = self.time.now_s()
        if opens and self.rotor.is_clamped:
            self.rotor.release()
        self._opens, self.is_between = opens, True
        self._ends_s = now + self.handling_s if jam is None else None

    def put_on_station(self, plate: str) -> None:
        """Do what a robot arm or a hand does."""
        if not self.is_open or self.rotor.plate is not None:
            self.violations.append(f"{plate} was put where no open, empty drawer is")
        self.rotor.put(plate)

    def take_from_station(self) -> str | None:
        """Do what a robot arm or a hand does; None when nothing stands there."""
        return self.rotor.take() if self.is_open else None

    def power_off(self) -> None:
        """Stop where it is."""
        self.advance()
        self._ends_s = None
        self.rotor.power_off()

    def moves(self) -> int:
        """Count the motions that carried a plate to an end."""
        self.advance()
        return sum(act.what == "put" for act in self.log)

    def advance(self) -> None:
        """Let happen what was due by now."""
        if self._ends_s is None or self.time.now_s() < self._ends_s:
            return
        at_s, self._ends_s, self.is_between = self._ends_s, None, False
        if not self._opens:
            self.rotor.clamp()
        if self.rotor.plate is not None:
            self.log.append(Act(at_s, "put", self.rotor.plate, "station" if self._opens else "slot 1"))
