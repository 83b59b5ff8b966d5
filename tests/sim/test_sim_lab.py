"""Deliveries, vendor files, and a lab that outlives its process."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from nextplate.errors import DataError, SettingsError
from sim.lab import FaultKind, FaultSettings, SimLab, SimSettings, SourceWell, write_wehi_library
from tests.sim.rig import RESERVOIR, SOURCE, do, open_lab, set_deck, settings, snapshot, source_wells


def test_vendor_files_hold_the_library_on_plates_and_two_controls(tmp_path: Path) -> None:
    library, stock = write_wehi_library(tmp_path, seed=3, n=500)
    with library.open(newline="") as file:
        compounds = list(csv.DictReader(file))
    with stock.open(newline="") as file:
        wells = list(csv.DictReader(file))
    assert len({row["compound_id"] for row in compounds}) == 500
    samples = [row for row in wells if row["source_plate"].startswith("SRC-")]
    assert {row["compound_id"] for row in samples} == {row["compound_id"] for row in compounds}
    assert (samples[0]["source_plate"], samples[0]["source_well"]) == ("SRC-001", "A01")
    assert (samples[-1]["source_plate"], samples[-1]["source_well"]) == ("SRC-002", "E20")
    controls = [row for row in wells if row["source_plate"] == "CTRL-001"]
    assert [row["compound_id"] for row in controls] == ["DMSO"] * 6 + ["REF-1"] * 6
    assert {row["labware"] for row in controls} == {RESERVOIR}
    again = write_wehi_library(tmp_path / "again", seed=3, n=500)
    assert [p.read_bytes() for p in again] == [library.read_bytes(), stock.read_bytes()]
    with pytest.raises(DataError, match="10000 compounds, 20000"):
        write_wehi_library(tmp_path, seed=3, n=20_000)


def test_delivering_again_changes_nothing(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    do(lab, lab.mover, set_deck(), "deck")
    before = snapshot(tmp_path)
    open_lab(tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"well": "Z99"}, "has no such well"),
        ({"volume_nl": 999_000}, "takes 0 to 112000"),
        ({"volume_nl": -1}, "takes 0 to 112000"),
        ({"concentration_um": -2.0}, "below 0"),
        ({"labware": "bucket"}, "no labware 'bucket'"),
        ({"smiles": None}, "no structure and is no control"),
        ({"smiles": "CCO"}, "came as"),
    ],
)
def test_a_bad_delivery_is_refused_whole(tmp_path: Path, change: dict[str, object], message: str) -> None:
    lab = open_lab(tmp_path)
    before = snapshot(tmp_path)
    good = SourceWell("SRC-002", "A01", "NEW", "CCCCO", 50_000, 100.0, SOURCE)
    bad = replace(source_wells()[0], plate="SRC-002", well="A02")
    with pytest.raises(DataError, match=message):
        lab.deliver([good, replace(bad, **change)])
    assert snapshot(tmp_path) == before


def test_a_world_belongs_to_its_seed(tmp_path: Path) -> None:
    open_lab(tmp_path).close()
    with pytest.raises(DataError, match="made with seed 5, not 6"):
        SimLab.open(tmp_path, settings(seed=6))


@pytest.mark.parametrize("faults", [{"refused": 1.5}, {"clogged_tip": -0.1}])
def test_impossible_rates_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="between 0 and 1"):
        FaultSettings(**faults)


def test_unknown_devices_are_refused(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    with pytest.raises(DataError, match="no device 'toaster'"):
        lab.break_device("toaster", FaultKind.CRASH)
    with pytest.raises(SettingsError, match="no time zone"):
        SimSettings(seed=1, start=settings().start.replace(tzinfo=None))
