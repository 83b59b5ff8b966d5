"""What every device driver promises, simulated or real (drivers.ports.Device).

A driver joins by adding a rig: how to open it in a folder, a command that works, one that fails, the keys their
results carry, and how to count what physically happened.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import (
    AcquirePlate,
    Clock,
    Device,
    FetchPlate,
    Move,
    MovePlates,
    Report,
    Status,
    StorePlate,
)
from nextplate.errors import NeedsOperator, Transient
from sim.lab import FaultKind, SimLab
from tests.sim.rig import do, open_lab, set_up, transfers, write_protocol


@dataclass(frozen=True)
class Rig:
    """One kind of device, ready to take a command."""

    prepare: Callable[[SimLab], None]
    works: Callable[[Path], Any]
    fails: Callable[[Path], Any]
    result_keys: frozenset[str]
    device: str

    def open(self, folder: Path) -> "Port":
        lab = open_lab(folder / "lab")
        self.prepare(lab)
        return Port(getattr(lab, self.device), lab.clock, lambda: len(lab.log(self.device)), lab)


@dataclass(frozen=True)
class Port:
    """An open device; effects counts physical actions, lab injects faults."""

    device: Device
    clock: Clock
    effects: Callable[[], int]
    lab: SimLab

    def finish(self, key: str) -> Report:
        for _ in range(100):
            report = self.device.poll(key)
            if report.status is not Status.RUNNING:
                return report
            self.clock.wait_until(report.ready_at or self.clock.now() + timedelta(minutes=10))
        raise AssertionError(f"{key} never ends")


def _nothing(lab: SimLab) -> None:
    pass


def _plate_at(place: str) -> Callable[[SimLab], None]:
    def prepare(lab: SimLab) -> None:
        do(lab, lab.mover, MovePlates((Move("P1", "stack/new", place),)), "prepare")

    return prepare


def _stored(lab: SimLab) -> None:
    _plate_at("incubator")(lab)
    do(lab, lab.incubator, StorePlate("P1"), "prepare")


RIGS: Mapping[str, Rig] = {
    "sim-handler": Rig(
        set_up,
        lambda folder: write_protocol(folder, transfers(12)),
        lambda folder: write_protocol(folder, tuple(t for _ in range(2) for t in transfers(1))),
        frozenset({"transfers"}),
        "handler",
    ),
    "sim-mover": Rig(
        _nothing,
        lambda folder: MovePlates((Move("P1", "stack/new", "deck/A1"), Move("P1", "deck/A1", "imager"))),
        lambda folder: MovePlates((Move("P1", "stack/new", "deck/A1"), Move("P1", "imager", "deck/A2"))),
        frozenset({"moved"}),
        "mover",
    ),
    "sim-incubator-store": Rig(
        _plate_at("incubator"),
        lambda folder: StorePlate("P1"),
        lambda folder: StorePlate("P2"),
        frozenset({"slot"}),
        "incubator",
    ),
    "sim-incubator-fetch": Rig(
        _stored, lambda folder: FetchPlate("P1"), lambda folder: FetchPlate("P2"), frozenset(), "incubator"
    ),
    "sim-imager": Rig(
        _plate_at("imager"),
        lambda folder: AcquirePlate("P1"),
        lambda folder: AcquirePlate("P2"),
        frozenset({"folder", "images"}),
        "imager",
    ),
}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]


def test_unknown_keys_are_not_found(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    assert port.device.poll("nobody").status is Status.NOT_FOUND
    assert port.device.lookup("nobody").status is Status.NOT_FOUND


def test_submit_returns_at_once_and_the_work_ends_when_it_was_said(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    now, before = port.clock.now(), port.effects()
    port.device.submit(rig.works(tmp_path), "k")
    assert port.clock.now() == now
    assert port.effects() == before
    report = port.device.poll("k")
    assert report.status is Status.RUNNING
    assert report.ready_at is not None
    assert report.ready_at > now
    port.clock.wait_until(report.ready_at - timedelta(milliseconds=10))
    assert port.device.poll("k").status is Status.RUNNING
    port.clock.wait_until(report.ready_at)
    assert port.device.poll("k").status is Status.DONE


def test_done_carries_its_result_and_stays_done(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    report = port.finish("k")
    assert report.status is Status.DONE
    assert set(report.result) == rig.result_keys
    assert json.loads(json.dumps(report.result)) == report.result
    port.clock.wait_until(port.clock.now() + timedelta(hours=1))
    assert port.device.poll("k") == port.device.lookup("k") == report


def test_a_key_acts_once_however_often_it_is_submitted(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    before = port.effects()
    for _ in range(3):
        port.device.submit(rig.works(tmp_path), "k")
    report = port.finish("k")
    n_effects = port.effects() - before
    assert n_effects > 0
    port.device.submit(rig.works(tmp_path), "k")
    port.clock.wait_until(port.clock.now() + timedelta(hours=2))
    assert port.device.poll("k") == report
    assert port.effects() - before == n_effects


def test_failed_says_why_and_carries_what_it_left_behind(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.fails(tmp_path), "k")
    report = port.finish("k")
    assert report.status is Status.FAILED
    assert report.message
    assert set(report.result) >= rig.result_keys - {"slot"}
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k") == report


@pytest.mark.parametrize("moment", ["before", "accepted", "half-way", "done"])
def test_a_new_process_finds_the_command_as_it_stands(rig: Rig, tmp_path: Path, moment: str) -> None:
    undisturbed = rig.open(tmp_path / "undisturbed")
    undisturbed.device.submit(rig.works(tmp_path), "k")
    expected, n_effects = undisturbed.finish("k"), undisturbed.effects()
    port = rig.open(tmp_path / "disturbed")
    _advance(port, rig.works(tmp_path), moment)
    port.lab.close()
    again = rig.open(tmp_path / "disturbed")
    found = again.device.lookup("k").status
    assert found is {"before": Status.NOT_FOUND, "done": Status.DONE}.get(moment, Status.RUNNING)
    again.device.submit(rig.works(tmp_path), "k")
    assert again.finish("k") == expected
    assert again.effects() == n_effects


def _advance(port: Port, command: Any, moment: str) -> None:
    if moment == "before":
        return
    port.device.submit(command, "k")
    ready = port.device.poll("k").ready_at
    assert ready is not None
    if moment == "half-way":
        port.clock.wait_until(port.clock.now() + (ready - port.clock.now()) / 2)
    elif moment == "done":
        port.finish("k")


def test_a_lost_reply_leaves_the_command_with_the_device(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    before = port.effects()
    port.lab.break_device(rig.device, FaultKind.REPLY_LOST)
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "k")
    assert port.device.lookup("k").status is Status.RUNNING
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k").status is Status.DONE
    assert port.effects() > before


def test_a_refused_command_is_not_there_and_may_be_tried_again(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.lab.break_device(rig.device, FaultKind.REFUSED)
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "k")
    assert port.device.lookup("k").status is Status.NOT_FOUND
    port.device.submit(rig.works(tmp_path), "k")
    assert port.finish("k").status is Status.DONE


def test_a_busy_device_takes_no_second_command(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    with pytest.raises(Transient, match="busy"):
        port.device.submit(rig.works(tmp_path), "other")
    assert port.device.lookup("other").status is Status.NOT_FOUND


def test_a_silent_device_is_unknown_not_absent(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    port.device.submit(rig.works(tmp_path), "k")
    port.lab.break_device(rig.device, FaultKind.OFFLINE)
    assert port.device.poll("k").status is Status.UNKNOWN
    assert port.device.lookup("new").status is Status.UNKNOWN
    with pytest.raises(Transient):
        port.device.submit(rig.works(tmp_path), "new")
    port.lab.repair_device(rig.device)
    assert port.finish("k").status is Status.DONE


def test_a_foreign_command_is_refused(rig: Rig, tmp_path: Path) -> None:
    port = rig.open(tmp_path)
    with pytest.raises(NeedsOperator, match="does not take"):
        port.device.submit("make coffee", "k")
    assert port.device.lookup("k").status is Status.NOT_FOUND
