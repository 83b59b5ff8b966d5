"""Several endpoints, replicates, duplicates and censored values."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal, norm, truncnorm

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models import gp, kind_of
from nextplate.models.endpoints import Endpoint, believe, probability_of_both, residual_correlation
from nextplate.models.funnel import Funnelled
from nextplate.models.pareto import expected_hypervolume_improvement, pareto_ranks
from nextplate.models.replicates import _beyond, impute_censored, merge_replicates

N = 200
ALL = np.arange(N)


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(3)
    cores = rng.random((8, 128)) < 0.15
    packed = np.packbits(cores[ALL % 8] ^ (rng.random((N, 128)) < 0.03), axis=1)
    ids = tuple(f"C{i}" for i in range(N))
    smiles = (*ids[:-1], "C0")  # the last is a duplicate of the first
    return Features(Path(), "d", ids, smiles, packed, np.zeros((N, 1), np.float32), ("a",), packed, packed)


def _dominated_by_all(points: np.ndarray) -> np.ndarray:
    at_least = (points[:, None, :] <= points[None, :, :]).all(axis=2)
    better = (points[:, None, :] < points[None, :, :]).any(axis=2)
    return at_least & better


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda k: arrays(np.float64, (25, k), elements=st.integers(0, 5).map(float))))
def test_a_rank_is_the_longest_chain_of_domination_above(values):
    dominated = _dominated_by_all(values)
    want = np.zeros(len(values), dtype=int)
    for _ in range(len(values)):
        want = np.where(dominated.any(axis=1), np.where(dominated, want[None, :] + 1, 0).max(axis=1), 0)
    np.testing.assert_array_equal(pareto_ranks(values), want)


def test_what_is_not_measured_is_in_no_front():
    assert pareto_ranks([[1.0, 2.0], [np.nan, 9.0], [2.0, 1.0], [0.0, 0.0]]).tolist() == [0, -1, 0, 1]
    assert pareto_ranks(np.empty((0, 2))).tolist() == []
    with pytest.raises(ModelError, match="one column per objective"):
        pareto_ranks([1.0, 2.0])


def _area(points: np.ndarray, reference: np.ndarray) -> float:
    area, height = 0.0, reference[1]
    for x, y in sorted(map(tuple, points[(points > reference).all(axis=1)]), reverse=True):
        if y > height:
            area, height = area + (x - reference[0]) * (y - height), y
    return area


def test_the_expected_improvement_is_the_average_of_the_improvements():
    rng = np.random.default_rng(1)
    measured, reference = rng.normal(size=(12, 2)), np.array([-1.0, -1.5])
    mean, spread = rng.normal(size=(4, 2)), np.array([[0.5, 1.0], [0.2, 0.2], [1.5, 0.1], [0.0, 0.0]])
    got = expected_hypervolume_improvement(mean, spread, measured, reference)
    before = _area(measured, reference)
    for i in range(4):
        draws = mean[i] + spread[i] * rng.normal(size=(20_000 if spread[i].any() else 1, 2))
        gains = [_area(np.vstack([measured, d]), reference) - before for d in draws[:4000]]
        error = np.std(gains) / np.sqrt(len(gains))
        assert got[i] == pytest.approx(np.mean(gains), abs=4 * error + 1e-6)
    alone = expected_hypervolume_improvement([[1.0, 1.0]], [[0.0, 0.0]], np.empty((0, 2)), [0.0, 0.0])
    assert alone == pytest.approx([1.0])
    with pytest.raises(ModelError, match="two objectives"):
        expected_hypervolume_improvement(np.zeros((3, 3)), np.ones((3, 3)), [], [0, 0])


@pytest.mark.parametrize("correlation", [-0.9, -0.4, 0.0, 0.5, 0.9])
def test_both_at_once_is_the_bivariate_normal(correlation):
    p, q = np.array([0.1, 0.5, 0.9, 0.01]), np.array([0.3, 0.5, 0.8, 0.99])
    covariance = [[1, correlation], [correlation, 1]]
    want = [multivariate_normal.cdf(norm.ppf(pair), cov=covariance) for pair in zip(p, q, strict=True)]
    np.testing.assert_allclose(probability_of_both(p, q, correlation), want, atol=2e-5)


def test_certainties_stay_certain():
    np.testing.assert_allclose(probability_of_both([0, 1, 1, 0.3], [0.5, 0.5, 1, 1], 0.5), [0, 0.5, 1, 0.3], atol=1e-6)
    with pytest.raises(ModelError, match="between"):
        probability_of_both([0.5], [0.5], 1.0)


def test_a_dear_endpoint_is_predicted_in_full_where_the_first_was(features, monkeypatch):
    monkeypatch.setattr(gp, "DEAR_FROM", 30)
    rows, rng = ALL[:80], np.random.default_rng(5)
    endpoint = Endpoint("viability", rows, (rows % 8) / 8 + rng.normal(0, 0.05, 80), 0.5, "minmax-gp")
    in_full = ALL % 4 == 0
    everyone = np.ones(N, dtype=bool)
    first = Funnelled(np.arange(N) / N, np.zeros(N), in_full, in_full, ())
    screened = believe(features, endpoint, beside=first)
    whole = believe(features, endpoint)
    np.testing.assert_allclose(screened.mean[in_full], whole.mean[in_full], rtol=1e-6)
    np.testing.assert_allclose(screened.spread[in_full], whole.spread[in_full], rtol=1e-6)
    assert not np.isclose(screened.mean[~in_full], whole.mean[~in_full]).all(), "the rest is the screen's"
    assert screened.notes == ("two stages: 50 of 200 compounds predicted in full",)
    assert whole.notes == ()
    assert screened.beside is first
    own = believe(features, endpoint, n_passed=40, n_lot=20)
    assert "all 200 compounds screened by lightgbm, the best 40" in own.notes[0]
    # Where the first was predicted in full of all, the best of it and a lot are, of both.
    all_of_it = replace(first, in_full=everyone, by_lot=everyone)
    both = believe(features, endpoint, beside=all_of_it, n_passed=40, n_lot=20)
    asked = both.beside.in_full
    assert asked[-40:].all(), "the best of the first endpoint"
    assert both.beside.by_lot.sum() == 20
    assert asked.sum() == 40 + (both.beside.by_lot & (ALL < N - 40)).sum()
    np.testing.assert_allclose(both.mean[asked], whole.mean[asked], rtol=1e-6)
    assert both.notes[0].startswith("two stages: of 200 compounds the best 40 by the endpoint beside it and 20 by lot")
    # A cheap kind is asked about all.
    cheap = believe(features, replace(endpoint, kind="nearest"), beside=all_of_it, n_passed=40, n_lot=20)
    assert cheap.beside is all_of_it
    assert cheap.notes == ()


def test_active_and_viable(features):
    """Family 3 is active, families 3 and 5 are toxic in half of their members by descriptor-free luck of family 3."""
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 0.1, N)
    activity = (ALL % 8 == 3) * 1.0 + shared
    viability = 1.0 - (ALL % 8 == 5) * 0.9 - 2 * shared
    rows = ALL[:160]
    active = Endpoint("activity", rows, activity[rows], 0.5)
    viable = Endpoint("viability", rows[20:], viability[rows][20:], 0.6)
    said = believe(features, active, 1), believe(features, viable, 2)
    correlation = residual_correlation(*said)
    assert -0.9 <= correlation < -0.5
    both = probability_of_both(said[0].p_satisfied, said[1].p_satisfied, correlation)
    assert both[ALL % 8 == 3].mean() > 0.7
    assert both[ALL % 8 == 5].max() < 0.2
    hits = believe(features, Endpoint("hit", rows, (ALL[rows] % 8 == 3).astype(float), np.nan, "nearest"))
    np.testing.assert_array_equal(hits.p_satisfied, hits.mean)


def test_replicates_become_one_label_and_tell_the_noise(features):
    rng = np.random.default_rng(2)
    truth = rng.normal(size=N - 1)
    rows = np.concatenate([ALL[:-1], ALL[:60], [N - 1]])
    y = np.concatenate([truth, truth[:60], truth[:1]]) + rng.normal(0, 0.1, N + 60)
    y[5] += 3.0
    merged = merge_replicates(features, rows, y)
    assert merged.rows.tolist() == list(range(N - 1))
    assert merged.n_replicates[[0, 1, 100]].tolist() == [3, 2, 1]
    assert merged.noise == pytest.approx(0.1, rel=0.25)
    np.testing.assert_allclose(merged.variance, merged.noise**2 / merged.n_replicates)
    assert merged.weight.mean() == pytest.approx(1.0)
    assert 1.0 < merged.weight[0] / merged.weight[100] < 1.1
    assert [text.split(":")[0] for text in merged.conflicts] == ["C5"]


def test_where_noise_is_all_a_mean_of_n_counts_n_times(features):
    rng = np.random.default_rng(2)
    rows = np.concatenate([ALL[:-1], ALL[:100], ALL[:100], ALL[:100]])
    merged = merge_replicates(features, rows, rng.normal(size=len(rows)))
    assert merged.weight[0] / merged.weight[150] > 2


def test_a_hit_once_and_not_once_is_kept_as_both_and_told(features):
    merged = merge_replicates(features, [0, N - 1, 4, 4, 7, 9], [1, 0, 1, 1, 0, np.nan])
    assert merged.rows.tolist() == [0, 0, 4, 7]
    assert merged.y.tolist() == [0, 1, 1, 0]
    assert merged.weight.tolist() == [1, 1, 2, 1]
    assert merged.conflicts == ("C0: a hit 1 times, none 1 times; both are kept",)


def test_labels_that_cannot_be_merged_say_why(features):
    for rows, y, says in (([0], [np.nan], "all 1 values"), ([0], [np.inf], "infinite"), ([0, 1], [1.0], "shapes")):
        with pytest.raises(ModelError, match=says):
            merge_replicates(features, rows, y)
    assert np.isnan(merge_replicates(features, [3], [0.2]).noise)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0.05, 3), st.floats(-3, 3), st.sampled_from((-1, 1)))
def test_the_expectation_beyond_a_bound_is_the_truncated_normals(mean, sd, bound, side):
    a = (bound - mean) / sd
    want = truncnorm(a, np.inf, mean, sd) if side > 0 else truncnorm(-np.inf, a, mean, sd)
    got, variance = _beyond(np.array([mean]), sd, np.array([bound]), np.array([side]))
    # scipy itself loses digits far out
    if abs(a) < 8:
        assert got[0] == pytest.approx(want.mean(), rel=1e-5, abs=1e-6)
        assert variance[0] == pytest.approx(want.var(), rel=1e-2, abs=1e-4)
    assert (got[0] - bound) * side >= 0


def test_censored_labels_are_imputed_beyond_their_bounds_and_said(features):
    rng = np.random.default_rng(4)
    truth = (ALL % 8) * 0.5 + rng.normal(0, 0.2, N)
    side = np.where(truth > 2.6, 1, 0)
    y = np.minimum(truth, 2.6)
    kind = kind_of("nearest")
    imputed = impute_censored(kind, features, ALL, y, side)
    beyond = side == 1
    assert (imputed.y[beyond] >= 2.6).all()
    np.testing.assert_array_equal(imputed.y[~beyond], y[~beyond])
    assert abs(imputed.y[beyond] - truth[beyond]).mean() < abs(y[beyond] - truth[beyond]).mean()
    assert f"{beyond.sum()} of {N} labels are censored" in imputed.notes[0]
    assert impute_censored(kind, features, ALL, y, np.zeros(N, int)).notes == ()
    assert "bounds are used" in impute_censored(kind, features, ALL, y, np.ones(N, int)).notes[0]
    with pytest.raises(ModelError, match="side of each label"):
        impute_censored(kind, features, ALL, y, side * 2)
