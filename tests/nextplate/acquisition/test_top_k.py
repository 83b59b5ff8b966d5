"""The best k of a stream do not depend on how it was cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextplate.acquisition.top import TopK
from nextplate.errors import ModelError, PlanError


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 25))
def test_chunks_change_nothing_and_ties_go_to_the_lower_row(values, k, size):
    scores = np.array(values, dtype=np.float32)
    top = TopK(k)
    for start in reversed(range(0, len(scores), size)):
        top.add(scores[start : start + size], start)
    assert top.rows.tolist() == np.argsort(-scores, kind="stable")[:k].tolist()
    assert top.scores.tolist() == scores[top.rows].tolist()


def test_minus_infinity_is_never_kept():
    top = TopK(3)
    top.add([-np.inf, 1.0, -np.inf, -np.inf], 0)
    assert top.rows.tolist() == [1]


def test_bad_input_is_one_clear_error():
    with pytest.raises(PlanError):
        TopK(0)
    with pytest.raises(ModelError):
        TopK(1).add([np.nan], 0)
