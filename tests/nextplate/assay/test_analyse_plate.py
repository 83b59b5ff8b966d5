"""One measured plate and a layout file: everything that can be said, and the reason for what cannot."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_plate import bbbc013_layout, bbbc013_wells

from nextplate.assay import (
    NC_RATIO,
    AssayParams,
    Direction,
    Method,
    PlateAnalysis,
    Scale,
    analyse_plate,
    endpoint_of,
    from_plan,
    normalise,
    read_measured_layout,
)
from nextplate.assay.measured_layout import MeasuredLayout, MeasuredWell
from nextplate.errors import DataError
from nextplate.plate import PLATE_96, PLATE_384, Role
from tests.nextplate.assay.assay_plates import Assay, assay, layout, names

PARAMS = AssayParams()


@pytest.fixture(scope="module")
def screen() -> Assay:
    plan = layout()
    return assay(
        plan, active=dict.fromkeys(names(plan, Role.SAMPLE)[:4], 0.9), toxic=tuple(names(plan, Role.SAMPLE)[8:9])
    )


@pytest.fixture(scope="module")
def analysed(screen: Assay) -> PlateAnalysis:
    return analyse_plate(screen.wells, from_plan(screen.layout), PARAMS)


def test_it_says_what_the_loop_says(screen: Assay, analysed: PlateAnalysis) -> None:
    rows, quality = normalise(screen.wells, screen.layout, PARAMS)
    assert analysed.quality == quality
    same = ["well", "role", "raw_activity", "activity", "activity_z", "viability", "flags", "is_used", "is_hit"]
    assert analysed.responses.select(same).equals(rows.select(same))
    assert analysed.hits is not None
    assert analysed.hits.n_hits == quality.n_hits == 4
    assert analysed.responses.filter("is_hit")["q"].max() < 0.01


def test_a_screen_has_b_scores_replicates_and_tested_places(analysed: PlateAnalysis) -> None:
    scores = analysed.responses.select("well", "role", "b_score").drop_nulls()
    assert len(scores) == 384
    assert scores.filter(pl.col("role") == "sample")["b_score"].abs().median() == pytest.approx(0.67, abs=0.15)
    assert analysed.replicates.n_treatments == 168
    assert (analysed.replicates.low or 1) < (analysed.replicates.correlation or 0) < (analysed.replicates.high or 0)
    assert [e.factor for e in analysed.effects] == ["row", "column", "edge"]
    assert all(e.p is not None and e.p > 0.001 for e in analysed.effects)
    assert analysed.doses["verdict"].unique().to_list() == ["too-few-doses"]


def test_it_is_ready_for_json(analysed: PlateAnalysis) -> None:
    body = json.loads(json.dumps(analysed.to_json()))
    numbers = ("z_prime", "z_prime_robust", "ssmd", "signal_to_background", "cv_negative", "cv_positive")
    for name in numbers:
        low, high = body["intervals"][name]
        assert low < body[name] < high
    assert body["series"] == {}
    assert body["endpoint"] == {"column": "nc_ratio", "scale": "log2", "method": "controls", "direction": None}


def dosed(
    unit: str = "uM", falls: bool = False, negatives: bool = True, seed: int = 1
) -> tuple[pl.DataFrame, MeasuredLayout]:
    """A 96-well plate, places shuffled: 16 + 8 controls, a compound with EC50 1 and one that does nothing."""
    rng = np.random.default_rng(seed)
    wells = [str(w) for w in rng.permutation(list(PLATE_96.wells()))]
    doses = [d for d in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0) for _ in range(3)]
    if unit == "index":
        doses = [float(i) for i in range(1, 9) for _ in range(3)]
    plan = [(Role.NEGATIVE if negatives else Role.EMPTY, None, 0.0)] * 16 + [(Role.POSITIVE, None, None)] * 8
    plan += [(Role.SAMPLE, c, d) for c in ("active", "idle") for d in doses]
    named = [MeasuredWell(w, r, c, d, unit if d else "", {}) for w, (r, c, d) in zip(wells, plan, strict=False)]
    rows = []
    for w in named:
        x = (w.dose or 0) ** 1.2 if unit != "index" else 10 ** (w.dose or 0) / 1e4 if w.dose else 0.0
        level = 1.0 if w.role is Role.POSITIVE else x / (1 + x) if w.compound_id == "active" else 0.0
        value = 100 + (-60 if falls else 400) * level + rng.normal(0, 4)
        rows.append(
            {"plate": "P", "well": w.well, "n_fields": 2, "n_cells": 100, "Cells_Intensity_Mean_X": value, "flags": ""}
        )
    return pl.DataFrame(rows), MeasuredLayout(PLATE_96, tuple(named), "layout.csv")


@pytest.mark.parametrize("falls", [False, True])
@pytest.mark.parametrize(("unit", "truth"), [("uM", 1.0), ("nM", 1.0), ("index", 4.0)])
def test_curves_have_their_midpoint_in_the_layouts_own_unit(unit: str, truth: float, falls: bool) -> None:
    found = analyse_plate(*dosed(unit, falls), PARAMS, "Cells_Intensity_Mean_X")
    active, idle = found.doses.to_dicts()
    assert (active["compound_id"], active["dose_unit"], active["verdict"]) == ("active", unit, "determined")
    assert active["midpoint_low"] < truth < active["midpoint_high"]
    assert active["direction"] == "up"  # of the activity, which rises towards the positives whatever the raw number
    assert active["n_wells"] == 24 + 16
    assert (idle["verdict"], idle["midpoint"]) == ("flat", None)
    assert "does not follow the dose" in idle["reason"]


def test_ratios_of_a_linear_number_are_its_own() -> None:
    wells, plan = dosed()
    found = analyse_plate(wells, plan, PARAMS, "Cells_Intensity_Mean_X")
    assert found.controls.numbers["signal_to_background"] == pytest.approx(5, rel=0.05)
    assert found.controls.numbers["cv_negative"] == pytest.approx(0.04, rel=0.5)


def test_a_number_without_a_zero_has_no_ratios() -> None:
    wells, plan = dosed()
    found = analyse_plate(wells.rename({"Cells_Intensity_Mean_X": "score"}), plan, PARAMS, "score")
    assert found.controls.numbers["signal_to_background"] is None
    assert found.controls.numbers["z_prime"] is not None
    assert "signal_to_background is not known: score has no zero to take ratios to" in found.reasons
    below = wells.with_columns(pl.col("Cells_Intensity_Mean_X") - 100)
    assert analyse_plate(below, plan, PARAMS, "Cells_Intensity_Mean_X").controls.numbers["cv_negative"] is None


def test_without_negatives_there_is_no_scale_and_it_is_said() -> None:
    found = analyse_plate(*dosed(negatives=False), PARAMS, "Cells_Intensity_Mean_X")
    assert found.responses["activity"].null_count() == len(found.responses)
    assert found.hits is None
    assert found.reasons[0] == "0 good negative control wells, 3 are needed: no activity can be computed"
    assert "dose-response curves are of the raw numbers: there is no activity scale" in found.reasons
    assert found.doses["verdict"].to_list() == ["determined", "flat"]


def test_robust_z_needs_no_positives() -> None:
    wells, plan = dosed()
    bare = MeasuredLayout(PLATE_96, tuple(w for w in plan.wells if w.role is not Role.POSITIVE), "layout.csv")
    for direction, sign in ((None, 1), (Direction.UP, 1), (Direction.DOWN, -1)):
        endpoint = endpoint_of("Cells_Intensity_Mean_X", Method.ROBUST_Z, direction)
        found = analyse_plate(wells, bare, PARAMS, endpoint)
        rows = found.responses.filter(pl.col("compound_id") == "active")
        assert rows["activity"].equals(rows["activity_z"].rename("activity"))
        assert np.sign(rows["activity"].mean()) == sign
        assert (found.hits is not None and found.hits.n_hits > 5) == (sign > 0)
        assert any(r.startswith("z_prime is not known") for r in found.reasons)
        assert found.quality.passed


def test_series_with_controls_of_their_own_are_judged_apart_too() -> None:
    plan = read_bbbc013()
    assert plan.series == ("series1", "series2")


def read_bbbc013() -> MeasuredLayout:
    return read_measured_layout(bbbc013_layout())


def test_bbbc013_from_pixels_to_midpoints() -> None:
    plan = read_bbbc013()
    found = analyse_plate(bbbc013_wells(), plan, PARAMS)
    assert (found.controls.n_negative, found.controls.n_positive) == (16, 8)
    assert (found.controls.numbers["z_prime"] or 0) > 0.75
    assert all((found.series[s].numbers["z_prime"] or 0) > 0.7 for s in ("series1", "series2"))
    for row in found.doses.to_dicts():
        assert row["verdict"] == "determined"
        assert 3 < row["midpoint_low"] < row["midpoint"] < row["midpoint_high"] < 6
    assert found.dose_order == "column"
    assert found.quality.correction == "none"
    assert any("no B-scores: the doses stand in the order of the columns" in r for r in found.reasons)
    assert any(r.startswith("series1: the positive controls sit in column 12") for r in found.reasons)
    assert (found.replicates.low or 0) > 0.9


def test_wells_that_only_one_side_knows_are_told(screen: Assay) -> None:
    plan = from_plan(screen.layout)
    short = MeasuredLayout(plan.plate_format, plan.wells[2:], "plan.csv")
    found = analyse_plate(screen.wells.filter(pl.col("well") != "P24"), short, PARAMS)
    assert "measured and not in the layout, so taken as empty: A01, A02; give them a line if not" in found.reasons
    assert "in the layout and not measured (flag no-image): P24" in found.reasons
    assert found.responses.filter(pl.col("well") == "P24")["flags"].to_list() == ["no-image"]


REFUSED: Mapping[str, tuple[object, str]] = {
    "two plates": (lambda w: pl.concat([w, w.with_columns(plate=pl.lit("P2"))]), "are of 2 plates"),
    "no plate": (lambda w: w.drop("plate"), "lack the column plate"),
    "no such column": (lambda w: w.drop("nc_ratio"), "lack the columns nc_ratio"),
    "twice": (lambda w: pl.concat([w, w.head(1)]), "wells measured twice: A01"),
    "another plate": (
        lambda w: w.with_columns(well=pl.lit("AA") + pl.col("well").str.slice(1)).unique("well"),
        "none of",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_table_that_cannot_be_this_plates_is_one_error(screen: Assay, change: object, words: str) -> None:
    assert callable(change)
    with pytest.raises(DataError, match=words):
        analyse_plate(change(screen.wells), from_plan(screen.layout), PARAMS)


def test_a_failed_plate_keeps_its_numbers_and_has_no_hits() -> None:
    noisy = assay(noise=1.0)
    found = analyse_plate(noisy.wells, from_plan(noisy.layout), PARAMS)
    assert not found.quality.passed
    assert found.responses["activity"].null_count() == 0
    assert not found.responses["is_used"].any()
    assert found.responses["is_good"].all()
    assert "no hits are called: the plate failed" in found.reasons
    used = analyse_plate(noisy.wells, from_plan(noisy.layout), AssayParams(accepts_failed=True))
    assert used.hits is not None


def test_an_edge_effect_is_not_taken_out_where_controls_sit_on_the_edge() -> None:
    plan = layout()
    wells = list(PLATE_384.wells())
    placed = {w: Role.NEGATIVE for w in wells if w.endswith("01")} | {
        w: Role.POSITIVE for w in wells if w.endswith("24")
    }
    samples = [MeasuredWell(w.well, Role.SAMPLE, w.compound_id or "C", 10.0, "uM", {}) for w in plan.wells]
    named = tuple(MeasuredWell(w.well, placed[w.well], None, None, "", {}) if w.well in placed else w for w in samples)
    found = analyse_plate(assay(plan, edge=0.6).wells, MeasuredLayout(PLATE_384, named, "x.csv"), PARAMS)
    assert found.confounding
    assert found.quality.correction.startswith("none")


@settings(max_examples=10, deadline=None)
@given(shift=st.floats(-50, 50), scale=st.floats(0.1, 20))
def test_activities_and_verdicts_do_not_depend_on_the_unit_of_the_raw_number(shift: float, scale: float) -> None:
    wells, plan = dosed()
    other = wells.with_columns(pl.col("Cells_Intensity_Mean_X") * scale + shift)
    a, b = (analyse_plate(w, plan, PARAMS, "Cells_Intensity_Mean_X") for w in (wells, other))
    np.testing.assert_allclose(a.responses["activity"].to_numpy(), b.responses["activity"].to_numpy(), atol=1e-9)
    assert a.doses["verdict"].equals(b.doses["verdict"])


def test_the_scale_of_a_column_is_told_by_its_name() -> None:
    scales = {
        "nc_ratio": Scale.LOG2, "n_cells": Scale.LINEAR, "nuclear_area_um2": Scale.LINEAR,
        "Nuclei_Intensity_MeanIntensity_DNA": Scale.LINEAR, "Nuclei_Texture_Contrast_DNA_3px": Scale.NO_ZERO,
        "Cells_Correlation_DNA_RNA": Scale.NO_ZERO,
    }  # fmt: skip
    assert {name: endpoint_of(name).scale for name in scales} == scales
    assert endpoint_of("nc_ratio") == NC_RATIO


def test_the_layouts_further_columns_are_kept_under_names_of_their_own(tmp_path: Path) -> None:
    rows = ["well,role,compound,dose,dose_unit,series,p,batch"]
    wells, plan = dosed()
    rows += [f"{w.well},{w.role},{w.compound_id or ''},{w.dose or ''},{w.dose_unit},s1,0.5,b7" for w in plan.wells]
    path = tmp_path / "layout.csv"
    path.write_text("\n".join(rows))
    found = analyse_plate(wells, read_measured_layout(path), PARAMS, "Cells_Intensity_Mean_X").responses
    assert found.select("series", "layout_p", "batch").unique().rows() == [("s1", "0.5", "b7")]
    assert found["p"].dtype == pl.Float64
