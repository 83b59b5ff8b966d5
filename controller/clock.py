"""The clocks of a real lab: the wall's, and one for the night that nobody can set back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LONGEST_SLEEP = timedelta(hours=24)
"""A jump forward by more was no sleep of the machine: somebody set the clock."""


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


@dataclass(slots=True)
class SteadyClock:
    """The wall's time, but it never goes back: set back, it runs on by the machine's own count of seconds.

    So incubations keep their length and events their order while somebody sets the clock. Forward it follows, for the
    machine may have slept meanwhile, but by no more than LONGEST_SLEEP at once.
    """

    is_virtual = False
    wall: Callable[[], datetime] = field(default_factory=lambda: WallClock().now)
    count_s: Callable[[], float] = time.monotonic
    """Seconds since some moment; nobody sets it."""
    sleep_s: Callable[[float], None] = time.sleep
    _anchor: tuple[datetime, float] | None = None
    """A time that was told, and the count then; None: none yet."""

    def now(self) -> datetime:
        """Return the time to the millisecond; never earlier than it was told before."""
        wall, count_s = self.wall(), self.count_s()
        if self._anchor is not None:
            then, since_s = self._anchor
            counted = then + timedelta(seconds=count_s - since_s)
            if not timedelta(0) <= wall - counted <= LONGEST_SLEEP:
                # The anchor stays: rounding must not add up.
                return counted.replace(microsecond=counted.microsecond // 1000 * 1000)
        self._anchor = (wall, count_s)
        return wall

    def begin_after(self, last: datetime) -> None:
        """Take up where another process ended, if the wall's time lies behind it by less than LONGEST_SLEEP."""
        if timedelta(0) < last - self.now() <= LONGEST_SLEEP:
            self._anchor = (last, self.count_s())

    def wait_until(self, when: datetime) -> None:
        """Sleep until ``when``; return at once when it has passed."""
        self.sleep_s(max(0.0, (when - self.now()).total_seconds()))
