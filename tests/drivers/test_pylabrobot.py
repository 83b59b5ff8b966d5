"""The PyLabRobot bridge on the package's own chatterbox, and on one that fails where it is told."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylabrobot_rig
import pytest
from pylabrobot_rig import Failing, N, finish, order, write_deck

from drivers.ports import Status, StorePlate
from drivers.pylabrobot_handler import make
from drivers.pylabrobot_trail import Trail
from drivers.worker import WorkerDevice
from drivers.worker_memory import Memory
from nextplate.errors import NeedsOperator, SettingsError

resources = pytest.importorskip("pylabrobot.resources", reason="the extra pylabrobot is not installed")


@pytest.fixture
def devices() -> Iterator[list[WorkerDevice]]:
    opened: list[WorkerDevice] = []
    yield opened
    for device in opened:
        device.close()


def opened(folder: Path, machine: Failing, devices: list[WorkerDevice], transfer_s: float = 20.0) -> WorkerDevice:
    devices.append(pylabrobot_rig.opened(folder, machine, transfer_s))
    return devices[-1]


def done(n: int) -> dict[str, Any]:
    return {"transfers": [[i, 5_000] for i in range(1, n + 1)]}


def test_a_load_is_done_transfer_by_transfer_and_once(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    device.submit(order(tmp_path), "k")
    report = finish(device)
    assert (report.status, report.result) == (Status.DONE, done(N)), report
    device.submit(order(tmp_path), "k")
    assert finish(device) == report
    assert [x.split()[0] for x in machine.log] == ["setup", *["tip", "draw", "give", "drop"] * N]


def test_a_tip_that_stays_on_is_taken_once(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    device.submit(order(tmp_path, tip="D01"), "k")
    assert finish(device).status is Status.DONE
    assert [x.split()[0] for x in machine.log] == ["setup", "tip", *["draw", "give"] * N, "drop"]


@pytest.mark.parametrize("how", ["error", "hang"])
@pytest.mark.parametrize(("at", "status", "n"), [("draw 3", Status.UNKNOWN, 2), ("give 4", Status.UNKNOWN, 3)])
def test_a_failure_with_liquid_names_the_transfer_that_is_unknown(
    tmp_path: Path, devices: list[WorkerDevice], at: str, status: Status, n: int, how: str
) -> None:
    machine = Failing(at, how)
    device = opened(tmp_path, machine, devices, transfer_s=0.5 if how == "hang" else 20.0)
    device.submit(order(tmp_path), "k")
    report = finish(device)
    assert (report.status, report.result) == (status, done(n)), report
    assert f"transfer {n + 1} (SRC A01 to P1 B0{n + 1}, 5000 nL)" in report.message
    assert machine.log[-1] == at


def test_a_failure_before_any_liquid_is_failed(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing("tip 00")
    device = opened(tmp_path, machine, devices)
    device.submit(order(tmp_path, volume_nl=60_000), "k")  # more than the tip holds: PyLabRobot refuses by itself
    report = finish(device)
    assert (report.status, report.result) == (Status.FAILED, done(0))
    assert "moved no liquid" in report.message
    assert not any(x.startswith("draw") for x in machine.log)


def test_a_process_that_ends_in_the_middle_leaves_the_transfer_unknown(
    tmp_path: Path, devices: list[WorkerDevice]
) -> None:
    machine = Failing("give 3", "hang")
    device = opened(tmp_path, machine, devices)
    device.submit(order(tmp_path), "k")
    end = time.monotonic() + 60
    while "give 3" not in machine.log:
        assert time.monotonic() < end
        time.sleep(0.005)
    device.close()
    assert not list((tmp_path / "memory" / "ended").iterdir())
    again = opened(tmp_path, Failing(), devices)
    report = again.lookup("k")
    assert (report.status, report.result) == (Status.UNKNOWN, done(2))
    assert "transfer 3 " in report.message


@pytest.mark.parametrize("n_lines", range(2 * N + 1))
@pytest.mark.parametrize("torn", ["", '["be'])
def test_a_killed_load_is_told_and_nothing_is_repeated(
    tmp_path: Path, devices: list[WorkerDevice], n_lines: int, torn: str
) -> None:
    write_deck(tmp_path)
    memory = Memory(tmp_path / "memory")
    memory.prepare()
    memory.ask("k", order(tmp_path))
    memory.begin("k", {"ticket": "t", "places": 1})
    (memory.place / "loads").mkdir()
    lines = [line for i in range(1, N + 1) for line in (["begun", i], ["done", i, 5_000])][:n_lines]
    (memory.place / "loads" / "t.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines) + torn)
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    report = device.lookup("k")
    expected = Status.UNKNOWN if n_lines % 2 else Status.DONE if n_lines == 2 * N else Status.FAILED
    assert report.status is (expected if n_lines else Status.NOT_FOUND)
    if n_lines:
        assert report.result == done(n_lines // 2)
    if n_lines % 2:
        assert f"transfer {n_lines // 2 + 1} " in report.message
    assert machine.log == []


@pytest.mark.parametrize(
    "text",
    ['["done", 1, 5]\n', "{}\n", '["begun", 1]\n["begun", 2]\n', "nonsense\n", '["begun", true]\n', '["begun", "1"]\n'],
)
def test_a_damaged_trail_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(NeedsOperator):
        Trail(tmp_path / "t").read()


def test_what_cannot_be_done_moves_nothing(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    machine = Failing()
    device = opened(tmp_path, machine, devices)
    device.submit(order(tmp_path, target="P9"), "k")
    report = finish(device)
    assert report.status is Status.FAILED
    assert "P9 is not on the deck" in report.message
    assert machine.log == []
    with pytest.raises(NeedsOperator, match="does not take"):
        device.submit(StorePlate("P1"), "other")
    assert "2" in device.inspect()["on it"]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("imager", {}, "for a liquid-handler"),
        ("liquid-handler", {"backend": "os.system"}, "should be one of chatterbox"),
        ("liquid-handler", {"deck": "none.json"}, "no file"),
        ("liquid-handler", {"transfer_s": 0.0}, "above 0"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, kind: str, options: dict[str, Any], said: str) -> None:
    write_deck(tmp_path)
    with pytest.raises(SettingsError, match=said):
        make(kind, {"backend": "chatterbox", "deck": "deck.json", **options}, tmp_path)


def test_the_chatterbox_of_the_package_runs(tmp_path: Path, devices: list[WorkerDevice]) -> None:
    write_deck(tmp_path)
    devices.append(make("liquid-handler", {"backend": "chatterbox", "deck": "deck.json"}, tmp_path))
    devices[-1].submit(order(tmp_path), "k")
    assert finish(devices[-1]).result == done(N)
