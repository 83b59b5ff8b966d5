"""Words of the unattended service for people: what is in no journal, because no loop was there to write it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from controller.lab import Lab
from controller.notify.notifier import Speaker, notifying, tell_stderr
from controller.settings import MessageKind
from controller.store import Event, open_store

if TYPE_CHECKING:
    from controller.store.store import Store

KINDS: Mapping[str, MessageKind] = {
    "refused": "fault",
    "given-up": "fault",
    "clock-question": "fault",
    "wanting": "fault",
    "left-out": "fault",
    "not-kept": "fault",
    "hang": "stall",
    "crash": "restarted",
    "failed": "restarted",
    "stop-forced": "restarted",
}
"""Which happenings people hear of, and as what; questions of the loop itself are told from the journal."""


class Happening(Protocol):
    """Something a service did or saw."""

    @property
    def kind(self) -> str:
        """A word for it."""

    @property
    def time(self) -> datetime:
        """When, UTC."""

    @property
    def message(self) -> str:
        """For people: what, and what to do."""


def teller(speaker: Speaker) -> Callable[[Happening], None]:
    """Return what a service calls with every happening: it returns at once and never raises."""

    def tell(told: Happening) -> None:
        kind = KINDS.get(told.kind)
        if kind is not None:
            speaker.say(kind, told.time, told.message)

    return tell


@dataclass(slots=True)
class LateStore:
    """A lab's database, opened when it is first needed: a service starts, and tells, also while it is out of reach."""

    url: str
    _store: "Store | None" = None

    def events(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the journal's events."""
        return self._opened().events(after_seq)

    def select(
        self, table: str, where: Mapping[str, Any] | None = None, order_by: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return the rows of a table."""
        return self._opened().select(table, where, order_by)

    def keep_notices(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of the table of notices."""
        self._opened().keep_notices(rows)

    def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> "Store":
        if self._store is None:
            self._store = open_store(self.url)
        return self._store


@contextmanager
def telling(lab: Lab, tell: Callable[[str], None] = tell_stderr) -> Iterator[Callable[[Happening], None]]:
    """Look after a lab's messages as long as a service lives; yields what the service calls with every happening.

    The nights that the service starts find the work taken, and take it over should the service be killed.
    """
    books = LateStore(lab.database)
    try:
        with notifying(lab, books, tell) as speaker:
            yield teller(speaker)
    finally:
        books.close()
