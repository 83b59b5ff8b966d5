"""The list with most expected hits whose share of false hits is bounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextplate.acquisition import Knobs, scored
from nextplate.conformal import hit_list
from nextplate.errors import PlanError
from tests.support.believed import believed

RNG = np.random.default_rng(0)


def listed(p, **knobs):
    said = believed(np.arange(len(p)), np.ones(len(p)), p)
    return scored("hits-at-fdr", said, Knobs(1.0, **knobs), RNG)


def test_the_list_ends_where_the_next_compound_would_break_the_rate():
    scores = listed([0.9, 0.2, 0.7, 0.75], fdr=0.25).scores
    np.testing.assert_allclose(scores, [1.9, 0.2, 1.7, 1.75])


@given(st.lists(st.integers(0, 100), min_size=2, max_size=40), st.sampled_from([0.05, 0.2, 0.5]))
def test_no_longer_list_keeps_the_rate(percent, fdr):
    p = np.array(percent) / 100
    scores = listed(p, fdr=fdr).scores
    n = int((scores > p).sum()) if np.ptp(p) else 0
    best = np.sort(p)[::-1]
    assert n == 0 or (1 - best[:n]).mean() <= fdr + 1e-9
    assert np.ptp(p) == 0 or n == len(p) or (1 - best[: n + 1]).mean() > fdr - 1e-9


def test_with_calibrating_compounds_it_is_the_list_of_conformal_selection():
    rng = np.random.default_rng(2)
    cal, mean = rng.normal(size=400), rng.normal(size=200)
    is_hit = cal + rng.normal(size=400) * 0.3 > 0.8
    knobs = Knobs(1.0, fdr=0.2, cal_scores=cal, cal_is_hit=is_hit)
    scores = scored("hits-at-fdr", believed(mean, np.ones(200), np.full(200, 0.5)), knobs, RNG).scores
    rows = hit_list(cal, is_hit, mean, 0.2).rows
    assert len(rows) > 5
    assert sorted(np.flatnonzero(scores > 1)) == sorted(rows)


def test_a_compound_that_may_not_be_picked_is_not_on_the_list():
    scores = listed([0.99, 0.95, 0.1], fdr=0.1, available=np.array([False, True, True])).scores
    np.testing.assert_allclose(scores, [0.99, 1.95, 0.1])


def test_an_empty_list_and_no_hits_yet_are_told():
    assert (
        "no list at 10% false discoveries: the surest compound has P(hit) 0.30" in listed([0.3, 0.2], fdr=0.1).notes[0]
    )
    found = listed([0.0, 0.0, 0.0])
    assert found.scores.tolist() == [0, 1, 2]
    assert "ranked by the predicted response instead" in found.notes[-1]


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(PlanError, match="between 0 and 1"):
        listed([0.1, 0.2], fdr=1.0)
