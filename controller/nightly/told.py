"""What the service tells: happenings, written to a rotating log as lines of JSON."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import MappingProxyType

_MAX_BYTES = 1_000_000
_N_KEPT = 5


@dataclass(frozen=True, slots=True)
class Happening:
    """Something the service did or saw.

    Kinds: service-started, service-stopped, night-started, night-resumed, night-over, needs-person, settled, crash,
    hang, failed, wanting, restart, given-up, refused, left-out, busy, clock-set, clock-question, clock-believed,
    stop-forced, not-kept.
    """

    kind: str
    time: datetime
    message: str
    """For people: what, and what to do."""
    facts: Mapping[str, str | float | int] = field(default_factory=lambda: MappingProxyType({}))


Tell = Callable[[Happening], None]
"""Hears of every happening. Notifications hook in here; it must neither block for long nor raise."""


class HappeningLog:
    """``logs/nightly/nightly.log``: one line of JSON a happening, a megabyte a file, five old files kept."""

    def __init__(self, folder: Path, max_bytes: int = _MAX_BYTES, n_kept: int = _N_KEPT) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._handler = RotatingFileHandler(
            folder / "nightly.log", maxBytes=max_bytes, backupCount=n_kept, encoding="utf-8"
        )

    def __call__(self, told: Happening) -> None:
        """Write one line."""
        body = {"time": told.time.isoformat(), "kind": told.kind, "message": told.message, **told.facts}
        record = logging.LogRecord("nightly", logging.INFO, "", 0, json.dumps(body), None, None)
        self._handler.emit(record)

    def close(self) -> None:
        """Let go of the file."""
        self._handler.close()


def rotate(path: Path, max_bytes: int = _MAX_BYTES, n_kept: int = _N_KEPT) -> None:
    """Put a log that another process appends to aside when it is long; call it while nobody has it open."""
    if not path.exists() or path.stat().st_size < max_bytes:
        return
    for n in range(n_kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{n}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{n + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
