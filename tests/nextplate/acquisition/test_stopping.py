"""How many hits are left, what the next plate gives, and when it is not worth its wells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from nextplate.acquisition.stopping import Yield, count_hits, outlook
from nextplate.errors import DataError, PlanError


def test_history_moves_the_estimate_towards_what_plates_really_gave():
    p = np.full(100, 0.2)
    flattered = count_hits(p, [Yield(20, 9), Yield(18, 10), Yield(22, 10)])
    honest = count_hits(p, [Yield(20, 20), Yield(18, 17), Yield(22, 23)])
    assert flattered.uncorrected == honest.uncorrected == pytest.approx(20)
    assert 9 < flattered.expected < 13
    assert 18 < honest.expected < 22
    assert flattered.ratio == pytest.approx(flattered.expected / 20)


def test_steady_plates_narrow_the_interval_and_erratic_ones_widen_it():
    p = np.full(500, 0.1)

    def width(history):
        found = count_hits(p, history)
        return found.high - found.low

    steady = width([Yield(50, 50), Yield(50, 48), Yield(50, 53), Yield(50, 50)])
    erratic = width([Yield(50, 10), Yield(50, 110), Yield(50, 25), Yield(50, 70)])
    assert steady < width([]) > 40
    assert steady < 0.6 * erratic


def test_an_interval_is_never_narrower_than_independent_compounds_would_give():
    p = np.full(300, 0.1)
    found = count_hits(p, [Yield(1000, 1000)] * 8)
    assert found.low <= binom.ppf(0.05, 300, 0.1)
    assert found.high >= binom.ppf(0.95, 300, 0.1)


@given(st.lists(st.floats(0, 1), max_size=60), st.lists(st.tuples(st.floats(0, 50), st.integers(0, 60)), max_size=4))
@settings(max_examples=30, deadline=None)
def test_an_interval_is_ordered_and_possible(p, history):
    found = count_hits(p, [Yield(*known) for known in history])
    assert 0 <= found.low <= found.high <= len(p)
    assert 0 <= found.expected <= len(p)


def test_intervals_cover_when_plates_scatter_as_the_model_says():
    rng = np.random.default_rng(0)
    n_covered = 0
    for _ in range(200):
        p = rng.beta(0.5, 4, 200)
        ratios = np.exp(rng.normal(-0.3, 0.3) + rng.normal(0, 0.3, 5))
        history = [Yield(float(p.sum()), int((rng.random(200) < np.minimum(r * p, 1)).sum())) for r in ratios[:4]]
        found = count_hits(p, history)
        n_covered += found.low <= (rng.random(200) < np.minimum(ratios[4] * p, 1)).sum() <= found.high
    assert n_covered / 200 > 0.86


def test_stopping_is_suggested_when_a_plate_is_not_worth_its_wells():
    poor, rich = np.full(3000, 1e-5), np.full(3000, 0.02)
    lots = [Yield(0.01, 0)]
    stop = outlook(poor, poor[:300], [Yield(10, 1), Yield(6, 0), Yield(3, 0)], lots, least_hits=2)
    assert stop.stop
    assert stop.reason.startswith("stop: ")
    more = outlook(rich, np.full(300, 0.1), [Yield(30, 25)], [Yield(3, 3)], least_hits=2)
    assert not more.stop
    assert more.reason.startswith("go on: the next plate of 300 gives 2")
    assert more.notes == ()


def test_what_the_intervals_rest_on_is_told():
    assert len(outlook([0.1, 0.2], [0.1]).notes) == 2
    assert outlook([], []).reason == "stop: no compound is left to be picked"
    assert count_hits([0.0] * 9).high == 0


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5, np.inf])
def test_what_is_no_probability_is_refused(bad):
    with pytest.raises(DataError, match="1 of 2 probabilities"):
        count_hits([0.1, bad])


def test_impossible_yields_and_levels_are_refused():
    with pytest.raises(DataError, match="a round expected nan and gave 3"):
        count_hits([0.1], [Yield(float("nan"), 3)])
    with pytest.raises(PlanError, match="between 0 and 1"):
        count_hits([0.1], level=1.0)
    with pytest.raises(PlanError, match="0 or more"):
        outlook([0.1], [0.1], least_hits=-1)


def test_a_plate_never_gives_more_than_is_left():
    p_untested, p_picks = np.full(200, 0.05), np.full(80, 0.1)
    found = outlook(p_untested, p_picks, history=[Yield(4.0, 9)], lot_history=[Yield(6.0, 0), Yield(5.0, 0)])
    assert found.next_yield.expected <= found.hits_left.expected
    assert found.next_yield.high <= found.hits_left.high
    assert any("held to what is left" in note for note in found.notes)
