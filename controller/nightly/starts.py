"""Which start is due: APScheduler's cron triggers as a clock, asked with a time that is handed in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from controller.nightly.windows import Start

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Starts:
    """When nights start. Every method takes the time; nothing here looks at a clock."""

    zone: ZoneInfo
    starts: tuple[Start, ...]

    def due(self, handled: datetime | None, now: datetime, misfire: timedelta) -> datetime | None:
        """Return the latest start that is due, however many were missed; None when none is (UTC).

        Args:
            handled: the last start that was acted upon; a clock set back does not bring it again.
            now: the time.
            misfire: how long after its time a start is still made up for.
        """
        since = now - misfire
        if handled is not None:
            since = max(since, handled)
        return max(self.between(since, now), default=None)

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """Return the starts in (after, until], in order (UTC)."""
        return sorted({t for s in self.starts for t in _times(self.trigger(s), after, until)})

    def following(self, now: datetime) -> datetime | None:
        """Return the next start after now (UTC)."""
        return min(self.between(now, now + timedelta(days=8)), default=None)

    def trigger(self, start: Start) -> "CronTrigger":
        """Make APScheduler's trigger."""
        from apscheduler.triggers.cron import CronTrigger

        return CronTrigger(day_of_week=start.days, hour=start.hour, minute=start.minute, second=0, timezone=self.zone)


def _times(trigger: "CronTrigger", after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield a trigger's times once each: in the hour that the end of summer time repeats, cron fires twice."""
    # From a day before, so that the second of two is known to be one whatever ``after`` is.
    at, seen = after.astimezone(UTC) - timedelta(days=1), datetime.min
    while fire := trigger.get_next_fire_time(None, at):
        when, wall = fire.astimezone(UTC), fire.replace(tzinfo=None, fold=0)
        if when > until:
            return
        if when > after and wall != seen:
            yield when
        seen, at = wall, when + _TICK
