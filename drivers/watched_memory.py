"""What the watched folder remembers of every key: small files in the lab, each written whole.

::

    logs/watched-folder/
      asked/first.r0.acquire.json    the request: barcode, when, and what lay in the watched folder before
      ended/first.r0.acquire.json    how it ended: taken (which folder, how it looked) or failed (why)
      words/first.r0.acquire.txt     written by a person: a folder's name, or ``give up``

The request is the memory: a key is NOT_FOUND exactly when no request of its name exists.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.key_files import file_name, write_whole
from nextplate.imaging.watch import Inventory


class Forgotten(Exception):
    """The memory cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A readout that was asked for."""

    key: str
    barcode: str
    asked_at: datetime
    before: Mapping[str, int]
    """Folders that lay there already, by name below the watched folder: time of the newest file in nanoseconds,
    0 for one that does not look like this plate's and was not looked into."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended."""

    is_taken: bool
    at: datetime
    folder: str
    """Result folder, relative to the lab where it can be."""
    images: int
    message: str = ""
    source: str = ""
    """Name of the plate folder below the watched one; empty when none was taken."""
    inventory: Inventory | None = None
    """Of the source, when it was taken."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The files of one lab."""

    place: Path
    _ended: dict[str, Ended] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        """Say whether a key was ever received, readable or not."""
        return os.path.lexists(self.request_path(key))

    @property
    def is_there(self) -> bool:
        """Say whether the memory can be asked at all."""
        return (self.place / "asked").is_dir()

    def prepare(self) -> None:
        """Make the folders of a fresh lab.

        Raises:
            OSError: they cannot be made.
        """
        for name in ("asked", "ended", "words"):
            (self.place / name).mkdir(parents=True, exist_ok=True)

    def request_path(self, key: str) -> Path:
        """Return the file of a request."""
        return self.place / "asked" / f"{file_name(key)}.json"

    def word_path(self, key: str) -> Path:
        """Return the file in which a person may say something."""
        return self.place / "words" / f"{file_name(key)}.txt"

    def word(self, key: str) -> str:
        """Return what a person said about a key; '' when nothing."""
        try:
            return self.word_path(key).read_text(encoding="utf-8-sig").strip().rstrip("/")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise Forgotten(f"{self.word_path(key)} cannot be read: {error}; write it anew") from error

    def write_request(self, awaited: Awaited) -> None:
        """Remember a request.

        Raises:
            OSError: it cannot be written; nothing of it is there.
        """
        body = {**asdict(awaited), "asked_at": awaited.asked_at.isoformat(), "before": dict(awaited.before)}
        write_whole(self.request_path(awaited.key), json.dumps(body, indent=1).encode())

    def write_end(self, key: str, ended: Ended) -> None:
        """Remember how a request ended.

        Raises:
            OSError: it cannot be written.
        """
        body = {**asdict(ended), "at": ended.at.isoformat()}
        write_whole(self._end_path(key), json.dumps(body, indent=1).encode())

    def request(self, key: str) -> Awaited | None:
        """Return a request; None when it was never received.

        Raises:
            Forgotten: the memory is not there or was damaged.
        """
        body = self._read(self.request_path(key))
        if body is None:
            if self.is_there:
                return None
            raise Forgotten(f"there is no folder {self.place}; put it back")
        try:
            found = Awaited(
                str(body["key"]), str(body["barcode"]), datetime.fromisoformat(body["asked_at"]), dict(body["before"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Forgotten(f"{self.request_path(key)} was changed after it was written ({error!r})") from error
        if found.key != key:
            raise Forgotten(f"{self.request_path(key)} is about key {found.key!a}, not {key!a}")
        return found

    def end(self, key: str) -> Ended | None:
        """Return how a request ended; None while it has not.

        Raises:
            Forgotten: the memory was damaged.
        """
        if key in self._ended:
            return self._ended[key]
        body = self._read(self._end_path(key))
        if body is None:
            return None
        try:
            said = {**body, "at": datetime.fromisoformat(body["at"])}
            said["inventory"] = Inventory(**body["inventory"]) if body["inventory"] else None
            self._ended[key] = Ended(**said)
        except (KeyError, TypeError, ValueError) as error:
            raise Forgotten(f"{self._end_path(key)} was changed after it was written ({error!r})") from error
        return self._ended[key]

    def received(self) -> Iterator[str]:
        """Yield every key whose request can be read."""
        for path in sorted((self.place / "asked").glob("*.json")):
            try:
                body = self._read(path)
            except Forgotten:
                continue
            if body is not None and isinstance(body.get("key"), str):
                yield body["key"]

    def _end_path(self, key: str) -> Path:
        return self.place / "ended" / f"{file_name(key)}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            body = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise Forgotten(f"{path} cannot be read ({error})") from error
        if not isinstance(body, dict):
            raise Forgotten(f"{path} was changed after it was written")
        return body
