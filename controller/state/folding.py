"""fold: from the events of a journal to the state they imply."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from controller.state.growing import Growing, closed, opened, put
from controller.state.nouns import JSON, Approval, Campaign, EventLike, Fault, Intent, LabState, Outcome, Proposal

_GROWING = ("intents", "outcomes", "accepted")
"""What is never taken away again, but for a value put over another one."""
_REMEMBERED = 200
"""Durations kept of each device and verb."""


@dataclass(slots=True)
class _Draft:
    """The mutable twin of LabState that lives only inside one fold."""

    library: str | None
    focus: str | None
    campaigns: dict[str, Campaign]
    intents: dict[str, Intent] | Growing[str, Intent]
    outcomes: dict[str, Outcome] | Growing[str, Outcome]
    in_flight: dict[str, Intent]
    attempts: dict[str, tuple[datetime, ...]]
    accepted: dict[str, datetime] | Growing[str, datetime]
    places: dict[str, str]
    spares: dict[str, str]
    faults: dict[str, Fault]
    took_s: dict[str, tuple[float, ...]]
    suspended: dict[str, Mapping[str, JSON]]
    suspended_since: dict[str, datetime]
    strangers: dict[str, str]
    superseded: frozenset[str]
    stations: dict[str, str]
    n_starts: int
    started: datetime | None
    started_before: datetime | None
    speaker: str | None = None
    """The campaign of the event being folded."""

    def change(self, **changes: Any) -> None:
        """Change how the campaign of the event stands."""
        name = self.speaker or self.focus
        if name in self.campaigns:
            self.campaigns[name] = replace(self.campaigns[name], **changes)

    @property
    def campaign(self) -> Campaign | None:
        """The campaign of the event."""
        return self.campaigns.get(self.speaker or self.focus or "")


def fold(events: Iterable[EventLike], start: LabState | None = None) -> LabState:
    """Fold events, oldest first, into a state; ``start`` is the state of the events before them.

    Raises:
        KeyError: an event lacks a fact its kind needs; such a journal was not written by nextplate.
        ValueError: an event of an unknown kind.
    """
    before = start or LabState()
    values = {f.name: getattr(before, f.name) for f in fields(before)}
    draft = _Draft(**{name: _opened(name, value) for name, value in values.items()})
    for event in events:
        handler = _HANDLERS.get(event.kind)
        if handler is None:
            raise ValueError(f"the journal holds an event of unknown kind {event.kind!r}; a newer nextplate wrote it")
        draft.speaker = event.campaign
        handler(draft, event.payload, event.time)
    return LabState(**{name: _closed(getattr(draft, name)) for name in values})


def _opened(name: str, value: Any) -> Any:
    if name in _GROWING:
        return opened(value)
    return dict(value) if isinstance(value, Mapping) else value


def _closed(value: Any) -> Any:
    return closed(value) if isinstance(value, dict | Growing) else value


def _library_added(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.library = p["library"]


def _spares_added(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.spares.update(dict.fromkeys(p["plates"], p["labware"]))


def _nothing(_draft: _Draft, _p: JSON, _time: datetime) -> None:
    """Keep no state: stock and tips live in their tables, and a refused decision decides nothing."""


def _campaign_started(draft: _Draft, p: JSON, _time: datetime) -> None:
    running = [c for c in draft.campaigns.values() if not c.is_over]
    for name, fault in list(draft.faults.items()):
        is_over = not any(c.owns(fault.key) for c in running)
        if fault.answer is None and fault.key in draft.outcomes and is_over:
            del draft.faults[name]
    draft.campaigns[p["name"]] = Campaign(p["name"], p["seed"], p["rounds"], p["library"], p["settings"])
    draft.focus = p["name"]


def _settings_adopted(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.change(settings=p["settings"])


def _controller_started(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.n_starts += 1
    draft.started_before, draft.started = draft.started, time
    draft.stations = dict(p.get("stations", draft.stations))


def _suspended(draft: _Draft, p: JSON, time: datetime) -> None:
    readings = draft.suspended.get(p["device"], {})
    draft.suspended[p["device"]] = MappingProxyType({**readings, p["reading"]: p})
    draft.suspended_since.setdefault(p["device"], time)


def _resumed(draft: _Draft, p: JSON, _time: datetime) -> None:
    left = {name: told for name, told in draft.suspended.get(p["device"], {}).items() if name != p["reading"]}
    if left:
        draft.suspended[p["device"]] = MappingProxyType(left)
        return
    draft.suspended.pop(p["device"], None)
    draft.suspended_since.pop(p["device"], None)


def _intent(draft: _Draft, p: JSON, time: datetime) -> None:
    if draft.campaign is not None and draft.campaign.owns(p["key"]) and draft.campaign.last_round != p["round"]:
        draft.change(last_round=p["round"])
    draft.intents[p["key"]] = draft.in_flight[p["key"]] = Intent(p["key"], p["task"], p["round"], p["action"], time)


def _attempt(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.attempts[p["key"]] = (*draft.attempts.get(p["key"], ()), time)


def _accepted(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.accepted[p["key"]] = time
    draft.attempts.pop(p["key"], None)
    if (fault := draft.faults.get(p["key"])) and fault.is_doubt:
        del draft.faults[p["key"]]


def _outcome(draft: _Draft, p: JSON, time: datetime) -> None:
    if "told_by" not in p["result"]:
        draft.faults.pop(p["key"], None)  # the device knows after all: its word, not a person's guess
    draft.in_flight.pop(p["key"], None)
    ended = datetime.fromisoformat(p["ended"]) if "ended" in p else None
    draft.outcomes[p["key"]] = Outcome(p["key"], p["status"], p["result"], p["message"], time, ended)
    _learn(draft, p, time)
    if occupied := p["result"].get("occupied"):
        place, who = occupied
        draft.strangers[place] = who or f"unknown at {place}"
    moved = set(p["result"].get("moved", ()))
    is_told_done = p["result"].get("choice") == "done"
    _apply_moves(draft, p["key"], lambda barcode: is_told_done or barcode in moved)


def _learn(draft: _Draft, p: JSON, time: datetime) -> None:
    """Remember how long an action took; not by a person's word, and not where nobody looked for a while."""
    intent = draft.intents.get(p["key"])
    if intent is None or p["status"] != "done" or "told_by" in p["result"]:
        return
    if draft.started is not None and draft.started > intent.time:
        return
    seconds = (time - intent.time).total_seconds()
    if seconds <= 0:
        return  # the clock was set back meanwhile, or is virtual and nothing was waited for
    draft.took_s[intent.work] = (*draft.took_s.get(intent.work, ()), seconds)[-_REMEMBERED:]


def _apply_moves(draft: _Draft, key: str, did_move: Callable[[str], bool]) -> None:
    intent = draft.intents.get(key)
    command = intent.action.get("command", {}) if intent else {}
    for barcode, _source, target in command.get("moves", ()):
        if did_move(barcode):
            draft.places[barcode] = target


def _fault(draft: _Draft, p: JSON, time: datetime) -> None:
    kind = p.get("kind", "")
    draft.faults[p["fault"]] = Fault(p["fault"], p["key"], p["question"], tuple(p["choices"]), None, None, kind, time)


def _decision(draft: _Draft, p: JSON, time: datetime) -> None:
    match p["what"]:
        case "approve" | "reject":
            _approve(draft, p, time)
        case "pause" | "resume":
            draft.change(is_paused=p["what"] == "pause")
        case "abort":
            draft.change(is_aborted=True)
        case "answer":
            _answer(draft, p, time)
        case "rollback":
            _roll_back(draft, p)
        case "carried":
            _carry(draft, p)


def _carry(draft: _Draft, p: JSON) -> None:
    """A person has put a plate somewhere; one that nobody registered is of no concern once it is gone."""
    standing = [place for place, who in draft.strangers.items() if who == p["plate"]]
    for place in standing:
        del draft.strangers[place]
    if p["plate"] in draft.places or not standing:
        draft.places[p["plate"]] = p["place"]
    elif p["place"].startswith("deck/"):
        draft.strangers[p["place"]] = p["plate"]


def _approve(draft: _Draft, p: JSON, time: datetime) -> None:
    if draft.campaign is not None:
        is_approved, digest = p["what"] == "approve", p.get("digest", "")
        approval = Approval(p["round"], is_approved, p["by"], p.get("reason", ""), digest, time)
        approvals = put(draft.campaign.approvals, p["round"], approval)
        draft.change(approvals=approvals, is_aborted=draft.campaign.is_aborted or p["what"] == "reject")


def _roll_back(draft: _Draft, p: JSON) -> None:
    """Withdraw every belief fitted so far after that of a round; the ones to come have to pass their gates."""
    campaign = draft.campaign
    if campaign is None:
        return
    fitted = (i for k, i in draft.intents.items() if i.task == "calibrate" and campaign.owns(k))
    later = sorted({i.round for i in fitted if i.round > p["round"]})
    by: str = p["by"]
    withdrawn = {**campaign.withdrawn, **dict.fromkeys(later, by)}
    withdrawn.pop(p["round"], None)
    draft.change(withdrawn=MappingProxyType(withdrawn))


def _answer(draft: _Draft, p: JSON, time: datetime) -> None:
    fault, arrived = draft.faults[p["fault"]], tuple(p.get("arrived", ()))
    said = {"answer": p["choice"], "by": p["by"], "answered": time, "wait_s": p.get("wait_s"), "arrived": arrived}
    draft.faults[p["fault"]] = replace(fault, **said)
    if p["choice"] == "abort" and draft.campaign is not None and draft.campaign.owns(fault.key):
        draft.change(is_aborted=True)
    if p["choice"] in ("done", "half-done") and fault.key in draft.outcomes:
        _apply_moves(draft, fault.key, lambda barcode: p["choice"] == "done" or barcode in arrived)
    if p["choice"] == "replan":
        _plan_again(draft, draft.intents[fault.key])
    if p["choice"] == "lose-plate":
        _lose_plate(draft, draft.intents[fault.key])


def _plan_again(draft: _Draft, intent: Intent) -> None:
    """Have a round's protocol compiled, proven and approved once more."""
    planned = ("compile", "check", "propose")
    draft.superseded |= {i.key for i in _of_round(draft, intent) if i.task in planned}


def _lose_plate(draft: _Draft, intent: Intent) -> None:
    """A person has taken the round's assay plate away: it stands nowhere any more."""
    for other in _of_round(draft, intent):
        if other.task == "layout":
            draft.places.pop(other.action["params"]["barcode"], None)


def _of_round(draft: _Draft, intent: Intent) -> Iterator[Intent]:
    """Yield the intents of one's campaign and round, itself among them."""
    campaign = next((c for c in draft.campaigns.values() if c.owns(intent.key)), None)
    return (i for i in draft.intents.values() if campaign and campaign.owns(i.key) and i.round == intent.round)


def _proposal(draft: _Draft, p: JSON, _time: datetime) -> None:
    if draft.campaign is not None:
        proposal = Proposal(p["question"], p.get("digest", ""), p.get("summary", {}))
        draft.change(proposals=put(draft.campaign.proposals, p["round"], proposal))


def _finished(draft: _Draft, _p: JSON, _time: datetime) -> None:
    draft.change(is_finished=True)


_HANDLERS = {
    "library.added": _library_added,
    "stock.added": _nothing,
    "stock.care": _nothing,
    "tips.added": _nothing,
    "spares.added": _spares_added,
    "campaign.started": _campaign_started,
    "settings.adopted": _settings_adopted,
    "controller.started": _controller_started,
    "settings.changed": _nothing,
    "device.suspended": _suspended,
    "device.resumed": _resumed,
    "intent": _intent,
    "attempt": _attempt,
    "accepted": _accepted,
    "outcome": _outcome,
    "proposal": _proposal,
    "fault": _fault,
    "decision": _decision,
    "decision.refused": _nothing,
    "campaign.finished": _finished,
}
