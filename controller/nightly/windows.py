"""When nights start and when robots may move, as the lab's wall clock says; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, product
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = f"(?:{'|'.join(_DAYS)})"
_START = re.compile(rf"(?:({_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*) )?(\d\d):(\d\d)")
_WINDOW = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MIN = 24 * 60
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Start:
    """A time of day at which nights start."""

    days: str
    """As APScheduler's day_of_week takes it, e.g. mon-fri; "*": every day."""
    hour: int
    minute: int


@dataclass(frozen=True, slots=True)
class Windows:
    """When robots may move."""

    zone: ZoneInfo
    spans: tuple[tuple[int, int], ...]
    """Minutes of the local day, [begin, end); a window over midnight has begin > end. Empty: always."""

    def is_open(self, now: datetime) -> bool:
        """Tell whether something physical may be begun at a time (any zone)."""
        local = now.astimezone(self.zone)
        minute = 60 * local.hour + local.minute
        return not self.spans or any(_holds(span, minute) for span in self.spans)

    def opens(self, now: datetime) -> datetime:
        """Return the first moment from ``now`` on at which robots may move (UTC)."""
        when = now.astimezone(UTC)
        if self.is_open(when):
            return when
        # Minute by minute, so that hours which a switch to summer time leaves out or repeats need no thought.
        when = when.replace(second=0, microsecond=0)
        for _ in range(3 * _DAY_MIN):
            when += _MINUTE
            if self.is_open(when):
                return when
        raise ValueError(f"no window of {self.spans} opens within three days of {now.isoformat()}")

    def closed(self, now: datetime, days: int = 5) -> tuple[tuple[datetime, datetime], ...]:
        """List from when until when robots may not move, in the days from ``now`` on (UTC)."""
        if not self.spans:
            return ()
        begin, end = now.astimezone(UTC), now.astimezone(UTC) + timedelta(days=days)
        marks = sorted({begin, end, *(m for m in self._marks(begin, days) if begin < m < end)})
        shut = [(a, b) for a, b in pairwise(marks) if not self.is_open(a)]
        joined: list[tuple[datetime, datetime]] = []
        for a, b in shut:
            joined[-1:] = [(joined[-1][0], b)] if joined and joined[-1][1] == a else [*joined[-1:], (a, b)]
        return tuple(joined)

    def _marks(self, begin: datetime, days: int) -> Iterator[datetime]:
        """Yield every moment at which robots may begin or cease to move, and half hours, at which clocks are set."""
        midnight = begin.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        for day, minute, fold in product(range(-1, days + 2), chain(*self.spans), (0, 1)):
            wall = midnight + timedelta(days=day, minutes=minute)
            yield wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
        hour = begin.replace(minute=0, second=0, microsecond=0)
        yield from (hour + n * timedelta(minutes=30) for n in range(days * 48 + 2))


def _holds(span: tuple[int, int], minute: int) -> bool:
    begin, end = span
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def parse_start(text: str) -> Start:
    """Read "20:00" or "mon-fri 20:00".

    Raises:
        ValueError: it is written otherwise.
    """
    found = _START.fullmatch(text.strip().lower())
    if found is None or int(found[2]) > 23 or int(found[3]) > 59:
        raise ValueError("write HH:MM, or days and HH:MM, as in '20:00', 'mon-fri 20:00' or 'sat,sun 09:30'")
    for first, last in re.findall(rf"({_DAY})-({_DAY})", found[1] or ""):
        if _DAYS.index(first) > _DAYS.index(last):
            raise ValueError(f"{first}-{last} goes over the end of the week; write {first}-sun,mon-{last}")
    return Start(found[1] or "*", int(found[2]), int(found[3]))


def parse_window(text: str) -> tuple[int, int]:
    """Read "20:00-06:00" into minutes of the day.

    Raises:
        ValueError: it is written otherwise, or is empty.
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise ValueError("write HH:MM-HH:MM, as in '20:00-06:00'")
    hours, minutes = (int(found[1]), int(found[3])), (int(found[2]), int(found[4]))
    begin, end = (60 * h + m for h, m in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or begin >= _DAY_MIN or end > _DAY_MIN:
        raise ValueError("there is no such time of day; hours go from 00:00 to 23:59, and an end may be 24:00")
    if begin == end:
        raise ValueError("the window is empty; leave `move` out if robots may move at any time")
    return begin, end


def windows_of(texts: tuple[str, ...], zone: str) -> Windows:
    """Make the windows that lab.toml tells."""
    return Windows(ZoneInfo(zone), tuple(map(parse_window, texts)))
