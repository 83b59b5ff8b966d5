"""Whatever is wrong with a prediction, every rule says so or names what it did instead."""

import importlib.util

import numpy as np
import pytest

from nextplate.acquisition import RULES, Knobs, scored
from nextplate.errors import ModelError, NextplateError, PlanError
from tests.support.believed import believed

HERE = [r for r in RULES if importlib.util.find_spec("modAL") or r not in ("ei", "pi", "modal-ucb")]
DRAWING = ("random", "thompson")


def by(rule, given, **knobs):
    return scored(rule, given, Knobs(0.5, **knobs), np.random.default_rng(0))


@pytest.mark.parametrize("rule", HERE)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_one_clear_error(rule, bad):
    with pytest.raises(ModelError, match="predicted mean of 1 of 2 compounds is NaN or infinite"):
        by(rule, believed([bad, 1.0], [1, 1]))
    with pytest.raises(ModelError, match="predicted spread of 2 of 2"):
        by(rule, believed([0.0, 1.0], [bad, bad]))


@pytest.mark.parametrize("rule", HERE)
def test_one_compound_is_scored_and_none_is_refused(rule):
    assert by(rule, believed([0.3], [0.1])).scores.shape == (1,)
    with pytest.raises(PlanError, match="no compound"):
        by(rule, believed([], []))


@pytest.mark.parametrize("rule", [r for r in HERE if r not in DRAWING])
def test_equal_compounds_are_left_to_the_lot_and_that_is_told(rule):
    found = by(rule, believed([0.3] * 5, [0.1] * 5))
    assert np.ptp(found.scores) == 0
    assert "the lot decides" in found.notes[-1]


@pytest.mark.parametrize("rule", ["entropy", "margin", "set-size", "hits-at-fdr", "uncertainty"])
def test_where_the_rule_sees_no_difference_the_response_ranks(rule):
    found = by(rule, believed([0.1, 0.3, 0.2], [0.1] * 3, [0.0] * 3))
    assert np.argsort(-found.scores).tolist() == [1, 2, 0]
    assert f"the rule '{rule}' gives every compound the same score" in found.notes[-1]


@pytest.mark.parametrize("rule", HERE)
def test_no_rule_writes_into_the_prediction(rule):
    given = believed([0.1, 0.9], [0.5, 0.2], [0.1, 0.7], [[0.1, 0.9], [0.3, 0.2]])
    by(rule, given).scores[:] = 7
    assert given.mean.tolist() == [0.1, 0.9]
    assert given.spread.tolist() == [0.5, 0.2]
    assert given.p_hit.tolist() == [0.1, 0.7]


def test_nothing_available_and_a_negative_spread_are_refused():
    with pytest.raises(PlanError, match="no compound is available"):
        by("top-k", believed([0.1, 0.2], [1, 1]), available=np.zeros(2, bool))
    with pytest.raises(PlanError, match=r"shape \(3,\) for 2 compounds"):
        by("top-k", believed([0.1, 0.2], [1, 1]), available=np.ones(3, bool))
    with pytest.raises(NextplateError, match="negative"):
        by("ucb", believed([0.1, 0.2], [1, -1]))
