"""How far a washer's or dispenser's program has come: one small file, written before each frame that moves and after.

It is what a later process knows of a killed one: which step was offered to the device, and whether that step had been
seen to end. Between the two only the device can tell.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from drivers.key_files import write_whole
from nextplate.errors import NeedsOperator


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a run stands."""

    run: int
    """Counts the runs of this device, from 1."""
    step: int = -1
    """Counted from 0; -1: none was offered to the device."""
    is_confirmed: bool = False
    """The step was seen to end well."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The file."""

    path: Path

    def begin(self) -> Mark:
        """Count a new run, and write down that nothing was offered to the device yet.

        Raises:
            NeedsOperator: the file cannot be read or written.
        """
        mark = Mark(self.read().run + 1 if self.path.exists() else 1)
        try:
            self.write(mark)
        except OSError as error:
            raise NeedsOperator(f"{self.path} cannot be written: {error}") from error
        return mark

    def write(self, mark: Mark) -> None:
        """Write where a run stands.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(self.path, json.dumps(asdict(mark)).encode())

    def read(self) -> Mark:
        """Read where the last run stands.

        Raises:
            NeedsOperator: the file is gone, or not as it was written.
        """
        try:
            body = json.loads(self.path.read_bytes())
            run, step, is_confirmed = body["run"], body["step"], body["is_confirmed"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NeedsOperator(
                f"{self.path} cannot be read ({error!r}); look at the device, then remove it"
            ) from error
        if not (type(run) is int and type(step) is int and type(is_confirmed) is bool and run > 0 and step >= -1):
            raise NeedsOperator(f"{self.path} was changed after it was written; look at the device, then remove it")
        return Mark(run, step, is_confirmed)
