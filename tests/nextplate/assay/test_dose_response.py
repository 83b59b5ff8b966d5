"""A dose-response curve gives a midpoint with its interval, or says why it has none."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay import hill_curve
from nextplate.assay.dose_response import Axis, DoseResponse, Verdict, dose_responses, fit_dose_response
from nextplate.assay.hill_curve import gradient, series, value
from nextplate.assay.monotone import Direction
from nextplate.errors import DataError

DOSES = np.repeat(np.geomspace(0.01, 100, 9), 3)


def responses(
    ec50: float = 1.0,
    left: float = 0.0,
    right: float = 1.0,
    slope: float = 1.0,
    noise: float = 0.04,
    dose: np.ndarray = DOSES,
    seed: int = 1,
) -> np.ndarray:
    rise = np.where(dose > 0, 1 / (1 + (ec50 / np.maximum(dose, 1e-300)) ** slope), 0.0)
    return left + (right - left) * rise + np.random.default_rng(seed).normal(0, noise, len(dose))


@pytest.mark.parametrize(("left", "right"), [(0.0, 1.0), (1.0, 0.0), (-40.0, 2000.0)])
def test_a_full_curve_gives_its_midpoint_and_plateaus_within_their_intervals(left, right):
    found = fit_dose_response(DOSES, responses(2.0, left, right, 1.3, noise=0.04 * abs(right - left)))
    assert found.is_determined
    assert found.reason == ""
    assert found.above is None
    assert found.below is None
    for interval, truth in ((found.midpoint, 2.0), (found.left, left), (found.right, right), (found.slope, 1.3)):
        assert interval.low < interval.estimate < interval.high
        assert interval.low <= truth <= interval.high
    assert found.noise == pytest.approx(0.04 * abs(right - left), rel=0.4)
    assert (found.n_doses, found.n_wells) == (9, 27)


def undetermined(name: str) -> DoseResponse:
    few = np.repeat([0.1, 1.0, 10.0, 100.0], 6)
    bell = np.exp(-(np.log10(DOSES) ** 2)) + np.random.default_rng(2).normal(0, 0.03, len(DOSES))
    return {
        "few doses": lambda: fit_dose_response(few, responses(dose=few)),
        "few wells": lambda: fit_dose_response(np.geomspace(1, 100, 6), responses(10, dose=np.geomspace(1, 100, 6))),
        "noise": lambda: fit_dose_response(DOSES, responses(right=0.0, seed=3)),
        "constant": lambda: fit_dose_response(DOSES, np.ones(27)),
        "falls": lambda: fit_dose_response(DOSES, responses(right=-1.0), expected=Direction.UP),
        "bell": lambda: fit_dose_response(DOSES, bell),
        "weak": lambda: fit_dose_response(DOSES, responses(3000.0)),
        "potent": lambda: fit_dose_response(DOSES, responses(0.0004)),
        "no top": lambda: fit_dose_response(DOSES, responses(60.0, noise=0.06, seed=3)),
    }[name]()


@pytest.mark.parametrize(
    ("name", "verdicts", "words"),
    [
        ("few doses", {Verdict.TOO_FEW_DOSES}, "4 doses, 5 are needed"),
        ("few wells", {Verdict.TOO_FEW_DOSES}, "6 wells, 7 are needed"),
        ("noise", {Verdict.FLAT}, "does not follow the dose (p ="),
        ("constant", {Verdict.FLAT}, "all responses are equal"),
        ("falls", {Verdict.WRONG_DIRECTION}, "goes down with the dose, up was expected"),
        ("bell", {Verdict.NOT_MONOTONE, Verdict.FLAT}, "p ="),
        ("weak", {Verdict.OUTSIDE, Verdict.NO_PLATEAU, Verdict.FLAT}, ""),
        ("potent", {Verdict.OUTSIDE, Verdict.NO_PLATEAU, Verdict.FLAT}, ""),
        ("no top", {Verdict.NO_PLATEAU, Verdict.OUTSIDE}, "0.01 to 100"),
    ],
)
def test_what_cannot_be_determined_says_why(name, verdicts, words):
    found = undetermined(name)
    assert found.verdict in verdicts
    assert found.reason
    assert words in found.reason
    assert found.midpoint is None


def test_a_midpoint_beyond_the_doses_has_a_bound_on_its_near_side():
    top = fit_dose_response(DOSES, responses(300.0, noise=0.02, seed=3))
    assert top.verdict in (Verdict.OUTSIDE, Verdict.NO_PLATEAU)
    assert top.below is None
    assert 10 < top.above < 300
    bottom = fit_dose_response(DOSES, responses(0.004, noise=0.02, seed=4))
    assert bottom.above is None
    assert 0.004 < bottom.below < 1


def test_wells_without_compound_hold_the_left_plateau():
    dose = np.concatenate([np.zeros(8), np.repeat(np.geomspace(0.3, 100, 7), 3)])
    y = responses(0.5, dose=dose, seed=7)
    with_zero, without = fit_dose_response(dose, y), fit_dose_response(dose[8:], y[8:])
    assert with_zero.is_determined
    assert with_zero.left.estimate == pytest.approx(0, abs=0.05)
    assert with_zero.n_doses == 7
    if without.is_determined:
        width, other = (f.midpoint.high - f.midpoint.low for f in (with_zero, without))
        assert width < other


def test_outliers_and_missing_wells_hardly_move_the_curve():
    y = responses()
    plain = fit_dose_response(DOSES, y)
    spoilt = y.copy()
    spoilt[[4, 22]] = [4.0, -3.0]
    spoilt[10] = np.nan
    robust = fit_dose_response(DOSES, spoilt)
    assert robust.n_wells == 26
    assert robust.midpoint.estimate == pytest.approx(plain.midpoint.estimate, rel=0.25)


def test_an_index_axis_is_fitted_as_it_is():
    index = np.repeat(np.arange(1.0, 10.0), 4)
    y = 1 / (1 + 10 ** (0.8 * (4.5 - index))) + np.random.default_rng(3).normal(0, 0.03, 36)
    found = fit_dose_response(index, y, axis=Axis.INDEX, expected=Direction.UP)
    assert found.is_determined
    assert found.midpoint.low < 4.5 < found.midpoint.high
    assert found.slope.estimate == pytest.approx(0.8, rel=0.2)


def test_an_exact_curve_has_its_exact_midpoint():
    found = fit_dose_response(DOSES, responses(1.7, noise=0.0))
    assert found.is_determined
    assert found.midpoint.estimate == pytest.approx(1.7, rel=1e-4)


@pytest.mark.parametrize(
    ("dose", "response", "words"),
    [([1.0, 2.0], [1.0], "one dose for each"), ([-1.0], [1.0], "dose -1"), ([np.nan], [1.0], "dose nan")],
)
def test_doses_that_make_no_sense_are_refused(dose, response, words):
    with pytest.raises(DataError, match=words):
        fit_dose_response(dose, response)


def test_a_table_gives_one_row_per_series():
    y = responses()
    table = pl.DataFrame(
        {
            "compound_id": ["B"] * 27 + ["A"] * 27 + [None],
            "dose_um": [*DOSES, *DOSES, 1.0],
            "activity": [*y, *([0.5] * 27), 1.0],
        }
    )
    rows = dose_responses(table)
    assert rows["compound_id"].to_list() == ["A", "B"]
    assert rows["verdict"].to_list() == ["flat", "determined"]
    assert rows["midpoint"][0] is None
    assert rows["midpoint_low"][1] < rows["midpoint"][1] < rows["midpoint_high"][1]
    assert rows.equals(dose_responses(table))
    with pytest.raises(DataError, match="dose"):
        dose_responses(table, dose="dose")


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*(st.floats(-2, 2),) * 2, st.floats(-1, 1), st.floats(-3, 3)),
    st.lists(st.floats(-4, 4) | st.just(-np.inf), min_size=3, max_size=9),
)
def test_the_gradient_is_that_of_the_curve(theta, x):
    t, places, h = np.array(theta), np.array(x), 1e-6
    for i in range(4):
        step = np.eye(4)[i] * h
        numeric = (value(t + step, places) - value(t - step, places)) / (2 * h)
        np.testing.assert_allclose(gradient(t, places)[:, i], numeric, atol=2e-6)


def test_the_start_is_the_best_of_its_grid_by_brute_force():
    x = np.repeat(np.linspace(-2, 2, 9), 2)
    y = responses(3.0, dose=10.0**x, noise=0.1)
    data = series(x, y)
    begin = hill_curve.start(data)
    best = min(
        float(np.linalg.lstsq(np.stack([1 - s, s], axis=1), y, rcond=None)[1].sum())
        for slope in np.linspace(data.low[2] + 0.5, data.high[2] - 0.3, 13)
        for x50 in np.linspace(-2, 2, 41)
        if np.ptp(s := hill_curve.share(x, slope, x50)) > 1e-3
    )
    assert float(((value(begin, x) - y) ** 2).sum()) == pytest.approx(best, rel=1e-6)


@settings(max_examples=5, deadline=None)
@given(st.floats(0.1, 10), st.floats(-50, 50), st.integers(0, 99))
def test_units_of_the_response_do_not_matter(scale, shift, seed):
    y = responses(seed=seed)
    one, other = fit_dose_response(DOSES, y), fit_dose_response(DOSES, scale * y + shift)
    assert one.verdict is other.verdict
    if one.is_determined:
        for a, b in zip(
            (one.midpoint.estimate, one.midpoint.low, one.midpoint.high),
            (other.midpoint.estimate, other.midpoint.low, other.midpoint.high),
            strict=True,
        ):
            assert b == pytest.approx(a, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.01, 0.1, 1.0, 3.0, 10.0, 50.0, 1e4]), st.floats(-1e6, 1e6) | st.integers(0, 2)
        ),
        min_size=1,
        max_size=24,
    ),
    st.sampled_from(list(Axis)),
    st.sampled_from([None, *Direction]),
)
def test_any_wells_give_a_curve_or_a_reason_that_agree_with_each_other(wells, axis, expected):
    dose, response = (np.array(column, dtype=np.float64) for column in zip(*wells, strict=True))
    found = fit_dose_response(dose, response, axis=axis, expected=expected)
    assert found.is_determined == (found.midpoint is not None) == (found.reason == "")
    if found.midpoint is not None:
        assert dose[dose > 0].min() <= found.midpoint.low <= found.midpoint.estimate
        assert found.midpoint.estimate <= found.midpoint.high <= dose.max()
        assert found.above is None
        assert found.below is None
    if expected is not None and found.midpoint is not None:
        assert (found.right.estimate > found.left.estimate) == (expected is Direction.UP)
