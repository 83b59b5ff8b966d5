"""Responses stand on the plate's own controls; what cannot be known is None with a reason."""

import json
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay import FLAGS, AssayParams, PlateQc, drift, normalise
from nextplate.errors import DataError
from nextplate.plate import PLATE_384, Layout, Role
from tests.nextplate.assay.assay_plates import Assay, assay, layout, names

PARAMS = AssayParams()


def rows_of(responses: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {str(r["well"]): r for r in responses.iter_rows(named=True)}


@pytest.fixture(scope="module")
def good() -> Assay:
    plan = layout()
    samples = names(plan, Role.SAMPLE)
    levels = dict(zip(samples[:4], (0.9, 0.9, 0.3, 0.3), strict=True))
    return assay(plan, active=levels, toxic=(samples[1], samples[5]))


def test_controls_define_zero_and_one(good: Assay) -> None:
    responses, qc = normalise(good.wells, good.layout, PARAMS)
    medians = dict(responses.group_by("role").agg(pl.col("activity").median()).iter_rows())
    assert medians["negative"] == pytest.approx(0)
    assert medians["positive"] == pytest.approx(1)
    assert qc.passed
    assert qc.reasons == ()
    assert (qc.n_negative, qc.n_positive, qc.n_wells) == (32, 16, 384)


def test_quality_numbers_are_what_their_formulas_say(good: Assay) -> None:
    _, qc = normalise(good.wells, good.layout, PARAMS)
    ratio = dict(good.wells.select("well", "nc_ratio").iter_rows())
    p, n = (np.array([ratio[w] for w in names(good.layout, r)]) for r in (Role.POSITIVE, Role.NEGATIVE))
    window = p.mean() - n.mean()
    assert qc.z_prime == pytest.approx(1 - 3 * (p.std(ddof=1) + n.std(ddof=1)) / window)
    assert qc.ssmd == pytest.approx(window / np.sqrt(p.var(ddof=1) + n.var(ddof=1)))
    assert qc.signal_to_background == pytest.approx((2**p).mean() / (2**n).mean())
    assert qc.cv_negative == pytest.approx((2**n).std(ddof=1) / (2**n).mean())
    assert qc.noise_negative == pytest.approx(0.15 / 3.5, rel=0.35)
    assert qc.noise_replicates == pytest.approx(0.15 / 3.5, rel=0.25)


def test_hits_are_active_alive_and_beyond_noise(good: Assay) -> None:
    rows = rows_of(normalise(good.wells, good.layout, PARAMS)[0])
    hit, dead_hit, weak, _, _, dead = names(good.layout, Role.SAMPLE)[:6]
    assert {w for w, r in rows.items() if r["is_hit"]} == {hit}
    assert {w for w, r in rows.items() if r["is_toxic"]} == {dead_hit, dead}
    assert rows[weak]["is_hit"] is False
    assert rows[names(good.layout, Role.POSITIVE)[0]]["is_hit"] is False
    assert rows[names(good.layout, Role.POSITIVE)[0]]["compound_id"] is None


def test_flagged_wells_are_kept_but_not_used(good: Assay) -> None:
    a, b, c, d = names(good.layout, Role.SAMPLE)[6:10]
    bad = good.with_wells(
        {
            a: {"flags": "out-of-focus"},
            b: {"flags": "no-image", "n_fields": 0, "n_cells": 0, "nc_ratio": None},
            c: {"flags": "reporter-out-of-focus"},
            d: {"flags": "empty-field", "n_cells": 0, "nc_ratio": None},
        }
    )
    responses, qc = normalise(bad.wells, bad.layout, PARAMS)
    rows = rows_of(responses)
    assert [rows[w]["is_used"] for w in (a, b, c, d)] == [False, False, True, False]
    assert [rows[w]["is_toxic"] for w in (a, b, c, d)] == [False, False, False, True]
    assert rows[b]["activity"] is None
    assert dict(qc.flags) == {"empty-field": 1, "no-image": 1, "out-of-focus": 1, "reporter-out-of-focus": 1}
    assert qc.n_flagged == 4
    assert qc.passed


def test_a_well_of_the_layout_that_was_not_measured_is_no_image(good: Assay) -> None:
    well = names(good.layout, Role.SAMPLE)[19]
    responses, _ = normalise(good.wells.filter(pl.col("well") != well), good.layout, PARAMS)
    assert len(responses) == 384
    assert rows_of(responses)[well]["flags"] == "no-image"


def test_a_well_without_a_ratio_says_so(good: Assay) -> None:
    well = names(good.layout, Role.SAMPLE)[19]
    rows = rows_of(normalise(good.with_wells({well: {"nc_ratio": float("nan")}}).wells, good.layout, PARAMS)[0])
    assert (rows[well]["flags"], rows[well]["is_used"], rows[well]["activity"]) == ("no-ratio", False, None)


def spoil(a: Assay, role: Role, keep: int) -> Assay:
    return a.with_wells({w: {"flags": "out-of-focus"} for w in names(a.layout, role)[keep:]})


@pytest.mark.parametrize("role", [Role.NEGATIVE, Role.POSITIVE])
def test_two_good_controls_are_too_few(good: Assay, role: Role) -> None:
    bad = spoil(good, role, keep=2)
    responses, qc = normalise(bad.wells, bad.layout, PARAMS)
    assert not qc.passed
    assert qc.reasons[0] == f"2 good {role} control wells, 3 are needed: no activity can be computed"
    assert len(responses) == 384
    assert responses["activity"].null_count() == 384
    assert not responses["is_used"].any()
    assert not responses["is_hit"].any()
    assert responses["flags"].str.contains("no-control").all()


def test_no_window_between_the_controls_fails_the_plate() -> None:
    plan = layout()
    flat = assay(plan, active=dict.fromkeys(names(plan, Role.POSITIVE), 0.0), noise=0.0)
    responses, qc = normalise(flat.wells, flat.layout, PARAMS)
    assert not qc.passed
    assert "there is no window" in qc.reasons[0]
    assert (qc.z_prime, qc.z_prime_robust, qc.ssmd) == (None, None, None)
    assert any(r.startswith("z_prime is not known") for r in qc.reasons)
    assert not responses["is_used"].any()


def test_a_noisy_plate_fails_by_its_robust_z_prime() -> None:
    noisy = assay(noise=1.0)
    responses, qc = normalise(noisy.wells, noisy.layout, PARAMS)
    assert not qc.passed
    assert qc.reasons[0].startswith("robust Z' is -")
    assert responses["activity"].null_count() == 0
    assert not responses["is_used"].any()


def test_a_plate_of_nothing_but_nan_fails_without_an_error(good: Assay) -> None:
    empty = good.wells.with_columns(nc_ratio=pl.lit(None, dtype=pl.Float64))
    responses, qc = normalise(empty, good.layout, PARAMS)
    assert not qc.passed
    assert (qc.n_negative, qc.n_positive) == (0, 0)
    assert (qc.negative_median, qc.z_prime, qc.edge_effect_z, qc.noise_negative) == (None,) * 4
    assert not responses["is_used"].any()
    assert "100% of the wells cannot be used, at most 30% may be" in qc.reasons


def test_an_edge_effect_is_found_taken_out_and_told() -> None:
    plan = layout()
    edged, plain = assay(plan, edge=0.5), assay(plan)
    left, qc_left = normalise(edged.wells, plan, AssayParams(corrects_edge=False))
    done, qc = normalise(edged.wells, plan, PARAMS)
    truth, qc_plain = normalise(plain.wells, plan, PARAMS)
    assert qc_plain.correction == "none"
    assert abs(qc_plain.edge_effect_z or 9) < 4
    assert (qc.edge_effect_z or 0) > 10
    assert qc.edge_shift == pytest.approx(0.5, abs=0.08)
    assert qc.correction.startswith("edge ring shifted by -0.")
    assert "was found and left in" in qc_left.correction
    error = [(r["activity"] - truth["activity"]).abs().mean() for r in (left, done)]
    assert isinstance(error[1], float)
    assert error[1] < 0.02 < error[0]
    assert done["raw_activity"].equals(edged.wells["nc_ratio"].rename("raw_activity"))


def test_a_column_effect_shows_as_explained_variance(good: Assay) -> None:
    tilted = good.wells.with_columns(nc_ratio=pl.col("nc_ratio") + pl.col("well").str.slice(1).cast(pl.Float64) * 0.02)
    _, plain = normalise(good.wells, good.layout, PARAMS)
    _, qc = normalise(tilted, good.layout, PARAMS)
    assert (plain.column_effect or 0) < 0.1
    assert (qc.column_effect or 0) > 0.3
    assert (qc.row_effect if qc.row_effect is not None else 1) < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.drop("nc_ratio"), "lack the columns nc_ratio"),
        (lambda w: pl.concat([w, w.head(1)]), "wells measured twice: A01"),
        (lambda w: w.with_columns(plate=pl.lit("P2")), "these wells are of plate P2"),
    ],
)
def test_a_wrong_table_is_one_clear_error(good: Assay, change: object, words: str) -> None:
    assert callable(change)
    with pytest.raises(DataError, match=words):
        normalise(change(good.wells), good.layout, PARAMS)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(-8, 8).filter(lambda s: abs(s) > 0.05), shift=st.floats(-5, 5))
def test_responses_do_not_depend_on_unit_or_sign_of_the_raw_scale(scale: float, shift: float) -> None:
    plan = layout(n_negative=8, n_positive=8)
    plain = assay(plan)
    other = plain.wells.with_columns(nc_ratio=pl.col("nc_ratio") * scale + shift)
    (a, qa), (b, qb) = (normalise(w, plan, PARAMS) for w in (plain.wells, other))
    for column in ("activity", "activity_z"):
        np.testing.assert_allclose(a[column].to_numpy(), b[column].to_numpy(), atol=1e-6)
    assert qa.z_prime == pytest.approx(qb.z_prime)
    assert a["is_hit"].equals(b["is_hit"])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_measured_wells_does_not_matter(seed: int) -> None:
    plain = assay()
    shuffled = plain.wells.sample(fraction=1.0, shuffle=True, seed=seed)
    (a, qa), (b, qb) = (normalise(w, plain.layout, PARAMS) for w in (plain.wells, shuffled))
    assert a.equals(b)
    assert qa == qb


def test_expected_false_hits_are_near_what_noise_alone_gives() -> None:
    loose = AssayParams(hit_threshold=0.1, hit_z=2.0, min_z_prime=-1.0)
    qcs = [normalise(assay(seed=s).wells, layout(), loose)[1] for s in range(12)]
    expected = sum(q.expected_false_hits or 0 for q in qcs)
    assert expected == pytest.approx(sum(q.n_hits for q in qcs), rel=0.6)


def test_quality_survives_json(good: Assay) -> None:
    _, qc = normalise(good.wells, good.layout, PARAMS)
    again = PlateQc.from_json(json.loads(json.dumps(qc.to_json(), allow_nan=False)))
    assert again == qc
    with pytest.raises(DataError, match="keys missing or unknown: ssmd"):
        PlateQc.from_json({k: v for k, v in qc.to_json().items() if k != "ssmd"})


def test_an_empty_layout_fails_with_its_reason() -> None:
    responses, qc = normalise(assay().wells, Layout("P1", PLATE_384, ()), PARAMS)
    assert responses.is_empty()
    assert "the layout holds no well" in qc.reasons


def test_drift_names_the_plate_whose_controls_moved() -> None:
    def moved(barcode: str, shift: float) -> PlateQc:
        plan = layout()
        plan = Layout(barcode, plan.plate_format, plan.wells)
        wells = assay(plan).wells.with_columns(plate=pl.lit(barcode), nc_ratio=pl.col("nc_ratio") + shift)
        return normalise(wells, plan, PARAMS)[1]

    rows = drift([moved("P1", 0.0), moved("P2", 0.05), moved("P3", 1.0)])
    assert [r.plate for r in rows] == ["P1", "P2", "P3"]
    assert [r.is_drifting for r in rows] == [False, False, True]
    assert (rows[2].negative_shift or 0) > 3
    assert rows[0].window == pytest.approx(3.5, abs=0.2)
    assert drift([]) == ()


def test_every_flag_of_this_room_has_a_sentence() -> None:
    table: Mapping[str, str] = FLAGS
    assert all(text.endswith(".") for text in table.values())
