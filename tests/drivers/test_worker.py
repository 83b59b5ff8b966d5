"""The worker: what it promises for any machine, however that behaves, and what it remembers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from drivers import worker
from drivers.deadline import Deadline
from drivers.ports import (
    AcquirePlate,
    Command,
    FetchPlate,
    Move,
    MovePlates,
    Report,
    RunLoad,
    Status,
    StorePlate,
)
from drivers.worker import WorkerDevice
from drivers.worker_memory import Forgotten, Memory, read, written
from nextplate.errors import NeedsOperator, Transient

DONE = Report(Status.DONE, {"slot": "3"})


class FakeMachine:
    """A machine whose every call is a function that a test may change."""

    name = "machine"
    takes: tuple[type, ...] = (StorePlate, FetchPlate)

    def __init__(self) -> None:
        self.n_moves = 0
        self.time = 5.0
        self.on_prepare: Callable[[], dict[str, Any]] = lambda: {"slot": 3}
        self.on_perform: Callable[[Deadline], Report] = lambda until: DONE
        self.on_crash: Callable[[], Report] = lambda: DONE
        self.on_inspect: Callable[[], dict[str, Any]] = lambda: {"firmware": "1.0"}
        self.is_closed = False

    def time_s(self, command: Any) -> float:
        return self.time

    def prepare(self, command: Any, until: Deadline) -> dict[str, Any]:
        return self.on_prepare()

    def perform(self, command: Any, plan: Any, until: Deadline) -> Report:
        self.n_moves += 1
        assert plan == {"slot": 3}
        return self.on_perform(until)

    def after_crash(self, command: Any, plan: Any, until: Deadline) -> Report:
        assert command == StorePlate("P1")
        return self.on_crash()

    def inspect(self, until: Deadline) -> dict[str, Any]:
        return self.on_inspect()

    def close(self) -> None:
        self.is_closed = True


class Bench:
    """A worker around a fake machine."""

    def __init__(self, folder: Path) -> None:
        self.machine, self.memory = FakeMachine(), Memory(folder / "memory")
        self.memory.prepare()
        self.device = WorkerDevice(self.machine, self.memory, lookup_wait_s=0.2)

    def again(self) -> "Bench":
        self.device.close()
        return Bench(self.memory.place.parent)

    def finish(self, key: str = "k") -> Report:
        end = time.monotonic() + 60.0
        while (report := self.device.poll(key)).status is Status.RUNNING:
            assert time.monotonic() < end
            time.sleep(0.002)
        return report

    def run(self, key: str = "k") -> Report:
        self.device.submit(StorePlate("P1"), key)
        return self.finish(key)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("os.fsync", lambda _fd: None)
    bench = Bench(tmp_path)
    yield bench
    bench.device.close()


def raising(error: BaseException) -> Callable[..., Any]:
    def act(*_: object) -> Any:
        raise error

    return act


def begun(bench: Bench, key: str = "k") -> Bench:
    """Leave a command as a process does that is killed after it began."""
    bench.memory.ask(key, StorePlate("P1"))
    bench.memory.begin(key, {"slot": 3})
    return bench


def test_a_command_is_on_disk_before_anything_moves_and_its_end_before_anybody_is_told(bench: Bench):
    seen = []

    def look(until: Deadline) -> Report:
        seen.append((bench.memory.command("k", bench.machine.takes), bench.memory.plan("k"), bench.memory.ended("k")))
        return DONE

    bench.machine.on_perform = look
    assert bench.run() == DONE
    assert seen == [(StorePlate("P1"), {"slot": 3}, None)]
    assert Memory(bench.memory.place).ended("k") == DONE


@pytest.mark.parametrize("error", [NeedsOperator("no plate"), Transient("no answer"), ValueError("a bug")])
def test_what_goes_wrong_before_a_motion_fails_and_moves_nothing(bench: Bench, error: Exception):
    bench.machine.on_prepare = raising(error)
    report = bench.run()
    assert report.status is Status.FAILED
    assert str(error) in report.message
    assert report.message.endswith("nothing moved")
    assert bench.machine.n_moves == 0


@pytest.mark.parametrize("error", [NeedsOperator("port taken"), Transient("no answer"), ValueError("a bug")])
def test_what_goes_wrong_in_a_motion_is_a_persons_for_ever(bench: Bench, error: Exception):
    bench.machine.on_perform = raising(error)
    report = bench.run()
    assert report.status is Status.UNKNOWN
    assert str(error) in report.message
    assert "look at the machine" in report.message
    again = bench.again()
    assert again.device.lookup("k") == report
    again.device.submit(StorePlate("P1"), "k")
    assert again.finish() == report
    assert again.machine.n_moves == 0
    again.device.close()


def test_a_bug_names_its_line(bench: Bench):
    bench.machine.on_perform = raising(ZeroDivisionError("division by zero"))
    assert "a bug in the driver: ZeroDivisionError('division by zero') (test_worker.py:" in bench.run().message


def test_a_machine_that_never_comes_back_is_told_of(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "GRACE_S", 0.1)
    monkeypatch.setattr(worker, "_CLOSE_S", 0.1)
    stuck, bench.machine.time = threading.Event(), 0.1

    def hang(until: Deadline) -> Report:
        stuck.wait(10.0)
        return DONE

    bench.machine.on_perform = hang
    report = bench.run()
    assert report.status is Status.UNKNOWN
    assert "hangs" in report.message
    with pytest.raises(Transient, match="busy with k"):
        bench.device.submit(StorePlate("P2"), "other")
    stuck.set()
    while bench.device.poll("k").status is Status.UNKNOWN:
        time.sleep(0.01)
    assert bench.device.poll("k") == DONE


def test_a_dead_thread_is_told_of_by_every_verb(bench: Bench):
    bench.machine.on_perform = raising(SystemExit(3))
    report = bench.run()
    assert report.status is Status.UNKNOWN
    assert "the worker of the machine died: SystemExit(3)" in report.message
    for verb in (lambda: bench.device.submit(StorePlate("P2"), "other"), bench.device.inspect):
        with pytest.raises((NeedsOperator, Transient), match=r"died|busy"):
            verb()


# after a crash


@pytest.mark.parametrize("found", [DONE, Report(Status.FAILED, {}, "slipped"), Report(Status.UNKNOWN, {}, "look")])
def test_what_the_sensors_say_after_a_crash_is_remembered(bench: Bench, found: Report):
    begun(bench).machine.on_crash = lambda: found
    assert bench.device.lookup("k") == found
    again = bench.again()
    again.machine.on_crash = raising(AssertionError("asked twice"))
    assert again.device.lookup("k") == found
    again.device.close()


def test_where_nothing_moved_the_same_key_may_begin_again(bench: Bench):
    begun(bench).machine.on_crash = lambda: Report(Status.NOT_FOUND)
    assert bench.device.lookup("k").status is Status.NOT_FOUND
    assert bench.run() == DONE
    assert bench.machine.n_moves == 1


def test_what_was_told_of_as_running_does_not_become_not_found(bench: Bench):
    go_on = threading.Event()

    def slow() -> Report:
        go_on.wait(5.0)
        return Report(Status.NOT_FOUND)

    begun(bench).machine.on_crash = slow
    assert bench.device.lookup("k").status is Status.RUNNING
    go_on.set()
    report = bench.finish()
    assert report.status is Status.FAILED
    assert "nothing moved" in report.message


def test_a_device_that_is_off_after_a_power_cut_may_be_asked_again(bench: Bench):
    begun(bench).machine.on_crash = raising(Transient("no answer"))
    assert bench.device.lookup("k") == Report(Status.UNKNOWN, {}, "no answer")
    assert bench.device.poll("k").status is Status.UNKNOWN
    bench.machine.on_crash = lambda: DONE
    assert bench.device.lookup("k") == DONE


def test_nothing_moves_before_it_is_known_how_everything_stands(bench: Bench):
    begun(bench).machine.on_crash = raising(Transient("no answer"))
    with pytest.raises(Transient, match="busy with k, which an earlier process began"):
        bench.device.submit(StorePlate("P2"), "other")
    bench.finish()
    bench.machine.on_crash = lambda: DONE
    with pytest.raises(Transient, match="busy with k"):
        bench.device.submit(StorePlate("P2"), "other")
    assert bench.finish() == DONE
    assert bench.machine.n_moves == 0
    bench.device.submit(StorePlate("P2"), "other")
    assert bench.finish("other") == DONE


def test_a_command_that_was_asked_for_and_not_begun_is_not_found(bench: Bench):
    bench.memory.ask("k", StorePlate("P1"))
    assert bench.device.lookup("k").status is Status.NOT_FOUND
    assert bench.run() == DONE


# the memory


@pytest.mark.parametrize("folder", ["asked", "begun", "ended"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "other"}', b'{"key": "k"}', b"\xff\xfe"])
def test_a_damaged_memory_is_unknown_and_never_a_motion(bench: Bench, folder: str, content: bytes):
    begun(bench)
    (bench.memory.place / folder / "k.json").write_bytes(content)
    report = bench.device.lookup("k")
    assert report.status is Status.UNKNOWN
    assert f"{folder}/k.json" in report.message
    with suppress(Transient):
        bench.device.submit(StorePlate("P1"), "k")
    assert bench.device.poll("k").status is Status.UNKNOWN
    assert bench.machine.n_moves == 0


def test_a_memory_that_is_away_is_unknown_not_absent(bench: Bench):
    away = bench.memory.place.rename(bench.memory.place.with_name("away"))
    assert bench.device.poll("k").status is Status.UNKNOWN
    with pytest.raises(Transient, match="put its folders back"):
        bench.device.submit(StorePlate("P1"), "k")
    away.rename(bench.memory.place)
    assert bench.run() == DONE


@pytest.mark.parametrize("folder", ["asked", "begun"])
def test_where_nothing_can_be_written_nothing_moves(bench: Bench, folder: str):
    (bench.memory.place / folder / ".k.json.tmp").mkdir()
    if folder == "asked":
        with pytest.raises(Transient, match="cannot be written down"):
            bench.device.submit(StorePlate("P1"), "k")
    else:
        assert bench.run().status is Status.FAILED
    assert bench.machine.n_moves == 0


@pytest.mark.parametrize(
    "command",
    [
        StorePlate("P1"),
        FetchPlate("Plätze \u2713 " + "x" * 300),
        AcquirePlate(""),
        MovePlates((Move("P1", "a", "b"), Move("P2", "c", "d"))),
        RunLoad(Path("/lab/p.json"), Path("/lab/p.py"), "abc", 2, "def"),
        RunLoad(Path("/lab/p.json"), None, "abc", 0),
    ],
)
def test_every_command_reads_back(command: Command):
    kinds = (StorePlate, FetchPlate, AcquirePlate, MovePlates, RunLoad)
    assert read(written(command), kinds) == command
    with pytest.raises(KeyError):
        read(written(command), ())


def test_any_key_is_a_file(bench: Bench):
    for key in ("a/b", "..", "Groß", "x" * 500, "k ey\n"):
        bench.device.submit(StorePlate("P1"), key)
        assert bench.finish(key) == DONE
    assert bench.machine.n_moves == 5


def test_forgotten_says_what_to_do(bench: Bench):
    (bench.memory.place / "begun" / "k.json").write_text("{}")
    with pytest.raises(Forgotten, match="is about key None, not 'k'"):
        bench.memory.plan("k")


# looking


def test_a_look_at_the_device(bench: Bench):
    assert bench.device.inspect(1.0) == {"firmware": "1.0"}
    for error in (NeedsOperator("port taken"), Transient("no answer")):
        bench.machine.on_inspect = raising(error)
        with pytest.raises(type(error), match=str(error)):
            bench.device.inspect(1.0)
    bench.machine.on_inspect = raising(KeyError("x"))
    with pytest.raises(Transient, match="a bug in the driver"):
        bench.device.inspect(1.0)
    assert bench.run() == DONE


def test_a_closed_device_takes_nothing(bench: Bench):
    bench.device.close()
    assert bench.machine.is_closed
    with pytest.raises(Transient, match="being closed"):
        bench.device.submit(StorePlate("P1"), "k")
    assert bench.device.poll("k").status is Status.NOT_FOUND
    begun(bench)
    assert bench.device.poll("k") == Report(Status.UNKNOWN, {}, "the machine is being closed")


def test_a_key_that_is_taken_back_is_taken_back_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """No moment in which a poll says RUNNING and the next one NOT_FOUND."""
    between, go_on = threading.Event(), threading.Event()
    over = WorkerDevice._over

    def late(self: WorkerDevice, task: Any) -> None:
        between.set()
        go_on.wait(10.0)
        over(self, task)

    monkeypatch.setattr(WorkerDevice, "_over", late)
    begun(bench).machine.on_crash = lambda: Report(Status.NOT_FOUND)
    with suppress(Transient):
        bench.device.submit(StorePlate("P1"), "other")  # has the sensors asked about k, and promises nobody anything
    assert between.wait(10.0)
    assert bench.device.poll("k").status is Status.NOT_FOUND
    bench.device.submit(StorePlate("P1"), "k")  # a new task, which the old one's end must not take away
    go_on.set()
    assert bench.finish() == DONE
    assert bench.machine.n_moves == 1


@pytest.mark.parametrize("fails", [True, False])
def test_what_was_prepared_for_nothing_is_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch, fails: bool):
    released = []
    bench.machine.release = lambda: released.append(1)  # type: ignore[attr-defined]
    if fails:
        monkeypatch.setattr(Memory, "begin", raising(OSError(28, "No space left on device")))
    report = bench.run()
    assert len(released) == fails
    assert report.status is (Status.FAILED if fails else Status.DONE)


def test_readings_are_those_of_the_last_look_and_nobody_waits_for_one(bench: Bench):
    looks: list[str] = []

    def look() -> dict[str, Any]:
        looks.append("look")
        return {"climate": {"temperature_c": 36.9}}

    bench.machine.on_inspect = look
    assert bench.device.readings() == {}, "nobody has looked yet"
    end = time.monotonic() + 60.0
    while bench.device.readings() != {"temperature_c": 36.9}:
        assert time.monotonic() < end
        time.sleep(0.002)
    bench.machine.on_inspect = raising(Transient("no answer"))
    for _ in range(3):
        assert bench.device.readings() == {"temperature_c": 36.9}, "a look that failed says nothing else"
        time.sleep(0.01)
    while True:  # a look that is under way keeps the device from taking anything
        with suppress(Transient):
            assert bench.run() == DONE
            break
        time.sleep(0.002)
    assert looks
