"""The least known outcome comes first."""

import numpy as np
import pytest

from nextplate.acquisition import Knobs, scored
from nextplate.errors import DataError
from tests.support.believed import believed

RNG = np.random.default_rng(0)


def test_it_is_the_entropy_in_bits():
    scores = scored("entropy", believed(np.zeros(4), np.ones(4), [0.0, 0.5, 1.0, 0.25]), Knobs(1.0), RNG).scores
    np.testing.assert_allclose(scores, [0, 1, 0, 0.811278], atol=1e-6)


@pytest.mark.parametrize("p", [np.nan, -0.1, 1.2, np.inf])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(DataError, match="1 of 2 probabilities of a hit are NaN or outside 0 to 1"):
        scored("entropy", believed([0.0, 1.0], [1, 1], [p, 0.5]), Knobs(1.0), RNG)
