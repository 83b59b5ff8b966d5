"""The simulated liquid handler: what it refuses, what it moves, and what it tells."""

from dataclasses import replace
from pathlib import Path

import pytest

from drivers.ports import Report, RunLoad, Status
from nextplate.errors import NeedsOperator
from protocols.model import Incubate, Transfer
from sim.lab import FaultKind, FaultSettings, SimLab
from sim.liquids import read_well
from tests.sim.rig import DECK, RACK, do, open_lab, set_up, transfers, write_protocol


def _run(lab: SimLab, folder: Path, moved: tuple[Transfer, ...], key: str = "dose") -> Report:
    return do(lab, lab.handler, write_protocol(folder, moved), key)


@pytest.fixture
def lab(tmp_path: Path) -> SimLab:
    lab = open_lab(tmp_path / "lab")
    set_up(lab)
    return lab


def test_every_transfer_is_reported_logged_and_moved(lab: SimLab, tmp_path: Path) -> None:
    before = lab.clock.now()
    report = _run(lab, tmp_path, transfers(6))
    assert report.status is Status.DONE
    assert report.result["transfers"] == [[i, 5000] for i in range(1, 7)]
    log = lab.log("handler")
    assert [row["transfer_id"] for row in log] == [1, 2, 3, 4, 5, 6]
    assert all(abs(row["moved_nl"] - 5000) < 500 for row in log)
    assert read_well(lab._world, "P1", "A01").volume_nl == 45_000 + log[0]["moved_nl"]
    assert 6 * 7 < (lab.clock.now() - before).total_seconds() < 6 * 11 + 40


@pytest.mark.parametrize(("has_sensor", "reported"), [(True, 6_000), (False, 50_000)])
def test_an_overdraw_gives_a_lower_dose_and_only_a_sensor_tells(
    tmp_path: Path, has_sensor: bool, reported: int
) -> None:
    lab = open_lab(tmp_path / "lab", has_pressure_sensor=has_sensor, pipetting_cv=0.0)
    set_up(lab)
    twice = tuple(replace(t, volume_nl=50_000, source_well="A01", source_plate="SRC-001") for t in transfers(2))
    report = _run(lab, tmp_path, twice)
    assert report.result["transfers"] == [[1, 50_000], [2, reported]]
    assert lab.log("handler")[1]["moved_nl"] == 6_000
    assert lab.log("handler")[1]["note"] == "air drawn"
    doses = [read_well(lab._world, "P1", well).concentration_um("C000") for well in ("A01", "A02")]
    assert doses == pytest.approx([100 * 50 / 95, 100 * 6 / 51])


def test_a_plate_in_the_wrong_slot_stops_everything(lab: SimLab, tmp_path: Path) -> None:
    wrong = (replace(DECK[0], slot="B1"), *DECK[1:2], replace(DECK[2], slot="A1"), DECK[3])
    report = do(lab, lab.handler, write_protocol(tmp_path, transfers(2), wrong), "dose")
    assert report.status is Status.FAILED
    assert "slot B1 should hold CTRL-001 but holds SRC-001" in report.message
    assert report.result == {"transfers": [], "begun": 0}
    assert not lab.log("handler")


def test_a_used_tip_is_refused_and_what_moved_is_told(lab: SimLab, tmp_path: Path) -> None:
    again = tuple(replace(t, tip_well=("A01", "A02", "A01")[n]) for n, t in enumerate(transfers(3)))
    report = _run(lab, tmp_path, again)
    assert report.status is Status.FAILED
    assert f"tip A01 of rack {RACK} is missing: it was used before" in report.message
    assert report.result["transfers"] == [[1, 5000], [2, 5000]]


def test_a_tip_stays_on_from_one_transfer_to_the_next(lab: SimLab, tmp_path: Path) -> None:
    kept = tuple(replace(t, source_well="A01", source_plate="SRC-001", tip_well="A01") for t in transfers(3))
    assert _run(lab, tmp_path, kept).status is Status.DONE


def test_a_tip_stays_on_while_a_plate_stands(lab: SimLab, tmp_path: Path) -> None:
    one, two = (replace(t, source_well="A01", source_plate="SRC-001", tip_well="A01") for t in transfers(2))
    report = do(lab, lab.handler, write_protocol(tmp_path, (one, Incubate(9, "P1", 60), two)), "dose")
    assert report.status is Status.DONE, report.message
    assert report.result == {"transfers": [[1, 5000], [2, 5000]], "steps": [9]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_plate": "SRC-009"}, "plate SRC-009 is not on the deck"),
        ({"destination_well": "P24"}, "plate P1 has no well P24"),
        ({"tip_rack": "TIPS-009"}, "rack TIPS-009 cannot be reached"),
    ],
)
def test_impossible_transfers_fail_with_a_reason(
    lab: SimLab, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    report = _run(lab, tmp_path, (replace(transfers(1)[0], **change),))
    assert report.status is Status.FAILED
    assert message in report.message


def test_an_unreadable_or_changed_protocol_is_refused_before_anything_moves(lab: SimLab, tmp_path: Path) -> None:
    good = write_protocol(tmp_path, transfers(2))
    bad: list[RunLoad] = [
        replace(good, protocol_path=tmp_path / "none.json"),
        replace(good, protocol_digest="0" * 64),
        replace(good, load=3),
    ]
    for number, command in enumerate(bad):
        with pytest.raises(NeedsOperator):
            lab.handler.submit(command, f"bad-{number}")
        assert lab.handler.lookup(f"bad-{number}").status is Status.NOT_FOUND


def test_a_crash_half_way_reports_what_had_moved(lab: SimLab, tmp_path: Path) -> None:
    lab.break_device("handler", FaultKind.CRASH)
    report = _run(lab, tmp_path, transfers(10))
    assert report.status is Status.FAILED
    assert [pair[0] for pair in report.result["transfers"]] == [1, 2, 3, 4, 5]
    # What the transfer under way did is in the log where it did anything, and not in the report.
    assert [row["transfer_id"] for row in lab.log("handler")][:5] == [1, 2, 3, 4, 5]
    assert len(lab.log("handler")) <= 6


@pytest.mark.parametrize(("kind", "reported"), [(FaultKind.CLOGGED_TIP, 0), (FaultKind.UNNOTICED_CLOG, 5000)])
def test_a_clogged_tip_moves_nothing(lab: SimLab, tmp_path: Path, kind: FaultKind, reported: int) -> None:
    lab.break_device("handler", kind)
    report = _run(lab, tmp_path, transfers(2))
    assert report.status is Status.DONE
    assert report.result["transfers"][0] == [1, reported]
    assert lab.log("handler")[0]["moved_nl"] == 0
    assert read_well(lab._world, "P1", "A01").volume_nl == 45_000


def test_rates_strike_the_same_transfers_again(tmp_path: Path) -> None:
    results = []
    for name in ("a", "b"):
        lab = open_lab(tmp_path / name, faults=FaultSettings(clogged_tip=0.3))
        set_up(lab)
        results.append(_run(lab, tmp_path, transfers(20)).result)
        lab.close()
    assert results[0] == results[1]
    n_clogged = sum(volume == 0 for _, volume in results[0]["transfers"])
    assert 1 <= n_clogged <= 14
