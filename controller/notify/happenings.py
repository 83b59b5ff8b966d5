"""Words of the unattended service for people: what is in no journal, because no loop was there to write it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from controller.notify.notifier import Speaker
from controller.settings import MessageKind

KINDS: Mapping[str, MessageKind] = {
    "refused": "fault",
    "given-up": "fault",
    "clock-question": "fault",
    "hang": "stall",
    "crash": "restarted",
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
