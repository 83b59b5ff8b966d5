"""How far a load came on a PyLabRobot liquid handler: one line before each transfer, and one after."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import NeedsOperator


@dataclass(frozen=True, slots=True)
class Trail:
    """The file of one load; a line is on disk before anything that it tells of is done."""

    path: Path

    def begin(self, transfer_id: int) -> None:
        """Write down that a transfer begins.

        Raises:
            OSError: it cannot be written; the transfer must not begin.
        """
        self._append(["begun", transfer_id])

    def end(self, transfer_id: int, volume_nl: int) -> None:
        """Write down what a transfer dispensed.

        Raises:
            OSError: it cannot be written.
        """
        self._append(["done", transfer_id, volume_nl])

    def _append(self, entry: list[str | int]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="ascii") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[list[tuple[int, int]], int | None]:
        """Return the transfers that ended, with their volumes in nL, and the one that was under way, if any.

        Raises:
            NeedsOperator: the file is not as it was written.
        """
        if not self.path.exists():
            return [], None
        try:
            *lines, torn = self.path.read_text(encoding="ascii").split("\n")
            # a line cut short by the crash was not written, so what it tells of had not begun or not been seen to end
            return _played([json.loads(line) for line in lines] + _whole(torn))
        except (OSError, ValueError, TypeError, IndexError, RecursionError) as error:
            raise NeedsOperator(f"{self.path} cannot be read ({error!r}); look at the deck") from error


def _whole(torn: str) -> list[list[str | int]]:
    """A torn line counts as begun where it says so: nobody can tell that nothing moved."""
    if not torn:
        return []
    try:
        entry = json.loads(torn)
    except ValueError:
        return []
    return [entry]


def _played(entries: list[list[str | int]]) -> tuple[list[tuple[int, int]], int | None]:
    done: list[tuple[int, int]] = []
    under_way: int | None = None
    for entry in entries:
        if any(type(number) is not int for number in entry[1:]):
            raise TypeError(entry)
        match entry:
            case ["begun", int(number)] if under_way is None:
                under_way = number
            case ["done", int(number), int(volume_nl)] if under_way == number and volume_nl >= 0:
                done.append((number, volume_nl))
                under_way = None
            case _:
                raise ValueError(f"{entry!r} does not follow")
    return done, under_way
