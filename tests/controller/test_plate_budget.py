"""A well budget ends in the wells of the plate and the transfers of the protocol, dose-response series included."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from night_lab import make_library
from protocol_lab import full_rack

from controller.settings import PickingSection
from controller.steps import compile as compile_step
from controller.steps import layout as layout_step
from controller.steps import normalise as normalise_step
from controller.steps import pick as pick_step
from controller.steps.data import read_picks
from nextplate.chem.library import load_features
from nextplate.design import layout_from_csv
from nextplate.errors import PlanError
from nextplate.plate import Role
from protocols.labware import robot_deck
from protocols.model import Protocol
from protocols.stock import StockWell

N, DOSES = 120, (1.0, 3.0, 10.0, 30.0, 100.0)
PLATE_384, RESERVOIR = "corning_384_wellplate_112ul_flat", "nest_12_reservoir_15ml"
WELLS = {"exploit": 40, "explore": 8, "confirm": 4, "dose-response": 20}
LIQUID = {"transfer_ul": 5.0, "well_volume_ul": 45.0, "dose_um": 10.0}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("library") / "library", N)


def stock_of(path: Path, with_series: int) -> Path:
    """Every compound at the strength of 10 uM in the well; the first few at the strengths of the series too."""
    places = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    wells = [StockWell("SRC", places[i], f"C{i:04d}", 60_000, 100.0, PLATE_384) for i in range(N)]
    wells += [
        StockWell(f"DIL-{dose:g}", places[i], f"C{i:04d}", 60_000, 10 * dose, PLATE_384)
        for dose in DOSES
        for i in range(with_series)
        if dose != 10.0
    ]
    wells += [StockWell("CTRL", "A01", "DMSO", 10_000_000, 0.0, RESERVOIR)]
    wells += [StockWell("CTRL", "A12", "REF-1", 10_000_000, 100.0, RESERVOIR)]
    pl.DataFrame([asdict(w) for w in wells]).write_parquet(path / "stock.parquet")
    return path / "stock.parquet"


def responses(path: Path, hits: dict[str, int]) -> Path:
    """Of the first 30 compounds, the named are hits, in so many wells each."""
    ids = [f"C{i:04d}" for i in range(30) for _ in range(hits.get(f"C{i:04d}", 1))]
    activity = [0.9 - int(i[1:]) / 100 if i in hits else 0.1 for i in ids]
    n = len(ids)
    columns: dict[str, Any] = {"compound_id": ids, "role": ["sample"] * n, "dose_um": [10.0] * n, "activity": activity}
    columns |= {"is_used": [True] * n, "is_toxic": [False] * n, "is_hit": [a > 0.5 for a in activity]}
    pl.DataFrame(columns).write_parquet(path / "responses.parquet")
    return path / "responses.parquet"


def predictions(path: Path) -> Path:
    mean = np.linspace(0, 1, N)
    columns = {"compound_id": [f"C{i:04d}" for i in range(N)], "mean": mean, "spread": np.full(N, 0.1)}
    columns |= {"lower": mean - 0.2, "upper": mean + 0.2, "p_hit": mean}
    pl.DataFrame(columns).write_parquet(path / "predictions.parquet")
    return path / "predictions.parquet"


def pick(tmp_path: Path, library: Path, stock: Path, tested: Path, **more: Any) -> dict[str, Any]:
    inputs = {"library": library, "stock": stock, "responses-0": tested, "predictions": predictions(tmp_path)}
    params = {**PickingSection().model_dump(mode="json"), "n_wells": 72, "n_confirm": 4, **LIQUID}
    params |= {"controls": ["DMSO", "REF-1"], "hit_threshold": 0.5, "excluded": [], "seed": 1, "round": 1}
    params |= {"purpose": "pick", "budget": {"wells": WELLS, "doses_um": list(DOSES)}, **more}
    return dict(pick_step.run(inputs, params, tmp_path, lambda *_: None))


HITS = {f"C{i:04d}": 2 if i in (3, 4) else 1 for i in range(12)}


def test_a_series_ends_in_the_plate_and_in_the_protocol(tmp_path: Path, library: Path, monkeypatch):
    stock = stock_of(tmp_path, with_series=6)
    said = pick(tmp_path, library, stock, responses(tmp_path, HITS))
    picks = read_picks(tmp_path / "picks.parquet")
    wells = Counter()
    for p in picks:
        wells[p.reason] += p.n_wells
    assert wells == WELLS
    assert said["notes"] == []
    curves = [p for p in picks if p.reason == "dose-response"]
    assert [p.compound_id for p in curves] == ["C0003", "C0004", "C0000", "C0001"], "those seen twice come first"
    assert all(p.doses_um == DOSES for p in curves)
    assert [p.compound_id for p in picks if p.reason == "confirm"] == ["C0002", "C0005", "C0006", "C0007"]
    why = pl.read_parquet(tmp_path / "picks.parquet").filter(pl.col("reason") == "dose-response")["why"][0]
    assert why.startswith("C0003: dose-response, a hit without a curve (4 of 56 picks)")
    assert "measured 0.87" in why
    assert "5 wells: 1, 3, 10, 30, 100 uM" in why

    params = {"seed": 1, "round": 1, "purpose": "layout", "barcode": "NP-1", "wells": 96, "dose_um": 10.0}
    params |= {"n_negative": 12, "n_positive": 8}
    layout_step.run({"picks": tmp_path / "picks.parquet"}, params, tmp_path, lambda *_: None)
    layout = layout_from_csv(tmp_path / "layout.csv")
    planned = {w.well: w for w in layout.by_role(Role.SAMPLE)}
    assert sorted(w.dose_um for w in planned.values() if w.compound_id == "C0003") == list(DOSES)

    monkeypatch.setattr(compile_step, "tip_racks", lambda _path: (full_rack("TIPS-1", robot_deck("flex")),))
    params = {**LIQUID, "robot": "flex", "negative": "DMSO", "positive": "REF-1", "labware": None}
    compile_step.run(
        {"layout": tmp_path / "layout.csv", "stock": stock, "tips": tmp_path}, params, tmp_path, lambda *_: None
    )
    strength = {(w["source_plate"], w["source_well"]): w for w in pl.read_parquet(stock).to_dicts()}
    moved = Protocol.from_json((tmp_path / "protocol.json").read_text()).transfers
    samples = [t for t in moved if t.destination_well in planned]
    assert len(samples) == 72
    for t in samples:
        source, well = strength[t.source_plate, t.source_well], planned[t.destination_well]
        assert source["compound_id"] == well.compound_id
        assert source["concentration_um"] * 5 / 50 == pytest.approx(well.dose_um)


def test_hits_whose_stock_gives_no_series_are_counted_and_their_wells_used(tmp_path: Path, library: Path):
    said = pick(tmp_path, library, stock_of(tmp_path, with_series=1), responses(tmp_path, HITS))
    assert said["notes"] == [
        "dose-response: 1 compounds got a series; of 11 hits no stock wells give every dose; its other 15 wells go to "
        "new compounds"
    ]
    assert sum(p.n_wells for p in read_picks(tmp_path / "picks.parquet")) == 72
    assert said["reasons"]["explore"] == 8, "what is left over is picked by score"


def test_a_compound_with_a_series_gets_no_second_one_and_its_low_doses_teach_nothing(tmp_path: Path, library: Path):
    tested = responses(tmp_path, {"C0000": 1})
    frame = pl.read_parquet(tested)
    low = frame.filter(pl.col("compound_id") == "C0000").with_columns(dose_um=pl.lit(1.0), activity=pl.lit(0.05))
    pl.concat([frame, low.with_columns(is_hit=pl.lit(value=False))]).write_parquet(tested)
    said = pick(tmp_path, library, stock_of(tmp_path, with_series=6), tested)
    picks = read_picks(tmp_path / "picks.parquet")
    assert "dose-response" not in said["reasons"]
    assert [p.compound_id for p in picks if p.reason == "confirm"] == ["C0000"]
    assert "no hit can get a series" in said["notes"][0]


def test_wells_of_no_use_in_a_first_round_go_to_new_compounds(tmp_path: Path, library: Path):
    inputs = {"library": library, "stock": stock_of(tmp_path, 0)}
    params = {**PickingSection().model_dump(mode="json"), "n_wells": 72, "n_confirm": 4, **LIQUID, "excluded": []}
    params |= {"controls": ["DMSO", "REF-1"], "seed": 1, "round": 0, "purpose": "pick", "hit_threshold": 0.5}
    params |= {"budget": {"wells": WELLS, "doses_um": list(DOSES)}}
    pick_step.run(inputs, params, tmp_path, lambda *_: None)
    assert sum(p.n_wells for p in read_picks(tmp_path / "picks.parquet")) == 72


def test_picks_of_before_there_were_doses_can_be_read(tmp_path: Path, library: Path):
    pick(tmp_path, library, stock_of(tmp_path, 6), responses(tmp_path, HITS))
    path = tmp_path / "picks.parquet"
    pl.read_parquet(path).drop("doses_um").write_parquet(path)
    assert {p.doses_um for p in read_picks(path)} == {()}


def test_doses_that_do_not_fit_the_wells_are_refused():
    from dataclasses import replace

    from nextplate.design import layout
    from nextplate.plate import PLATE_96
    from nextplate.prediction import Pick

    one = Pick("C1", "dose-response", *[0.0] * 7, 5, DOSES)
    with pytest.raises(PlanError, match="C1 has 5 doses for 3 wells"):
        layout("NP-1", [replace(one, n_wells=3)], PLATE_96, 4, 4, 10.0, 1)


def test_a_measured_series_gets_its_curve(tmp_path: Path, library: Path):
    features = load_features(library)
    assert features.compound_ids[0] == "C0000"
    pick(tmp_path, library, stock_of(tmp_path, 6), responses(tmp_path, HITS))
    params = {"seed": 1, "round": 1, "purpose": "layout", "barcode": "NP-1", "wells": 96, "dose_um": 10.0}
    layout_step.run(
        {"picks": tmp_path / "picks.parquet"}, {**params, "n_negative": 12, "n_positive": 8}, tmp_path, lambda *_: None
    )
    plan = layout_from_csv(tmp_path / "layout.csv")
    rng = np.random.default_rng(0)
    effect = [
        1.0 if w.role is Role.POSITIVE else 0.0 if w.compound_id is None else w.dose_um / (w.dose_um + 5)
        for w in plan.wells
        if w.role is not Role.EMPTY
    ]
    ratio = 1 + np.array(effect) + rng.normal(0, 0.02, len(effect))
    wells = pl.DataFrame(
        {
            "plate": "NP-1",
            "well": [w.well for w in plan.wells if w.role is not Role.EMPTY],
            "nc_ratio": ratio,
            "cells_per_field": 200.0,
            "n_cells": 800,
            "n_fields": 4,
            "flags": "",
        }
    )
    wells.write_parquet(tmp_path / "wells.parquet")
    told = normalise_step.run(
        {"wells": tmp_path / "wells.parquet", "layout": tmp_path / "layout.csv"},
        {"hit_threshold": 0.5, "min_viability": 0.5, "min_z_prime": 0.3, "accepts_failed": False, "undosed": {}}
        | {"dose_um": 10.0},
        tmp_path,
        lambda *_: None,
    )
    assert told["n_curves"] == 4
    curves = pl.read_csv(tmp_path / "dose_response.csv")
    assert "too-few-doses" not in curves["verdict"].to_list()
    assert sorted(curves["compound_id"]) == ["C0000", "C0001", "C0003", "C0004"]
    learned = pl.read_parquet(tmp_path / "responses.parquet").filter(pl.col("label").is_not_null())
    assert learned["dose_um"].unique().to_list() == [10.0]
