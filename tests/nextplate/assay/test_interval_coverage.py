"""Nominal 95 % intervals hold the truth 95 times in a hundred, give or take three, over 300 simulated curves."""

import numpy as np
import pytest

from nextplate.assay.dose_response import fit_dose_response
from nextplate.assay.hill_curve import Fit, Series, fit, series, value
from nextplate.assay.profile import NAMES, interval

pytestmark = pytest.mark.long
N_CURVES = 300


def curves(
    doses: int, wells: int, slope: float, noise: float, outliers: float, seed: int
) -> list[tuple[float, Series, Fit]]:
    """Draw and fit curves between 0 and 1 with midpoints all over the middle of the doses."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(N_CURVES):
        x, x50 = np.repeat(np.linspace(-3, 2, doses), wells), float(rng.uniform(-1.5, 0.5))
        y = value(np.array([0.0, 1.0, np.log10(slope), x50]), x) + rng.normal(0, noise, len(x))
        y += (rng.random(len(x)) < outliers) * rng.normal(0, 10 * noise, len(x))
        data = series(x, y)
        drawn.append((x50, data, fit(data)))
    return drawn


def coverage(drawn: list[tuple[float, Series, Fit]], name: str, truth: float | None) -> float:
    """Return the share of intervals that hold the truth; None is each curve's own midpoint. An open end holds all."""
    held = 0
    for x50, data, found in drawn:
        ends = interval(data, found, NAMES[name])
        goal = x50 if truth is None else truth
        held += (ends.low is None or ends.low <= goal) and (ends.high is None or goal <= ends.high)
    return held / len(drawn)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("doses", "wells", "slope", "noise", "outliers"),
    [(10, 3, 1.0, 0.08, 0.0), (8, 1, 1.0, 0.05, 0.0), (9, 4, 2.0, 0.1, 0.0), (10, 2, 0.7, 0.05, 0.05)],
)
def test_midpoints_lie_in_their_intervals(doses, wells, slope, noise, outliers):
    drawn = curves(doses, wells, slope, noise, outliers, seed=0)
    assert coverage(drawn, "x50", None) == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_plateaus_and_slopes_lie_in_their_intervals():
    drawn = curves(10, 3, 1.0, 0.08, 0.0, seed=0)
    for name, truth in (("left", 0.0), ("right", 1.0), ("slope", 0.0)):
        assert coverage(drawn, name, truth) == pytest.approx(0.95, abs=0.03), name


@pytest.mark.slow
@pytest.mark.parametrize(("ec50", "noise"), [(60.0, 0.06), (300.0, 0.02), (0.02, 0.04)])
def test_what_is_said_of_midpoints_near_or_beyond_the_doses_holds(ec50, noise):
    rng = np.random.default_rng(5)
    dose, n, held = np.repeat(np.geomspace(0.01, 100, 9), 3), 100, 0
    for _ in range(n):
        found = fit_dose_response(dose, 1 / (1 + ec50 / dose) + rng.normal(0, noise, len(dose)))
        low, high = (found.above, found.below) if found.midpoint is None else (found.midpoint.low, found.midpoint.high)
        held += (low is None or low <= ec50) and (high is None or ec50 <= high)
    assert held >= 0.92 * n
