"""What people are told of, read from the journal: pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from controller.settings.telling import MessageKind
from controller.store.journal import Event

JSON = Mapping[str, Any]
ASKING: frozenset[MessageKind] = frozenset(("fault", "stall", "approval-wanted"))
"""Kinds that want an answer, and that go further up when there is none."""
_KEPT = timedelta(days=15)
"""How long a matter that is over is remembered: longer than any message about it is tried."""
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Matter:
    """Something to tell."""

    kind: MessageKind
    seq: int
    """Of the event that opened it; with its hash the matter's name for ever."""
    hash: str
    opened_at: datetime
    campaign: str | None
    round: int | None
    """Counting from 0; None: of no round."""
    subject: str
    """A fault's name, a round's number, or what the kind makes of it."""
    facts: JSON
    """The payload of the event."""
    settled_at: datetime | None = None
    """None: open, or nothing that could be settled."""
    settled: str = ""
    """How, and by whom."""

    @property
    def is_asking(self) -> bool:
        """Tell whether somebody has to answer."""
        return self.kind in ASKING

    @property
    def is_open(self) -> bool:
        """Tell whether somebody still has to answer."""
        return self.is_asking and self.settled_at is None


@dataclass(frozen=True, slots=True)
class Begun:
    """An action that was announced and has no outcome yet."""

    task: str
    round: int


@dataclass(frozen=True, slots=True)
class Desk:
    """What the journal up to some event gives to tell."""

    seq: int = 0
    """Of the last event heard."""
    time: datetime | None = None
    """Of that event; None before the first."""
    matters: tuple[Matter, ...] = ()
    """Oldest first."""
    begun: Mapping[str, Begun] = field(default_factory=lambda: _NOTHING)
    """By key."""
    nights: frozenset[tuple[str | None, int]] = frozenset()
    """Campaign and round whose robot work has begun."""


@dataclass(slots=True)
class _Draft:
    """The mutable twin of Desk that lives only inside one hearing."""

    matters: list[Matter]
    begun: dict[str, Begun]
    nights: set[tuple[str | None, int]]
    open: list[int]
    """Where in `matters` the open ones are."""


def hear(desk: Desk, events: Iterable[Event]) -> Desk:
    """Take events into account, oldest first, each once."""
    waiting = [n for n, matter in enumerate(desk.matters) if matter.is_open]
    draft = _Draft(list(desk.matters), dict(desk.begun), set(desk.nights), waiting)
    last = None
    for last in events:
        if handler := _HANDLERS.get(last.kind):
            handler(draft, last)
    if last is None:
        return desk
    begun, nights = MappingProxyType(draft.begun), frozenset(draft.nights)
    return Desk(last.seq, last.time, tuple(draft.matters), begun, nights)


def forget(desk: Desk) -> Desk:
    """Drop what nobody will be told of any more."""
    if desk.time is None:
        return desk
    oldest = desk.time - _KEPT
    return replace(desk, matters=tuple(m for m in desk.matters if m.is_open or m.opened_at >= oldest))


def _open(draft: _Draft, event: Event, kind: MessageKind, number: int | None, subject: str) -> None:
    matter = Matter(kind, event.seq, event.hash, event.time, event.campaign, number, subject, event.payload)
    if matter.is_open:
        draft.open.append(len(draft.matters))
    draft.matters.append(matter)


def _settle(draft: _Draft, event: Event, how: str, is_meant: Callable[[Matter], bool]) -> None:
    for n in [n for n in draft.open if is_meant(draft.matters[n])]:
        draft.matters[n] = replace(draft.matters[n], settled_at=event.time, settled=how)
        draft.open.remove(n)


def _settle_fault(draft: _Draft, event: Event, how: str, name: str) -> None:
    _settle(draft, event, how, lambda m: m.kind in ("fault", "stall") and m.subject == name)


def _over(draft: _Draft, event: Event, how: str) -> None:
    """Settle what nobody of the campaign has to answer any more; an action of unknown fate is still owed a word."""
    _settle(draft, event, how, lambda m: m.campaign == event.campaign and m.facts.get("key") not in draft.begun)


def _started(draft: _Draft, event: Event) -> None:
    """A process that takes over work in flight follows one that did not end well."""
    if draft.begun:
        _open(draft, event, "restarted", None, str(len(draft.begun)))


def _intent(draft: _Draft, event: Event) -> None:
    p = event.payload
    is_physical = "device" in p["action"]
    night = (event.campaign, p["round"])
    draft.begun[p["key"]] = Begun(p["task"], p["round"])
    if is_physical and night not in draft.nights:
        draft.nights.add(night)
        _open(draft, event, "night-started", p["round"], str(p["round"] + 1))


def _outcome(draft: _Draft, event: Event) -> None:
    p = event.payload
    began = draft.begun.pop(p["key"], None)
    if "told_by" not in p["result"]:
        _settle_fault(draft, event, f"the device knows after all: {p['status']}", p["key"])
    if began is not None and began.task == "normalise" and p["status"] == "done":
        _open(draft, event, "night-done", began.round, str(began.round + 1))


def _accepted(draft: _Draft, event: Event) -> None:
    _settle_fault(draft, event, "the device has it after all", event.payload["key"])


def _fault(draft: _Draft, event: Event) -> None:
    p = event.payload
    began = draft.begun.get(p["key"])
    kind: MessageKind = "stall" if p.get("kind") == "stall" else "fault"
    if p.get("kind") == "stranger":
        _notice(draft, event)  # the policy's answer settles the question, and the plate stands there still
    _open(draft, event, kind, began.round if began else round_in(p["key"]), p["fault"])


def round_in(key: str) -> int | None:
    """Read the round out of a key such as first.r1.run-0; None when it names none."""
    numbers = [part[1:] for part in key.split(".") if part[:1] == "r" and part[1:].isdigit()]
    return int(numbers[-1]) if numbers else None


def _proposal(draft: _Draft, event: Event) -> None:
    number = event.payload["round"]
    _open(draft, event, "approval-wanted", number, str(number + 1))


def _decision(draft: _Draft, event: Event) -> None:
    p = event.payload
    match p["what"]:
        case "answer":
            _answer(draft, event)
        case "approve" | "reject":
            how = "approved" if p["what"] == "approve" else "rejected"
            said, number = f"{how}, by {p['by']}", str(p["round"] + 1)
            mine = event.campaign
            _settle(draft, event, said, lambda m: (m.kind, m.subject, m.campaign) == ("approval-wanted", number, mine))
            if how == "rejected":
                _over(draft, event, said)
        case "abort":
            _over(draft, event, f"aborted, by {p['by']}")


def _answer(draft: _Draft, event: Event) -> None:
    p = event.payload
    _settle_fault(draft, event, f"{p['choice']}, by {p['by']}", p["fault"])
    if p["choice"] == "other-device":
        _notice(draft, event)
    if p["choice"] == "abort":
        _over(draft, event, f"aborted, by {p['by']}")
    number = round_in(p["fault"])
    if p["choice"] == "lose-plate" and number is not None:
        _open(draft, event, "night-done", number, str(number + 1))  # a plate that was given up ends its night


def _notice(draft: _Draft, event: Event) -> None:
    _open(draft, event, "notice", None, event.kind)


def _finished(draft: _Draft, event: Event) -> None:
    _over(draft, event, "the campaign is finished")
    _open(draft, event, "night-done", None, "campaign")


def _campaign_started(draft: _Draft, event: Event) -> None:
    _over(draft, event, f"campaign {event.payload['name']} was started")


_HANDLERS: Mapping[str, Callable[[_Draft, Event], None]] = {
    "campaign.started": _campaign_started,
    "controller.started": _started,
    "intent": _intent,
    "outcome": _outcome,
    "accepted": _accepted,
    "fault": _fault,
    "proposal": _proposal,
    "decision": _decision,
    "campaign.finished": _finished,
    "settings.changed": _notice,
    "device.suspended": _notice,
    "device.resumed": _notice,
}
"""What opens and settles matters; other kinds of event trouble nobody."""
