"""The physics of an incubator or hotel: slots, a shovel, a transfer station, a gate, and one motion at a time."""

from dataclasses import dataclass, field
from enum import StrEnum

from sim.wire.emulator import Act
from sim.wire.time import EmulatedTime


class Jam(StrEnum):
    """How a motion may fail by itself."""

    PICK = "pick"
    """The plate sticks where it is."""
    PUT = "put"
    """The plate stays on the shovel."""
    STALL = "stall"
    """It never ends, and the plate is on the shovel."""


class Trouble(StrEnum):
    """Why a motion stopped."""

    NO_PLATE = "no plate was taken onto the shovel"
    NOT_PUT = "the plate was not put down"


@dataclass(slots=True)
class _Motion:
    source: int | None
    """A slot; None: the station."""
    target: int | None
    pick_s: float
    put_s: float
    end_s: float
    is_picked: bool = False
    is_put: bool = False


@dataclass(slots=True)
class Hotel:
    """What stands where, and what moves."""

    time: EmulatedTime
    n_slots: int
    handling_s: float = 20.0
    """Of the device's clock."""
    slots: dict[int, str] = field(default_factory=dict)
    station: str | None = None
    shovel: str | None = None
    is_door_open: bool = False
    trouble: Trouble | None = None
    jam: Jam | None = None
    """For the next motion."""
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """What a device must never be asked: a motion in a motion, ..."""
    _motion: _Motion | None = None

    @property
    def is_moving(self) -> bool:
        """Say whether a motion is under way, as of now."""
        self.advance()
        return self._motion is not None

    def store(self, slot: int) -> None:
        """Begin to take the plate from the station into a slot."""
        self._begin(None, slot)

    def fetch(self, slot: int) -> None:
        """Begin to put the plate of a slot onto the station."""
        self._begin(slot, None)

    def put_on_station(self, plate: str) -> None:
        """Do what a robot arm or a hand does."""
        self.advance()
        if self.station is not None:
            self.violations.append(f"{plate} was put onto {self.station} on the station")
        self.station = plate

    def take_from_station(self) -> str | None:
        """Do what a robot arm or a hand does; None when nothing stands there."""
        self.advance()
        plate, self.station = self.station, None
        return plate

    def power_off(self) -> None:
        """Stop where it is; the plate stays where it happens to be."""
        self.advance()
        self._motion = None

    def reset(self) -> None:
        """Clear an error, as after a person has looked; a plate on the shovel stays there."""
        self.trouble = None

    def moves(self) -> int:
        """Count the plates that were put down."""
        self.advance()
        return sum(act.what == "put" for act in self.log)

    def advance(self) -> None:
        """Let happen what was due by now."""
        motion, now = self._motion, self.time.now_s()
        if motion is None:
            return
        if not motion.is_picked and now >= motion.pick_s:
            self._pick(motion)
        if self._motion is not None and not motion.is_put and now >= motion.put_s:
            self._put(motion)
        if self._motion is not None and motion.is_put and now >= motion.end_s:
            self._motion = None

    def _begin(self, source: int | None, target: int | None) -> None:
        if self.is_moving:
            self.violations.append(f"asked to move {source} -> {target} in the midst of a motion")
            return
        now, long_s = self.time.now_s(), self.handling_s
        self._motion = _Motion(source, target, now + 0.3 * long_s, now + 0.8 * long_s, now + long_s)

    def _pick(self, motion: _Motion) -> None:
        jam, plate = self.jam, self.station if motion.source is None else self.slots.get(motion.source)
        if plate is None or jam is Jam.PICK:
            self._stop(Trouble.NO_PLATE)
            return
        if motion.source is None:
            self.station = None
        else:
            del self.slots[motion.source]
        self.shovel, motion.is_picked = plate, True
        self._note(motion.pick_s, "pick", plate, motion.source)

    def _put(self, motion: _Motion) -> None:
        plate = self.shovel
        is_taken = self.station is not None if motion.target is None else motion.target in self.slots
        if self.jam is Jam.STALL:
            return
        if plate is None or is_taken or self.jam is Jam.PUT:
            self._stop(Trouble.NOT_PUT)
            return
        if motion.target is None:
            self.station = plate
        else:
            self.slots[motion.target] = plate
        self.shovel, motion.is_put = None, True
        self._note(motion.put_s, "put", plate, motion.target)

    def _stop(self, trouble: Trouble) -> None:
        self._motion, self.trouble, self.jam = None, trouble, None

    def _note(self, at_s: float, what: str, plate: str, slot: int | None) -> None:
        self.log.append(Act(at_s, what, plate, "station" if slot is None else f"slot {slot}"))
