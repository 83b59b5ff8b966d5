"""The simulated shaker and barcode reader: what they did is in their logs once, and in their words honestly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import Device, Move, MovePlates, ReadBarcode, Report, ShakePlate, Status
from nextplate.errors import NeedsOperator
from sim.lab import FaultKind, SimLab
from tests.sim.rig import do, open_lab

SHAKE = ShakePlate("P1", 600, 60)


@pytest.fixture
def lab(tmp_path: Path) -> SimLab:
    return open_lab(tmp_path / "lab")


def brought(lab: SimLab, place: str, barcode: str = "P1") -> SimLab:
    moved = do(lab, lab.mover, MovePlates((Move(barcode, "stack/new", place),)), f"bring-{barcode}-{place}")
    assert moved.status is Status.DONE, moved
    return lab


def test_a_plate_is_shaken_once_for_as_long_as_it_was_asked(lab: SimLab) -> None:
    brought(lab, "shaker")
    before = lab.clock.now()
    report = do(lab, lab.shaker, SHAKE, "s")
    assert replace(report, ended_at=None) == Report(Status.DONE, {"shaken_s": 60.0})
    assert 60 < (lab.clock.now() - before).total_seconds() < 70
    do(lab, lab.shaker, SHAKE, "s")
    assert [(row["barcode"], row["speed_rpm"], row["shaken_s"]) for row in lab.log("shaker")] == [("P1", 600, 60.0)]


@pytest.mark.parametrize("command", [ShakePlate("P1", 100, 60), ShakePlate("P1", 9999, 60), ShakePlate("P1", 600, 0)])
def test_what_no_shaker_can_is_refused(lab: SimLab, command: ShakePlate) -> None:
    with pytest.raises(NeedsOperator, match=r"not (at|for) .*; nothing moved"):
        brought(lab, "shaker").shaker.submit(command, "s")
    assert not lab.log("shaker")


def test_another_plate_or_none_is_not_shaken(lab: SimLab) -> None:
    assert "no plate stands on the shaker, not P1" in do(lab, lab.shaker, SHAKE, "none").message
    brought(lab, "shaker", "P2")
    report = do(lab, lab.shaker, SHAKE, "other")
    assert replace(report, ended_at=None) == Report(
        Status.FAILED, {"shaken_s": 0.0}, "P2 stands on the shaker, not P1; nothing moved"
    )
    assert not lab.log("shaker")


@pytest.mark.parametrize(
    ("fault", "place", "note"),
    [(FaultKind.CRASH, "shaker", "motor fault"), (FaultKind.PLATE_DROPPED, "floor", "thrown")],
)
def test_a_shake_that_breaks_off_tells_how_long_it_was(lab: SimLab, fault: FaultKind, place: str, note: str) -> None:
    brought(lab, "shaker").break_device("shaker", fault)
    report = do(lab, lab.shaker, SHAKE, "s")
    assert (report.status, report.result) == (Status.FAILED, {"shaken_s": 30.0})
    assert lab.where("P1") == place
    assert [row["note"] for row in lab.log("shaker")] == [note]


def test_nobody_takes_a_plate_from_a_shaker_that_turns(lab: SimLab) -> None:
    brought(lab, "shaker").shaker.submit(SHAKE, "s")
    report = do(lab, lab.mover, MovePlates((Move("P1", "shaker", "reader"),)), "m")
    assert report.message == "the shaker is working, shaker is locked"


@pytest.mark.parametrize(
    ("expected", "status", "result", "said"),
    [
        ("", Status.DONE, {"barcode": "P1"}, ""),
        ("P1", Status.DONE, {"barcode": "P1"}, ""),
        ("P2", Status.FAILED, {"barcode": "P1"}, "read P1, not P2"),
    ],
)
def test_a_label_is_read(lab: SimLab, expected: str, status: Status, result: dict[str, Any], said: str) -> None:
    brought(lab, "reader")
    report = do(lab, lab.barcode_reader, ReadBarcode(expected), "r")
    assert (report.status, report.result) == (status, result)
    assert said in report.message
    assert [row["barcode"] for row in lab.log("barcode_reader")] == ["P1"]


def test_where_nothing_stands_or_the_laser_is_off_nothing_is_read(lab: SimLab) -> None:
    assert (
        do(lab, lab.barcode_reader, ReadBarcode(), "none").message
        == "nothing was read: no plate stands at place reader"
    )
    brought(lab, "reader").break_device("barcode_reader", FaultKind.CRASH)
    report = do(lab, lab.barcode_reader, ReadBarcode("P1"), "off")
    assert replace(report, ended_at=None) == Report(Status.FAILED, {}, "nothing was read: the laser is off")


@pytest.mark.parametrize(
    ("name", "command", "place"), [("shaker", SHAKE, "shaker"), ("barcode_reader", ReadBarcode(), "reader")]
)
def test_a_lab_that_was_closed_half_way_goes_on_and_acts_once(
    tmp_path: Path, name: str, command: Any, place: str
) -> None:
    lab = brought(open_lab(tmp_path / "lab"), place)
    device: Device = getattr(lab, name)
    device.submit(command, "k")
    lab.close()
    lab = open_lab(tmp_path / "lab")
    assert do(lab, getattr(lab, name), command, "k").status is Status.DONE
    assert len(lab.log(name)) == 1
