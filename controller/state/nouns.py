"""What a lab's state is made of; see controller.state."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

JSON = Mapping[str, Any]
AGAIN = ("retry", "not-done", "half-done", "replan", "other-device")
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
    def campaign(self) -> str | None:
        """The campaign it belongs to; None: the whole lab."""

    @property
    def payload(self) -> JSON:
        """The facts."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An action announced; without an outcome it is in flight, or its fate is to be found out."""

    key: str
    task: str
    round: int
    action: JSON
    time: datetime

    @property
    def activity(self) -> str | None:
        """What a device does, as in "imager acquire"; None: it is computed."""
        return f"{self.action['device']} {self.action['command']['verb']}" if "device" in self.action else None

    @property
    def work(self) -> str:
        """What is done, as durations are kept by: an activity, or a computing step, as in "step fit"."""
        return self.activity or f"step {self.action.get('step', '')}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an intent."""

    key: str
    status: str
    """done or failed."""
    result: JSON
    message: str
    time: datetime
    """When it was noticed."""
    ended_at: datetime | None = None
    """When it ended, where nobody was looking then; None: it was noticed at once."""

    @property
    def ended(self) -> datetime:
        """Tell when it ended: what has to follow in time counts from here."""
        return self.ended_at or self.time

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
    kind: str = ""
    """What sort of trouble it is (controller.faults); empty in journals of before there were kinds."""
    time: datetime | None = None
    """When it was noticed."""
    answered: datetime | None = None
    """When it was answered."""
    wait_s: float | None = None
    """Answered wait: for how long; None: as long as is late for such an action."""
    arrived: tuple[str, ...] = ()
    """Answered half-done: the plates that stand where they were to go."""

    @property
    def is_doubt(self) -> bool:
        """Tell whether it says that nobody knows what became of the action; a device that is late is no doubt."""
        return self.kind != "stall"


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's or the policy's word about a round."""

    round: int
    is_approved: bool
    by: str
    reason: str
    digest: str = ""
    """Of what was approved, as the step ``propose`` gave it; "" in journals of before there were digests."""
    time: datetime | None = None
    """When it was taken into the journal."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A round put before a person."""

    question: str
    digest: str
    """Of what is proposed; "" in journals of before there were digests."""
    summary: JSON
    """As controller.approving sums it up; empty in journals of before there were summaries."""

    def __str__(self) -> str:
        return self.question


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it was started, for lab.toml may change later, and how it stands."""

    name: str
    seed: int
    rounds: int
    library: str
    settings: JSON
    proposals: Mapping[int, Proposal] = field(default_factory=lambda: _NOTHING)
    """Rounds that were put before a person."""
    approvals: Mapping[int, Approval] = field(default_factory=lambda: _NOTHING)
    withdrawn: Mapping[int, str] = field(default_factory=lambda: _NOTHING)
    """Rounds whose beliefs were rolled back from, and by whom."""
    is_paused: bool = False
    is_aborted: bool = False
    is_finished: bool = False
    last_round: int = 0
    """Of its last intent."""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing of it is left to do."""
        return self.is_finished or self.is_aborted

    def owns(self, key: str) -> bool:
        """Tell whether an action or a fault is of this campaign."""
        prefix = f"{self.name}.r"
        return key.startswith(prefix) and key[len(prefix) : len(prefix) + 1].isdigit()


@dataclass(frozen=True, slots=True)
class LabState:
    """Everything the journal implies. Mappings keep the order of the journal."""

    library: str | None = None
    """Digest of the library added last."""
    focus: str | None = None
    """The campaign that is looked at."""
    campaigns: Mapping[str, Campaign] = field(default_factory=lambda: _NOTHING)
    intents: Mapping[str, Intent] = field(default_factory=lambda: _NOTHING)
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: _NOTHING)
    in_flight: Mapping[str, Intent] = field(default_factory=lambda: _NOTHING)
    """Intents without an outcome."""
    attempts: Mapping[str, tuple[datetime, ...]] = field(default_factory=lambda: _NOTHING)
    """When each key's hand-over failed, of those not known to have arrived."""
    accepted: Mapping[str, datetime] = field(default_factory=lambda: _NOTHING)
    """Keys that a device was seen to have, and since when."""
    places: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Where each plate that ever moved is, by confirmed moves."""
    spares: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Load name of every plate for dilutions that was ever registered; one that ever moved counts as used."""
    faults: Mapping[str, Fault] = field(default_factory=lambda: _NOTHING)
    took_s: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: _NOTHING)
    """How long what ended well took, the latest last, by device and verb (imager acquire), or step (step fit)."""
    suspended: Mapping[str, Mapping[str, JSON]] = field(default_factory=lambda: _NOTHING)
    """Devices that are given nothing new because a sensor is out of its band: by device and reading, what was told."""
    suspended_since: Mapping[str, datetime] = field(default_factory=lambda: _NOTHING)
    strangers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Plates that nobody registered, by the place where they stand: nothing is put there."""
    superseded: frozenset[str] = frozenset()
    """Keys of plans that were made again because a place on the deck was taken."""
    stations: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Which device each place belongs to, as of the last start: place to name and driver."""
    n_starts: int = 0
    """How often a controller process took over."""
    started: datetime | None = None
    """When it did last."""
    started_before: datetime | None = None
    """When it did the time before."""

    def focused(self, campaign: str) -> "LabState":
        """Look at another campaign of the same lab."""
        return replace(self, focus=campaign)

    @property
    def campaign(self) -> Campaign | None:
        """The campaign that is looked at; None while none was started."""
        return self.campaigns.get(self.focus) if self.focus else None

    @property
    def proposals(self) -> Mapping[int, Proposal]:
        """Rounds of the campaign that were put before a person."""
        return self.campaign.proposals if self.campaign else _NOTHING

    @property
    def approvals(self) -> Mapping[int, Approval]:
        """What was said about its rounds."""
        return self.campaign.approvals if self.campaign else _NOTHING

    @property
    def withdrawn(self) -> Mapping[int, str]:
        """Its rounds whose beliefs were rolled back from, and by whom."""
        return self.campaign.withdrawn if self.campaign else _NOTHING

    @property
    def is_paused(self) -> bool:
        """Tell whether it is paused."""
        return self.campaign is not None and self.campaign.is_paused

    @property
    def is_aborted(self) -> bool:
        """Tell whether it was aborted."""
        return self.campaign is not None and self.campaign.is_aborted

    @property
    def is_finished(self) -> bool:
        """Tell whether it came to its end."""
        return self.campaign is not None and self.campaign.is_finished

    def last_round(self) -> int:
        """Return the round that the campaign's last intent was of; 0 while there is none."""
        return self.campaign.last_round if self.campaign else 0

    def owner(self, key: str) -> str | None:
        """Return the campaign that an action or a fault belongs to; None: of none that is known."""
        # "a" and "a.r1" may both be campaigns: the longer name is meant
        return max((name for name, c in self.campaigns.items() if c.owns(key)), key=len, default=None)

    def pending(self) -> tuple[Intent, ...]:
        """Return the intents without an outcome, oldest first."""
        return tuple(self.in_flight.values())

    def open_proposals(self) -> tuple[int, ...]:
        """Return the rounds that wait for a person's approval; also where another plan was approved than waits now."""
        said = self.approvals
        return tuple(r for r, p in self.proposals.items() if r not in said or p.digest != said[r].digest)

    def open_faults(self) -> tuple[Fault, ...]:
        """Return the questions nobody has answered, of the whole lab."""
        return tuple(f for f in self.faults.values() if f.answer is None)

    def is_left(self, key: str) -> bool:
        """Tell whether an action is of a campaign that was ended, or of none that is known."""
        owner = self.campaigns.get(self.owner(key) or "")
        return owner is None or owner.is_over

    def free_spares(self, load_name: str) -> tuple[str, ...]:
        """Return the plates for dilutions of a kind that are empty still, in the order of their registration."""
        taken = {*self.places, *self._planned()}
        return tuple(b for b, kind in self.spares.items() if kind == load_name and b not in taken)

    def _planned(self) -> Iterator[str]:
        """Yield what other campaigns that go on have compiled onto their decks."""
        others = [c for c in self.campaigns.values() if not c.is_over and c.name != self.focus]
        for key, outcome in self.outcomes.items():
            if any(c.owns(key) for c in others):
                loads = outcome.result.get("summary", {}).get("loads", ())
                yield from (item for load in loads for _slot, item, _role in load["deck"])

    def doubted(self, key: str) -> bool:
        """Tell whether somebody was asked what became of an action."""
        return key in self.faults and self.faults[key].is_doubt

    def own_faults(self) -> tuple[Fault, ...]:
        """Return those that the campaign waits for."""
        return tuple(f for f in self.open_faults() if self.campaign and self.campaign.owns(f.key))

    def outcome(self, task: str, round_number: int) -> Outcome | None:
        """Return the outcome of a task's latest attempt; None while there is none."""
        return self.outcomes.get(self.latest_key(task, round_number))

    def latest_key(self, task: str, round_number: int) -> str:
        """Return the key a task is tried under now: a retry that a person asked for gets a new one."""
        return self.tries(task, round_number)[-1]

    def tries(self, task: str, round_number: int) -> list[str]:
        """Return the keys a task was tried under, and the one it is tried under now."""
        name = self.campaign.name if self.campaign else ""
        keys, n = [task_key(name, round_number, task, 0)], 0
        while keys[-1] in self.superseded or ((fault := self.faults.get(keys[-1])) and fault.answer in AGAIN):
            n += 1
            keys.append(task_key(name, round_number, task, n))
        return keys

    def digest(self) -> str:
        """Return the sha256 of the state, leaving out how it was come by: starts, and hand-overs on the way."""
        way: dict[str, Any] = {n: {} for n in ("attempts", "accepted", "took_s", "in_flight", "stations")}
        body = replace(self, n_starts=0, started=None, started_before=None, **way)
        return hashlib.sha256(json.dumps(body, sort_keys=True, default=_plain).encode()).hexdigest()


def task_key(campaign: str, round_number: int, task: str, attempt: int) -> str:
    """Name one try of one task for ever: first.r2.run-0, and first.r2.run-0.1 for its first retry."""
    return f"{campaign}.r{round_number}.{task}" + (f".{attempt}" if attempt else "")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Proposal):
        return value.digest  # when a plate will end was learned on the way, and stands in its summary
    return {f.name: getattr(value, f.name) for f in fields(value)}
