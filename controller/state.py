"""LabState: what the journal says is so, as one frozen value folded from its events.

Event kinds, in the order a round meets them:

=================  =========================================================================================
library.added      library: digest of a library that was registered
stock.added        source wells were registered
stock.care         thaws, expiry and evaporation of source plates were told
tips.added         tip racks were registered
spares.added       plates (barcodes) and labware of empty plates for dilutions
campaign.started   name, seed, rounds, library digest and the settings that shape decisions
settings.adopted   settings: what lab.toml may change while a campaign runs was changed
controller.started a process took over; with attempt and accepted, the kinds in which a disturbed run may differ
intent             key, task, round, action: written and committed before anything is tried
attempt            key, message: the device refused or its reply was lost; the same key is tried again
accepted           key: the device has it; from here on it may not say that it never had
outcome            key, status (done | failed), result, message
decision           what (approve | reject | pause | resume | abort | answer | rollback), by whom, about which round or
                   fault
decision.refused   a decision that came too late or made no sense, with the reason
proposal           round, question: a round is planned and proven, and waits for approval
fault              fault, key, question, choices: a person is asked
campaign.finished  the last event of a campaign
=================  =========================================================================================
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

JSON = Mapping[str, Any]
AGAIN = ("retry", "not-done")
"""Answers after which a task is tried under a new key."""


class EventLike(Protocol):
    """What fold needs of an event."""

    @property
    def kind(self) -> str:
        """Name of the kind."""

    @property
    def time(self) -> datetime:
        """When it was recorded, UTC."""

    @property
    def payload(self) -> JSON:
        """The facts."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it was started; lab.toml may change later, this does not."""

    name: str
    seed: int
    rounds: int
    library: str
    settings: JSON


@dataclass(frozen=True, slots=True)
class Intent:
    """An action announced; without an outcome it is in flight, or its fate is to be found out."""

    key: str
    task: str
    round: int
    action: JSON
    time: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an intent."""

    key: str
    status: str
    """done or failed."""
    result: JSON
    message: str
    time: datetime

    @property
    def is_done(self) -> bool:
        """Tell success."""
        return self.status == "done"


@dataclass(frozen=True, slots=True)
class Fault:
    """A question for a person."""

    fault: str
    key: str
    question: str
    choices: tuple[str, ...]
    answer: str | None
    """None while nobody has answered."""
    by: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's or the policy's word about a round."""

    round: int
    is_approved: bool
    by: str
    reason: str


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LabState:
    """Everything the journal implies. Mappings keep the order of the journal."""

    library: str | None = None
    """Digest of the library added last."""
    campaign: Campaign | None = None
    intents: Mapping[str, Intent] = field(default_factory=lambda: _NOTHING)
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: _NOTHING)
    attempts: Mapping[str, tuple[datetime, ...]] = field(default_factory=lambda: _NOTHING)
    """When each key's hand-over failed, of those not known to have arrived."""
    proposals: Mapping[int, str] = field(default_factory=lambda: _NOTHING)
    """Rounds that were put before a person, with the summary shown."""
    accepted: Mapping[str, datetime] = field(default_factory=lambda: _NOTHING)
    """Keys that a device was seen to have, and since when."""
    places: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Where each plate that ever moved is, by confirmed moves."""
    spares: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Load name of every plate for dilutions that was ever registered; one that ever moved counts as used."""
    faults: Mapping[str, Fault] = field(default_factory=lambda: _NOTHING)
    approvals: Mapping[int, Approval] = field(default_factory=lambda: _NOTHING)
    withdrawn: Mapping[int, str] = field(default_factory=lambda: _NOTHING)
    """Rounds whose beliefs were rolled back from, and by whom."""
    is_paused: bool = False
    is_aborted: bool = False
    is_finished: bool = False
    n_starts: int = 0
    """How often a controller process took over."""

    def pending(self) -> tuple[Intent, ...]:
        """Return the intents without an outcome, oldest first."""
        return tuple(i for k, i in self.intents.items() if k not in self.outcomes)

    def open_proposals(self) -> tuple[int, ...]:
        """Return the rounds that wait for a person's approval."""
        return tuple(r for r in self.proposals if r not in self.approvals)

    def open_faults(self) -> tuple[Fault, ...]:
        """Return the questions nobody has answered."""
        return tuple(f for f in self.faults.values() if f.answer is None)

    def free_spares(self, load_name: str) -> tuple[str, ...]:
        """Return the plates for dilutions of a kind that are empty still, in the order of their registration."""
        return tuple(b for b, kind in self.spares.items() if kind == load_name and b not in self.places)

    def outcome(self, task: str, round_number: int) -> Outcome | None:
        """Return the outcome of a task's latest attempt; None while there is none."""
        return self.outcomes.get(self.latest_key(task, round_number))

    def latest_key(self, task: str, round_number: int) -> str:
        """Return the key a task is tried under now: a retry that a person asked for gets a new one."""
        name = self.campaign.name if self.campaign else ""
        key, n = task_key(name, round_number, task, 0), 0
        while (fault := self.faults.get(key)) and fault.answer in AGAIN:
            n += 1
            key = task_key(name, round_number, task, n)
        return key

    def digest(self) -> str:
        """Return the sha256 of the state, leaving out how it was come by: starts, and hand-overs on the way."""
        body = replace(self, n_starts=0, attempts={}, accepted={})
        return hashlib.sha256(json.dumps(body, sort_keys=True, default=_plain).encode()).hexdigest()


def task_key(campaign: str, round_number: int, task: str, attempt: int) -> str:
    """Name one try of one task for ever: first.r2.run-0, and first.r2.run-0.1 for its first retry."""
    return f"{campaign}.r{round_number}.{task}" + (f".{attempt}" if attempt else "")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return {f.name: getattr(value, f.name) for f in fields(value)}


@dataclass(slots=True)
class _Draft:
    """The mutable twin of LabState that lives only inside one fold."""

    library: str | None
    campaign: Campaign | None
    intents: dict[str, Intent]
    outcomes: dict[str, Outcome]
    attempts: dict[str, tuple[datetime, ...]]
    faults: dict[str, Fault]
    approvals: dict[int, Approval]
    proposals: dict[int, str]
    accepted: dict[str, datetime]
    places: dict[str, str]
    spares: dict[str, str]
    withdrawn: dict[int, str]
    is_paused: bool
    is_aborted: bool
    is_finished: bool
    n_starts: int


def fold(events: Iterable[EventLike], start: LabState | None = None) -> LabState:
    """Fold events, oldest first, into a state; ``start`` is the state of the events before them.

    Raises:
        KeyError: an event lacks a fact its kind needs; such a journal was not written by nextplate.
        ValueError: an event of an unknown kind.
    """
    before = start or LabState()
    values = {f.name: getattr(before, f.name) for f in fields(before)}
    opened: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    draft = _Draft(**opened)
    for event in events:
        handler = _HANDLERS.get(event.kind)
        if handler is None:
            raise ValueError(f"the journal holds an event of unknown kind {event.kind!r}; a newer nextplate wrote it")
        handler(draft, event.payload, event.time)
    after = {f.name: getattr(draft, f.name) for f in fields(draft)}
    closed: dict[str, Any] = {k: MappingProxyType(v) if isinstance(v, dict) else v for k, v in after.items()}
    return LabState(**closed)


def _library_added(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.library = p["library"]


def _spares_added(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.spares.update(dict.fromkeys(p["plates"], p["labware"]))


def _nothing(_draft: _Draft, _p: JSON, _time: datetime) -> None:
    """Keep no state: stock and tips live in their tables, and a refused decision decides nothing."""


def _campaign_started(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.campaign = Campaign(p["name"], p["seed"], p["rounds"], p["library"], p["settings"])
    draft.approvals.clear()
    draft.proposals.clear()
    draft.withdrawn.clear()
    over = [f for f, fault in draft.faults.items() if fault.answer is None and fault.key in draft.outcomes]
    for name in over:
        del draft.faults[name]
    draft.is_paused = draft.is_aborted = draft.is_finished = False


def _settings_adopted(draft: _Draft, p: JSON, _time: datetime) -> None:
    if draft.campaign is not None:
        draft.campaign = replace(draft.campaign, settings=p["settings"])


def _controller_started(draft: _Draft, _p: JSON, _time: datetime) -> None:
    draft.n_starts += 1


def _intent(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.intents[p["key"]] = Intent(p["key"], p["task"], p["round"], p["action"], time)


def _attempt(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.attempts[p["key"]] = (*draft.attempts.get(p["key"], ()), time)


def _accepted(draft: _Draft, p: JSON, time: datetime) -> None:
    draft.accepted[p["key"]] = time
    draft.attempts.pop(p["key"], None)
    draft.faults.pop(p["key"], None)


def _outcome(draft: _Draft, p: JSON, time: datetime) -> None:
    if "told_by" not in p["result"]:
        draft.faults.pop(p["key"], None)  # the device knows after all: its word, not a person's guess
    draft.outcomes[p["key"]] = Outcome(p["key"], p["status"], p["result"], p["message"], time)
    moved = set(p["result"].get("moved", ()))
    is_told_done = p["result"].get("choice") == "done"
    _apply_moves(draft, p["key"], lambda barcode: is_told_done or barcode in moved)


def _apply_moves(draft: _Draft, key: str, did_move: Callable[[str], bool]) -> None:
    intent = draft.intents.get(key)
    command = intent.action.get("command", {}) if intent else {}
    for barcode, _source, target in command.get("moves", ()):
        if did_move(barcode):
            draft.places[barcode] = target


def _fault(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.faults[p["fault"]] = Fault(p["fault"], p["key"], p["question"], tuple(p["choices"]), None, None)


def _decision(draft: _Draft, p: JSON, _time: datetime) -> None:
    match p["what"]:
        case "approve" | "reject":
            approval = Approval(p["round"], p["what"] == "approve", p["by"], p.get("reason", ""))
            draft.approvals[p["round"]] = approval
            draft.is_aborted = draft.is_aborted or p["what"] == "reject"
        case "pause" | "resume":
            draft.is_paused = p["what"] == "pause"
        case "abort":
            draft.is_aborted = True
        case "answer":
            _answer(draft, p)
        case "rollback":
            _roll_back(draft, p)


def _roll_back(draft: _Draft, p: JSON) -> None:
    """Withdraw every belief fitted so far after that of a round; the ones to come have to pass their gates."""
    name = draft.campaign.name if draft.campaign else ""
    keys = (k for k, intent in draft.intents.items() if intent.task == "calibrate" and k.startswith(f"{name}.r"))
    later = {draft.intents[k].round for k in keys if draft.intents[k].round > p["round"]}
    by: str = p["by"]
    draft.withdrawn.update(dict.fromkeys(sorted(later), by))
    draft.withdrawn.pop(p["round"], None)


def _answer(draft: _Draft, p: JSON) -> None:
    fault = draft.faults[p["fault"]]
    draft.faults[p["fault"]] = replace(fault, answer=p["choice"], by=p["by"])
    is_ours = draft.campaign is not None and fault.key.startswith(f"{draft.campaign.name}.r")
    draft.is_aborted = draft.is_aborted or (p["choice"] == "abort" and is_ours)
    if p["choice"] == "done" and fault.key in draft.outcomes:
        _apply_moves(draft, fault.key, lambda _barcode: True)
    if p["choice"] == "lose-plate":
        _lose_plate(draft, draft.intents[fault.key])


def _lose_plate(draft: _Draft, intent: Intent) -> None:
    """A person has taken the round's assay plate away: it stands nowhere any more."""
    campaign = intent.key.split(".r")[0]
    for other in draft.intents.values():
        if other.task == "layout" and other.round == intent.round and other.key.split(".r")[0] == campaign:
            draft.places.pop(other.action["params"]["barcode"], None)


def _proposal(draft: _Draft, p: JSON, _time: datetime) -> None:
    draft.proposals[p["round"]] = p["question"]


def _finished(draft: _Draft, _p: JSON, _time: datetime) -> None:
    draft.is_finished = True


_HANDLERS = {
    "library.added": _library_added,
    "stock.added": _nothing,
    "stock.care": _nothing,
    "tips.added": _nothing,
    "spares.added": _spares_added,
    "campaign.started": _campaign_started,
    "settings.adopted": _settings_adopted,
    "controller.started": _controller_started,
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
