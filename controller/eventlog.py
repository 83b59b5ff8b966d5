"""logs/nextplate.jsonl: one JSON line per event, with its id chain; for people and for log readers.

A line names its event by ``seq`` and ``hash``, so it can be held against the journal that ``nextplate journal verify``
proves. The file follows the journal: what a killed process did not write, the next one adds. It is a copy and never
fails anything: whoever feeds it is told of a full disk, and the next event catches up.
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

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
    _last: int = 0
    """Number of the last event in the file, when it was as `_mark` says."""
    _mark: tuple[int, int] | None = (0, 0)

    def last_seq(self) -> int:
        """Return the number of the last event that was written, 0 for none; drop a line that a kill has torn.

        Raises:
            OSError: the files cannot be read.
        """
        for path in (self.path, self._old(1)):
            if path.exists() and (seq := _last_seq(path)) is not None:
                return seq
        return 0

    def take(self, event: Event) -> None:
        """Write an event, unless another process that follows the same journal has.

        Raises:
            OSError: there is no room, or no such place; nothing of the line is left.
        """
        line = log_line(event, self.chain_of(event), self._said(event), self.now())
        text = json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a night that waits for a person lets go of the lab, and follows on
            if self._mark != _mark(self.path):
                self._last = self.last_seq()
            if event.seq > self._last:
                if self.path.exists() and self.path.stat().st_size + len(text) > self.max_bytes > 0:
                    self._put_away()
                _append(self.path, text)
                self._last = event.seq
            self._mark = _mark(self.path)

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


def _append(path: Path, text: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            _write_all(handle, text)
        except OSError:
            with suppress(OSError):  # the first error is the one to tell
                os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)


def _write_all(handle: int, text: bytes) -> None:
    while text:
        text = text[os.write(handle, text) :]


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size


def _last_seq(path: Path) -> int | None:
    with path.open("r+b") as file:
        size, n_read, whole = file.seek(0, os.SEEK_END), _TAIL, b""
        while True:
            file.seek(max(0, size - n_read))
            tail = file.read()
            whole = tail[: tail.rfind(b"\n") + 1]
            for line in reversed(whole.splitlines()):
                with suppress(ValueError, KeyError, TypeError):  # a line that a person has edited, or its end only
                    seq = int(json.loads(line)["seq"])
                    file.truncate(size - len(tail) + len(whole))
                    return seq
            if n_read >= size:
                file.truncate(size - len(tail) + len(whole))
                return None
            n_read *= 16
