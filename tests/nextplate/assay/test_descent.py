"""The quick descent of the profiles finds what scipy finds."""

import math

import numpy as np
import pytest

from nextplate.assay.descent import descend
from nextplate.assay.hill_curve import cost, fit, minimise, series, value


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e5])
@pytest.mark.parametrize("is_robust", [True, False])
def test_the_cost_is_at_most_that_of_scipy(scale, is_robust):
    rng = np.random.default_rng(1)
    for _ in range(15):
        x = np.concatenate([[-np.inf, -np.inf], np.repeat(np.linspace(-3, 2, 8), 2)])
        truth = np.array([rng.normal(), rng.normal() + 2, rng.uniform(-0.3, 0.4), rng.uniform(-2, 2)])
        data = series(x, scale * (value(truth, x) + rng.normal(0, 0.1, len(x))))
        found = fit(data)
        bend = found.bend if is_robust else math.inf
        for held in range(4):
            theta = found.theta.copy()
            theta[held] += rng.normal() * (0.3 if held > 1 else 0.2 * scale)
            theta = np.clip(theta, data.low, data.high)
            at, lowest = descend(data, theta, bend, held)
            assert at[held] == theta[held]
            assert ((data.low <= at) & (at <= data.high)).all()
            assert lowest == pytest.approx(cost(data, at, bend))
            assert lowest <= cost(data, minimise(data, theta, bend, (held,)), bend) * 1.01
