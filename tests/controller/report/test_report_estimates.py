"""Numbers of a report carry an uncertainty that means what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.report import estimates
from controller.report.model import Estimate


@given(st.integers(0, 500), st.integers(1, 500))
def test_a_share_lies_inside_its_interval(k, n):
    found = estimates.share(min(k, n), n)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == n


def test_a_share_of_nothing_says_why():
    assert estimates.share(0, 0).value is None
    assert estimates.share(0, 0).why


def test_ratio_of_shares_by_hand():
    # 20/100 against 10/100: ratio 2, log half-width 1.96 sqrt(1/20 - 1/100 + 1/10 - 1/100)
    found = estimates.ratio_of_shares(20, 100, 10, 100)
    half = 1.959964 * np.sqrt(0.13)
    assert found.value == pytest.approx(2)
    assert (found.low, found.high) == (pytest.approx(2 * np.exp(-half)), pytest.approx(2 * np.exp(half)))


@pytest.mark.parametrize("counts", [(0, 10, 3, 10), (3, 10, 0, 10), (1, 0, 1, 1)])
def test_a_ratio_that_a_count_forbids_says_why(counts):
    found = estimates.ratio_of_shares(*counts)
    assert found.value is None
    assert found.why


def test_a_known_share_of_nothing_says_why():
    assert estimates.over_known_share(3, 100, 0.0).why


def test_rmse_and_its_standard_error_by_simulation():
    rng = np.random.default_rng(0)
    found = [estimates.rmse(np.zeros(400), rng.normal(0, 2, 400), "") for _ in range(300)]
    values = np.array([f.value for f in found])
    told = np.mean([(f.high - f.low) / 2 for f in found])
    assert values.mean() == pytest.approx(2, rel=0.02)
    assert told == pytest.approx(values.std(), rel=0.15)


def test_rmse_leaves_unknown_pairs_out():
    found = estimates.rmse([0, 0, 0], [1, np.nan, -1], "")
    assert (found.value, found.n) == (1, 2)
    assert estimates.rmse([1], [1], "one pair").why == "one pair"


def test_a_recorded_number_keeps_the_interval_recorded_with_it():
    assert estimates.recorded(0.6, [0.5, 0.7], 32, "") == Estimate(0.6, 0.5, 0.7, 32, estimates.BOOTSTRAP)
    assert estimates.recorded(0.6, None, 4, "").low is None
    assert estimates.recorded(None, None, 0, "no window").why == "no window"
