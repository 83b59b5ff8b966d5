"""The Executor port and its local form: worker processes that run computing steps.

A worker is ``python -m controller.worker``; jobs go in and reports come out as JSON lines. It ends when its
standard input does, so a controller killed outright leaves no worker behind for longer than one step, and what
such a worker still finishes is a valid, content-addressed result that the next controller will find.
"""

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drivers.ports import Report, Status
from nextplate.errors import DiskFull, StepError

_MAX_DEATHS = 3
"""Workers that may die over one job before it is reported as failed."""

Progress = Callable[[str, int, int], None]
"""Called with step, done, total."""


@dataclass(frozen=True, slots=True)
class Job:
    """One computing step to run."""

    key: str
    step: str
    inputs: Mapping[str, str]
    """Name -> path relative to the lab folder."""
    params: Mapping[str, Any]

    def line(self) -> str:
        """Write the job for a worker."""
        body = {"key": self.key, "step": self.step, "inputs": dict(self.inputs), "params": dict(self.params)}
        return json.dumps(body) + "\n"


class Executor(Protocol):
    """Runs jobs somewhere; submitting a key again changes nothing."""

    def submit(self, job: Job) -> None:
        """Hand over a job."""

    def poll(self, key: str) -> Report:
        """Tell how a job stands; NOT_FOUND when this executor never had it."""

    def wait(self, timeout_s: float) -> None:
        """Return when something has changed or the time is over."""

    def close(self) -> None:
        """Stop; unfinished jobs are dropped, they can be run again."""


@dataclass(slots=True)
class _Worker:
    process: "subprocess.Popen[str]"
    job: Job | None = None


@dataclass(slots=True)
class LocalExecutor:
    """Worker processes on this machine, started when first needed."""

    lab: Path
    n_workers: int = 1
    progress: Progress | None = None
    _reports: dict[str, Report] = field(default_factory=dict)
    _deaths: dict[str, int] = field(default_factory=dict)
    _full: dict[str, str] = field(default_factory=dict)
    _queue: "deque[Job]" = field(default_factory=deque)
    _workers: list[_Worker] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_closed: bool = False

    def submit(self, job: Job) -> None:
        """Queue a job unless its key is known."""
        with self._changed:
            if job.key in self._reports:
                return
            self._reports[job.key] = Report(Status.RUNNING)
            self._queue.append(job)
            self._feed()

    def poll(self, key: str) -> Report:
        """Tell how a job stands.

        Raises:
            DiskFull: it found no room. That is no outcome: the job can be run again once there is some.
        """
        with self._changed:
            if key in self._full:
                raise DiskFull(self._full[key])
            return self._reports.get(key, Report(Status.NOT_FOUND))

    def wait(self, timeout_s: float) -> None:
        """Return when a job has ended or the time is over."""
        with self._changed:
            self._changed.wait(timeout_s)

    def close(self) -> None:
        """Stop the workers at once."""
        with self._changed:
            self._is_closed = True
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                # What is still in the pipe to a dead worker cannot be written any more.
                with suppress(BrokenPipeError):
                    pipe.close() if pipe else None

    def _feed(self) -> None:
        while self._queue:
            worker = self._idle_worker()
            if worker is None:
                return
            job = self._queue.popleft()
            worker.job = job
            stdin = worker.process.stdin
            if stdin is None:
                raise StepError("a worker was started without a pipe")
            # A worker that has just died is mourned by its listener, which puts the job back.
            with suppress(BrokenPipeError):
                stdin.write(job.line())
                stdin.flush()

    def _idle_worker(self) -> _Worker | None:
        idle = next((w for w in self._workers if w.job is None and w.process.poll() is None), None)
        if idle is not None or sum(w.process.poll() is None for w in self._workers) >= self.n_workers:
            return idle
        return self._start()

    def _start(self) -> _Worker:
        command = [sys.executable, "-m", "controller.worker", str(self.lab)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        worker = _Worker(process)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        for line in worker.process.stdout or ():
            self._take(worker, json.loads(line))
        self._mourn(worker)

    def _take(self, worker: _Worker, said: Mapping[str, Any]) -> None:
        if said["kind"] == "progress":
            if self.progress:
                self.progress(said["step"], said["done"], said["total"])
            return
        status = Status.DONE if said["kind"] == "done" else Status.FAILED
        with self._changed:
            if said["kind"] == "full":
                self._full[said["key"]] = said["message"]
            self._reports[said["key"]] = Report(status, said["result"], said["message"])
            worker.job = None
            self._feed()
            self._changed.notify_all()

    def _mourn(self, worker: _Worker) -> None:
        """Run the job of a worker that died once more, for a computation may be repeated freely; then report it."""
        with self._changed:
            if worker.job is None or self._is_closed:
                return
            code = worker.process.wait()
            deaths = self._deaths[worker.job.key] = self._deaths.get(worker.job.key, 0) + 1
            if deaths < _MAX_DEATHS:
                self._queue.appendleft(worker.job)
                worker.job = None
                self._feed()
                return
            message = f"the worker process died (exit code {code}); see logs/worker.log in the lab folder"
            self._reports[worker.job.key] = Report(Status.FAILED, {}, message)
            worker.job = None
            self._feed()
            self._changed.notify_all()
