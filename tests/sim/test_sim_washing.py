"""The simulated washer and dispenser: what happens to the wells, exactly once, and what stops it."""

from pathlib import Path

import pytest

from drivers.ports import DispensePlate, Move, MovePlates, Report, Status, WashPlate
from nextplate.errors import NeedsOperator
from sim.lab import FaultKind, SimLab
from sim.liquids import read_well
from tests.sim.rig import WELLS_96, do, open_lab, set_up, snapshot, transfers, write_protocol

MEDIUM_NL = 45_000


@pytest.fixture
def lab(tmp_path: Path) -> SimLab:
    return open_lab(tmp_path / "lab")


def carry(lab: SimLab, target: str, source: str = "stack/new") -> Report:
    return do(lab, lab.mover, MovePlates((Move("P1", source, target),)), f"{source}-{target}")


def volumes(lab: SimLab, barcode: str = "P1") -> set[int]:
    return {read_well(lab._world, barcode, well).volume_nl for well in WELLS_96}


def test_a_wash_empties_and_fills_every_well(lab: SimLab):
    assert carry(lab, "washer").status is Status.DONE
    report = do(lab, lab.washer, WashPlate("P1", "wash-3x80ul-rest5ul"), "w")
    assert (report.status, report.result) == (Status.DONE, {"program": "wash-3x80ul-rest5ul"})
    assert volumes(lab) == {5_000}
    assert [row["action"] for row in lab.log("washer")] == ["empty", "fill"] * 3 + ["empty"]
    assert lab.washer.bottle_nl == 2_000_000_000 - 3 * 96 * 80_000
    assert lab.washer.waste_nl == 96 * (MEDIUM_NL + 3 * 80_000 - 5_000), "nothing is lost"


def test_what_was_in_a_well_is_thinned(lab: SimLab, tmp_path: Path):
    set_up(lab)
    do(lab, lab.handler, write_protocol(tmp_path, transfers(4)), "dose")
    before = read_well(lab._world, "P1", "A03").amounts_pmol["C002"]
    assert carry(lab, "washer", "deck/A2").status is Status.DONE
    do(lab, lab.washer, WashPlate("P1", "wash-2x90ul-rest10ul"), "w")
    after = read_well(lab._world, "P1", "A03")
    assert after.volume_nl == 10_000
    assert 0 < after.amounts_pmol["C002"] < before / 100


def test_a_dispenser_adds_to_every_well(lab: SimLab):
    carry(lab, "dispenser")
    assert do(lab, lab.dispenser, DispensePlate("P1", "dispense-20ul"), "d").result == {"program": "dispense-20ul"}
    assert volumes(lab) == {MEDIUM_NL + 20_000}
    assert len(lab.log("dispenser")) == 1


@pytest.mark.parametrize("program", ["", "wash", "wash-0x80ul", "wash-3x0ul", "dispense-20ul", "wash-3x80ul\n", "★"])
def test_a_program_it_does_not_have_is_refused(lab: SimLab, program: str):
    with pytest.raises(NeedsOperator, match=r"has no program|would do nothing"):
        lab.washer.submit(WashPlate("P1", program), "k")
    assert lab.washer.lookup("k").status is Status.NOT_FOUND


def test_the_wrong_plate_or_none_is_not_washed(lab: SimLab):
    report = do(lab, lab.washer, WashPlate("P1", "wash-1x80ul"), "none")
    assert report.status is Status.FAILED
    assert report.message == "no plate stands on the washer, not P1; nothing moved"
    carry(lab, "washer")
    assert "P1 stands on the washer, not P2" in do(lab, lab.washer, WashPlate("P2", "wash-1x80ul"), "other").message
    assert not lab.log("washer")
    assert volumes(lab) == {MEDIUM_NL}


def test_a_plate_stays_while_it_is_washed(lab: SimLab):
    carry(lab, "washer")
    lab.washer.submit(WashPlate("P1", "wash-9x80ul"), "w")
    report = carry(lab, "imager", "washer")
    assert report.status is Status.FAILED
    assert "the washer is working, washer is locked" in report.message


def test_a_bottle_that_runs_dry_and_a_waste_that_is_full(lab: SimLab):
    carry(lab, "washer")
    lab.washer.refill(50 * 80_000)
    report = do(lab, lab.washer, WashPlate("P1", "wash-2x80ul"), "dry")
    assert report.status is Status.FAILED
    assert "ran dry after 50 of 96 wells of P1" in report.message
    assert report.result == {"program": "wash-2x80ul", "steps_done": 0}
    assert volumes(lab) == {5_000, 85_000}
    lab.washer.refill()
    lab.washer.fill_waste()
    assert "waste is full" in do(lab, lab.washer, WashPlate("P1", "wash-2x80ul"), "full").message
    lab.washer.empty_waste()
    assert do(lab, lab.washer, WashPlate("P1", "wash-2x80ul"), "again").status is Status.DONE


def test_a_washer_that_stops_half_way_tells_how_far_it_came(lab: SimLab):
    carry(lab, "washer")
    lab.break_device("washer", FaultKind.CRASH)
    report = do(lab, lab.washer, WashPlate("P1", "wash-3x80ul"), "w")
    assert report.status is Status.FAILED
    assert report.result["steps_done"] == 2
    assert [row["action"] for row in lab.log("washer")] == ["empty", "fill"] * 2
    assert volumes(lab) == {85_000}


def test_a_lab_closed_half_way_washes_on_and_once(tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        lab = open_lab(folder)
        carry(lab, "washer")
        lab.washer.submit(WashPlate("P1", "wash-3x80ul"), "w")
        if folder is cut:
            ready = lab.washer.poll("w").ready_at
            assert ready is not None
            lab.clock.wait_until(lab.clock.now() + (ready - lab.clock.now()) / 2)
            lab.close()
            lab = open_lab(folder)
            lab.washer.submit(WashPlate("P1", "wash-3x80ul"), "w")
        assert do(lab, lab.washer, WashPlate("P1", "wash-3x80ul"), "w").status is Status.DONE
        lab.close()
    one, other = (snapshot(folder).tables for folder in (whole, cut))
    assert all(one[name] == other[name] for name in ("washer_log", "wells", "contents", "plates"))


def test_a_world_of_before_there_were_washers_is_read(tmp_path: Path):
    lab = open_lab(tmp_path)
    with lab._world.transaction():
        lab._world.run("DROP TABLE washer_log")
    lab.close()
    assert open_lab(tmp_path).log("washer") == ()
