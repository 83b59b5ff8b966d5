"""The intervals of a plate's numbers."""

import numpy as np
import pytest

from nextplate.assay import statistics
from nextplate.assay.bootstrap import control_intervals

NAMES = ("z_prime", "z_prime_robust", "ssmd")


@pytest.fixture
def controls() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(1, 0.1, 12), rng.normal(0, 0.1, 20)


def test_an_interval_holds_the_number_and_is_the_same_every_time(controls):
    first, second = (control_intervals(*controls) for _ in range(2))
    assert first == second
    assert tuple(first) == NAMES
    for name, (low, high) in first.items():
        assert low < getattr(statistics, name)(*controls) < high


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    truth, held = 1 - 3 * (0.1 + 0.1) / 1.0, 0
    for _ in range(60):
        low, high = control_intervals(rng.normal(1, 0.1, 16), rng.normal(0, 0.1, 24))["z_prime"]
        held += low <= truth <= high
    assert held >= 48


@pytest.mark.parametrize(("n_positive", "n_negative"), [(2, 20), (20, 2), (0, 0)])
def test_too_few_controls_give_no_interval(n_positive, n_negative):
    assert control_intervals(np.ones(n_positive), np.zeros(n_negative)) == {}


def test_controls_without_spread_give_no_interval_for_what_needs_one():
    assert control_intervals(np.ones(5), np.zeros(5)) == {}
