"""Intervals: their finite-sample identities, weights, categories, folds, and what they say when they cannot promise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.conformal import (
    calibrate,
    candidate_intervals,
    cross_intervals,
    density_ratio,
    given_weights,
    intervals,
    measured_p_values,
    merge_small,
    split_intervals,
)
from nextplate.conformal.quantiles import conformal_quantile, effective_size, weighted_quantile
from nextplate.conformal.shift import least_effective
from nextplate.errors import DataError

LEVELS = [0.5, 0.8, 0.9, 0.95]
seeds = st.integers(0, 2**32 - 1)


def world(rng, n):
    mean, spread = rng.normal(size=n), rng.uniform(0.05, 0.5, n)
    return mean, spread, mean + rng.normal(size=n) * (spread + 0.1)


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=50, unique=True), level=st.sampled_from(LEVELS))
@settings(deadline=None)
def test_of_exchangeable_ranks_exactly_the_promised_share_is_inside(scores, level):
    # Each of the n + 1 scores is the new one in turn: exactly ceil((n + 1) level) of n + 1 are covered, or all of them.
    inside = [s <= conformal_quantile(scores[:i] + scores[i + 1 :], level) for i, s in enumerate(scores)]
    assert sum(inside) == min(len(scores), int(np.ceil(len(scores) * level - 1e-9)))


@given(seed=seeds, n=st.integers(0, 60), low=st.floats(0.05, 0.97), more=st.floats(0, 1))
@settings(deadline=None)
def test_equal_weights_are_the_plain_quantile_and_it_grows_with_the_level(seed, n, low, more):
    rng = np.random.default_rng(seed)
    scores, weight = np.round(rng.normal(size=n), 1), rng.uniform(0.1, 9)
    plain = conformal_quantile(scores, low)
    rank = int(np.ceil((n + 1) * low * (1 - 1e-12)))
    assert plain == (np.sort(scores)[rank - 1] if rank <= n else np.inf)
    assert weighted_quantile(scores, np.full(n, weight), [weight], low)[0] == plain
    assert conformal_quantile(scores, low + more * (0.99 - low)) >= plain


@given(seed=seeds, n=st.integers(1, 40), level=st.sampled_from(LEVELS))
@settings(deadline=None)
def test_the_weighted_quantile_carries_the_mass_asked_for_and_no_smaller_score_does(seed, n, level):
    rng = np.random.default_rng(seed)
    scores, own, new = rng.normal(size=n), rng.gamma(0.5, size=n), float(rng.gamma(0.5))
    found = weighted_quantile(scores, own, [new], level)[0]
    mass = level * (own.sum() + new)
    assert np.isinf(found) or own[scores <= found].sum() >= mass * (1 - 1e-9)
    assert own[scores < found].sum() <= mass * (1 + 1e-9)


def test_a_weight_of_zero_leaves_a_compound_out_and_a_heavy_candidate_gets_no_promise():
    scores = np.arange(30.0)
    kept = np.arange(30) < 10
    assert weighted_quantile(scores, kept.astype(float), [1.0], 0.8)[0] == conformal_quantile(scores[:10], 0.8)
    assert np.isinf(weighted_quantile(scores, np.ones(30), [100.0], 0.8)[0])
    assert np.isinf(weighted_quantile(scores, np.zeros(30), [0.0], 0.8)[0])
    assert effective_size(np.zeros(3)) == 0
    assert effective_size(np.full(7, 3.0)) == pytest.approx(7)


@given(seed=seeds, n=st.integers(0, 60), level=st.floats(0.05, 0.99))
@settings(deadline=None, max_examples=60)
def test_weights_of_one_equal_the_split_and_p_values_tell_who_is_inside(seed, n, level):
    rng = np.random.default_rng(seed)
    calibration = calibrate(*world(rng, n))
    mean, spread, y = world(rng, 25)
    plain = intervals(calibration, mean, spread, confidence=level)
    weighted = candidate_intervals(
        calibration, mean, spread, level=level, weights=given_weights(np.full(n, 3.0), np.full(25, 3.0))
    )
    assert (weighted.lower == plain[0]).all()
    assert (weighted.upper == plain[1]).all()
    p, least = measured_p_values(calibration, mean, spread, y)
    assert ((p > 1 - level + 1e-12) == ((y >= plain[0]) & (y <= plain[1]))).all()
    assert ((least > 1 - level + 1e-12) == np.isinf(plain[1])).all()


def test_intervals_grow_with_the_level_also_when_weighted():
    rng = np.random.default_rng(1)
    calibration = calibrate(*world(rng, 300))
    mean, spread, _ = world(rng, 40)
    weights = density_ratio(rng.normal(size=300), rng.normal(1, 1, 40), rng.normal(1, 1, 40))
    found = [candidate_intervals(calibration, mean, spread, level=level, weights=weights) for level in LEVELS]
    assert all((a.upper <= b.upper).all() and (a.lower >= b.lower).all() for a, b in pairwise(found))


def test_known_density_ratios_restore_coverage_under_shift_where_the_split_fails():
    rng = np.random.default_rng(2)
    inside = {"plain": [], "known": [], "estimated": []}
    for _ in range(200):
        x, new = rng.normal(size=400), rng.normal(1, 1, 100)
        y, y_new = (a + rng.normal(size=len(a)) * np.exp(0.5 * a) for a in (x, new))
        calibration = calibrate(x, np.zeros(400), y)
        chosen = {
            "plain": None,
            "known": given_weights(np.exp(x - 0.5), np.exp(new - 0.5)),
            "estimated": density_ratio(x, new, new),
        }
        for name, weights in chosen.items():
            found = candidate_intervals(calibration, new, np.zeros(100), level=0.9, weights=weights)
            inside[name].append(np.mean((y_new >= found.lower) & (y_new <= found.upper)))
    shares = {name: np.mean(values) for name, values in inside.items()}
    assert shares["plain"] < 0.82
    assert 0.89 < shares["known"] < 0.94
    assert 0.88 < shares["estimated"] < 0.94


def test_the_estimated_ratio_is_the_true_one_for_a_tilted_normal():
    rng = np.random.default_rng(3)
    x = rng.normal(size=20_000)
    weights = density_ratio(x, rng.normal(0.5, 1, 20_000), np.array([-1.0, 0.0, 1.0]))
    assert weights.new == pytest.approx(np.exp(0.5 * np.array([-1.0, 0.0, 1.0]) - 0.125), rel=0.06)
    assert weights.calibrating.mean() == pytest.approx(1, abs=0.03)
    assert 13_000 < weights.n_effective < 17_000
    assert weights.notes == ()


def test_too_few_effective_compounds_mean_an_infinite_interval_or_a_named_fallback():
    rng = np.random.default_rng(4)
    calibration = calibrate(*world(rng, 60))
    own = np.where(np.arange(60) < 3, 20.0, 0.05)
    weights = given_weights(own, np.full(5, 20.0))
    honest = candidate_intervals(calibration, np.zeros(5), np.ones(5), level=0.9, weights=weights)
    assert honest.n_infinite == 5
    assert "5 of 5 intervals at 90% are infinite: 3 compounds" in honest.notes[-1]
    flat = candidate_intervals(calibration, np.zeros(5), np.ones(5), level=0.9, weights=weights, fallback="tempered")
    assert flat.n_infinite == 0
    assert "weights flattened to the power" in flat.notes[0]
    assert flat.n_effective >= least_effective(0.9)


def test_separable_samples_are_clipped_and_say_so():
    weights = density_ratio(np.arange(50.0), np.full(10, 500.0), np.full(10, 500.0))
    assert weights.new.max() <= 20.0 * (1 + 1e-12)
    assert "clipped at 20" in weights.notes[0]
    none_picked = density_ratio(np.arange(50.0), np.zeros(0), np.arange(3.0))
    assert (none_picked.new == 1).all()
    assert "no weights can be estimated" in none_picked.notes[0]
    constant = density_ratio(np.ones(20), np.ones(5), np.ones(5))
    assert constant.calibrating == pytest.approx(np.ones(20), abs=1e-3)


def test_categories_stand_apart_and_small_ones_are_merged_and_named():
    rng = np.random.default_rng(5)
    bins = np.array(["quiet"] * 200 + ["loud"] * 200 + ["rare"] * 4 + ["rarer"] * 28)
    scale = np.where(bins == "quiet", 0.1, np.where(bins == "loud", 2.0, 0.5))
    calibration = calibrate(np.zeros(432), np.zeros(432), rng.normal(size=432) * scale, bins=bins)
    asked = ["quiet", "loud", "rare", "unseen"]
    found = candidate_intervals(calibration, np.zeros(4), np.zeros(4), bins=asked)
    p, _ = measured_p_values(calibration, np.zeros(4), np.zeros(4), found.upper, bins=asked)
    beyond, _ = measured_p_values(calibration, np.zeros(4), np.zeros(4), found.upper * 1.001, bins=asked)
    assert (p > 0.1).all()
    assert (beyond <= 0.1 + 1e-12).all()
    assert found.upper[0] < 0.3 < found.upper[2] == found.upper[3] < 1.6 < found.upper[1]
    assert "'rare', 'rarer', 'unseen'" in found.notes[0]
    assert "calibrated together" in found.notes[0]
    pooled = merge_small(["a"] * 40 + ["b"] * 3, ["b", "", "a"])
    assert pooled.is_pooled
    assert "calibrated by all compounds: '', 'b'" in pooled.notes[0]
    assert [len(known) for known, _ in pooled.groups()] == [43, 40]
    assert merge_small(["a"] * 40, ["a"]).notes == ()


@given(seed=seeds, n=st.integers(2, 40), n_folds=st.integers(1, 6), level=st.floats(0.1, 0.95))
@settings(deadline=None)
def test_cross_intervals_are_order_statistics_of_the_union(seed, n, n_folds, level):
    rng = np.random.default_rng(seed)
    residuals, folds = np.round(rng.normal(size=n), 2), rng.integers(0, n_folds, n)
    means = np.round(rng.normal(size=(n_folds, 4)), 2)
    found = cross_intervals(residuals, folds, means, level=level)
    rank = int(np.ceil((n + 1) * level * (1 - 1e-12)))
    if rank > n:
        assert np.isinf(found.upper).all()
        assert "infinite" in found.notes[0]
        return
    ends = [sign * np.sort(sign * means[folds] + np.abs(residuals)[:, None], axis=0)[rank - 1] for sign in (1, -1)]
    np.testing.assert_allclose(found.upper, ends[0], atol=1e-12)
    np.testing.assert_allclose(found.lower, ends[1], atol=1e-12)


def test_folds_that_agree_give_the_split_interval():
    residuals = np.random.default_rng(6).normal(size=50)
    cross = cross_intervals(residuals, np.arange(50) % 5, np.tile([0.0, 3.0], (5, 1)), level=0.8)
    split = split_intervals(residuals, [0.0, 3.0], level=0.8)
    np.testing.assert_allclose(cross.lower, split.lower)
    np.testing.assert_allclose(cross.upper, split.upper)


def test_one_compound_calibrates_nothing_and_says_so():
    found = candidate_intervals(calibrate([0.0], [0.1], [0.5]), [0.0, 1.0], [0.1, 0.1])
    assert found.n_infinite == 2
    assert found.notes == ("2 of 2 intervals at 90% are infinite: 1 compounds calibrate them",)
    assert candidate_intervals(calibrate([], [], []), [0.0], [0.1]).n_infinite == 1


CALIBRATION = calibrate([0.0] * 20, [0.1] * 20, np.arange(20.0))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: candidate_intervals(CALIBRATION, [np.nan], [0.1]), "means: 1 of 1 values are not finite.*row 0"),
        (lambda: candidate_intervals(CALIBRATION, [0.0], [np.inf]), "spreads: 1 of 1 values are not finite"),
        (lambda: candidate_intervals(CALIBRATION, [0.0], [-0.1]), "spreads: one is negative"),
        (lambda: candidate_intervals(CALIBRATION, [0.0], [0.1], level=1.0), "between 0 and 1"),
        (lambda: candidate_intervals(CALIBRATION, [0.0], [0.1], bins=["a"]), "exactly when"),
        (
            lambda: candidate_intervals(CALIBRATION, [0.0], [0.1], weights=given_weights([1.0], [1.0])),
            "weights of 1 calibrating and 1 new compounds, where 20 calibrate and 1 are new",
        ),
        (lambda: given_weights([1.0, -1.0], [1.0]), "is negative"),
        (lambda: split_intervals(["x"], [0.0]), "not numbers"),
        (lambda: density_ratio([[1.0, np.nan]], [[1.0, 1.0]], [[1.0, 1.0]]), "row 0 holds a NaN"),
        (lambda: density_ratio([1.0], [1.0], [1.0], max_ratio=0.5), "at least 1"),
        (lambda: density_ratio([[1.0, 2.0]], [1.0], [1.0]), r"shape \(1, 1\)"),
        (lambda: cross_intervals([1.0, 2.0], [0, 5], [[0.0]]), "give one of 0"),
        (lambda: merge_small(["a"], ["a"], 0), "at least 1"),
    ],
)
def test_bad_input_says_what_and_where(call, says):
    with pytest.raises(DataError, match=says):
        call()
