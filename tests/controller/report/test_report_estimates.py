"""Numbers of a report carry an uncertainty that means what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.report import estimates
from nextplate.assay import statistics


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


@pytest.mark.parametrize("name", ["z_prime", "z_prime_robust", "ssmd"])
def test_statistics_of_the_bootstrap_are_those_of_the_assay(name):
    rng = np.random.default_rng(3)
    negative, positive = rng.normal(0, 0.1, 20), rng.normal(1, 0.1, 12)
    mine = float(getattr(estimates, name)(negative, positive))
    assert mine == pytest.approx(getattr(statistics, name)(positive, negative))


def test_bootstrap_is_the_same_every_time_and_holds_the_value():
    rng = np.random.default_rng(3)
    negative, positive = rng.normal(0, 0.1, 20), rng.normal(1, 0.1, 12)
    value = float(estimates.z_prime(negative, positive))
    first, second = (estimates.with_bootstrap(value, "", negative, positive, estimates.z_prime) for _ in range(2))
    assert first == second
    assert first.low < value < first.high


def test_too_few_controls_leave_the_number_without_an_interval():
    found = estimates.with_bootstrap(0.5, "", np.zeros(2), np.ones(9), estimates.z_prime)
    assert found.value == 0.5
    assert found.low is None
    assert found.why
