"""A compound in stock at several strengths is picked and drawn at the strength that makes the dose, and no other."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from protocol_lab import PLATE, RESERVOIR, full_rack, small_layout

from controller.steps import compile as compile_step
from controller.steps import pick as pick_step
from controller.steps.stocked import transfers_left, usable_wells
from nextplate.compound import Features
from nextplate.design import layout_to_csv
from nextplate.errors import PlanError
from protocols.labware import robot_deck
from protocols.model import Protocol

WELLS = {
    "A01": ("C1", 20_000, 100.0),
    "B01": ("C1", 60_000, 10_000.0),  # fuller, and a hundred times too strong
    "C01": ("C2", 60_000, 10_000.0),
    "D01": ("C3", 8_000, 100.0),  # the right strength, and too little over its dead volume
    "E01": ("C4", 60_000, 104.0),
}
PARAMS = {"transfer_ul": 5.0, "well_volume_ul": 45.0, "dose_um": 10.0, "controls": ["DMSO", "REF-1"]}
PARAMS |= {"robot": "flex", "negative": "DMSO", "positive": "REF-1", "labware": None}


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    rows = [("SRC-1", well, name, volume, strength, PLATE) for well, (name, volume, strength) in WELLS.items()]
    rows += [("CTRL", "A01", "DMSO", 5_000_000, 0.0, RESERVOIR), ("CTRL", "A12", "REF-1", 5_000_000, 100.0, RESERVOIR)]
    names = ("source_plate", "source_well", "compound_id", "volume_nl", "concentration_um", "labware")
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "stock.parquet")
    return tmp_path / "stock.parquet"


def run_compile(stock: Path, compounds: list[str], monkeypatch: pytest.MonkeyPatch) -> Protocol:
    out = stock.parent
    (out / "layout.csv").write_text(layout_to_csv(small_layout(compounds)))
    racks = (full_rack("TIPS-1", robot_deck("flex")),)
    monkeypatch.setattr(compile_step, "tip_racks", lambda _path: racks)
    inputs = {"layout": out / "layout.csv", "stock": stock, "tips": out}
    compile_step.run(inputs, PARAMS, out, lambda _done, _total: None)
    return Protocol.from_json((out / "protocol.json").read_text())


def test_only_a_compound_with_a_well_of_the_right_strength_can_be_picked(stock: Path):
    assert transfers_left(usable_wells(stock, PARAMS, 10.0), PARAMS) == {"C1": 3, "C4": 11}


def test_only_a_compound_with_liquid_for_two_wells_gets_two():
    n = 40
    bits = np.random.default_rng(0).integers(0, 256, (n, 256), dtype=np.uint8)
    names = tuple(f"C{i}" for i in range(n))
    features = Features(Path(), "", names, names, bits, np.zeros((n, 0), np.float32), (), bits, bits)
    held = {name: 1 + i % 2 for i, name in enumerate(names)}
    picks = pick_step._first(features, np.ones(n, dtype=bool), held, 30, 8, np.random.default_rng(1))
    assert sum(p.n_wells for p in picks) == 30
    assert [p.n_wells for p in picks].count(2) == 8
    assert all(held[p.compound_id] >= p.n_wells for p in picks)


def test_a_well_of_another_strength_is_never_drawn_from(stock: Path, monkeypatch: pytest.MonkeyPatch):
    protocol = run_compile(stock, ["C1", "C4"], monkeypatch)
    drawn = {t.compound_id: t.source_well for t in protocol.transfers if t.source_plate == "SRC-1"}
    assert drawn == {"C1": "A01", "C4": "E01"}


def test_a_compound_of_another_strength_alone_cannot_be_compiled(stock: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PlanError, match="C2 at 10 uM for A01: 5000 nl missing"):
        run_compile(stock, ["C2"], monkeypatch)


def test_scaffold_caps_and_source_plates_reach_the_choice_only_where_settings_ask(stock: Path):
    folder = stock.parent
    pl.DataFrame({"scaffold": ["c1ccccc1", "", "c1ccccc1", None]}).write_parquet(folder / "compounds.parquet")
    names, bits = ("C1", "C2", "C3", "C4"), np.zeros((4, 8), dtype=np.uint8)
    features = Features(folder, "", names, names, bits, np.zeros((4, 0), np.float32), (), bits, bits)
    wells = usable_wells(stock, PARAMS, 10.0)
    assert pick_step._batch_limits(wells, PARAMS, features) == {"diversity": "penalty"}
    asked = PARAMS | {"diversity": "dpp", "cap_per_scaffold": 2, "source_plate_cost": 0.1}
    limits = pick_step._batch_limits(wells, asked, features)
    assert (limits["diversity"], limits["cap_per_cluster"], limits["plate_cost"]) == ("dpp", 2, 0.1)
    assert limits["clusters"].tolist() == [0, -1, 0, -1]
    assert limits["plate_of"].tolist() == [0, -1, -1, 0]
