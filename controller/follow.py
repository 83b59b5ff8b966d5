"""Follow the journal from beside the loop: every event once and in order, also those that were not told of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from controller.store import Event


class Journal(Protocol):
    """What can be read of the store."""

    def events(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the events after a number."""


@dataclass(slots=True)
class Follower:
    """Hands every event on to `take`; what was written before the one told of is read from the journal."""

    journal: Journal
    take: Callable[[Event], None]
    seq: int
    """Of the last event handed on."""

    def catch_up(self) -> None:
        """Hand on what is there."""
        for event in self.journal.events(self.seq):
            self._hand_on(event)

    def hear(self, event: Event) -> None:
        """Take an event, and first those between."""
        if event.seq <= self.seq:
            return
        if event.seq == self.seq + 1:
            self._hand_on(event)
        else:
            self.catch_up()

    def _hand_on(self, event: Event) -> None:
        try:
            self.take(event)
        except OSError:
            raise  # there will be room again: it is handed on once more
        except Exception:
            self.seq = event.seq  # what cannot be understood must not stand in the way of what follows
            raise
        self.seq = event.seq
