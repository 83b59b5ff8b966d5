"""How far a command came on a SiLA 2 server: one small file a command, written before each call and after.

The execution's UUID is in it from the moment that it is known: a later process asks the server about that execution
and never has it run again. A call without a UUID and without an end is one whose reply was lost: nobody can tell.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from drivers.key_files import write_whole
from nextplate.errors import NeedsOperator


@dataclass(frozen=True, slots=True)
class Step:
    """One call that was sent."""

    execution: str | None = None
    """The CommandExecutionUUID; None when not known, or of an unobservable command."""
    responses: Mapping[str, Any] | None = None
    """Of a call that ended well; None: it has not, as far as was seen."""
    failure: str = ""
    """Of a call that ended with an error."""
    is_refused: bool = False
    """The server did not take the call."""


@dataclass(slots=True)
class Record:
    """The file of one command."""

    path: Path
    steps: tuple[Step, ...] = ()

    @property
    def has_begun_nothing(self) -> bool:
        """Say whether no call was sent, or none was taken."""
        return all(step.is_refused for step in self.steps)

    def begin_step(self) -> None:
        """Write down that the next call is about to be sent.

        Raises:
            OSError: it cannot be written; it must not be sent.
        """
        self._write((*self.steps, Step()))

    def change(self, n: int, **values: Any) -> None:
        """Write down what became known of a call.

        Raises:
            OSError: it cannot be written.
        """
        self._write(self._changed(n, values))

    def keep(self, n: int, **values: Any) -> None:
        """Know it in this process only."""
        self.steps = self._changed(n, values)

    def _changed(self, n: int, values: Mapping[str, Any]) -> tuple[Step, ...]:
        return (*self.steps[:n], replace(self.steps[n], **values), *self.steps[n + 1 :])

    def _write(self, steps: tuple[Step, ...]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps({"steps": [asdict(step) for step in steps]}).encode())
        self.steps = steps


def read_record(path: Path) -> Record:
    """Read how far a command came; no file: nothing was sent.

    Raises:
        NeedsOperator: the file is not as it was written.
    """
    try:
        body = json.loads(path.read_bytes())
        return Record(path, tuple(_step(step) for step in body["steps"]))
    except FileNotFoundError:
        return Record(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NeedsOperator(f"{path} cannot be read ({error!r}); look at the device") from error


def _step(body: Any) -> Step:
    step = Step(body["execution"], body["responses"], body["failure"], body.get("is_refused", False))
    if step.execution is not None:
        UUID(step.execution)
    if not (
        isinstance(step.responses, dict | None) and isinstance(step.failure, str) and type(step.is_refused) is bool
    ):
        raise TypeError("step")
    return step
