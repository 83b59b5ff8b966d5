"""Which message is due when, on which channel: pure, and a function of the journal alone, whoever was killed when."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from controller.notify.matters import Desk, Matter, hear
from controller.settings import MessageKind, NotificationsSection, QuietSection
from controller.store.journal import Event


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which some messages wait."""

    start: time
    end: time
    zone: ZoneInfo
    kinds: frozenset[MessageKind]

    def after(self, when: datetime, kind: MessageKind) -> datetime:
        """Return `when`, or the end of the quiet hours it lies in."""
        if kind not in self.kinds:
            return when
        today, over = when.astimezone(self.zone).date(), timedelta(days=int(self.start > self.end))
        for day in (today - timedelta(days=1), today):
            begins, ends = self._moment(day, self.start), self._moment(day + over, self.end)
            if begins <= when.astimezone(UTC) < ends:
                return ends.astimezone(when.tzinfo)
        return when

    def _moment(self, day: date, clock: time) -> datetime:
        """Return when the clock on the wall says so (UTC): the earlier of two, or the moment after the gap."""
        return datetime.combine(day, clock, self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is told what, and when."""

    tell: Mapping[MessageKind, tuple[str, ...]]
    """Channels by kind, all kinds."""
    steps: tuple[tuple[timedelta, tuple[str, ...]], ...] = ()
    """What follows while nobody answers: how long after the question, and the channels."""
    settle: timedelta = timedelta(0)
    quiet: Quiet | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is due."""

    id: str
    """Twelve letters; the same for the same matter, step and channel for ever."""
    matter: Matter
    step: int
    """0: the first telling; n: the n-th step of the escalation."""
    channel: str
    at: datetime


def rules_of(section: NotificationsSection) -> Rules:
    """Read the rules from the settings."""
    everywhere = tuple(section.channels)
    kinds: tuple[MessageKind, ...] = get_args(MessageKind)
    steps = tuple((timedelta(minutes=s.after_min), s.to) for s in section.escalation)
    tell = {kind: section.tell.get(kind, everywhere) for kind in kinds}
    return Rules(tell, steps, timedelta(seconds=section.settle_s), _quiet(section.quiet))


def _quiet(section: QuietSection | None) -> Quiet | None:
    if section is None:
        return None
    return Quiet(*section.times(), ZoneInfo(section.zone), frozenset(section.kinds))


def messages(before: Desk, events: Iterable[Event], now: datetime, rules: Rules) -> tuple[Desk, tuple[Due, ...]]:
    """Hear events and return the desk after them with every message that is due by `now`, sent already or not."""
    desk = hear(before, events)
    return desk, tuple(due(desk, now, rules))


def due(desk: Desk, now: datetime, rules: Rules, floor: datetime | None = None) -> Iterator[Due]:
    """Yield the messages that are due by `now`, by matter and step.

    Args:
        desk: what there is to tell.
        now: the lab's time.
        rules: who is told.
        floor: what was due before it is left out, unless it still waits for an answer; None: nothing is.
    """
    for matter in desk.matters:
        for step, at, channels in steps_of(matter, rules):
            is_stale = floor is not None and at < floor and not matter.is_open
            if at <= now and not is_stale and not _is_settled(matter, at):
                for channel in dict.fromkeys(channels):
                    yield Due(message_id(matter, step, channel), matter, step, channel, at)


def steps_of(matter: Matter, rules: Rules) -> Iterator[tuple[int, datetime, tuple[str, ...]]]:
    """Yield (step, when, channels) of a matter, as if nobody ever answered."""
    first = matter.opened_at + (rules.settle if matter.is_asking else timedelta(0))
    yield 0, _held(first, matter, rules), rules.tell[matter.kind]
    if matter.is_asking and rules.tell[matter.kind]:
        for number, (after, channels) in enumerate(rules.steps, start=1):
            yield number, _held(matter.opened_at + max(after, rules.settle), matter, rules), channels


def following(item: Due, rules: Rules) -> tuple[datetime, tuple[str, ...]] | None:
    """Return when a message's matter goes further up, and to whom; None: no further."""
    return next(((at, to) for step, at, to in steps_of(item.matter, rules) if step > item.step), None)


def _held(when: datetime, matter: Matter, rules: Rules) -> datetime:
    return rules.quiet.after(when, matter.kind) if rules.quiet else when


def _is_settled(matter: Matter, at: datetime) -> bool:
    return matter.settled_at is not None and matter.settled_at <= at


def message_id(matter: Matter, step: int, channel: str) -> str:
    """Name a message, so that a receiver can tell a repetition."""
    told = f"{matter.hash}|{matter.seq}|{matter.kind}|{step}|{channel}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]
