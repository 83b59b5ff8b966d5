"""The stage of a rehearsal: a journal in memory, a clock that jumps, devices that only take their time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from controller.durations import drawn_s
from controller.executor import Executor, Job
from controller.state import Intent, LabState
from controller.store import Event, NewEvent, RowWrite
from drivers.ports import (
    AcquirePlate,
    DispensePlate,
    FetchPlate,
    MovePlates,
    ReadBarcode,
    Report,
    RunLoad,
    ShakePlate,
    Status,
    StorePlate,
    WashPlate,
)
from nextplate.errors import NeedsOperator

_VERBS: Mapping[type, str] = {
    MovePlates: "move",
    RunLoad: "run-load",
    StorePlate: "store",
    FetchPlate: "fetch",
    WashPlate: "wash",
    DispensePlate: "dispense",
    ShakePlate: "shake",
    ReadBarcode: "read",
    AcquirePlate: "acquire",
}
PLANNED = frozenset(("fit", "calibrate", "pick", "layout", "compile", "check", "propose"))
"""Steps that are run for real."""


@dataclass(slots=True)
class JumpingClock:
    """Virtual time that starts now."""

    time: datetime
    is_virtual: bool = True

    def now(self) -> datetime:
        """Return the rehearsed time."""
        return self.time

    def wait_until(self, when: datetime) -> None:
        """Jump."""
        self.time = max(self.time, when)


@dataclass(slots=True)
class MemoryJournal:
    """Keeps what a rehearsal decides; it goes on from the lab's journal and never reaches it."""

    seq: int

    def append(
        self, events: Sequence[NewEvent], rows: Sequence[RowWrite] = (), *, expected_seq: int | None = None
    ) -> tuple[Event, ...]:
        """Number the events; rows are nobody's."""
        del rows, expected_seq
        made = []
        for event in events:
            self.seq += 1
            payload = json.loads(json.dumps(event.payload))
            made.append(Event(self.seq, event.time, event.kind, event.campaign, payload, "", ""))
        return tuple(made)


@dataclass(slots=True)
class Player:
    """Plays a device: takes as long as it usually does, and does nothing."""

    kind: str
    clock: JumpingClock
    state: LabState
    rng: np.random.Generator
    is_broken: bool = False
    """It fails whatever it is given from now on."""
    _ends: dict[str, tuple[datetime, dict[str, Any]]] = field(default_factory=dict)

    def submit(self, command: Any, key: str) -> None:
        """Take a command.

        Raises:
            NeedsOperator: the device is taken to be broken.
        """
        if self.is_broken:
            raise NeedsOperator(f"the {self.kind} fails")
        self._take(key, _VERBS[type(command)], _result(command), self.clock.now())

    def poll(self, key: str) -> Report:
        """Tell how a command stands."""
        if key not in self._ends:
            return Report(Status.NOT_FOUND)
        ready, result = self._ends[key]
        if self.clock.now() < ready:
            return Report(Status.RUNNING, ready_at=ready)
        return Report(Status.DONE, result, ended_at=ready)

    def lookup(self, key: str) -> Report:
        """Tell how a command stands; one that the real device has is taken to go on as usual."""
        intent = self.state.intents.get(key)
        if key not in self._ends and intent is not None and key in self.state.accepted:
            self._take(key, intent.action["command"]["verb"], _expected(intent), intent.time)
        return self.poll(key)

    def _take(self, key: str, verb: str, result: dict[str, Any], since: datetime) -> None:
        seconds = drawn_s(self.state.took_s, f"{self.kind} {verb}", self.rng)
        self._ends[key] = since + timedelta(seconds=seconds), result


def _result(command: Any) -> dict[str, Any]:
    match command:
        case MovePlates(moves):
            return {"moved": [move.barcode for move in moves]}
        case AcquirePlate(barcode):
            return {"folder": f"readouts/{barcode}", "images": 0}
        case _:
            return {}


def _expected(intent: Intent) -> dict[str, Any]:
    moves = intent.action["command"].get("moves", ())
    return {"moved": [barcode for barcode, _, _ in moves]} if moves else {}


@dataclass(slots=True)
class Remembering:
    """Runs planning steps for real, once for all rehearsals, and nothing else."""

    real: Executor
    done: dict[str, Report] = field(default_factory=dict)
    """By key; shared by the rehearsals."""

    def submit(self, job: Job) -> None:
        """Run a planning step unless it is done; what a night measures is not known yet, and counts as done."""
        if job.step not in PLANNED:
            self.done[job.key] = Report(Status.DONE, {"folder": "", "summary": {"passed": True, "reasons": []}})
        elif job.key not in self.done:
            self.real.submit(job)

    def poll(self, key: str) -> Report:
        """Tell how a step stands."""
        if key in self.done:
            return self.done[key]
        report = self.real.poll(key)
        if report.status in (Status.DONE, Status.FAILED):
            self.done[key] = report
        return report

    def wait(self, timeout_s: float) -> None:
        """Wait for the real ones."""
        self.real.wait(timeout_s)

    def close(self) -> None:
        """Leave the real one open for the next rehearsal."""
