"""What the Opentrons driver means to do next, on disk before each request that cannot be taken back.

::

    logs/devices/liquid-handler/
      lab-id                           of this lab: marks its protocols on the robot
      runs/first.r0.run-0.json         protocol and run of a key, and whether play was about to be sent

A run is played only after ``is_playing`` is on disk; so where it is not, this lab moved nothing.
"""

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from drivers.key_files import file_name, write_whole
from nextplate.errors import NeedsOperator


@dataclass(frozen=True, slots=True)
class Intent:
    """What was, or was about to be, asked of the robot for a key."""

    key: str
    protocol_id: str
    run_id: str = ""
    """Empty: a run was about to be made."""
    is_playing: bool = False
    """Whether play was about to be sent."""


@dataclass(frozen=True, slots=True)
class Intents:
    """The files."""

    place: Path

    def prepare(self) -> None:
        """Make the folder and the lab's id.

        Raises:
            OSError: they cannot be made.
        """
        (self.place / "runs").mkdir(parents=True, exist_ok=True)
        if not self._lab.exists():
            write_whole(self._lab, uuid.uuid4().hex.encode())

    @property
    def lab_id(self) -> str:
        """Return the lab's id.

        Raises:
            NeedsOperator: it cannot be read.
        """
        try:
            found = self._lab.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise NeedsOperator(f"{self._lab} cannot be read: {error}; put it back") from error
        if not (found.isalnum() and len(found) == 32):
            raise NeedsOperator(f"{self._lab} was changed; put the old one back")
        return found

    def note(self, intent: Intent) -> None:
        """Write down what comes next.

        Raises:
            NeedsOperator: it cannot be written; so it must not be done.
        """
        try:
            write_whole(self._path(intent.key), json.dumps(asdict(intent), indent=1).encode())
        except OSError as error:
            raise NeedsOperator(f"{self._path(intent.key)} cannot be written: {error}") from error

    def of(self, key: str) -> Intent | None:
        """Return what was meant for a key; None: nothing yet.

        Raises:
            NeedsOperator: the file was damaged.
        """
        return self._read(self._path(key))

    def protocols(self) -> frozenset[str]:
        """Return the protocols of this lab on the robot.

        Raises:
            NeedsOperator: a file was damaged.
        """
        found = (self._read(path) for path in (self.place / "runs").glob("*.json"))
        return frozenset(intent.protocol_id for intent in found if intent is not None)

    @property
    def _lab(self) -> Path:
        return self.place / "lab-id"

    def _path(self, key: str) -> Path:
        return self.place / "runs" / f"{file_name(key)}.json"

    def _read(self, path: Path) -> Intent | None:
        try:
            body = json.loads(path.read_bytes())
            intent = Intent(**body)
            texts = (intent.key, intent.protocol_id, intent.run_id)
            if not all(isinstance(text, str) for text in texts) or not isinstance(intent.is_playing, bool):
                raise TypeError(body)
        except FileNotFoundError:
            if path.parent.is_dir():
                return None
            raise NeedsOperator(f"there is no folder {path.parent}; put it back") from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise NeedsOperator(f"{path} was damaged ({error!r:.100}); look at the robot") from error
        return intent
