"""What people are told of, read from the journal: pure."""

from collections.abc import Iterable, Iterator, Mapping
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
    is_physical: bool
    campaign: str | None


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


def hear(desk: Desk, events: Iterable[Event]) -> Desk:
    """Take events into account, oldest first, each once."""
    for event in events:
        heard = replace(desk, seq=event.seq, time=event.time)
        handler = _HANDLERS.get(event.kind)
        desk = handler(heard, event) if handler else heard
    return desk


def forget(desk: Desk) -> Desk:
    """Drop what nobody will be told of any more."""
    if desk.time is None:
        return desk
    oldest = desk.time - _KEPT
    return replace(desk, matters=tuple(m for m in desk.matters if m.is_open or m.opened_at >= oldest))


def _opened(desk: Desk, event: Event, kind: MessageKind, number: int | None, subject: str) -> Desk:
    matter = Matter(kind, event.seq, event.hash, event.time, event.campaign, number, subject, event.payload)
    return replace(desk, matters=(*desk.matters, matter))


def _settle(desk: Desk, event: Event, how: str, names: Iterable[tuple[str, str]]) -> Desk:
    """Settle the open matters of these (kind, subject); a stall is a fault here."""
    wanted = set(names)

    def is_meant(m: Matter) -> bool:
        return m.is_open and ("fault" if m.kind == "stall" else m.kind, m.subject) in wanted

    said = tuple(replace(m, settled_at=event.time, settled=how) if is_meant(m) else m for m in desk.matters)
    return replace(desk, matters=said)


def _started(desk: Desk, event: Event) -> Desk:
    """A process that takes over work in flight follows one that did not end well."""
    n = len(desk.begun)
    return _opened(desk, event, "restarted", None, str(n)) if n else desk


def _intent(desk: Desk, event: Event) -> Desk:
    p = event.payload
    is_physical = "device" in p["action"]
    night = (event.campaign, p["round"])
    begun = {**desk.begun, p["key"]: Begun(p["task"], p["round"], is_physical, event.campaign)}
    desk = replace(desk, begun=begun)
    if not is_physical or night in desk.nights:
        return desk
    desk = replace(desk, nights=desk.nights | {night})
    return _opened(desk, event, "night-started", p["round"], str(p["round"] + 1))


def _outcome(desk: Desk, event: Event) -> Desk:
    p = event.payload
    began = desk.begun.get(p["key"])
    desk = replace(desk, begun={k: b for k, b in desk.begun.items() if k != p["key"]})
    if "told_by" not in p["result"]:
        desk = _settle(desk, event, "the device knows after all: " + p["status"], [("fault", p["key"])])
    is_judged = began is not None and began.task == "normalise" and p["status"] == "done"
    return _opened(desk, event, "night-done", began.round, str(began.round + 1)) if began and is_judged else desk


def _accepted(desk: Desk, event: Event) -> Desk:
    return _settle(desk, event, "the device has it after all", [("fault", event.payload["key"])])


def _fault(desk: Desk, event: Event) -> Desk:
    p = event.payload
    began = desk.begun.get(p["key"])
    kind: MessageKind = "stall" if p.get("type", p.get("kind")) == "stall" else "fault"
    return _opened(desk, event, kind, began.round if began else round_in(p["key"]), p["fault"])


def round_in(key: str) -> int | None:
    """Read the round out of a key such as first.r1.run-0; None when it names none."""
    numbers = [part[1:] for part in key.split(".") if part[:1] == "r" and part[1:].isdigit()]
    return int(numbers[-1]) if numbers else None


def _proposal(desk: Desk, event: Event) -> Desk:
    number = event.payload["round"]
    return _opened(desk, event, "approval-wanted", number, str(number + 1))


def _decision(desk: Desk, event: Event) -> Desk:
    p = event.payload
    match p["what"]:
        case "answer":
            desk = _settle(desk, event, f"{p['choice']}, by {p['by']}", [("fault", p["fault"])])
            desk = _over(desk, event, f"aborted, by {p['by']}") if p["choice"] == "abort" else desk
            return _given_up(desk, event) if p["choice"] == "lose-plate" else desk
        case "approve" | "reject":
            how = "approved" if p["what"] == "approve" else "rejected"
            desk = _settle(desk, event, f"{how}, by {p['by']}", [("approval-wanted", str(p["round"] + 1))])
            return desk if how == "approved" else _over(desk, event, f"rejected, by {p['by']}")
        case "abort":
            return _over(desk, event, f"aborted, by {p['by']}")
    return desk


def _given_up(desk: Desk, event: Event) -> Desk:
    """A plate that was given up ends its night."""
    number = round_in(event.payload["fault"])
    return desk if number is None else _opened(desk, event, "night-done", number, str(number + 1))


def _over(desk: Desk, event: Event, how: str) -> Desk:
    """Settle what nobody has to answer any more; an action of unknown fate is still owed a word."""
    return _settle(desk, event, how, _unowed(desk))


def _unowed(desk: Desk) -> Iterator[tuple[str, str]]:
    for m in desk.matters:
        if m.is_open and m.facts.get("key") not in desk.begun:
            yield ("fault" if m.kind == "stall" else m.kind), m.subject


def _finished(desk: Desk, event: Event) -> Desk:
    desk = _over(desk, event, "the campaign is finished")
    return _opened(desk, event, "night-done", None, "campaign")


def _campaign_started(desk: Desk, event: Event) -> Desk:
    return _over(desk, event, f"campaign {event.payload['name']} was started")


_HANDLERS = {
    "campaign.started": _campaign_started,
    "controller.started": _started,
    "intent": _intent,
    "outcome": _outcome,
    "accepted": _accepted,
    "fault": _fault,
    "proposal": _proposal,
    "decision": _decision,
    "campaign.finished": _finished,
}
"""What opens and settles matters; other kinds of event trouble nobody."""
