"""Intervals cover as often as they say, and say so when they cannot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.conformal import (
    LEVELS,
    calibrate,
    coverage,
    coverage_table,
    hit_probability,
    intervals,
    load_calibration,
    save_calibration,
    wilson_interval,
)
from nextplate.errors import DataError, ModelError


def world(rng, n):
    """Predictions whose error grows with their spread."""
    mean, spread = rng.normal(size=n), rng.uniform(0.05, 0.5, n)
    return mean, spread, mean + rng.normal(size=n) * (spread + 0.1)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_new_measurements_are_covered_as_often_as_promised(level):
    rng = np.random.default_rng(1)
    calibration = calibrate(*world(rng, 2000), confidence=level)
    mean, spread, y = world(rng, 20_000)
    share, n = coverage(y, *intervals(calibration, mean, spread))
    assert n == 20_000
    assert abs(share - level) < 0.03


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60), level=st.floats(0.05, 0.99))
@settings(max_examples=80, deadline=None)
def test_intervals_hold_the_mean_grow_with_confidence_and_with_spread(seed, n, level):
    rng = np.random.default_rng(seed)
    calibration = calibrate(*world(rng, n))
    mean, spread = np.zeros(3), np.array([0.0, 0.1, 1.0])
    lower, upper = intervals(calibration, mean, spread, confidence=level)
    wider = intervals(calibration, mean, spread, confidence=(1 + level) / 2)
    assert (lower <= mean).all()
    assert (upper >= mean).all()
    assert (wider[0] <= lower).all()
    assert (wider[1] >= upper).all()
    assert (np.isinf(lower) == np.isinf(upper)).all()
    assert np.isinf(upper).all() or (np.diff(upper) >= 0).all()


@pytest.mark.parametrize(("n", "is_finite"), [(0, False), (1, False), (8, False), (10, True), (40, True)])
def test_too_few_to_calibrate_means_infinite_intervals(n, is_finite):
    calibration = calibrate(*world(np.random.default_rng(2), n), confidence=0.9)
    lower, upper = intervals(calibration, [0.0], [0.1])
    assert np.isfinite([lower[0], upper[0]]).all() == is_finite


def test_unknown_measurements_do_not_calibrate():
    mean, spread, y = world(np.random.default_rng(2), 30)
    y[::3] = np.nan
    assert calibrate(mean, spread, y).n == 20


def test_a_belief_without_spread_still_gets_intervals():
    y = np.random.default_rng(3).normal(size=100)
    lower, upper = intervals(calibrate(np.zeros(100), np.zeros(100), y), [0.0], [0.0])
    assert 1 < upper[0] - lower[0] < 5


def test_hit_probability_is_calibrated():
    rng = np.random.default_rng(4)
    calibration = calibrate(*world(rng, 3000))
    mean, spread, y = world(rng, 5000)
    p = hit_probability(calibration, mean, spread, 0.8)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        at = (p >= low) & (p < low + 0.2)
        assert abs((y[at] >= 0.8).mean() - p[at].mean()) < 0.05


def test_hit_probability_falls_with_the_threshold_and_rises_with_the_mean():
    calibration = calibrate(*world(np.random.default_rng(5), 200))
    mean, spread = np.linspace(-2, 2, 9), np.full(9, 0.2)
    by_threshold = np.stack([hit_probability(calibration, mean, spread, t) for t in (-1, 0, 0.5, 1)])
    assert (np.diff(by_threshold, axis=0) <= 0).all()
    assert (np.diff(by_threshold, axis=1) >= 0).all()
    assert ((by_threshold >= 0) & (by_threshold < 1)).all()


def test_a_response_that_reaches_the_threshold_exactly_is_a_hit():
    calibration = calibrate(np.zeros(9), np.zeros(9), np.zeros(9))
    assert hit_probability(calibration, [0.5], [0.0], 0.5)[0] == pytest.approx(0.9)


def test_nothing_to_calibrate_gives_no_probability():
    assert np.isnan(hit_probability(calibrate([], [], []), [0.5], [0.1], 0.5)).all()


def test_the_global_random_generator_is_left_alone():
    np.random.seed(11)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    calibration = calibrate(*world(np.random.default_rng(6), 50))
    first = hit_probability(calibration, [0.1], [0.1], 0.5)
    intervals(calibration, [0.1], [0.1])
    coverage_table(calibration, [0.1], [0.1], [0.2])
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    np.random.seed(12)  # noqa: NPY002
    assert hit_probability(calibration, [0.1], [0.1], 0.5) == first


def test_mondrian_bins_are_calibrated_apart():
    rng = np.random.default_rng(7)
    bins = np.where(np.arange(400) % 2 == 0, "quiet", "loud")
    y = rng.normal(size=400) * np.where(bins == "quiet", 0.1, 2.0)
    calibration = calibrate(np.zeros(400), np.zeros(400), y, bins=bins)
    _, upper = intervals(calibration, np.zeros(3), np.zeros(3), bins=["quiet", "loud", "unheard"])
    assert upper[0] < 0.4 < 2 < upper[1]
    assert np.isinf(upper[2])
    assert np.isnan(hit_probability(calibration, [0.0], [0.0], 0.5, bins=["unheard"])[0])
    with pytest.raises(ModelError, match="Mondrian bins are needed"):
        intervals(calibration, [0.0], [0.0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"oof_mean": [0.0]}, "shapes differ"),
        ({"oof_spread": [-1.0, 1]}, "negative"),
    ],
)
def test_what_cannot_be_calibrated_says_why(change, says):
    arguments = {"oof_mean": [0.0, 1.0], "oof_spread": [0.1, 0.1], "y": [0.0, 1.0], **change}
    with pytest.raises(ModelError, match=says):
        calibrate(**arguments)


def test_on_disk_it_stays_what_it_is(tmp_path):
    bins = ["a", "b"] * 25
    for kind in (None, bins):
        calibration = calibrate(*world(np.random.default_rng(8), 50), bins=kind)
        save_calibration(calibration, tmp_path / "c.json")
        loaded = load_calibration(tmp_path / "c.json")
        ask = None if kind is None else ["a"]
        assert intervals(loaded, [0.3], [0.2], bins=ask) == intervals(calibration, [0.3], [0.2], bins=ask)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(DataError, match="fit the belief again"):
        load_calibration(tmp_path / "c.json")


def test_the_coverage_table_shows_groups_apart():
    rng = np.random.default_rng(9)
    calibration = calibrate(*world(rng, 500))
    mean, spread, y = world(rng, 300)
    groups = ["exploit"] * 200 + ["explore"] * 100
    y[:200] -= 3.0
    y[0] = np.nan
    rows = coverage_table(calibration, mean, spread, y, groups=groups)
    assert [(row.group, row.nominal) for row in rows] == [
        (group, level) for group in ("all", "exploit", "explore") for level in LEVELS
    ]
    by = {(row.group, row.nominal): row for row in rows}
    assert by["exploit", 0.9].empirical < 0.1
    assert by["explore", 0.9].low < 0.9 < by["explore", 0.9].high
    assert (by["all", 0.9].n, by["exploit", 0.9].n) == (299, 199)


def test_wilson_intervals():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(0, 10)[0] == pytest.approx(0.0, abs=1e-12)
    assert wilson_interval(90, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
