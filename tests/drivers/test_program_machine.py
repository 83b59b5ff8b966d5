"""Programs of washers and dispensers: what is let go, and what is told, when one is not begun after all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.deadline import Deadline
from drivers.ports import Status, WashPlate
from drivers.program_handler import How, Outcome, Pace, Program
from drivers.program_machine import ProgramMachine
from drivers.program_trace import Trace
from nextplate.errors import NeedsOperator


class Handler:
    """A washer that does whatever it is told (drivers.program_handler.ProgramHandler)."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.read: Callable[[], Program] = lambda: Program("w", ("a",), "d")

    def program(self, name: str) -> Program:
        return self.read()

    def prepare(self, program: Program, until: Deadline) -> None:
        self.did.append("open")

    def run(self, program: Program, n: int, until: Deadline) -> Outcome:
        self.did.append("run")
        return Outcome(How.DONE)

    def tidy(self, until: Deadline) -> None:
        self.did.append("tidy")

    def close(self) -> None:
        self.did.append("close")


COMMAND, UNTIL = WashPlate("P", "w"), Deadline.after(30.0)


def prepared(folder: Path) -> tuple[ProgramMachine, Handler, Any]:
    handler = Handler()
    machine = ProgramMachine("washer", handler, Trace(folder / "trace.json"), Pace())  # type: ignore[arg-type]
    return machine, handler, machine.prepare(COMMAND, UNTIL)


def test_a_program_that_could_not_be_written_down_gives_port_and_batch_back(tmp_path: Path):
    machine, handler, _ = prepared(tmp_path)
    machine.release()
    assert handler.did == ["open", "tidy", "close"]


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_program_that_went_away_in_that_moment_moved_nothing(how: str, tmp_path: Path):
    machine, handler, plan = prepared(tmp_path)

    def gone() -> Program:
        raise NeedsOperator("program file gone")

    handler.read = gone if how == "gone" else lambda: Program("w", ("a",), "another")
    report = machine.perform(COMMAND, plan, UNTIL)
    assert (report.status, report.result) == (Status.FAILED, {"program": "w", "steps_done": 0})
    assert report.message.endswith("nothing moved")
    assert handler.did == ["open", "tidy", "close"]
