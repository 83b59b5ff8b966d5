"""Profile intervals of a fitted curve: how far a parameter can move before the other three cannot make up for it.

Profiles follow the curvature that a Wald interval misses (Bates and Watts 1988, doi 10.1002/9780470316757, chapter 6)
and say honestly that an end is open, where a bootstrap of few wells only scatters about its bounds. For the robust
loss the likelihood ratio is scaled as by Schrader and Hettmansperger (1980, doi 10.1093/biomet/67.1.93):
F = 2 (cost_profile - cost) / scale, against F(1, n - 4).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from nextplate.assay.descent import descend
from nextplate.assay.hill_curve import LEFT, N_PARAMETERS, RIGHT, SLOPE, X50, Fit, Series, gradient
from nextplate.assay.statistics import Values

_MAX_ROOT = 30
NAMES = {"left": LEFT, "right": RIGHT, "slope": SLOPE, "x50": X50}


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between its ends."""

    estimate: float
    low: float | None
    """None: open, the data allow values down to the bound of the search."""
    high: float | None

    @property
    def is_closed(self) -> bool:
        """Say whether both ends are known."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True, slots=True)
class _Point:
    """One point of a profile."""

    at: float
    excess: float
    """sqrt(F) minus its limit: negative inside the interval."""
    theta: Values


def interval(data: Series, fit: Fit, parameter: int, confidence: float = 0.95) -> Interval:
    """Return the profile interval of one of the four parameters, on its own scale (log10 for the slope)."""
    estimate = float(fit.theta[parameter])
    if fit.scale <= 0:
        return Interval(estimate, estimate, estimate)
    freedom = len(data.y) - N_PARAMETERS
    limit = math.sqrt(float(special.fdtri(1, freedom, confidence)))
    step = _step(data, fit, parameter)
    low, high = (_end(data, fit, parameter, sign, limit, step) for sign in (-1, 1))
    return Interval(estimate, low, high)


def _step(data: Series, fit: Fit, parameter: int) -> float:
    """A first guess of one standard error, from the curvature at the fit."""
    g = gradient(fit.theta, data.x)
    error = math.sqrt(max(float(np.linalg.pinv(g.T @ g)[parameter, parameter]) * fit.noise**2, 0.0))
    reach = float(data.high[parameter] - data.low[parameter])
    return min(max(error, 1e-6 * reach), 0.1 * reach)


def _end(data: Series, fit: Fit, parameter: int, sign: int, limit: float, step: float) -> float | None:
    """Walk outwards in growing steps until the root of F passes `limit`, then find where it does."""
    bound = float(data.high[parameter] if sign > 0 else data.low[parameter])
    near, width = _Point(float(fit.theta[parameter]), -limit, fit.theta), step * limit
    while near.at != bound:
        to = near.at + sign * width
        far = _point(data, fit, parameter, min(to, bound) if sign > 0 else max(to, bound), limit, near.theta)
        if far.excess > 0:
            return _crossing(data, fit, parameter, limit, near, far)
        # Where the profile is still flat, big steps; near the limit small ones, to stay in its valley.
        near, width = far, width * (1.6 if far.excess > -0.6 * limit else 4.0)
    return None


def _crossing(data: Series, fit: Fit, parameter: int, limit: float, near: _Point, far: _Point) -> float:
    """Return where the profile passes the limit between two points of it, by false position (Illinois)."""
    goal = 1e-3 * abs(far.at - float(fit.theta[parameter]))
    below, above = near.excess, far.excess
    for _ in range(_MAX_ROOT):
        at = near.at + (far.at - near.at) * below / (below - above)
        between = _point(data, fit, parameter, at, limit, near.theta)
        step = abs(at - (far.at if between.excess > 0 else near.at))
        if between.excess > 0:
            far, above, below = between, between.excess, below / 2
        else:
            near, below, above = between, between.excess, above / 2
        if abs(far.at - near.at) <= goal or step <= goal / 4 or abs(between.excess) <= 1e-3 * limit:
            return at
    return far.at


def _point(data: Series, fit: Fit, parameter: int, at: float, limit: float, theta: Values) -> _Point:
    """Hold one parameter and let the others do their best."""
    best_cost, best = math.inf, theta
    # Two starts: from the neighbour on the profile and from the fit; a far profile can hold two valleys.
    for begin in (theta, fit.theta):
        held = begin.copy()
        held[parameter] = at
        found, found_cost = descend(data, held, fit.bend, parameter)
        if found_cost < best_cost:
            best_cost, best = found_cost, found
    root = math.sqrt(max(2 * (best_cost - fit.cost) / fit.scale, 0.0))
    return _Point(at, root - limit, best)
