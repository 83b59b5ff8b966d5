"""Information about the belief, not noise, is rewarded."""

import numpy as np
import pytest
from scipy.stats import norm

from nextplate.acquisition import Knobs, scored
from nextplate.acquisition.rules.entropy import bits
from nextplate.errors import DataError, PlanError
from tests.support.believed import believed

RNG = np.random.default_rng(0)


def test_members_that_disagree_teach_and_members_that_agree_on_a_coin_do_not():
    given = believed([0.5, 0.5, 0.0], np.ones(3), draws=[[0.5, 0.0, 0.0], [0.5, 1.0, 0.0]])
    np.testing.assert_allclose(scored("bald", given, Knobs(1.0), RNG).scores, [0, 1, 0], atol=1e-9)


def test_with_a_threshold_draws_are_responses():
    given = believed([0.5, 0.5], np.ones(2), draws=[[0.2, 0.9], [0.8, 0.9]])
    np.testing.assert_allclose(scored("bald", given, Knobs(1.0, threshold=0.5), RNG).scores, [1, 0], atol=1e-9)


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0])
def test_the_closed_form_agrees_with_many_draws(noise):
    mean, spread = np.array([0.0, 0.5, 0.5, 0.9, 2.0]), np.array([0.3, 0.05, 1.0, 0.4, 0.2])
    found = scored("bald", believed(mean, spread), Knobs(1.0, threshold=0.5, noise=noise), RNG)
    chance = norm.cdf((mean + spread * RNG.standard_normal((40_000, 5)) - 0.5) / noise)
    np.testing.assert_allclose(found.scores, bits(chance.mean(0)) - bits(chance).mean(0), atol=0.03)
    assert "no joint draws" in found.notes[0]


def test_labels_without_draws_reward_the_spread():
    scores = scored("bald", believed([0.5, 0.5, 0.02], [0.05, 0.25, 0.0]), Knobs(1.0), RNG).scores
    assert scores[1] > scores[0] > scores[2] == 0


def test_a_negative_noise_and_draws_of_other_compounds_are_refused():
    with pytest.raises(PlanError, match="0 or more"):
        scored("bald", believed([1.0, 2.0], [1, 1]), Knobs(1.0, noise=-1), RNG)
    with pytest.raises(DataError, match=r"draws have shape \(1, 3\) for 2 compounds"):
        scored("bald", believed([1.0, 2.0], [1, 1], draws=[[1, 2, 3]]), Knobs(1.0), RNG)
