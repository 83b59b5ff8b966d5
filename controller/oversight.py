"""A loop with somebody over it: told of every scan, and asked before anything physical is begun."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controller.actions import Action, Operate, Resubmit, Wait
from controller.loop import Loop
from controller.state import Intent
from controller.timing import Closed
from drivers.ports import Report


class Overseer(Protocol):
    """What an unattended service is to a loop."""

    def scanned(self) -> bool:
        """Hear that the loop scans; True: end after this scan."""

    def opens(self, now: datetime) -> datetime | None:
        """Tell when something physical may be begun, in the lab's time; None: now."""

    def closed(self, now: datetime) -> Closed:
        """List when nothing physical may be begun, in the lab's time, as far as it is known; plans are made for it."""


@dataclass(slots=True)
class OverseenLoop(Loop):
    """The scan loop, with new physical actions held while its overseer says so.

    What is in flight is polled and finished, and computing goes on. A held action has no intent yet, so nothing is
    in the journal that a crash could leave open.
    """

    overseer: Overseer = field(kw_only=True)
    _opens: datetime | None = None
    """When what this scan held may be begun; None while nothing was held."""
    _has_acted: bool = False

    # super() without arguments does not work in a dataclass with slots: the class is made twice.

    def _observe(self) -> dict[str, Report]:
        self._opens = None
        if self.overseer.scanned():
            self.is_stopping = True
        return Loop._observe(self)

    def _take_turns(self) -> tuple[list[Wait], bool]:
        """Count a turn in which everything was held as idle, and wait for what was held."""
        self._has_acted = False
        waits, _ = Loop._take_turns(self)
        return waits + ([] if self._opens is None else [Wait(self._opens)]), not self._has_acted

    def _act(self, campaign: str, action: Action) -> None:
        if not (isinstance(action, Operate | Resubmit) and self._is_held()):
            self._has_acted = True
            Loop._act(self, campaign, action)

    def _may_hand_over(self, intent: Intent) -> bool:
        return Loop._may_hand_over(self, intent) and not self._is_held()

    def _is_held(self) -> bool:
        opens = self.overseer.opens(self.clock.now())
        self._opens = opens or self._opens
        return opens is not None
