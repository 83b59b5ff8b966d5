"""Order-restricted tests hold their level and see what is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from nextplate.assay.monotone import Direction, isotonic, monotonicity


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 6)), min_size=2, max_size=12),
)
def test_the_isotonic_fit_is_that_of_scikit_learn(points):
    means, weight = (np.array(c, dtype=np.float64) for c in zip(*points, strict=True))
    expected = IsotonicRegression().fit_transform(np.arange(len(means)), means, sample_weight=weight)
    np.testing.assert_allclose(isotonic(means[None, :], weight)[0], expected, atol=1e-9)


@pytest.mark.parametrize(("sign", "direction"), [(1, Direction.UP), (-1, Direction.DOWN)])
def test_a_trend_is_seen_in_its_direction(sign, direction):
    dose = np.repeat(np.arange(6.0), 3)
    found = monotonicity(dose, sign * dose + np.random.default_rng(1).normal(0, 0.5, 18))
    assert found.direction is direction
    assert found.trend_p < 0.01
    assert found.is_monotone()


def test_a_bell_is_no_monotone_curve():
    dose = np.repeat(np.arange(9.0), 4)
    bell = np.exp(-((dose - 5.5) ** 2) / 4) + np.random.default_rng(2).normal(0, 0.05, 36)
    found = monotonicity(dose, bell)
    assert found.bend_p < 0.01
    assert not found.is_monotone()


def test_noise_is_called_a_trend_as_often_as_the_level_says():
    rng = np.random.default_rng(3)
    dose = np.repeat(np.arange(6.0), 2)
    found = [monotonicity(dose, rng.normal(size=12)) for _ in range(200)]
    assert np.mean([m.trend_p <= 0.05 for m in found]) == pytest.approx(0.05, abs=0.04)
    assert np.mean([m.bend_p <= 0.05 for m in found]) <= 0.09


def test_without_replicates_no_bend_is_proved_and_without_doses_nothing():
    assert monotonicity(np.arange(6.0), np.array([0, 1, 2, 3, 2.5, 4.0])).bend_p is None
    assert monotonicity(np.array([0.0, 0, 1, 1]), np.arange(4.0)) is None
    assert monotonicity(np.arange(6.0), np.ones(6)) is None
