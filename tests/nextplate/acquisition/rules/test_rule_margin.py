"""The least lead of one label over the other comes first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextplate.acquisition import Knobs, scored
from tests.support.believed import believed

RNG = np.random.default_rng(0)


def test_it_is_minus_the_lead():
    scores = scored("margin", believed(np.zeros(3), np.ones(3), [0.1, 0.5, 0.8]), Knobs(1.0), RNG).scores
    np.testing.assert_allclose(scores, [-0.8, 0, -0.6])


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30, unique_by=lambda x: abs(x - 500)))
def test_of_two_labels_it_ranks_as_entropy_does(permille):
    said = believed(np.arange(len(permille)), np.ones(len(permille)), np.array(permille) / 1000)
    one, two = (scored(rule, said, Knobs(1.0), RNG).scores for rule in ("margin", "entropy"))
    assert np.argsort(one).tolist() == np.argsort(two).tolist()
