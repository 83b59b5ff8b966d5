"""What all simulated devices share: a memory of commands by key, and work played step by step on virtual time.

A command is a list of steps with fixed times (physics plus a jitter seeded by its key). Playing a step changes
the world, writes the device's log and moves the command forward, all in one transaction: exactly once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.ports import Report, Status
from nextplate.errors import NeedsOperator, Transient
from sim.seeds import chance, generator
from sim.settings import FaultKind
from sim.world import World, from_ms

CHUNK = 32
"""Steps played in one transaction at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a device will do for a command."""

    body: dict[str, Any]
    """JSON values the steps need; the device's own copy of the command."""
    durations_s: Sequence[float]
    """One per step."""
    first_result: dict[str, Any]
    """The result before the first step; a FAILED report carries at least this."""
    jitter: float = 0.04
    """Relative standard deviation of the durations; 0 where the device has a timer."""


@dataclass(slots=True)
class Work:
    """A command in a device's memory, as far as it has come."""

    seq: int
    key: str
    body: dict[str, Any]
    times_ms: list[int]
    faults: frozenset[FaultKind]
    n_done: int
    ready_ms: int
    status: Status
    result: dict[str, Any]
    message: str

    @classmethod
    def of(cls, row: Any) -> "Work":
        """Read a row of the table commands."""
        faults = frozenset(FaultKind(name) for name in json.loads(row["faults"]))
        body, times, result = (json.loads(row[name]) for name in ("body", "times", "result"))
        status = Status(row["status"])
        return cls(
            row["seq"], row["key"], body, times, faults, row["n_done"], row["ready_ms"], status, result, row["message"]
        )

    @property
    def next_ms(self) -> int:
        """When the next step is due."""
        return self.times_ms[min(self.n_done, len(self.times_ms) - 1)]

    @property
    def last_ms(self) -> int:
        """When the last step fell that was played."""
        return self.times_ms[min(max(self.n_done, 1), len(self.times_ms)) - 1]

    def is_due(self, limit_ms: int) -> bool:
        """Tell whether another step falls at or before a time."""
        return self.status is Status.RUNNING and self.n_done < len(self.times_ms) and self.next_ms <= limit_ms

    def fail(self, message: str) -> None:
        """End the command; what has been done stays in the result."""
        self.status, self.message = Status.FAILED, message

    def step_done(self) -> None:
        """Count a step; the last one ends the command."""
        self.n_done += 1
        if self.status is Status.RUNNING and self.n_done == len(self.times_ms):
            self.status = Status.DONE


class SimDevice:
    """A device behind a port; subclasses plan a command and play its steps."""

    name: str

    def __init__(self, world: World) -> None:
        self._world = world

    def submit(self, command: Any, key: str) -> None:
        """Hand over a command under a key; a key the device has already changes nothing.

        Raises:
            Transient: the device is busy, refuses, does not answer, or its reply was lost.
            NeedsOperator: the command makes no sense to the device; nothing moved.
        """
        with self._world.lock:
            if self._is_offline():
                raise Transient(f"the {self.name} does not answer")
            if self._row(key) is not None:
                return
            self._refuse_if_unlucky(key)
            self._refuse_if_busy(key)
            plan = self._plan(command)
            if self._accept(plan, key):
                raise Transient(f"the {self.name} took too long to answer command {key}; it may have it or not")

    def poll(self, key: str) -> Report:
        """Tell how the command stands."""
        if self._is_offline():
            return Report(Status.UNKNOWN, message=f"the {self.name} does not answer")
        row = self._row(key)
        if row is None:
            return Report(Status.NOT_FOUND)
        work = Work.of(row)
        if work.status is Status.RUNNING:
            is_silent = FaultKind.STALL in work.faults
            return Report(Status.RUNNING, ready_at=None if is_silent else from_ms(work.ready_ms))
        return Report(work.status, work.result, work.message, ended_at=from_ms(work.last_ms))

    def lookup(self, key: str) -> Report:
        """Tell how the command stands after a crash, from the device's own memory."""
        return self.poll(key)

    def play(self, row: Any, limit_ms: int) -> None:
        """Play the due steps of one command, CHUNK at most, and move the world's time to the last of them."""
        work = Work.of(row)
        with self._world.transaction():
            for _ in range(CHUNK):
                if not work.is_due(limit_ms):
                    break
                now_ms = work.next_ms
                self._step(work, now_ms)
                work.step_done()
            self._save(work, now_ms)

    def _plan(self, command: Any) -> Plan:
        raise NotImplementedError

    def _step(self, work: Work, now_ms: int) -> None:
        raise NotImplementedError

    def _possible_faults(self) -> tuple[FaultKind, ...]:
        """Return the faults drawn once per command of this device."""
        return (FaultKind.REPLY_LOST,)

    def _save(self, work: Work, now_ms: int) -> None:
        sql = "UPDATE commands SET n_done = ?, next_ms = ?, status = ?, result = ?, message = ? WHERE seq = ?"
        result = json.dumps(work.result)
        self._world.run(sql, (work.n_done, work.next_ms, work.status.value, result, work.message, work.seq))
        self._world.set_meta("now_ms", now_ms)

    def _row(self, key: str) -> Any:
        return self._world.row("SELECT * FROM commands WHERE device = ? AND key = ?", (self.name, key))

    def _is_offline(self) -> bool:
        sql = "SELECT 1 FROM injected WHERE device = ? AND kind = ?"
        return self._world.row(sql, (self.name, FaultKind.OFFLINE.value)) is not None

    def _refuse_if_unlucky(self, key: str) -> None:
        """Refuse on the first attempt only, so that trying again with the same key helps."""
        rate = self._world.settings.faults.refused
        seen = self._world.row("SELECT n FROM attempts WHERE device = ? AND key = ?", (self.name, key))
        is_unlucky = seen is None and chance(self._world.settings.seed, "refused", self.name, key) < rate
        sql = "SELECT seq FROM injected WHERE device = ? AND kind = ? ORDER BY seq LIMIT 1"
        injected = self._world.row(sql, (self.name, FaultKind.REFUSED.value))
        if not (is_unlucky or injected):
            return
        with self._world.transaction():
            self._world.run("INSERT OR IGNORE INTO attempts VALUES (?, ?, 1)", (self.name, key))
            if injected:
                self._world.run("DELETE FROM injected WHERE seq = ?", (injected["seq"],))
        raise Transient(f"the {self.name} refused command {key}; it has not been taken, try again")

    def _refuse_if_busy(self, key: str) -> None:
        sql = "SELECT key FROM commands WHERE device = ? AND status = 'running'"
        busy = self._world.row(sql, (self.name,))
        if busy:
            raise Transient(f"the {self.name} is busy with {busy['key']}; command {key} was not taken")

    def _accept(self, plan: Plan, key: str) -> bool:
        """Store the command; return True when the reply is lost."""
        with self._world.transaction():
            faults = self._draw_faults(key)
            times, ready_ms = self._times(plan, key, faults)
            texts = [json.dumps(item) for item in (plan.body, times, sorted(faults))]
            self._world.run(
                "INSERT INTO commands(device, key, body, times, faults, n_done, next_ms, ready_ms, status, result, "
                "message) VALUES (?, ?, ?, ?, ?, 0, ?, ?, 'running', ?, '')",
                (self.name, key, *texts, times[0], ready_ms, json.dumps(plan.first_result)),
            )
        return FaultKind.REPLY_LOST in faults

    def _draw_faults(self, key: str) -> set[FaultKind]:
        settings = self._world.settings
        drawn = {
            kind for kind in self._possible_faults()
            if chance(settings.seed, kind, self.name, key) < settings.faults.rate(kind)
        }  # fmt: skip
        for row in self._world.rows("SELECT seq, kind FROM injected WHERE device = ? ORDER BY seq", (self.name,)):
            kind = FaultKind(row["kind"])
            if kind not in drawn:
                drawn.add(kind)
                self._world.run("DELETE FROM injected WHERE seq = ?", (row["seq"],))
        return drawn

    def _times(self, plan: Plan, key: str, faults: set[FaultKind]) -> tuple[list[int], int]:
        """Return when each step is due, and when the device expects to be ready (it foresees no stall)."""
        settings = self._world.settings
        jitter = generator(settings.seed, "duration", self.name, key).normal(1.0, plan.jitter, len(plan.durations_s))
        ends, at_ms, start_ms = [], 0.0, self._world.now_ms()
        for duration_s, factor in zip(plan.durations_s, jitter, strict=True):
            at_ms += 1000.0 * duration_s * max(0.5, float(factor))
            ends.append(start_ms + int(at_ms))
        ready_ms = ends[-1]
        if FaultKind.STALL in faults:
            half = len(ends) // 2
            ends[half:] = [end + int(1000 * settings.faults.stall_s) for end in ends[half:]]
        return ends, ready_ms

    def _wrong_command(self, command: Any) -> NeedsOperator:
        return NeedsOperator(f"the {self.name} does not take a {type(command).__name__}")
