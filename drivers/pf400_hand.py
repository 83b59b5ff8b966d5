"""What a plate mover was about to do: a file that outlives the process, written before the jaws or the arm move.

::

    {"run": "5d41...", "index": 1, "step": "grip"}

With the position of the arm and the opening of its jaws it tells where every plate is.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from drivers.key_files import write_whole
from nextplate.errors import NeedsOperator


class Step(StrEnum):
    """How far one move came, at least."""

    TO_SOURCE = "to-source"
    """The jaws are open; every move before this one is done."""
    GRIP = "grip"
    """The jaws were perhaps told to close."""
    CARRY = "carry"
    """The plate was seen in the gripper."""
    RELEASE = "release"
    """The jaws were perhaps told to open."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The last thing written down."""

    run: str
    """Of the plan."""
    index: int
    """Of the move, from 0; their count when all are done."""
    step: Step


class HandFile:
    """The file of one mover."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, mark: Mark) -> None:
        """Write it.

        Raises:
            NeedsOperator: it cannot be written.
        """
        try:
            write_whole(self.path, json.dumps(asdict(mark)).encode())
        except OSError as error:
            raise NeedsOperator(f"{self.path} cannot be written: {error}") from error

    def read(self, run: str, n_moves: int) -> Mark | None:
        """Return how far a run came; None when it did not begin.

        Raises:
            NeedsOperator: the file was damaged; names it.
        """
        try:
            body = json.loads(self.path.read_bytes())
            mark = Mark(str(body["run"]), body["index"], Step(body["step"]))
            if mark.run == run and (type(mark.index) is not int or not 0 <= mark.index <= n_moves):
                raise ValueError(f"index = {mark.index!r}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NeedsOperator(f"{self.path} cannot be read ({error!r}); look where the plates are") from error
        return mark if mark.run == run else None
