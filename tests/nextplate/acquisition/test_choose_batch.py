"""A batch takes only what is available, the best of it, not too alike, with reasons."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.acquisition import choose_batch, cold_start
from nextplate.chem.similarity import tanimoto
from nextplate.compound import Features
from nextplate.errors import PlanError
from nextplate.prediction import Prediction


def choose(*given, **asked):
    return choose_batch(*given, **asked).picks


def library(rng, n):
    packed = np.packbits(rng.random((n, 64)) < 0.25, axis=1)
    ids = tuple(f"C{i}" for i in range(n))
    return Features(Path(), "digest", ids, ids, packed, np.zeros((n, 1), np.float32), ("x",), packed, packed)


def predicted(mean):
    n = len(mean)
    return Prediction(
        tuple(f"C{i}" for i in range(n)), mean, np.full(n, 0.1), mean - 0.2, mean + 0.2, 0.9, np.full(n, 0.3)
    )


def rows(picks):
    return [int(pick.compound_id[1:]) for pick in picks]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    n_picks=st.integers(1, 50),
    share=st.floats(0, 1),
    weight=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
)
@settings(max_examples=80, deadline=None)
def test_picks_are_available_distinct_and_as_many_as_possible(seed, n, n_picks, share, weight):
    rng = np.random.default_rng(seed)
    features, mean, available = library(rng, n), rng.normal(size=n), rng.random(n) < 0.7
    available[rng.integers(n)] = True
    picks = choose(
        mean, predicted(mean), features, available=available, n_picks=n_picks, rng=rng,
        exploration_share=share, diversity_weight=weight,
    )  # fmt: skip
    chosen = rows(picks)
    assert len(chosen) == len(set(chosen)) == min(n_picks, int(available.sum()))
    assert available[chosen].all()
    reasons = [pick.reason for pick in picks]
    assert reasons == sorted(reasons)
    assert reasons.count("explore") == round(share * len(picks))


def test_without_diversity_the_best_scores_are_taken_in_order():
    rng = np.random.default_rng(1)
    features, mean = library(rng, 30), rng.permutation(30).astype(float)
    picks = choose(
        mean, predicted(mean), features, available=np.ones(30, bool), n_picks=5, rng=rng,
        exploration_share=0, diversity_weight=0,
    )  # fmt: skip
    assert [pick.score for pick in picks] == [29, 28, 27, 26, 25]


@pytest.mark.parametrize("weight", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("diversity", ["discount", "penalty"])
def test_diversity_is_the_greedy_sum_it_is_documented_to_be(weight, diversity):
    rng = np.random.default_rng(2)
    features, scores = library(rng, 60), rng.normal(size=60)
    available = rng.random(60) < 0.8
    picks = choose(
        scores, predicted(scores), features, available=available, n_picks=15, rng=rng,
        exploration_share=0, diversity_weight=weight, diversity=diversity,
    )  # fmt: skip
    middle = np.median(scores[available])
    utility = (scores - middle) / (scores[available].max() - middle)
    size = np.abs(utility) if diversity == "discount" else 1.0
    similarity = tanimoto(features.fingerprints, features.fingerprints)
    expected: list[int] = []
    for _ in range(15):
        nearest = similarity[:, expected].max(axis=1) if expected else np.zeros(60)
        gain = np.where(available, utility - weight * size * nearest, -np.inf)
        gain[expected] = -np.inf
        expected.append(int(gain.argmax()))
    assert rows(picks) == expected


def test_twins_are_not_both_taken():
    rng = np.random.default_rng(3)
    features = library(rng, 20)
    features.fingerprints[1] = features.fingerprints[0]
    scores = np.linspace(0, 0.5, 20)
    scores[[0, 1]] = 1.0
    picks = choose(
        scores, predicted(scores), features, available=np.ones(20, bool), n_picks=2, rng=rng,
        exploration_share=0, diversity_weight=1.0,
    )  # fmt: skip
    assert len({0, 1} & set(rows(picks))) == 1


def test_equal_scores_are_drawn_by_lot_not_by_file_order():
    features, scores = library(np.random.default_rng(4), 200), np.zeros(200)
    drawn = [
        rows(
            choose(
                scores, predicted(scores), features, available=np.ones(200, bool), n_picks=10,
                rng=np.random.default_rng(seed), exploration_share=0, diversity_weight=0,
            )
        )
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert drawn[0] == drawn[1] != drawn[2]
    assert max(drawn[0]) > 50


def test_a_pick_carries_what_was_believed():
    rng = np.random.default_rng(5)
    features, scores = library(rng, 10), np.arange(10.0)
    (pick,) = choose(
        scores, predicted(scores / 10), features, available=np.ones(10, bool), n_picks=1, rng=rng,
        exploration_share=0, tested_fingerprints=features.fingerprints[9:], n_wells=2,
    )  # fmt: skip
    assert (pick.compound_id, pick.reason, pick.score, pick.mean, pick.p_hit) == ("C9", "exploit", 9.0, 0.9, 0.3)
    assert (pick.nearest_tested, pick.n_wells) == (1.0, 2)
    assert (pick.lower, pick.upper) == pytest.approx((0.7, 1.1))


def test_nothing_tested_before_means_no_nearest():
    features, scores = library(np.random.default_rng(5), 10), np.arange(10.0)
    picks = choose(
        scores, predicted(scores), features, available=np.ones(10, bool), n_picks=2, rng=np.random.default_rng(0)
    )
    assert all(np.isnan(pick.nearest_tested) for pick in picks)


REFUSED = [
    ({"available": np.zeros(10, bool)}, "no compound is available"),
    ({"available": np.ones(9, bool)}, "available has 9 entries, the library 10"),
    ({"n_picks": 0}, "0 picks"),
    ({"exploration_share": 1.5}, "exploration_share is 1.5"),
    ({"diversity_weight": -1.0}, "diversity_weight is -1"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_impossible_batches_say_why(change, says):
    features, scores = library(np.random.default_rng(6), 10), np.arange(10.0)
    asked = {"available": np.ones(10, bool), "n_picks": 2, "rng": np.random.default_rng(0), **change}
    with pytest.raises(PlanError, match=says):
        choose(scores, predicted(scores), features, **asked)


def test_a_cold_start_is_varied_available_and_repeatable():
    rng = np.random.default_rng(7)
    features = library(rng, 300)
    features.fingerprints[100:] = features.fingerprints[100]
    available = np.ones(300, bool)
    available[:10] = False
    one, two, other = (cold_start(features, available, 40, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert rows(one) == rows(two) != rows(other)
    assert available[rows(one)].all()
    assert sum(row >= 100 for row in rows(one)) == 1
    assert {pick.reason for pick in one} == {"cold-start"}
    assert all(np.isnan([pick.score, pick.mean, pick.p_hit, pick.nearest_tested]).all() for pick in one)


def test_a_cold_start_of_a_small_or_uniform_library_still_fills_the_plate():
    features = library(np.random.default_rng(8), 30)
    features.fingerprints[:] = features.fingerprints[0]
    assert len(cold_start(features, np.ones(30, bool), 20, np.random.default_rng(0))) == 20
    assert len(cold_start(features, np.ones(30, bool), 99, np.random.default_rng(0))) == 30
    with pytest.raises(PlanError, match="no compound is available"):
        cold_start(features, np.zeros(30, bool), 20, np.random.default_rng(0))
