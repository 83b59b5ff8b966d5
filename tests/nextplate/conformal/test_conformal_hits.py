"""Hits: calibrated probabilities, hit lists at a false discovery rate, label sets, predictive distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.conformal import (
    calibrate,
    density_ratio,
    given_weights,
    hit_list,
    hit_probability,
    label_sets,
    p_hit,
    predictive_cdf,
    predictive_quantiles,
    reach_probability,
)
from nextplate.conformal.selection import benjamini_hochberg
from nextplate.errors import DataError

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, n=st.integers(1, 25), n_levels=st.integers(1, 25))
@settings(deadline=None, max_examples=25)
def test_venn_abers_are_the_two_isotonic_regressions(seed, n, n_levels):
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, n_levels, n) / 7.0, (rng.random(n) < rng.random()).astype(float)
    asked = np.append(rng.integers(-1, n_levels + 1, 4) / 7.0, rng.random(3) * n_levels / 7)
    found = p_hit(scores, labels, asked)
    for i, score in enumerate(asked):
        for label, value in ((0.0, found.low[i]), (1.0, found.high[i])):
            fit = IsotonicRegression().fit(np.append(scores, score), np.append(labels, label))
            assert fit.predict([score])[0] == pytest.approx(value, abs=1e-6)
    assert (found.low <= found.probability + 1e-12).all()
    assert (found.probability <= found.high + 1e-12).all()


def test_probabilities_of_a_hit_are_calibrated_though_the_score_is_not():
    rng = np.random.default_rng(1)
    score = rng.normal(size=40_000)
    is_hit = rng.random(40_000) < 1 / (1 + np.exp(4 - 2 * score))
    p = p_hit(np.exp(score[:4000]), is_hit[:4000], np.exp(score[4000:])).probability
    for low in (0.0, 0.1, 0.3, 0.6):
        at = (p >= low) & (p < low + 0.2)
        assert abs(is_hit[4000:][at].mean() - p[at].mean()) < 0.04


def test_no_hit_yet_one_compound_and_none_are_named():
    none = p_hit([], [], [0.3])
    assert (none.low[0], none.probability[0], none.high[0]) == (0.0, 0.5, 1.0)
    assert "no compound calibrates" in none.notes[0]
    no_hit = p_hit(np.arange(99.0), np.zeros(99), [-1.0, 50.0, 200.0])
    assert (no_hit.low == 0).all()
    assert no_hit.high[0] == pytest.approx(0.01)
    assert no_hit.high[2] == 1.0
    assert "no hit among 99" in no_hit.notes[0]
    assert "nothing but hits" in p_hit([1.0], [1], [1.0]).notes[0]


def screen(rng, n, share=0.1):
    is_hit = rng.random(n) < share
    return rng.normal(size=n) + 3.5 * is_hit, is_hit


@pytest.mark.parametrize("kind", ["plain", "weighted"])
def test_the_false_discovery_rate_holds_on_average_and_hits_are_found(kind):
    rng = np.random.default_rng(2)
    rates, found = [], []
    for _ in range(150):
        scores, is_hit = screen(rng, 400)
        cand, truth = screen(rng, 300)
        weights = None
        if kind == "weighted":
            # Calibrating compounds were tested with a preference for high scores; the candidates were not.
            kept = rng.random(400) < 1 / (1 + np.exp(-scores))
            scores, is_hit = scores[kept], is_hit[kept]
            weights = given_weights(1 + np.exp(-scores), 1 + np.exp(-cand))
        hits = hit_list(scores, is_hit, cand, 0.2, weights)
        rates.append((~truth[hits.rows]).mean() if len(hits.rows) else 0.0)
        found.append(truth[hits.rows].sum() / truth.sum())
    assert np.mean(rates) <= 0.2 + 2 * np.std(rates) / np.sqrt(150)
    assert np.mean(found) > 0.5


@given(seed=seeds, n=st.integers(3, 40), m=st.integers(1, 15), fdr=st.sampled_from([0.1, 0.2, 0.4]))
@settings(deadline=None)
def test_weighted_lists_follow_the_definition_and_equal_weights_give_benjamini_hochberg(seed, n, m, fdr):
    rng = np.random.default_rng(seed)
    scores, is_hit = screen(rng, n, 0.5)
    scores, cand = np.round(scores, 1), np.round(rng.normal(2, 2, m), 1)
    own, new = (rng.choice([0.5, 1.0, 2.0], size) for size in (n, m))
    assert set(hit_list(scores, is_hit, cand, fdr, given_weights(own, new)).rows) == by_definition(
        scores, is_hit, cand, own, new, fdr
    )
    plain = hit_list(scores, is_hit, cand, fdr)
    assert set(plain.rows) == by_definition(scores, is_hit, cand, np.ones(n), np.ones(m), fdr)
    assert set(plain.rows) == set(np.flatnonzero(benjamini_hochberg(plain.p_values, fdr)))
    assert (np.diff(cand[plain.rows]) <= 0).all()


def by_definition(scores, is_hit, cand, own, new, fdr):
    """Jin and Candes: auxiliary p-values, one list per candidate, deterministic pruning."""
    m, mass = len(cand), own.sum()
    above = np.array([own[~is_hit & (scores >= c)].sum() for c in cand])
    sizes = np.zeros(m)
    for j in range(m):
        auxiliary = (above + new[j] * (cand[j] >= cand)) / (mass + new[j])
        auxiliary[j] = 0
        sizes[j] = np.flatnonzero(np.sort(auxiliary) <= fdr * np.arange(1, m + 1) / m * (1 + 1e-12))[-1] + 1
    first = [j for j in range(m) if (above[j] + new[j]) / (mass + new[j]) <= fdr * sizes[j] / m * (1 + 1e-12)]
    longest = max((r for r in range(1, m + 1) if sum(sizes[j] <= r for j in first) >= r), default=0)
    return {j for j in first if sizes[j] <= longest}


def test_an_empty_list_says_why():
    rng = np.random.default_rng(3)
    scores, is_hit = screen(rng, 50)
    cand, _ = screen(rng, 1000, 0.0)
    assert "smallest p-value" in hit_list(scores, is_hit, cand).notes[0]
    assert "no hit among 50" in hit_list(scores, np.zeros(50), cand).notes[0]
    assert "no p-value can be small enough" in hit_list([0.0, 1.0], [0, 1], cand).notes[0]
    for empty in (hit_list([], [], cand), hit_list(scores, is_hit, [])):
        assert len(empty.rows) == 0
        assert "no list" in empty.notes[0]
    assert hit_list([1.0], [1], [2.0], 0.5).rows.tolist() == [0]


def test_estimated_weights_may_be_given_to_the_list():
    rng = np.random.default_rng(4)
    scores, is_hit = screen(rng, 800)
    cand, truth = screen(rng, 500)
    hits = hit_list(scores, is_hit, cand, 0.2, density_ratio(scores, cand, cand))
    assert truth[hits.rows].mean() > 0.7


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_label_sets_cover_rare_hits_as_often_as_the_rest(level):
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(60):
        scores, is_hit = screen(rng, 1200, 0.05)
        cand, truth = screen(rng, 4000, 0.05)
        sets = label_sets(scores, is_hit, cand, level=level, rng=rng)
        inside.append([sets.may_hit[truth].mean(), sets.may_not[~truth].mean()])
        assert set(sets.size) <= {0, 1, 2}
    assert np.abs(np.mean(inside, axis=0) - level).max() < 0.015


def test_too_few_hits_stay_in_every_set_and_it_is_said():
    sets = label_sets(np.arange(60.0), np.arange(60) >= 57, [-100.0, 100.0], level=0.9)
    assert sets.may_hit.all()
    assert sets.may_not.tolist() == [True, False]
    assert "3 calibrating hits, fewer than the 9" in sets.notes[0]


def test_predictive_distributions_hold_ties_exactly_and_agree_with_their_quantiles():
    calibration = calibrate(np.zeros(4), np.zeros(4), [0.0, 0.0, 1.0, 2.0])
    low, high = predictive_cdf(calibration, np.zeros(4), np.zeros(4), [-1.0, 0.0, 1.0, 3.0])
    assert low.tolist() == [0.0, 0.0, 0.4, 0.8]
    assert high.tolist() == pytest.approx([0.2, 0.6, 0.8, 1.0])
    assert [a[0] for a in reach_probability(calibration, [0.0], [0.0], 0.0)] == [0.8, 1.0]
    found = predictive_quantiles(calibration, [0.0, 10.0], [0.0, 0.0], [0.2, 0.4, 0.6, 0.9])
    assert found[0].tolist() == pytest.approx([0.0, 0.0, 1.0, np.inf])
    assert found[1, 2] == pytest.approx(11.0)
    nothing = calibrate([], [], [])
    assert [a[0] for a in reach_probability(nothing, [0.0], [0.0], 0.0)] == [0.0, 1.0]
    assert [a[0] for a in predictive_cdf(nothing, [0.0], [0.0], [0.0])] == [0.0, 1.0]


def test_predictive_distribution_of_new_measurements_is_uniform():
    rng = np.random.default_rng(6)
    mean, spread = rng.normal(size=3000), rng.uniform(0.1, 1, 3000)
    y = mean + spread * rng.standard_t(4, 3000)
    calibration = calibrate(mean[:1500], spread[:1500], y[:1500])
    low, _ = predictive_cdf(calibration, mean[1500:], spread[1500:], y[1500:])
    assert np.abs(np.quantile(low, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.05


def test_weights_move_the_distribution_and_ones_do_not():
    rng = np.random.default_rng(7)
    calibration = calibrate(np.zeros(100), np.full(100, 0.1), rng.normal(size=100))
    args = (calibration, np.zeros(3), np.full(3, 0.1), 0.5)
    plain = reach_probability(*args)
    for a, b in zip(plain, reach_probability(*args, given_weights(np.full(100, 2.0), np.full(3, 2.0))), strict=True):
        np.testing.assert_allclose(a, b)
    high = given_weights(np.where(calibration.residuals > 0, 5.0, 0.2), np.ones(3))
    assert (reach_probability(*args, high)[0] > plain[0]).all()


def test_the_numbers_are_those_of_crepes():
    from crepes import ConformalPredictiveSystem, ConformalRegressor

    from nextplate.conformal import intervals

    rng = np.random.default_rng(8)
    calibration = calibrate(rng.normal(size=73), rng.uniform(0, 1, 73), rng.normal(size=73))
    mean, spread = rng.normal(size=40), rng.uniform(0, 1, 40)
    width = spread + calibration.floor
    regressor, system = ConformalRegressor(), ConformalPredictiveSystem()
    regressor.fit(calibration.residuals, sigmas=calibration.difficulty)
    system.fit(calibration.residuals, sigmas=calibration.difficulty)
    ends = regressor.predict_int(mean, sigmas=width, confidence=0.83)
    np.testing.assert_allclose(np.column_stack(intervals(calibration, mean, spread, confidence=0.83)), ends)
    state = np.random.get_state()  # noqa: NPY002
    below = system.predict_p(mean, 0.4, sigmas=width, smoothing=False)
    np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_allclose(hit_probability(calibration, mean, spread, 0.4), 1 - np.ravel(below))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: p_hit([0.1, np.nan], [0, 1], [0.1]), "calibration scores: 1 of 2 values are not finite.*row 1"),
        (lambda: p_hit([0.1], [0.5], [0.1]), "holds 0.5; only 0 and 1"),
        (lambda: p_hit([0.1], [1, 0], [0.1]), r"shape \(2,\), where \(1,\)"),
        (lambda: hit_list([0.1], [1], [np.inf]), "scores of candidates: 1 of 1"),
        (lambda: hit_list([0.1], [1], [0.1], 0.0), "fdr is 0.0"),
        (lambda: hit_list([0.1], [1], [0.1], 0.2, given_weights([1, 1], [1])), "weights of 2 and 1"),
        (lambda: label_sets([0.1], [2], [0.1]), "only 0 and 1"),
        (lambda: predictive_quantiles(calibrate([], [], []), [0.0], [0.0], [1.5]), "a share is 1.5"),
        (lambda: reach_probability(calibrate([0.0], [0.0], [0.0]), [0.0], [0.0], np.nan), "threshold"),
        (
            lambda: predictive_cdf(calibrate([0.0], [0.0], [0.0], bins=["a"]), [0.0], [0.0], [0.0]),
            "one category at a time",
        ),
    ],
)
def test_bad_input_says_what_and_where(call, says):
    with pytest.raises(DataError, match=says):
        call()
