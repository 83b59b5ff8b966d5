"""Signal window, V-factor and the robust variation, by their formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.statistics import signal_window, v_factor, variation_robust, z_prime

POSITIVE, NEGATIVE = np.array([9.0, 10.0, 11.0]), np.array([0.0, 1.0, 2.0])


def test_formulas():
    assert signal_window(POSITIVE, NEGATIVE) == pytest.approx((9 - 3 * 2) / 1)
    middle = np.array([4.0, 6.0])
    assert v_factor([NEGATIVE, middle, POSITIVE]) == pytest.approx(1 - 6 * np.mean([1, np.sqrt(2), 1]) / 9)
    assert variation_robust(POSITIVE) == pytest.approx(1.4826 / 10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999))
def test_v_of_the_two_controls_alone_is_z_prime(seed):
    rng = np.random.default_rng(seed)
    p, n = rng.normal(5, 1, 6), rng.normal(0, 1, 9)
    assert v_factor([n, p]) == pytest.approx(z_prime(p, n))


def test_a_dose_with_one_well_counts_in_the_window_only():
    assert v_factor([NEGATIVE, np.array([19.0])]) == pytest.approx(1 - 6 * 1 / 18)


@pytest.mark.parametrize(
    "value",
    [
        signal_window(np.array([1.0]), NEGATIVE),
        signal_window(np.ones(3), NEGATIVE),
        v_factor([np.array([1.0]), np.array([2.0])]),
        v_factor([NEGATIVE, NEGATIVE]),
        v_factor([]),
        variation_robust(np.array([1.0])),
        variation_robust(np.array([-1.0, 0.0, 1.0])),
    ],
)
def test_what_does_not_exist_is_none(value):
    assert value is None
