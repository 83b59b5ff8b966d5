"""A PF400 plate mover behind its TCP command server; from facts/devices.md 4.8, and from no driver.

The arm goes in straight lines of its joints from where it is to where it is told. It knows nothing of plates: what
stands at a place is the lab's, what it grips is physics. What would break something is in ``violations``.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sim.wire.emulator import Act, split_lines
from sim.wire.time import EmulatedTime

Pose = tuple[float, float, float, float]
_NEAR = 0.6
_CRASH_SHARE = 0.9
_JAWS_S = 1.0
_UNITS_PER_S = 120.0
"""Of the joint that has the longest way, at full speed."""


class ArmJam(StrEnum):
    """How the next step may fail by itself."""

    SLIP = "slip"
    """The jaws close beside the plate."""
    DROP = "drop"
    """The plate falls while it is carried."""
    STICK = "stick"
    """The jaws do not open."""
    STALL = "stall"
    """The arm stops halfway, as against a hand."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place as it is in the room."""

    at: Pose
    above: Pose


@dataclass(slots=True)
class _Motion:
    start: Pose
    target: Pose
    begin_s: float
    end_s: float


@dataclass(slots=True)
class ArmPhysics:
    """The arm, its jaws, and the plates around it."""

    time: EmulatedTime
    spots: Mapping[str, Spot]
    pose: Pose
    open_mm: float = 100.0
    plate_mm: float = 85.5
    plates: dict[str, str] = field(default_factory=dict)
    """What stands where."""
    held: str | None = None
    floor: list[str] = field(default_factory=list)
    opening_mm: float = 100.0
    has_power: bool = True
    is_homed: bool = True
    jam: ArmJam | None = None
    speed_percent: int = 30
    log: list[Act] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _motion: _Motion | None = None
    _is_stalled: bool = False
    _jaws: tuple[float, str] | None = None
    """When they will have closed or opened, and which."""

    @property
    def is_moving(self) -> bool:
        """Say whether anything moves, as of now."""
        self.advance()
        return self._motion is not None or self._jaws is not None

    def moves(self) -> int:
        """Count the plates that were put down."""
        self.advance()
        return sum(act.what == "put" for act in self.log)

    def picks(self) -> int:
        """Count the plates that were gripped."""
        self.advance()
        return sum(act.what == "pick" for act in self.log)

    def where(self, plate: str) -> str:
        """Return a place, gripper, floor, or nowhere."""
        self.advance()
        if plate == self.held:
            return "gripper"
        return next((p for p, other in self.plates.items() if other == plate), "floor" if plate in self.floor else "")

    def go(self, target: Pose) -> None:
        """Begin to move."""
        self.advance()
        self._refuse_two()
        now, longest = self.time.now_s(), max(abs(a - b) for a, b in zip(self.pose, target, strict=True))
        self._judge_way(target)
        self._is_stalled = self.jam is ArmJam.STALL and longest > _NEAR
        self._motion = _Motion(self.pose, target, now, now + 0.2 + longest / (_UNITS_PER_S * self.speed_percent / 100))

    def jaws(self, what: str) -> None:
        """Begin to close or to open."""
        self.advance()
        self._refuse_two()
        self._jaws = (self.time.now_s() + _JAWS_S, what)

    def halt(self) -> None:
        """Stop where it is."""
        self.advance()
        if self._motion is not None:
            self.pose = self._now_at(self._motion, self.time.now_s())
        self._motion = self._jaws = None

    def lose_power(self) -> None:
        """Stop where it is; the jaws keep what they have."""
        self.halt()
        self.has_power = False

    def advance(self) -> None:
        """Let happen what was due by now."""
        now = self.time.now_s()
        if (motion := self._motion) is not None:
            if now >= motion.end_s:
                self._motion = None
                self._arrive(motion)
            else:
                self.pose = self._now_at(motion, now)
        if self._jaws is not None and now >= self._jaws[0]:
            at_s, what = self._jaws
            self._jaws = None
            self._close(at_s) if what == "close" else self._open(at_s)

    def spot_at(self, pose: Pose) -> str | None:
        """Return the place in which the jaws are."""
        return next((name for name, spot in self.spots.items() if _is_near(spot.at, pose)), None)

    def _refuse_two(self) -> None:
        if self._motion is not None or self._jaws is not None:
            self.violations.append("a motion was asked for in the midst of another")
            self.halt()

    def _judge_way(self, target: Pose) -> None:
        """A place is left and reached through the point above it alone."""
        for one, other in ((self.pose, target), (target, self.pose)):
            spot = self.spot_at(one)
            if spot is None or _is_near(other, self.spots[spot].at) or _is_near(other, self.spots[spot].above):
                continue
            self.violations.append(f"the arm swept sideways at {spot}")

    def _arrive(self, motion: _Motion) -> None:
        spot = self.spot_at(motion.target)
        is_blocked = spot in self.plates and (self.held is not None or self.opening_mm < self.open_mm - 5)
        if self.jam is ArmJam.DROP and self.held is not None:
            self.jam = None
            self.floor.append(self.held)
            self._note(motion.end_s, "dropped", self.held, "floor")
            self.held, self.opening_mm = None, self.plate_mm - 10
        if is_blocked or self._is_stalled:
            self._note(motion.end_s, "blocked", self.held or "", spot or "")
            self.pose = _between(motion, _CRASH_SHARE if is_blocked else 0.5)
            self.has_power = self.has_power and not is_blocked
            self._is_stalled = False
            self.jam = None if self.jam is ArmJam.STALL else self.jam
        else:
            self.pose = motion.target

    def _close(self, at_s: float) -> None:
        spot = self.spot_at(self.pose)
        if self.held is not None:
            return
        if spot is None or spot not in self.plates or self.jam is ArmJam.SLIP:
            self.jam = None if self.jam is ArmJam.SLIP else self.jam
            self.opening_mm = self.plate_mm - 10
            return
        self.held, self.opening_mm = self.plates.pop(spot), self.plate_mm
        self._note(at_s, "pick", self.held, spot)

    def _open(self, at_s: float) -> None:
        if self.jam is ArmJam.STICK:
            self.jam = None
            return
        self.opening_mm = self.open_mm
        if self.held is None:
            return
        spot, plate = self.spot_at(self.pose), self.held
        self.held = None
        if spot is None or spot in self.plates:
            self.violations.append(f"{plate} was dropped")
            self.floor.append(plate)
            return
        self.plates[spot] = plate
        self._note(at_s, "put", plate, spot)

    @staticmethod
    def _now_at(motion: _Motion, now_s: float) -> Pose:
        return _between(motion, min(1.0, (now_s - motion.begin_s) / (motion.end_s - motion.begin_s)))

    def _note(self, at_s: float, what: str, plate: str, place: str) -> None:
        self.log.append(Act(at_s, what, plate, place))


class Pf400Emulator:
    """The command server: one line, one answer."""

    def __init__(self, time: EmulatedTime, spots: Mapping[str, Spot], safe: Pose) -> None:
        self.time, self.lock = time, threading.RLock()
        self.physics = ArmPhysics(time, spots, safe)
        self.is_attached = False

    def split(self, buffer: bytearray) -> list[bytes]:
        """Take whole lines."""
        return split_lines(buffer, b"\n")

    def refusal(self, frame: bytes) -> bytes:  # noqa: ARG002
        """Return the answer to a command that it does not know."""
        return b"-2805\r\n"

    def answer(self, frame: bytes) -> list[bytes]:
        """Act on a line; the answer does not wait for the motion."""
        self.physics.advance()
        words = frame.decode("latin-1").strip().lower().split()
        return [self._answered(words).encode() + b"\r\n"]

    def power_cycle(self) -> None:
        """Switch it off and on: it must be given power, attached and homed again."""
        with self.lock:
            self.physics.lose_power()
            self.physics.is_homed = self.is_attached = False

    def _answered(self, words: list[str]) -> str:
        physics = self.physics
        match words:
            case ["version"]:
                return "0 TCP Command Server 3.0C1 05-27-2021, Load-Save Module 3.0B2 12-04-2020"
            case ["wherej"]:
                column, shoulder, elbow, wrist = physics.pose
                return f"0 {column:.3f} {shoulder:.3f} {elbow:.3f} {wrist:.3f} {physics.opening_mm:.3f}"
            case ["hp"]:
                return f"0 {int(physics.has_power)}"
            case ["hp", "1", *_]:
                physics.has_power = True
                return "0"
            case ["attach"]:
                return f"0 {int(self.is_attached)}"
            case ["attach", ("0" | "1") as on]:
                self.is_attached = on == "1"
                return "0"
            case ["mspeed"]:
                return f"0 {physics.speed_percent}"
            case ["mspeed", percent] if percent.isdigit() and 1 <= int(percent) <= 100:
                physics.speed_percent = int(percent)
                return "0"
            case ["halt"]:
                physics.halt()
                return "0"
            case [("home" | "movej" | "graspplate" | "releaseplate"), *_]:
                return self._moved(words)
        return "-2805"

    def _moved(self, words: list[str]) -> str:
        physics = self.physics
        if not physics.has_power:
            return "-1046"
        if not self.is_attached:
            return "-1009"
        if words[0] == "home":
            physics.is_homed = True
            return "0"
        if not physics.is_homed:
            return "-1021"
        try:
            numbers = [float(word) for word in words[1:]]
        except ValueError:
            return "-2802"
        if words[0] == "movej" and len(numbers) == 6:
            return self._go(numbers)
        if words[0] == "graspplate" and len(numbers) == 3:
            physics.jaws("close")
            return "0 -1" if physics.spot_at(physics.pose) in physics.plates else "0 0"
        if words[0] == "releaseplate" and len(numbers) == 2:
            physics.jaws("open")
            return "0"
        return "-2802"

    def _go(self, numbers: list[float]) -> str:
        if not 0 <= numbers[1] <= 1160 or any(abs(angle) > 970 for angle in numbers[2:5]):
            return "-1012"
        self.physics.go((numbers[1], numbers[2], numbers[3], numbers[4]))
        return "0"


def _is_near(one: Pose, other: Pose) -> bool:
    return all(abs(a - b) <= _NEAR for a, b in zip(one, other, strict=True))


def _between(motion: _Motion, share: float) -> Pose:
    first, second, third, fourth = (a + share * (b - a) for a, b in zip(motion.start, motion.target, strict=True))
    return first, second, third, fourth


if __name__ == "__main__":
    from sim.wire.by_hand import serve

    serve("pf400")
