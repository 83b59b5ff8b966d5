"""The score is the probability of being among the best k."""

import numpy as np
import pytest

from nextplate.acquisition import Knobs, scored
from nextplate.errors import PlanError
from tests.support.believed import believed

RNG = np.random.default_rng(0)


def test_with_draws_it_is_their_share_and_the_mean_settles_ties():
    given = believed([0.0, 0.3, 0.2, 0.1], np.ones(4), draws=[[4, 3, 2, 1], [4, 1, 3, 2]])
    scores = scored("top-k", given, Knobs(1.0, n_top=2), RNG).scores
    np.testing.assert_allclose(scores, [1.0, 0.5, 0.5, 0.0], atol=0.25)
    assert np.argsort(-scores).tolist() == [0, 1, 2, 3]


def test_without_draws_it_agrees_with_independent_normal_draws_and_says_so():
    rng = np.random.default_rng(1)
    mean, spread = rng.normal(size=300), rng.random(300)
    found = scored("top-k", believed(mean, spread), Knobs(1.0, n_top=30), RNG)
    draws = mean + spread * rng.standard_normal((20_000, 300))
    shares = (draws >= np.partition(draws, 270, axis=1)[:, [270]]).mean(axis=0)
    np.testing.assert_allclose(found.scores, shares, atol=0.05)
    assert abs(found.scores.sum() - 30) < 0.5
    assert "no joint draws" in found.notes[0]


def test_only_compounds_that_may_be_picked_compete():
    mean = np.concatenate([np.full(50, 9.0), np.linspace(0, 1, 500)])
    given = believed(mean, np.full(550, 0.1))
    knobs = Knobs(1.0, n_top=50, available=mean < 9)
    among = scored("top-k", given, knobs, RNG).scores[50:]
    everybody = scored("top-k", given, Knobs(1.0, n_top=50), RNG).scores[50:]
    assert abs(among.sum() - 50) < 2
    assert everybody.sum() < 0.01


def test_a_sure_belief_puts_the_best_k_first():
    scores = scored("top-k", believed([0.1, 0.9, 0.5], [0, 0, 0]), Knobs(1.0, n_top=2), RNG).scores
    assert np.argsort(-scores).tolist() == [1, 2, 0]


def test_the_top_0_is_refused():
    with pytest.raises(PlanError, match="n_top is at least 1"):
        scored("top-k", believed([1.0, 2.0], [1, 1]), Knobs(1.0, n_top=0), RNG)
