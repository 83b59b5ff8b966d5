"""A PF400 on its wire: what it says of itself, and the frames that move it.

A command that moves is answered before the motion ends or after, by firmware; its answer proves nothing. Where the
arm is and how far its jaws are open is asked (wherej), until it says the same twice. WaitForEOM is never sent: it
would block ``halt``.
"""

from dataclasses import dataclass
from enum import Enum, auto
from re import compile as regex

from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.pf400_places import Pose, Taught, split_jaws
from drivers.pf400_words import flag, joints, values
from drivers.wire import MAX_LINE, Silent, Wire
from nextplate.errors import DeviceError, NeedsOperator, Transient

_BARRIERS = (
    Barrier("version", regex(r"0 TCP Command Server[ -~]*")),
    Barrier("wherej", regex(r"0( -?[0-9]+(\.[0-9]+)?){5,6}")),
)
_HINT = "a PF400's command server (port 10100, mode 0) answers '0 TCP Command Server ...' to version; is this its port?"
_SAME = 0.05
"""By which two readings of a joint that stands still may differ."""
_PROFILE = 1


class Jaws(Enum):
    """What the opening of the jaws means."""

    OPEN = auto()
    HELD = auto()
    """They stand as wide as a plate."""
    CLOSED = auto()
    """On nothing."""
    UNCLEAR = auto()


@dataclass(frozen=True, slots=True)
class ArmPace:
    """How long things take, in seconds."""

    plate_s: float = 180.0
    """After which the move of one plate counts as stalled."""
    stretch_s: float = 45.0
    """After which one stretch of the way does, and is halted."""
    poll_s: float = 0.1
    patience_s: float = 3.0
    """An arm that has not moved for so long has stopped, or did not begin."""
    connect_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Where the arm is, and its jaws."""

    pose: Pose
    opening_mm: float

    def is_like(self, other: "Seen | None") -> bool:
        """Say whether nothing moved between two looks."""
        return (
            other is not None
            and len(self.pose) == len(other.pose)
            and abs(self.opening_mm - other.opening_mm) <= _SAME
            and all(abs(a - b) <= _SAME for a, b in zip(self.pose, other.pose, strict=True))
        )


class ArmWire(Wire):
    """A wire whose lines end with a line feed, mostly with a carriage return before it."""

    def read_line(self, terminator: bytes, until: Deadline, *, max_bytes: int = MAX_LINE) -> bytes:
        """Read up to a terminator, and return what stands before it and before a carriage return.

        Raises:
            WireError: as for `drivers.wire.Wire.read_line`.
        """
        return super().read_line(terminator, until, max_bytes=max_bytes).removesuffix(b"\r")


class Arm:
    """The arm; calls end by their deadline and raise DeviceError."""

    def __init__(
        self, wire: ArmWire, taught: Taught, pace: ArmPace, *, reply_s: float = 1.0, powers_on: bool = False
    ) -> None:
        self._wire, self._taught, self._pace, self._powers_on = wire, taught, pace, powers_on
        self._line = Dialogue(wire, ends=(b"\n", b"\n"), reply_s=reply_s, barriers=_BARRIERS)

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and greet the arm; nothing moves."""
        if not self._wire.is_open:
            self._wire.open()
        self._line.greet(_HINT, until)

    def enable(self, speed_percent: int, until: Deadline) -> None:
        """See that the arm has power, take hold of it, and set its speed; nothing moves, and it is never homed.

        Raises:
            NeedsOperator: its power is off and nobody allowed to switch it on; or refused.
        """
        if not flag(self._ask("hp", until), "hp"):
            if not self._powers_on:
                raise NeedsOperator("the arm's power is off; look at the arm, then switch it on (hp 1)")
            values(self._ask("hp 1", until), "hp 1")
            self._wait_for_power(until)
        if not flag(self._ask("attach", until), "attach"):
            values(self._ask("attach 1", until), "attach 1")
        values(self._ask(f"mspeed {speed_percent}", until), "mspeed")
        if (said := values(self._ask("mspeed", until), "mspeed")) != str(speed_percent):
            raise NeedsOperator(f"the arm took speed {said} %, not {speed_percent} %")

    def version(self, until: Deadline) -> str:
        """Return what the command server calls itself."""
        return values(self._ask("version", until), "version")

    def is_powered(self, until: Deadline) -> bool:
        """Say whether its motors have power."""
        return flag(self._ask("hp", until), "hp")

    def go(self, pose: Pose, opening_mm: float, until: Deadline) -> None:
        """Send the frame that moves the arm to a pose, its jaws kept.

        Raises:
            NeedsOperator: refused.
            Transient: no answer, or a strange one; it may move.
        """
        numbers = (*pose[:4], opening_mm, *pose[4:])
        question = f"movej {_PROFILE} " + " ".join(f"{value:.3f}" for value in numbers)
        values(self._line.ask(question, until), question)

    def grip(self, speed_percent: int, force_n: float, until: Deadline) -> None:
        """Send the frame that closes the jaws on a plate, once; what its answer says of the plate proves nothing."""
        question = f"graspplate {self._taught.plate_width_mm:g} {speed_percent} {force_n:g}"
        values(self._line.ask(question, until), question)

    def release(self, speed_percent: int, until: Deadline) -> None:
        """Send the frame that opens the jaws, once."""
        question = f"releaseplate {self._taught.open_mm:g} {speed_percent}"
        values(self._line.ask(question, until), question)

    def halt(self, until: Deadline) -> None:
        """Stop the arm where it is; may be repeated."""
        values(self._line.ask("halt", until), "halt")

    def look(self, until: Deadline) -> Seen:
        """Read the joints; open the port again when it goes away.

        Raises:
            DeviceError: they could not be read by the deadline.
        """
        while True:
            try:
                seen = Seen(*split_jaws(joints(self._line.ask("wherej", until), "wherej")))
            except (Transient, NeedsOperator) as error:
                if until.is_over:
                    raise
                until.pause(self._pace.poll_s)
                self._reconnect(until, error)
            else:
                if len(seen.pose) != len(self._taught.safe):
                    raise NeedsOperator(
                        f"the arm has {len(seen.pose)} joints and jaws, {self._taught.path} teaches "
                        f"{len(self._taught.safe)} (a rail makes it 5)"
                    )
                return seen

    def still(self, until: Deadline, wait_s: float | None = None) -> Seen:
        """Wait until nothing has moved for so long (None: the pace's patience), and return where it stands.

        Raises:
            Silent: it still moves at the deadline.
            DeviceError: it does not answer.
        """
        before, wait_s = self.look(until), self._pace.patience_s if wait_s is None else wait_s
        quiet = until.within(wait_s)
        while True:
            until.pause(self._pace.poll_s)
            now = self.look(until)
            if not now.is_like(before):
                before, quiet = now, until.within(wait_s)
            elif quiet.is_over:
                return now
            if until.is_over:
                raise Silent("the arm does not stand still")

    def arrived(self, pose: Pose, until: Deadline) -> Seen:
        """Wait until the arm is at a pose, or stands still elsewhere, and return where it is.

        Raises:
            Silent: neither by the deadline.
            DeviceError: it does not answer.
        """
        anchor: Seen | None = None
        quiet = until
        while True:
            now = self.look(until)
            if not now.is_like(anchor):
                # not with the last look: an arm that creeps would seem to stand
                anchor, quiet = now, until.within(self._pace.patience_s)
            elif self._taught.is_near(now.pose, pose) or (quiet.is_over and not until.is_over):
                return now
            if until.is_over:
                raise Silent("the arm did not arrive in time")
            until.pause(self._pace.poll_s)

    def jaws(self, seen: Seen) -> Jaws:
        """Say what the opening of the jaws means."""
        taught, slack = self._taught, self._taught.jaw_tolerance_mm
        if seen.opening_mm >= taught.open_mm - slack:
            return Jaws.OPEN
        if abs(seen.opening_mm - taught.plate_width_mm) <= slack:
            return Jaws.HELD
        return Jaws.CLOSED if seen.opening_mm < taught.plate_width_mm else Jaws.UNCLEAR

    def close(self) -> None:
        """Let go of the port; a motion under way goes on."""
        self._wire.close()

    def _ask(self, question: str, until: Deadline) -> str:
        """Ask what may be asked again, once more after a lost or strange answer."""
        try:
            return self._line.ask(question, until)
        except Transient as error:
            self._reconnect(until, error)
        return self._line.ask(question, until)

    def _wait_for_power(self, until: Deadline) -> None:
        soon = until.within(self._pace.connect_s)
        while not flag(self._ask("hp", until), "hp"):
            if soon.is_over:
                raise NeedsOperator("the arm's power does not come on; look at its emergency stop")
            until.pause(self._pace.poll_s)

    def _reconnect(self, until: Deadline, trouble: DeviceError) -> None:
        while True:
            try:
                return self.connect(until)
            except Transient:
                if until.is_over:
                    raise trouble from None
                until.pause(self._pace.poll_s)
