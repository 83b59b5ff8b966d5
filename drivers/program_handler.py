"""What the driver of a washer or dispenser has to bring: its programs, and the frames that start their steps.

`drivers.program_machine` does with it what is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from drivers.deadline import Deadline


class How(Enum):
    """How a step ended."""

    DONE = auto()
    """The device was seen to do it, or told that it did, and has stopped without an error."""
    STOPPED = auto()
    """It had begun, and the device stopped with an error."""
    NOT_BEGUN = auto()
    """The device said that it does not do it, and was seen to stand still."""
    UNCLEAR = auto()
    """Nobody can tell without looking at the plate."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended, and what the device said to it."""

    how: How
    said: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """What a device is asked to do: steps, each started by one frame."""

    name: str
    steps: tuple[str, ...]
    """In words, for people; at least one."""
    digest: str
    """Of what is sent to the device; "" where only the device has it."""
    parts: tuple[Any, ...] = ()
    """The handler's own: what it sends for each step."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds."""

    program_s: float = 1800.0
    """After which a program counts as stalled."""
    poll_s: float = 0.2
    """Between two looks."""
    patience_s: float = 3.0
    """A device that stands still so long after it was asked to begin does not begin any more."""
    connect_s: float = 30.0
    """Within which the device is ready after the port was opened."""


class ProgramHandler(Protocol):
    """A vendor's washer or dispenser on its wire. Calls end by their deadline and raise DeviceError."""

    def program(self, name: str) -> Program:
        """Read a program, from its file where it has one.

        Raises:
            NeedsOperator: there is none of this name, or it is wrong; names file and line.
        """

    def programs(self) -> tuple[str, ...]:
        """Name the programs there are."""

    def prepare(self, program: Program, until: Deadline) -> None:
        """Connect, see that the device stands still without an error, load the program; nothing moves.

        Raises:
            DeviceError: it is not possible now.
        """

    def run(self, program: Program, n: int, until: Deadline) -> Outcome:
        """Send the frame that starts step ``n``, counted from 0, and read until the device has ended it.

        The frame goes out once. Again only where the device said that it did not understand it, and stands still.
        """

    def watch(self, until: Deadline) -> Outcome:
        """Read until nothing runs, after another process has sent a frame that starts a step; send no such frame."""

    def tidy(self, until: Deadline) -> None:
        """Bring the device into its state of rest after a program that ended well."""

    def identify(self, until: Deadline) -> Mapping[str, object]:
        """Return what the device says it is and how it stands; safe at any time."""

    def close(self) -> None:
        """Let go of the port."""
