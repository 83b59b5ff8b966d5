"""What all washers and dispensers share: a program runs once, and what became of each of its steps is told honestly.

A vendor's driver is a `drivers.program_handler.ProgramHandler`. The rest, which is the dangerous part, is here once.
Before a program: the device stands still without an error and has the program. Each step is written down
(`drivers.program_trace`) before its frame goes out, and again when the device was seen to end it. After a crash the
device is only read: a step that runs is waited for; one that was seen to end is done; one that was offered to a device
that now stands still is a person's, as no washer remembers what it did. The port is let go after each command, so that
a washer and a dispenser in one case can share it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from drivers.deadline import Deadline
from drivers.ports import DispensePlate, Report, Status, WashPlate
from drivers.program_handler import How, Outcome, Pace, Program, ProgramHandler
from drivers.program_trace import Mark, Trace
from drivers.worker_memory import JSON
from nextplate.errors import DeviceError, NeedsOperator

_TIDY_S = 4.0
"""Less than drivers.worker.GRACE_S, lest a program that ended well is told of as hanging."""


class ProgramMachine:
    """Washes or dispenses (drivers.worker.Machine)."""

    def __init__(self, kind: str, handler: ProgramHandler, trace: Trace, pace: Pace) -> None:
        self.name = kind
        self.takes: tuple[type, ...] = (WashPlate,) if kind == "washer" else (DispensePlate,)
        self._handler, self._trace, self._pace = handler, trace, pace

    def time_s(self, command: Any) -> float:  # noqa: ARG002
        """Return the time after which a command counts as stalled."""
        return self._pace.connect_s + self._pace.program_s

    def prepare(self, command: WashPlate | DispensePlate, until: Deadline) -> JSON:
        """Read the program and see that it can run.

        Raises:
            DeviceError: it cannot; says why.
        """
        if not command.barcode.strip():
            raise NeedsOperator(f"a plate needs a barcode to be known by, not {command.barcode!a}")
        program = self._handler.program(command.program)
        try:
            self._handler.prepare(program, until.within(self._pace.connect_s))
            mark = self._trace.begin()
        except BaseException:
            self._handler.close()
            raise
        return {"program": program.name, "digest": program.digest, "steps": list(program.steps), "run": mark.run}

    def release(self) -> None:
        """End the batch and let go of the port: the program is not begun after all (drivers.worker.Releasing)."""
        try:
            self._tidy(Deadline.after(_TIDY_S))
        finally:
            self._handler.close()

    def perform(self, command: WashPlate | DispensePlate, plan: JSON, until: Deadline) -> Report:
        """Run the program, step by step, each once."""
        try:
            return self._performed(command.barcode, plan, until)
        finally:
            self._handler.close()

    def after_crash(self, command: WashPlate | DispensePlate, plan: JSON, until: Deadline) -> Report:
        """Wait until nothing runs, and tell what is certain; begins nothing.

        Raises:
            DeviceError: the device does not answer, or what was written down is lost.
        """
        mark, steps = self._trace.read(), tuple(plan["steps"])
        if mark.run != plan["run"]:
            raise NeedsOperator(f"{self._trace.path} is not about this program; look at plate {command.barcode}")
        if mark.step < 0:
            return Report(Status.NOT_FOUND)
        outcome = Outcome(How.DONE)
        if not mark.is_confirmed:
            try:
                outcome = self._handler.watch(until)
            finally:
                self._handler.close()
        if outcome.how is not How.DONE:
            return self._failed(command.barcode, plan, mark.step, outcome)
        if mark.step + 1 < len(steps):
            killed = Outcome(How.NOT_BEGUN, "the process that ran it was killed")
            return self._failed(command.barcode, plan, mark.step + 1, killed)
        return _done(plan)

    def inspect(self, until: Deadline) -> JSON:
        """Return model, state and programs."""
        try:
            return {**self._handler.identify(until), "programs": list(self._handler.programs())}
        finally:
            self._handler.close()

    def close(self) -> None:
        """Let go of the port."""
        self._handler.close()

    def _performed(self, barcode: str, plan: JSON, until: Deadline) -> Report:
        try:
            program = self._handler.program(plan["program"])
        except NeedsOperator as error:
            self._tidy(until)
            return self._failed(barcode, plan, 0, Outcome(How.NOT_BEGUN, str(error)))
        if program.digest != plan["digest"] or list(program.steps) != plan["steps"]:
            changed = Outcome(How.NOT_BEGUN, f"program {program.name} was changed in this moment")
            self._tidy(until)
            return self._failed(barcode, plan, 0, changed)
        for n in range(len(program.steps)):
            outcome = self._step(program, plan["run"], n, until)
            if outcome.how is not How.DONE:
                return self._failed(barcode, plan, n, outcome)
        self._tidy(until)
        return _done(plan)

    def _step(self, program: Program, run: int, n: int, until: Deadline) -> Outcome:
        try:
            self._trace.write(Mark(run, n))
        except OSError as error:
            return Outcome(How.NOT_BEGUN, f"{self._trace.path} cannot be written: {error}")
        try:
            outcome = self._handler.run(program, n, until)
        except DeviceError as error:
            return Outcome(How.UNCLEAR, str(error))
        if outcome.how is How.DONE:
            with suppress(OSError):  # then a later process would have to ask the device
                self._trace.write(Mark(run, n, is_confirmed=True))
        return outcome

    def _tidy(self, until: Deadline) -> None:
        """Let the device rest; that it does not is no reason to doubt what was done to the plate."""
        with suppress(DeviceError):
            self._handler.tidy(until.renewed(_TIDY_S))

    def _failed(self, barcode: str, plan: JSON, n: int, outcome: Outcome) -> Report:
        """Tell of a program that came no further than step ``n``, counted from 0."""
        result = {"program": plan["program"], "steps_done": n}
        before = _named(plan["steps"][:n])
        if outcome.how is How.NOT_BEGUN:
            left = f"{before} done and nothing after; look at plate {barcode}" if n else "nothing moved"
            return Report(Status.FAILED, result, f"{outcome.said}; {left}")
        which = f"step {n + 1} of {len(plan['steps'])} ({plan['steps'][n]})"
        after = f" after {before} done" if n else ""
        look = f"look at plate {barcode} on the {self.name}"
        if outcome.how is How.STOPPED:
            return Report(Status.FAILED, result, f"{which} stopped{after}: {outcome.said}; {look}")
        return Report(Status.UNKNOWN, result, f"nobody knows how {which} ended{after}: {outcome.said}; {look}")


def _named(steps: Sequence[str]) -> str:
    """Say which steps were done."""
    if len(steps) <= 1:
        return "step 1 was"
    return f"steps 1 to {len(steps)} were"


def _done(plan: JSON) -> Report:
    return Report(Status.DONE, {"program": plan["program"]})
