"""What is promised of picks: on which compounds it rests, that it holds, and how much of it is empty."""

from dataclasses import replace

import numpy as np
import pytest

from nextplate.conformal import (
    Candidates,
    Known,
    best_few,
    best_hits,
    between_interval,
    chance_of_hit,
    chance_unseen,
    coverage_rows,
    coverage_text,
    held_out_coverage,
    joined,
    label_sets,
    no_known,
    once_each,
    pick_sets,
    places,
    promise_p_values,
    promise_picks,
    promised_intervals,
    wilson_interval,
)
from nextplate.conformal.diagnostics import BETWEEN_ROUNDS, WITHIN_ROUND, RoundRecord
from nextplate.conformal.shift import given_weights

TERMS = {"level": 0.9, "confidence": 0.9, "n_picks": 50, "beta": 1.0}


def known(n, *, foreseen=False, first=0, seed=1, noise=0.3):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=n)
    y = mean + rng.normal(0, noise, n)
    flags = np.full(n, foreseen)
    return Known(np.arange(first, first + n), mean, np.full(n, 0.3), rng.random(n), y, y > 1, flags)


def library(n=2000, seed=2, n_tested=0):
    rng = np.random.default_rng(seed)
    return Candidates(rng.normal(size=n), np.full(n, 0.3), rng.random(n), np.arange(n) >= n_tested)


def test_every_compound_calibrates_once_as_it_was_first_foreseen():
    early, late = known(3, foreseen=True, first=4, seed=5), known(2, foreseen=True, first=6, seed=6)
    found = once_each(known(10), joined([early, late]))
    assert found.ids.tolist() == [0, 1, 2, 3, 8, 9, 4, 5, 6, 7]
    assert found.is_foreseen.tolist() == [False] * 6 + [True] * 4
    np.testing.assert_array_equal(found.y[-4:], [*early.y, late.y[1]])
    assert once_each(known(10), no_known()).ids.tolist() == list(range(10))


@pytest.mark.parametrize(
    ("told", "method", "note"),
    [
        (known(60), "weighted", "weighted for the 50 compounds most likely to be picked"),
        (
            joined([known(60), known(40, foreseen=True, first=60)]),
            "foreseen",
            "calibrated on 40 compounds as predicted",
        ),
        (no_known(), "plain", "plain, as 0 compounds calibrate"),
    ],
)
def test_what_a_promise_rests_on_is_said(told, method, note):
    promise = promise_picks(told, library(), **TERMS)
    assert promise.method == method
    assert note in promise.notes[0]
    assert (promise.weights is not None) == (method == "weighted")


def test_a_promise_is_kept_exactly_where_the_p_value_says_so():
    asked, rng = library(), np.random.default_rng(0)
    for told in (known(60), joined([known(60), known(40, foreseen=True, first=60)])):
        promise = promise_picks(told, asked, **TERMS)
        rows = asked.likely(50, 1.0)
        found = promised_intervals(promise, asked.mean, asked.spread)
        y = asked.mean[rows] + rng.normal(0, 0.5, len(rows))
        p, least = promise_p_values(promise.of(rows), asked.mean[rows], asked.spread[rows], y)
        inside = (y >= found.lower[rows]) & (y <= found.upper[rows])
        assert inside.tolist() == (p > 1 - promise.level + 1e-12).tolist()
        assert np.isinf(found.upper[rows]).tolist() == (least > 1 - promise.level + 1e-12).tolist()


def test_likely_picks_are_untested_and_best_first():
    asked = library(n_tested=1990)
    rows = asked.likely(50, 1.0)
    assert sorted(rows) == list(range(1990, 2000))
    assert (np.diff(asked.mean[rows]) <= 0).all()


def test_hit_lists_hold_rows_of_the_library_and_are_not_weighted_beside_foreseen_compounds():
    asked = library(n_tested=100)
    told = joined([known(300, noise=0.05), known(200, foreseen=True, first=300, seed=9, noise=0.05)])
    found = best_hits(told, asked, 100)
    assert len(found.rows) > 20
    assert (found.rows >= 100).all()
    assert (np.diff(asked.mean[found.rows]) <= 0).all()
    assert np.isnan(found.p_values[:100]).all()
    assert int((found.p_values[100:] < 1).sum()) <= 100
    assert not any("density ratios" in note for note in found.notes)
    assert best_hits(no_known(), asked, 100).rows.tolist() == []
    assert best_hits(told, library(n_tested=2000), 100).rows.tolist() == []


def test_p_hit_falls_back_to_the_predictive_distribution_while_one_class_is_known():
    told = known(80)
    chance, notes = chance_of_hit(told, told.mean, told.spread, 1.0)
    assert "Venn-Abers on 80 compounds" in notes[0]
    none = Known(
        *(getattr(told, name) for name in ("ids", "mean", "spread", "similarity", "y")), told.y > 99, told.is_foreseen
    )
    chance, notes = chance_of_hit(none, told.mean, told.spread, 1.0)
    assert "no hit among 80 compounds, so by the conformal predictive distribution" in notes[0]
    assert (np.diff(chance[np.argsort(told.mean)]) >= 0).all()


def test_halves_too_small_to_calibrate_are_told_as_infinite():
    few, many = held_out_coverage(known(12)), held_out_coverage(known(400))
    at = {row.nominal: row for row in few}
    assert (at[0.95].empirical, at[0.95].n_infinite, at[0.95].n) == (1.0, 12, 12)
    assert all(row.n_infinite == 0 for row in many)
    assert {row.nominal: row.empirical for row in many}[0.9] == pytest.approx(0.9, abs=0.04)
    assert held_out_coverage(known(1)) == ()


def picked_rounds(seed, n=4000, n_batch=150, n_rounds=5):
    """0/1 labels, a new belief each round on another scale, always the best picked: places, labels, sets per round."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(2.5 * truth - 4)))).astype(float)
    first = rng.permutation(n)[:n_batch]
    is_open = np.ones(n, dtype=bool)
    is_open[first] = False
    where, was_hit, told = np.empty(0), np.empty(0, dtype=bool), []
    for r in range(n_rounds):
        score = (1 + r) * (truth + rng.normal(0, 0.7, n))
        asked = Candidates(score, np.full(n, 0.1), np.full(n, 0.3), is_open.copy())
        labelled = Known(
            first, score[first], np.full(n_batch, 0.1), np.full(n_batch, 0.3), y[first], y[first] == 1,
            np.zeros(n_batch, dtype=bool),
        )  # fmt: skip
        rows = asked.likely(n_batch, 1.0)
        terms = {"level": 0.9, "n_picks": n_batch, "beta": 1.0}
        sets = pick_sets(labelled, where, was_hit, asked, rows, **terms)
        plain = label_sets(labelled.mean, labelled.is_hit, score[rows], level=0.9)
        told.append((y[rows] == 1, sets, plain))
        where = np.concatenate([where, places(asked, rows, n_picks=n_batch, beta=1.0)])
        was_hit = np.concatenate([was_hit, y[rows] == 1])
        is_open[rows] = False
    return told


def test_label_sets_of_picks_hold_for_either_class_where_plain_ones_miss_those_that_are_no_hit():
    told = [one for seed in range(6) for one in picked_rounds(seed)]
    is_hit = np.concatenate([hit for hit, _, _ in told])
    ours, plain = (np.concatenate([np.where(one[0], one[k].may_hit, one[k].may_not) for one in told]) for k in (1, 2))
    assert plain[~is_hit].mean() < 0.6, "picks that are no hit score as hits do: that is why they were picked"
    for of_class in (is_hit, ~is_hit):
        assert ours[of_class].mean() > 0.87
    assert np.mean([(sets.size == 2).mean() for _, sets, _ in told]) < 0.95


def test_weighted_label_sets_are_the_plain_ones_when_nothing_is_shifted():
    rng = np.random.default_rng(0)
    scores, is_hit, asked = rng.random(50), rng.random(50) > 0.5, rng.random(20)
    ones = given_weights(np.ones(50), np.ones(20))
    plain, weighted = (label_sets(scores, is_hit, asked, weights=w) for w in (None, ones))
    np.testing.assert_allclose(plain.p_hit_label, weighted.p_hit_label)
    np.testing.assert_allclose(plain.p_not_label, weighted.p_not_label)


def test_places_are_shares_of_the_likely_picks():
    asked = library()
    rows = asked.likely(50, 1.0)
    found = places(asked, rows, n_picks=50, beta=1.0)
    np.testing.assert_allclose(found, 1 - (np.arange(50) + 0.5) / 50)
    assert places(asked, np.array([np.argmin(asked.mean)]), n_picks=50, beta=1.0).tolist() == [0.0]


def test_the_interval_between_groups_is_a_t_interval_of_their_shares_and_covers():
    low, high = between_interval([80, 90, 100], [100, 100, 100])
    half = 4.302653 * np.std([0.8, 0.9, 1.0], ddof=1) / np.sqrt(3)
    assert (low, high) == (pytest.approx(0.9 - half, abs=1e-6), 1.0)
    assert between_interval([9], [10]) is None
    assert between_interval([9, 0], [10, 0]) is None
    assert between_interval([90, 90], [100, 100]) == wilson_interval(180, 200), "groups that agree prove little"
    rng = np.random.default_rng(3)
    held = {"between": 0, "wilson": 0}
    for _ in range(400):
        inside = rng.binomial(100, np.clip(rng.normal(0.85, 0.06, 5), 0, 1))
        for name, (one, other) in {
            "between": between_interval(inside, [100] * 5), "wilson": wilson_interval(int(inside.sum()), 500)
        }.items():  # fmt: skip
            held[name] += one <= 0.85 <= other
    assert held["between"] / 400 > 0.92
    assert held["wilson"] / 400 < 0.8


def test_pooled_rounds_have_an_interval_between_rounds_and_say_so():
    rng = np.random.default_rng(0)
    records = [RoundRecord(r, rng.random(50), least_p_values=np.full(50, 0.2 if r == 1 else 0.0)) for r in (1, 2, 3)]
    rows = {row.group: row for row in coverage_rows(records, [0.9])}
    assert (rows["all"].interval, rows["round 2"].interval) == (BETWEEN_ROUNDS, WITHIN_ROUND)
    assert rows["all"].high - rows["all"].low > 0
    text = coverage_text(list(rows.values()))
    assert "33.3 %" in text.splitlines()[1], "a third of the intervals were infinite"


def test_the_chance_that_is_judged_does_not_rest_on_the_compounds_own_label():
    """A calibrator that saw a label agrees with it whatever the score is worth, here nothing."""
    rng = np.random.default_rng(2)
    n, zeros = 60, np.zeros(60)
    is_hit = rng.random(n) < 0.3
    ids = np.array([f"C{i:03d}" for i in range(n)])
    scores = rng.permutation(n) / n
    known = Known(ids, scores, zeros + 0.1, zeros, is_hit.astype(float), is_hit, zeros > 0)
    found = chance_unseen(known, 0.5)
    assert ((found >= 0) & (found <= 1)).all()
    flipped = is_hit.copy()
    flipped[7] = not flipped[7]
    other = chance_unseen(replace(known, is_hit=flipped), 0.5)
    assert other[7] == found[7], "its own label is not in it"
    own = [chance_of_hit(replace(known, is_hit=h), scores, zeros + 0.1, 0.5)[0][7] for h in (is_hit, flipped)]
    assert own[0] != own[1], "where it calibrates itself it is"
    shuffled = rng.permutation(n)
    np.testing.assert_array_equal(chance_unseen(known.take(shuffled), 0.5), found[shuffled])


def test_the_candidates_of_a_hit_list_are_those_asked_about_whatever_their_p_values():
    library = Candidates(np.array([0.1, 0.9, 0.5, 0.5, 0.8]), np.ones(5), np.zeros(5), np.arange(5) != 4)
    assert best_few(library, 2).tolist() == [1, 2, 3], "ties at the edge too"
    assert best_few(library, 99).tolist() == [0, 1, 2, 3]
    assert best_few(library, 0).tolist() == []
