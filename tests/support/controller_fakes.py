"""Hand-written fakes for the controller: a journal that can die, devices with a memory, an executor."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from controller.executor import Job
from controller.loop import Loop, Rim
from controller.operators import addressed
from controller.recipe import BENCH, Plan
from controller.settings import Settings
from controller.state import LabState, fold
from controller.store import Event, NewEvent, RowWrite
from drivers.ports import MovePlates, Report, RunLoad, Status
from nextplate.errors import NeedsOperator, Transient

START = datetime(2026, 1, 5, 17, tzinfo=UTC)


class Killed(BaseException):
    """The process dies here."""


@dataclass
class FakeClock:
    time: datetime = START
    is_virtual: bool = True

    def now(self) -> datetime:
        return self.time

    def wait_until(self, when: datetime) -> None:
        self.time = max(self.time, when)


@dataclass
class FakeJournal:
    """In memory; dies just before or just after the n-th commit."""

    events: list[Event] = field(default_factory=list)
    rows: list[RowWrite] = field(default_factory=list)
    n_appends: int = 0
    die_at: int | None = None
    die_after_commit: bool = False

    def append(
        self, events: Sequence[NewEvent], rows: Sequence[RowWrite] = (), *, expected_seq: int | None = None
    ) -> tuple[Event, ...]:
        assert expected_seq == len(self.events)
        self.n_appends += 1
        if self.n_appends == self.die_at and not self.die_after_commit:
            raise Killed
        payloads = [json.loads(json.dumps(e.payload)) for e in events]
        seqs = range(len(self.events) + 1, len(self.events) + 1 + len(events))
        written = tuple(
            Event(seq, e.time, e.kind, e.campaign, p, "", "") for seq, e, p in zip(seqs, events, payloads, strict=True)
        )
        self.events += written
        self.rows += rows
        if self.n_appends == self.die_at:
            raise Killed
        return written


@dataclass
class FakeDevice:
    """Remembers keys over a crash, like a device's own controller; ``log`` is what physically happened."""

    clock: FakeClock
    log: list[tuple[str, Any]] = field(default_factory=list)
    memory: dict[str, tuple[Any, datetime]] = field(default_factory=dict)
    lose_reply: set[str] = field(default_factory=set)
    refuse: dict[str, int] = field(default_factory=dict)
    reject: dict[str, str] = field(default_factory=dict)
    fail: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    die_before_submit: str | None = None
    die_after_submit: str | None = None
    forget_at_poll: str | None = None
    delays: dict[str, timedelta] = field(default_factory=dict)
    """How much longer than told a key takes; the device says nothing of when it will be ready."""
    takes: dict[str, timedelta] = field(default_factory=dict)
    """How long a task takes, where it is not seven minutes."""
    says_when: bool = True
    """It tells when a command ended."""

    def submit(self, command: Any, key: str) -> None:
        if key == self.die_before_submit:
            self.die_before_submit = None
            raise Killed
        if self.refuse.get(key, 0) > 0:
            self.refuse[key] -= 1
            raise Transient("busy")
        if key in self.reject:
            raise NeedsOperator(self.reject[key])
        if key not in self.memory:
            self.log.append((key, command))
            takes = self.takes.get(key.split(".")[2], timedelta(minutes=7))
            self.memory[key] = (command, self.clock.now() + takes)
        if key == self.die_after_submit:
            self.die_after_submit = None
            raise Killed
        if key in self.lose_reply:
            self.lose_reply.discard(key)
            raise Transient("no reply")

    def poll(self, key: str) -> Report:
        if key in self.unknown:
            return Report(Status.UNKNOWN, {}, "memory lost")
        if key not in self.memory:
            return Report(Status.NOT_FOUND)
        command, ready = self.memory[key]
        if key == self.forget_at_poll and self.clock.now() >= ready:
            return Report(Status.NOT_FOUND)
        if self.clock.now() < ready + self.delays.get(key, timedelta(0)) and key in self.delays:
            return Report(Status.RUNNING)
        if self.clock.now() < ready:
            return Report(Status.RUNNING, ready_at=ready)
        if key in self.fail:
            return Report(Status.FAILED, self.fail[key], "stopped")
        ended = ready + self.delays.get(key, timedelta(0))
        return Report(Status.DONE, _result(command), ended_at=ended if self.says_when else None)

    lookup = poll


def _result(command: Any) -> dict[str, Any]:
    if isinstance(command, MovePlates):
        return {"moved": [m.barcode for m in command.moves]}
    if isinstance(command, RunLoad):
        return {"transfers": [[command.load * 2 + 1, 5000], [command.load * 2 + 2, 5000]]}
    return {"folder": f"readouts/{getattr(command, 'barcode', '')}", "images": 768}


@dataclass
class FakeExecutor:
    """Knows the answer of every step at once."""

    jobs: list[str] = field(default_factory=list)
    fail: set[str] = field(default_factory=set)
    bad_plates: set[int] = field(default_factory=set)
    shut_gates: set[int] = field(default_factory=set)
    proposes: str = ""
    """What makes a plan another one."""
    journal: FakeJournal = field(default_factory=FakeJournal)
    """Tells which barcode a plate was given."""
    _reports: dict[str, Report] = field(default_factory=dict)

    def submit(self, job: Job) -> None:
        if job.key in self._reports:
            return
        self.jobs.append(job.key)
        status = Status.FAILED if job.key in self.fail else Status.DONE
        self._reports[job.key] = Report(status, {} if job.key in self.fail else self._result(job), "")

    def poll(self, key: str) -> Report:
        return self._reports.get(key, Report(Status.NOT_FOUND))

    def wait(self, timeout_s: float) -> None:
        raise AssertionError("nothing ever computes long here")

    def close(self) -> None:
        """Nothing to stop."""

    def _barcode(self, key: str) -> str:
        layout = key[: key.rindex(f".r{_round_of(key)}.")] + f".r{_round_of(key)}.layout"
        given = (e for e in self.journal.events if e.kind == "intent" and e.payload["key"].startswith(layout))
        return next((str(e.payload["action"]["params"]["barcode"]) for e in given), "NP-0000")

    def _result(self, job: Job) -> dict[str, Any]:
        number = _round_of(job.key)
        summaries: dict[str, dict[str, Any]] = {
            "pick": {
                "n_compounds": 4, "compounds": [f"C{number}-{i}" for i in range(4)], "reasons": {"exploit": 4},
            },
            "fit": {"n_compounds": 4, "n_hits": 1, "rmse": 0.1, "rmse_error": 0.01},
            "evaluate": {"n": 0},
            "check": {"n_proven": 4, "n_transfers": 4},
            "compile": {
                "digest": "d",
                "n_transfers": 4,
                "loads": [
                    {"file": f"load-{k}.py", "deck": [["C3", self._barcode(job.key), "destination"],
                     ["D1", f"SRC-{k}", "source"], ["D2", f"TIPS-{k}", "tips"]]}
                    for k in range(2)
                ],
            },
            "propose": {
                "digest": f"{job.key}:{self.proposes}", "n_compounds": 4, "n_new_scaffolds": 3, "n_scaffolds": 4,
                "new_scaffolds": [["c1ccccc1", 2]], "n_wells": 6, "n_tips": 4, "n_loads": 2, "drawn_nl": 20_000,
                "rule": "ucb", "reasons": {"exploit": 4},
                "sources": [{"plate": "SRC-0", "n_wells": 4, "drawn_nl": 20_000, "least_left_nl": 5_000,
                             "least_left_well": "A01"}],
            },
            "admit": {"passed": False},
            "calibrate": {"is_deployed": number not in self.shut_gates},
            "normalise": {
                "passed": number not in self.bad_plates, "reasons": ["Z' 0.10 below 0.30"], "plate": f"NP-000{number}",
                "z_prime": None, "ssmd": None, "intervals": {}, "n_flagged": 0, "n_hits": 1, "n_compounds": 4,
            },
        }  # fmt: skip
        folder = f"somewhere/{job.step}-{number}"
        return {
            "folder": folder,
            "key": job.key,
            "outputs": {"load-0.py": "a", "load-1.py": "b"},
            "summary": summaries.get(job.step, {}),
        }


@dataclass
class FakeLab:
    """A whole lab of fakes that outlives the controller."""

    settings: Settings = field(default_factory=Settings)
    rounds: int = 2
    clock: FakeClock = field(default_factory=FakeClock)
    journal: FakeJournal = field(default_factory=FakeJournal)
    executor: FakeExecutor = field(default_factory=FakeExecutor)
    device: FakeDevice = field(init=False)
    inbox: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    plan: Plan = field(init=False)
    plans: list[Plan] = field(default_factory=list)
    """Of the campaigns that run; the one begun last replaces those before, unless it is to run beside them."""

    def __post_init__(self) -> None:
        self.device = FakeDevice(self.clock)
        body = json.loads(self.settings.model_dump_json(exclude={"lab", "sim"}))
        self.plan = Plan("first", 1, self.rounds, body)
        self.begin("first")

    def begin(self, name: str, *, beside: bool = False, priority: int = 0, policy: str = "auto") -> None:
        """Start a campaign, instead of those that run or beside them."""
        body = {**self.plan.settings, "campaign": {**self.plan.settings["campaign"], "priority": priority}}
        body["approval"] = {**body["approval"], "policy": policy} if beside else body["approval"]
        self.plan = Plan(name, 1, self.rounds, body)
        self.plans = [*(self.plans if beside else ()), self.plan]
        payload = {"name": name, "seed": 1, "rounds": self.rounds, "library": "L", "settings": body}
        event = NewEvent("campaign.started", self.clock.now(), name, payload)
        self.journal.append([event], expected_seq=len(self.journal.events))

    def start(self) -> Loop:
        """Start a controller process on what is there."""
        kinds = ("liquid-handler", "plate-mover", "incubator", "imager", *BENCH)
        return Loop(
            lab=Path("lab"),
            plans=self.plans,
            journal=self.journal,
            clock=self.clock,
            executor=FakeExecutor(
                fail=self.executor.fail,
                bad_plates=self.executor.bad_plates,
                shut_gates=self.executor.shut_gates,
                proposes=self.executor.proposes,
                journal=self.journal,
            ),
            devices=dict.fromkeys(kinds, self.device),
            rim=Rim(
                resolve=lambda _state, action: action,
                rows=lambda campaign, status, intent, result, message: ((), result),
                inbox=self._take,
                watch=_ignore,
            ),
            state=fold(self.journal.events),
            head=len(self.journal.events),
        )

    def _take(self, state: LabState) -> tuple[Sequence[tuple[str, str | None, Mapping[str, Any]]], Sequence[RowWrite]]:
        taken, self.inbox = self.inbox, []
        addressed_to = [addressed(state, told) for _, told in taken]
        return [(kind, name, told) for (kind, _), (name, told) in zip(taken, addressed_to, strict=True)], ()

    def run(self) -> LabState:
        """Run a controller until it ends; restart it whenever it is killed."""
        while True:
            loop = self.start()
            try:
                loop.run()
            except Killed:
                continue
            return loop.state

    def decide(self, **decision: Any) -> None:
        """Let an operator say something; about a round: about what is planned as that."""
        if decision["what"] in ("approve", "reject"):
            state = fold(self.journal.events).focused(decision.get("campaign", self.plan.name))
            asked = state.proposals.get(decision["round"])
            decision = {"digest": asked.digest if asked else "", **decision}
        self.inbox.append(("decision", {"by": "ann", **decision}))


def tasks(lab: FakeLab, name: str) -> list[str]:
    own = (e for e in lab.journal.events if e.kind == "intent" and e.campaign == name)
    return [e.payload["task"] for e in own if e.payload["round"] == 0]


def spans(events: list[Event], first: str, last: str) -> list[tuple[int, int, str]]:
    """When each campaign held something: seqs of the intent that began it and of the outcome that ended it."""
    begins = {(e.campaign, e.payload["round"]): e.seq for e in reversed(events)
              if e.kind == "intent" and e.payload["task"] == first}  # fmt: skip
    ends = {(e.campaign, int(e.payload["key"].split(".")[1][1:])): e.seq for e in events
            if e.kind == "outcome" and e.payload["key"].split(".")[2] == last}  # fmt: skip
    return sorted((begins[k], ends[k], k[0]) for k in begins)


def _round_of(key: str) -> int:
    return int(re.findall(r"\.r(\d+)\.", key)[-1])


def _ignore(_event: Event) -> None:
    return None
