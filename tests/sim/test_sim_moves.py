"""Plates stand where they were put: mover and incubator look before they act."""

from datetime import timedelta
from pathlib import Path

import pytest

from drivers.ports import FetchPlate, Move, MovePlates, Status, StorePlate
from nextplate.errors import DataError
from sim.lab import FaultKind, SimLab
from tests.sim.rig import RACK, do, open_lab, set_deck, transfers, write_protocol


@pytest.fixture
def lab(tmp_path: Path) -> SimLab:
    return open_lab(tmp_path / "lab")


def _move(lab: SimLab, *moves: tuple[str, str, str], key: str = "m") -> tuple[Status, list[str], str]:
    report = do(lab, lab.mover, MovePlates(tuple(Move(*move) for move in moves)), key)
    return report.status, list(report.result["moved"]), report.message


def test_plates_travel_and_time_passes(lab: SimLab) -> None:
    before = lab.clock.now()
    assert (
        _move(lab, ("SRC-001", "hotel/SRC-001", "deck/A1"), ("SRC-001", "deck/A1", "hotel/SRC-001"))[0] is Status.DONE
    )
    assert lab.where("SRC-001") == "hotel/SRC-001"
    assert 25 < (lab.clock.now() - before).total_seconds() < 50


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (("SRC-001", "deck/A1", "deck/A2"), "plate SRC-001 is at hotel/SRC-001, not at deck/A1"),
        (("SRC-001", "hotel/SRC-001", "hotel/CTRL-001"), "no such place"),
        (("SRC-001", "hotel/SRC-001", "deck/Z9"), "no such place"),
        (("P9", "stack/new", "deck/A1"), "refill"),
        (("CTRL-001", "hotel/CTRL-001", "deck/B2"), "occupied by plate P1"),
    ],
)
def test_impossible_moves_fail_and_say_what_was_done_before(
    lab: SimLab, move: tuple[str, str, str], message: str
) -> None:
    status, moved, said = _move(lab, ("P1", "stack/new", "deck/B2"), move)
    assert status is Status.FAILED
    assert moved == ["P1"]
    assert message in said


def test_an_unlabelled_plate_gets_its_barcode_when_it_is_taken(tmp_path: Path) -> None:
    lab = SimLab.open(tmp_path, open_lab(tmp_path)._world.settings)
    lab.deliver_assay_plates(1)
    lab.deliver_assay_plates(1)
    assert _move(lab, ("N-17", "stack/new", "deck/A1"))[0] is Status.DONE
    assert lab.where("N-17") == "deck/A1"
    assert _move(lab, ("N-18", "stack/new", "deck/A2"), key="m2")[0] is Status.FAILED


def test_the_deck_is_locked_while_the_handler_works(lab: SimLab, tmp_path: Path) -> None:
    do(lab, lab.mover, set_deck(), "deck")
    lab.handler.submit(write_protocol(tmp_path, transfers(20)), "dose")
    status, _, said = _move(lab, ("P1", "deck/A2", "incubator"))
    assert status is Status.FAILED
    assert "the handler is working" in said


def test_incubator_stores_fetches_and_counts_warm_hours(lab: SimLab) -> None:
    _move(lab, ("P1", "stack/new", "incubator"))
    report = do(lab, lab.incubator, StorePlate("P1"), "s1")
    assert report.result == {"slot": "01"}
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=24))
    assert do(lab, lab.incubator, FetchPlate("P1"), "f1").status is Status.DONE
    assert lab.where("P1") == "incubator"
    row = lab._world.row("SELECT warm_ms FROM plates WHERE barcode = 'P1'")
    assert row is not None
    assert row["warm_ms"] / 3.6e6 == pytest.approx(24.0, abs=0.05)


def test_incubator_refuses_what_is_not_there(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab", incubator_slots=1)
    assert "no plate stands" in do(lab, lab.incubator, StorePlate("P1"), "s0").message
    assert "not in the incubator" in do(lab, lab.incubator, FetchPlate("P1"), "f0").message
    _move(lab, ("P1", "stack/new", "incubator"))
    do(lab, lab.incubator, StorePlate("P1"), "s1")
    _move(lab, ("P2", "stack/new", "incubator"), key="m2")
    assert "is full" in do(lab, lab.incubator, StorePlate("P2"), "s2").message
    assert "occupied by P2" in do(lab, lab.incubator, FetchPlate("P1"), "f1").message


def test_a_missed_grip_leaves_the_plate_a_dropped_one_lies_on_the_floor(lab: SimLab) -> None:
    lab.break_device("mover", FaultKind.GRIP_MISSED)
    assert _move(lab, ("SRC-001", "hotel/SRC-001", "deck/A1"))[0] is Status.FAILED
    assert lab.where("SRC-001") == "hotel/SRC-001"
    lab.break_device("mover", FaultKind.PLATE_DROPPED)
    assert _move(lab, ("SRC-001", "hotel/SRC-001", "deck/A1"), key="m2")[0] is Status.FAILED
    assert lab.where("SRC-001") == "floor"
    lab.place_by_hand("SRC-001", "deck/A1")
    assert lab.where("SRC-001") == "deck/A1"
    with pytest.raises(DataError, match="is taken by SRC-001"):
        lab.place_by_hand("CTRL-001", "deck/A1")
    with pytest.raises(DataError, match="no such place"):
        lab.place_by_hand(RACK, "hotel/SRC-001")


def test_time_never_goes_back_and_waits_for_nothing_in_the_past(lab: SimLab) -> None:
    before = lab.clock.now()
    lab.clock.wait_until(before - timedelta(hours=1))
    assert lab.clock.now() == before
    with pytest.raises(ValueError, match="no time zone"):
        lab.clock.wait_until(before.replace(tzinfo=None))
