"""The SiLA bridge on a server that is a few functions: what is told of a call that went wrong, or was never sent."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.deadline import Deadline
from drivers.ports import Move, MovePlates, Report, ShakePlate, Status, StorePlate
from drivers.sila import SilaMachine
from drivers.sila_link import Failed, Refused

UUID = "00000000-0000-0000-0000-000000000001"
SHAKE = ShakePlate("P1", 300, 600)


def nothing() -> None:
    return None


class Link:
    """A server (drivers.sila_link.SilaLink)."""

    def __init__(self) -> None:
        self.n_started = 0
        self.on_start: Callable[[], Any] = nothing
        self.on_poll: Callable[[], Any] = dict

    def connect(self, until: Deadline) -> None: ...

    def is_observable(self, call: Any) -> bool:
        return True

    def start(self, call: Any, on_execution: Callable[[str], None], until: Deadline) -> str:
        self.on_start()
        self.n_started += 1
        on_execution(UUID)
        return UUID

    def responses(self, call: Any, execution: str, until: Deadline) -> Any:
        return self.on_poll()

    def read(self, *where: Any) -> Any:
        return 1


class Mapping:
    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def calls(self, command: Any) -> list[Any]:
        n = len(command.moves) if isinstance(command, MovePlates) else 1
        return [SimpleNamespace(feature="F", command=f"C{i}") for i in range(n)]

    def told(self, command: Any, responses: Any) -> dict[str, Any]:
        return {}


def machine(folder: Path, link: Link, kind: str = "shaker") -> SilaMachine:
    return SilaMachine(kind, link, Mapping(), folder, command_s=5.0, poll_s=0.01)  # type: ignore[arg-type]


def performed(folder: Path, link: Link, command: Any = SHAKE, kind: str = "shaker") -> Report:
    return machine(folder, link, kind).perform(command, {"ticket": "t"}, Deadline.after(5.0))


def raises(error: Exception) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def test_a_shake_that_could_not_be_sent_shook_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("no folder can be made here")
    link = Link()
    report = performed(tmp_path / "file", link)
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
    assert report.message.endswith("nothing moved")
    assert link.n_started == 0


def test_a_shake_that_was_refused_shook_nothing_in_this_process_and_in_the_next(tmp_path: Path):
    link = Link()
    link.on_start = raises(Refused("not ready"))
    report = performed(tmp_path, link)
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 0})
    assert report.message == "not ready; nothing moved"
    assert machine(tmp_path, link).after_crash(SHAKE, {"ticket": "t"}, Deadline.after(5.0)) == report


def test_a_shake_that_failed_at_work_does_not_tell_how_long_it_was(tmp_path: Path):
    link = Link()
    link.on_poll = raises(Failed("motor"))
    report = performed(tmp_path, link)
    assert (report.status, report.result) == (Status.FAILED, {})
    assert "nothing moved" not in report.message


@pytest.mark.parametrize("command", [SHAKE, StorePlate("P1")])
def test_a_refusal_to_tell_of_an_execution_is_no_refusal_to_execute(command: Any, tmp_path: Path):
    """It is a DeviceError to the worker, which makes it UNKNOWN; never "nothing moved"."""
    link = Link()
    link.on_poll = raises(Refused("CommandExecutionNotAccepted"))
    with pytest.raises(Refused):
        performed(tmp_path, link, command, "shaker" if command is SHAKE else "incubator")
    assert link.n_started == 1


def test_a_refused_second_move_does_not_say_that_nothing_moved(tmp_path: Path):
    link = Link()
    link.on_start = lambda: link.n_started == 0 or raises(Refused("full"))()
    command = MovePlates((Move("A", "x", "y"), Move("B", "x", "y")))
    report = performed(tmp_path, link, command, "plate-mover")
    assert (report.status, report.result) == (Status.FAILED, {"moved": ["A"]})
    assert "nothing moved" not in report.message
    assert machine(tmp_path, link, "plate-mover").after_crash(command, {"ticket": "t"}, Deadline.after(5.0)) == report
