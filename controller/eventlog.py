"""logs/nextplate.jsonl: one JSON line per event, with its id chain; for people and for log readers.

A line names its event by ``seq`` and ``hash``, so it can be held against the journal that ``nextplate journal verify``
proves. The file follows the journal: what a killed process did not write, the next one adds. It is a copy and never
fails anything: whoever feeds it is told of a full disk, and the next event catches up.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from controller.chains import Chain
from controller.narrate import Narrator
from controller.store import Event

JSON = Mapping[str, Any]
NAME = "nextplate.jsonl"
_TAIL = 1 << 16
_STAMP = len("2026-01-05 17:00  ")
_LEVELS: Mapping[str, str] = {
    "fault": "error",
    "attempt": "warning",
    "decision.refused": "warning",
    "proposal": "warning",
}


def log_line(event: Event, chain: Chain, said: str | None, written: datetime) -> dict[str, Any]:
    """Return the fields of a line: what is None is left out; rounds count from 1, as people count them."""
    p = event.payload
    is_failed = event.kind == "outcome" and p.get("status") == "failed"
    line = {
        "time": event.time.isoformat(),
        "written": written.isoformat(timespec="milliseconds"),
        "level": "error" if is_failed else _LEVELS.get(event.kind, "info"),
        "seq": event.seq,
        "hash": event.hash,
        "kind": event.kind,
        "campaign": chain.campaign or event.campaign,
        "round": None if chain.round is None else chain.round + 1,
        "plate": chain.plate,
        "task": chain.task,
        "key": chain.key,
        "device": chain.device,
        "status": p.get("status"),
        "message": said or p.get("message") or p.get("question") or None,
    }
    return {name: value for name, value in line.items() if value is not None}


@dataclass(slots=True)
class EventLog:
    """Appends lines to a file that is put away when it has grown."""

    path: Path
    max_bytes: int
    keep: int
    chain_of: Callable[[Event], Chain]
    now: Callable[[], datetime]
    narrator: Narrator
    _last: tuple[tuple[int, int], int] | None = None
    """The file as this process left it, and the number of its last line."""

    def last_seq(self) -> int:
        """Return the number of the last event that was written, 0 for none; drop a line that a kill has torn.

        Raises:
            OSError: the files cannot be read.
        """
        with self._alone() as handle:
            return self._written(handle)

    def take(self, event: Event) -> None:
        """Write an event, unless it is there: another process of this lab may have followed the journal meanwhile.

        Raises:
            OSError: there is no room, or no such place; nothing of the line is left.
        """
        line = log_line(event, self.chain_of(event), self._said(event), self.now())
        text = json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
        while True:
            with self._alone() as handle:
                if event.seq <= self._written(handle):
                    return
                size = os.fstat(handle).st_size
                if not size or not size + len(text) > self.max_bytes > 0:
                    _append(handle, text)
                    self._last = (_stamp_of(handle), event.seq)
                    return
                self._put_away()

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the file that has the name now; it may be put away while it is waited for."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if self.path.exists() and os.path.samestat(os.fstat(handle), self.path.stat()):
                    yield handle
                    return
            finally:
                os.close(handle)

    def _written(self, handle: int) -> int:
        """Return the number of the last line; read again only where somebody else has written."""
        if self._last is None or self._last[0] != _stamp_of(handle):
            seq = _last_seq(self.path)
            if seq is None and self._old(1).exists():
                seq = _last_seq(self._old(1))
            self._last = (_stamp_of(handle), seq or 0)
        return self._last[1]

    def learn(self, event: Event) -> None:
        """Hear of an event that may be in the file already: later lines speak of what it began."""
        if event.kind in ("intent", "campaign.started"):
            self.narrator.line(event)

    def _said(self, event: Event) -> str | None:
        """Put an event into words; a line without words is still a line."""
        try:
            line = self.narrator.line(event)
        except (LookupError, TypeError, ValueError, AttributeError):
            return None
        return line and line[_STAMP:]

    def _old(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _put_away(self) -> None:
        for number in range(self.keep - 1, 0, -1):
            if self._old(number).exists():
                self._old(number).replace(self._old(number + 1))
        self.path.replace(self._old(1))


def _stamp_of(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_ino, found.st_size


def _append(handle: int, text: bytes) -> None:
    before = os.fstat(handle).st_size
    try:
        _write_all(handle, text)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            os.ftruncate(handle, before)
        raise


def _write_all(handle: int, text: bytes) -> None:
    while text:
        text = text[os.write(handle, text) :]


def _last_seq(path: Path) -> int | None:
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        tail = _tail(file, size)
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            file.truncate(size - len(tail) + len(whole))
    for line in reversed(whole.splitlines()):
        with suppress(ValueError, KeyError, TypeError):  # a line that a person has edited
            return int(json.loads(line)["seq"])
    return None


def _tail(file: BinaryIO, size: int) -> bytes:
    """Read the end of a file, with a whole line at least; of a long line more is read."""
    length = _TAIL
    while True:
        file.seek(max(0, size - length))
        tail = file.read()
        if length >= size or tail.count(b"\n") > 1:
            return tail
        length *= 4
