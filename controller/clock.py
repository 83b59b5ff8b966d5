"""The clock of a real lab, and one that never goes back."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from drivers.ports import Clock


class WallClock:
    """Real time, UTC."""

    is_virtual = False

    def now(self) -> datetime:
        """Return the time to the millisecond."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def wait_until(self, when: datetime) -> None:
        """Sleep until ``when``; return at once when it has passed."""
        time.sleep(max(0.0, (when - datetime.now(UTC)).total_seconds()))


class ForwardClock:
    """Real time that never goes back, so that the journal does not either.

    While the wall clock is behind, time goes on from the latest that was seen, as fast as it really passes.
    """

    is_virtual = False

    def __init__(
        self,
        wall: Clock,
        latest: datetime | None,
        most: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._most, self._monotonic = wall, most, monotonic
        self._latest, self._at_s = latest, monotonic()

    def now(self) -> datetime:
        """Return the time, never before one that was returned earlier."""
        wall, at_s = self._wall.now(), self._monotonic()
        kept = self._latest + timedelta(milliseconds=int(1000 * (at_s - self._at_s))) if self._latest else wall
        if wall >= kept or kept - wall > self._most:  # further back is believed: somebody has said so
            self._latest, self._at_s = wall, at_s
            return wall
        return kept

    def wait_until(self, when: datetime) -> None:
        """Wait as long as this clock, not the wall's, needs to get there."""
        self._wall.wait_until(self._wall.now() + (when - self.now()))
