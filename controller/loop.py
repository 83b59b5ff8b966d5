"""The scan loop: observe, fold, decide, act. Like a PLC: no coroutines, no hidden state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from controller.actions import Action, Compute, Note, Operate, Resubmit, Wait, read_command
from controller.decide import decide
from controller.durations import usually_s
from controller.executor import Executor, Job
from controller.faults import unknown_fate
from controller.floor import turns
from controller.recipe import Plan
from controller.state import Intent, LabState, fold
from controller.store import Event, NewEvent, RowWrite
from controller.timing import Due, Remembered, Shut, always_open
from drivers.ports import Clock, Device, Report, Status
from nextplate.errors import NeedsOperator, Transient

JSON = Mapping[str, Any]
_SCAN_S = 0.5
_PATIENCE = 0.01
"""Share of an action's age after which a device that does not say when it will be ready is asked again."""
_AT_ONCE = timedelta(minutes=1)
"""What ended no longer ago than this was noticed at once."""


class Journal(Protocol):
    """What the loop needs of the store."""

    def append(
        self, events: Sequence[NewEvent], rows: Sequence[RowWrite] = (), *, expected_seq: int | None = None
    ) -> tuple[Event, ...]:
        """Append events and the rows that follow from them, in one transaction."""


@dataclass(frozen=True, slots=True)
class Rim:
    """The effects the loop needs beside journal, devices and executor."""

    resolve: Callable[[LabState, Compute], Compute]
    """Replace @library, @stock and @tips by paths of files that hold them now, for the campaign in focus."""
    rows: Callable[[str, str, Intent, JSON, str], tuple[Sequence[RowWrite], JSON]]
    """From a campaign, a status, a result and a message make the projected rows, and the result as the journal shall
    keep it."""
    inbox: Callable[[LabState], tuple[Sequence[tuple[str, str | None, JSON]], Sequence[RowWrite]]]
    """Operator decisions not yet in the journal, each with its kind of event and its campaign, and the rows that mark
    them taken."""
    watch: Callable[[Event], None]
    """Told of every event as it is written; for progress."""
    wakes: Callable[[LabState, bool], datetime | None] = lambda _state, _is_idle: None
    """Tell when to look at sensors again, given whether nothing else can come; None: nobody waits for any."""


@dataclass(slots=True)
class Loop:
    """Runs the campaigns of a lab. The journal decides what is true; this object only carries its folded state."""

    lab: Path
    plans: Sequence[Plan]
    """At least one."""
    journal: Journal
    clock: Clock
    executor: Executor
    devices: Mapping[str, Device]
    rim: Rim
    state: LabState
    head: int
    """Sequence number of the last event folded."""
    facts: JSON = field(default_factory=dict)
    """What the journal is told of this start."""
    closed: Shut = always_open
    is_stopping: bool = False
    """Set from a signal handler: end after the present scan."""
    _known: set[str] = field(default_factory=set)
    """Keys this process has handed over or found under way; the rest came from before a crash."""
    _due: Due = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing foreseen."""
        self._due = Remembered(lambda: self.head, self.closed)

    def run(self) -> None:
        """Scan until every campaign is over, a person is needed, or somebody asks to stop."""
        only = self.plans[0].name if len(self.plans) == 1 else None
        self._record([NewEvent("controller.started", self.clock.now(), only, self.facts)])
        while not self.is_stopping:
            running = self._observe()
            if self.is_stopping:
                return
            if self.clock.is_virtual and self._is_computing(running):
                self.executor.wait(_SCAN_S)  # nothing may happen meanwhile: in virtual time there is no meanwhile
                continue
            waits, is_idle = self._take_turns()
            if is_idle and not self._rest(waits, running):
                return

    def _take_turns(self) -> tuple[list[Wait], bool]:
        """Let every campaign do what it can now; return what they wait for, and whether nobody did anything."""
        waits: list[Wait] = []
        is_idle = True
        for plan in turns(self.state, self.clock.now(), self.plans):
            view = self.state.focused(plan.name)
            for action in decide(view, self.clock.now(), plan, self.plans, self._due, self.closed):
                if isinstance(action, Wait):
                    waits.append(action)
                else:
                    is_idle = False
                    self._act(plan.name, action)
        return waits, is_idle

    def _observe(self) -> dict[str, Report]:
        """Poll what is in flight and the operators; journal what is new; return the reports still running."""
        decisions, taken = self.rim.inbox(self.state)
        if decisions:
            now = self.clock.now()
            self._record([NewEvent(kind, now, name, told) for kind, name, told in decisions], taken)
        if self.clock.is_virtual and (computing := self._computing()):
            return computing
        running: dict[str, Report] = {}
        for intent in self.state.pending():
            report = self._ask(intent)
            self._take_word(intent, report)
            if report.status is Status.RUNNING:
                running[intent.key] = report
        return running

    def _computing(self) -> dict[str, Report]:
        """Return the computing steps that still run: in virtual time they take none, and are waited for together.

        So two runs of several campaigns write the same journal, whichever step ends first, and however long it takes.
        """
        asked = {i.key: self._ask(i) for i in self.state.pending() if "step" in i.action}
        return {key: report for key, report in asked.items() if report.status is Status.RUNNING}

    def _take_word(self, intent: Intent, report: Report) -> None:
        """Journal what is new about an action."""
        if report.status in (Status.DONE, Status.FAILED):
            self._conclude(intent, report)
        elif report.status is Status.UNKNOWN and not self.state.doubted(intent.key):
            self._note(self._owner(intent.key), unknown_fate(intent, report.message))
        elif report.status is Status.NOT_FOUND and self._was_taken(intent.key):
            lost = unknown_fate(intent, "the device took it and knows nothing of it now")
            self._note(self._owner(intent.key), lost)
        elif report.status is Status.RUNNING and self._is_news(intent):
            self._note(self._owner(intent.key), Note("accepted", {"key": intent.key}))

    def _is_news(self, intent: Intent) -> bool:
        """Tell whether it was not known, or doubted, that a device has an action."""
        is_known = intent.key in self.state.accepted and not self.state.doubted(intent.key)
        return "step" not in intent.action and not is_known

    def _owner(self, key: str) -> str:
        """Return the campaign of a key; that of a campaign nobody knows is told as the first one's."""
        return self.state.owner(key) or self.plans[0].name

    def _ask(self, intent: Intent) -> Report:
        """Poll a key; one from before a crash is looked up first, and handed over if it never arrived."""
        if "step" in intent.action:
            self._compute(intent)
            return self.executor.poll(intent.key)
        device = self._port(intent)
        if intent.key in self._known:
            return device.poll(intent.key)
        report = device.lookup(intent.key)
        if report.status is Status.NOT_FOUND and not self.state.attempts.get(intent.key):
            if not self._may_hand_over(intent):
                return report
            self._operate(intent)
            report = device.poll(intent.key)
        elif report.status is Status.DONE:
            return report  # it ended while nobody looked
        self._known.add(intent.key)
        return report

    def _port(self, intent: Intent) -> Device:
        """Return the device that an action was given to."""
        return self.devices[intent.action.get("unit") or intent.action["device"]]

    def _was_taken(self, key: str) -> bool:
        """Tell whether the device has certainly taken a key; then it must not forget it, and nothing is repeated."""
        s = self.state
        is_taken = key in s.accepted or (key in self._known and key not in s.attempts)
        return is_taken and not (key in s.outcomes or s.doubted(key))

    def _may_hand_over(self, intent: Intent) -> bool:
        """Tell whether what a killed process announced may still be begun: not against anybody's word."""
        name = self._owner(intent.key)
        s = self.state.focused(name)
        is_stopped = s.is_paused or s.is_aborted or s.is_finished or name not in [plan.name for plan in self.plans]
        is_spoken_for = intent.key in s.faults or intent.key in s.accepted
        return not (is_stopped or is_spoken_for or intent.action["device"] in s.suspended)

    def _conclude(self, intent: Intent, report: Report) -> None:
        status, name = "done" if report.status is Status.DONE else "failed", self._owner(intent.key)
        rows, result = self.rim.rows(name, status, intent, report.result, report.message)
        payload = {"key": intent.key, "status": status, "result": result, "message": report.message}
        now = self.clock.now()
        self._record([NewEvent("outcome", now, name, payload | self._ended(intent, report, now))], rows)

    def _ended(self, intent: Intent, report: Report, now: datetime) -> dict[str, str]:
        """Tell when a device ended, where that was before it was noticed: an incubation counts from there."""
        if intent.activity is None or report.status is not Status.DONE:
            return {}
        then, by = report.ended_at, "device"
        if then is None and (intent.key not in self._known or self.state.doubted(intent.key)):
            then, by = (
                self._handed_over(intent) + timedelta(seconds=usually_s(self.state.took_s, intent.activity)),
                "usual",
            )
        if then is None or now - then <= _AT_ONCE:
            return {}
        return {"ended": max(then, intent.time).isoformat(), "ended_by": by}

    def _handed_over(self, intent: Intent) -> datetime:
        """Return the latest time at which a device may have been given an action first, by all that is known.

        An earlier process that found it pending may have handed it over and died before it could say so.
        """
        s = self.state
        heard = (s.accepted.get(intent.key), *s.attempts.get(intent.key, ()), s.started_before)
        return max([intent.time, *(time for time in heard if time is not None)])

    def _tell(self, told: Note) -> None:
        """Conclude an action of unknown fate from a person's word."""
        status = Status.DONE if told.payload["status"] == "done" else Status.FAILED
        intent = self.state.intents[told.payload["key"]]
        self._conclude(intent, Report(status, told.payload["result"], told.payload["message"]))

    def _act(self, campaign: str, action: Action) -> None:
        match action:
            case Note(kind="outcome"):
                self._tell(action)
            case Note():
                self._note(campaign, action)
            case Resubmit(key):
                self._hand_over_again(self.state.intents[key])
            case Compute() | Operate():
                self._announce(campaign, action)

    def _note(self, campaign: str, note: Note) -> None:
        self._record([NewEvent(note.kind, self.clock.now(), campaign, note.payload)])

    def _announce(self, campaign: str, action: Compute | Operate) -> None:
        """Commit the intent, then try it."""
        if isinstance(action, Compute):
            action = self.rim.resolve(self.state.focused(campaign), action)
        payload = {"key": action.key, "task": action.task, "round": action.round, "action": action.body()}
        self._record([NewEvent("intent", self.clock.now(), campaign, payload)])
        intent = self.state.intents[action.key]
        self._known.add(action.key)
        if isinstance(action, Compute):
            self._compute(intent)
        else:
            self._operate(intent)

    def _compute(self, intent: Intent) -> None:
        a = intent.action
        self.executor.submit(Job(intent.key, a["step"], a["inputs"], a["params"]))

    def _operate(self, intent: Intent) -> None:
        device = self._port(intent)
        try:
            device.submit(read_command(intent.action["command"], self.lab), intent.key)
        except Transient as error:
            self._attempt(intent, str(error))
        except NeedsOperator as error:
            self._conclude(intent, Report(Status.FAILED, {"begun": 0}, str(error)))

    def _attempt(self, intent: Intent, message: str) -> None:
        payload = {"key": intent.key, "message": message}
        self._record([NewEvent("attempt", self.clock.now(), self._owner(intent.key), payload)])

    def _hand_over_again(self, intent: Intent) -> None:
        """Submit once more, but only where the device is certain that it never had the key."""
        report = self._port(intent).lookup(intent.key)
        if report.status is Status.NOT_FOUND:
            self._operate(intent)

    def _record(self, events: Sequence[NewEvent], rows: Sequence[RowWrite] = ()) -> None:
        written = self.journal.append(events, rows, expected_seq=self.head)
        self.state = fold(written, self.state)
        self.head = written[-1].seq if written else self.head
        for event in written:
            self.rim.watch(event)

    def _rest(self, waits: Sequence[Wait], running: Mapping[str, Report]) -> bool:
        """Wait for whatever comes first; False when nothing can come without a person, or nothing is left."""
        if self._is_computing(running):
            self.executor.wait(_SCAN_S)
            return True
        times = [wait.until for wait in waits]
        now = self.clock.now()
        times += [r.ready_at if r.ready_at and r.ready_at > now else self._soon(k, now) for k, r in running.items()]
        if look := self.rim.wakes(self.state, not times):
            times.append(look)
        if not times:
            return False
        self.clock.wait_until(self._wake(min(times)))
        return True

    def _is_computing(self, running: Mapping[str, Report]) -> bool:
        return any("step" in self.state.intents[key].action for key in running)

    def _soon(self, key: str, now: datetime) -> datetime:
        """Return when a device is asked again that is later than it said: in a moment, later the longer it takes."""
        age_s = (now - self.state.intents[key].time).total_seconds()
        return now + timedelta(seconds=max(_SCAN_S, _PATIENCE * age_s))

    def _wake(self, when: datetime) -> datetime:
        """A real clock wakes now and then to see what operators want; a virtual one jumps."""
        if self.clock.is_virtual:
            return when
        return min(when, self.clock.now() + timedelta(seconds=_SCAN_S))
