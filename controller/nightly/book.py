"""The service's own memory: which night is open, and which start was acted upon last."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from controller.files import write_text


@dataclass(frozen=True, slots=True)
class Book:
    """What the keeper must know after it was killed."""

    night: datetime | None = None
    """The start of the night that is open (UTC); None: none is."""
    handled: datetime | None = None
    """The last start that was acted upon."""


def book_file(lab: Path) -> Path:
    """Say where a lab's book is."""
    return lab / "logs" / "nightly" / "service.json"


def read_book(path: Path) -> Book:
    """Read the book; an empty one when it is absent or damaged: the next start is acted upon in any case."""
    try:
        body = json.loads(path.read_text())
        return Book(*(datetime.fromisoformat(body[k]) if body[k] else None for k in ("night", "handled")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Book()


def write_book(path: Path, book: Book) -> None:
    """Keep the book, whole or not at all."""
    body = {k: when.isoformat() if when else None for k, when in (("night", book.night), ("handled", book.handled))}
    write_text(path, json.dumps(body))
