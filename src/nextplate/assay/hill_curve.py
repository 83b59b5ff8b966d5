"""The four-parameter logistic curve: its value, its gradient, where to start and the robust fit.

y(x) = left + (right - left) / (1 + 10^(h (x50 - x))), h > 0 (Hill 1910; DeLean, Munson, Rodbard 1978,
doi 10.1152/ajpendo.1978.235.2.E97). x is log10 of the concentration or the index of the dose; a well without compound
has x = -inf and y = left. The curve rises when right > left and falls otherwise, so the slope needs no sign.
Parameters are a vector (left, right, log10 h, x50).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from nextplate.assay.monotone import winsorised
from nextplate.assay.statistics import MAD_TO_SD, Values

LEFT, RIGHT, SLOPE, X50 = range(4)
N_PARAMETERS = 4
_SLOPES = (0.05, 20.0)
_BEND_SD = 3.0
"""Residuals count fully up to about here; beyond they pull linearly (soft L1, 86 % of the pull lost at 20 sd)."""
_GRID_X50, _GRID_SLOPE = 41, 13


@dataclass(frozen=True, slots=True)
class Series:
    """The wells of one compound, arrays of shape (n,), and the axis they lie on."""

    x: Values
    """log10 concentration or dose index; -inf without compound."""
    y: Values
    low: Values
    """Lower bounds of the four parameters."""
    high: Values

    @property
    def tested(self) -> tuple[float, float]:
        """The lowest and highest x of wells with compound."""
        known = self.x[np.isfinite(self.x)]
        return float(known.min()), float(known.max())


@dataclass(frozen=True, slots=True)
class Fit:
    """One least robust cost, of shape-(4,) parameters."""

    theta: Values
    bend: float
    """Residual from which soft L1 bends, response units; inf is least squares."""
    cost: float
    """sum of rho(residual), rho(r) = bend^2 (sqrt(1 + (r / bend)^2) - 1), which is r^2 / 2 near 0."""
    noise: float
    """Standard deviation of a well about the curve: sqrt(sum psi^2 / (n - 4)) / mean psi'."""
    scale: float
    """What divides a difference in cost so that twice it is F: (sum psi^2 / (n - 4)) / mean psi'."""


def series(x: Values, y: Values) -> Series:
    """Set the bounds: x50 up to one tested span outside the doses, plateaus up to ten response spans outside."""
    known = x[np.isfinite(x)]
    span = max(float(np.ptp(known)), 1e-9)
    reach = 10 * max(float(np.ptp(y)), 1e-12)
    low = np.array([y.min() - reach, y.min() - reach, math.log10(_SLOPES[0]), known.min() - span])
    high = np.array([y.max() + reach, y.max() + reach, math.log10(_SLOPES[1]), known.max() + span])
    return Series(x, y, low, high)


def share(x: Values, slope: npt.ArrayLike, x50: npt.ArrayLike) -> Values:
    """Return how far along the curve x is, 0 at left and 1 at right; slope is log10 h; arrays broadcast."""
    h = 10.0 ** np.asarray(slope, dtype=np.float64)
    return np.asarray(special.expit(math.log(10) * h * (x - np.asarray(x50, dtype=np.float64))))


def value(theta: Values, x: Values) -> Values:
    """Return the curve at x, shape (n,)."""
    return np.asarray(theta[LEFT] + (theta[RIGHT] - theta[LEFT]) * share(x, theta[SLOPE], theta[X50]))


def gradient(theta: Values, x: Values) -> Values:
    """Return d y / d theta, shape (n, 4)."""
    s = share(x, theta[SLOPE], theta[X50])
    # Without compound s (1 - s) is 0, and so is its product with the infinite distance.
    distance = np.where(np.isfinite(x), x - theta[X50], 0.0)
    rate = math.log(10) * 10.0 ** theta[SLOPE] * (theta[RIGHT] - theta[LEFT]) * s * (1 - s)
    return np.stack([1 - s, s, math.log(10) * rate * distance, -rate], axis=1)


def start(data: Series) -> Values:
    """Take the best of a grid of slopes and midpoints; the plateaus of each are a linear least-squares problem.

    All grid points are solved at once by their 2 x 2 normal equations.
    """
    first, last = data.tested
    x50 = np.linspace(first, last, _GRID_X50)
    slope = np.linspace(data.low[SLOPE] + 0.5, data.high[SLOPE] - 0.3, _GRID_SLOPE)
    a, b = (g.ravel()[:, None] for g in np.meshgrid(slope, x50, indexing="ij"))
    s = share(data.x, a, b)
    spread = ((s - s.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    rise = np.where(spread > 1e-9, ((s - s.mean(axis=1, keepdims=True)) @ data.y) / np.maximum(spread, 1e-9), 0.0)
    left = data.y.mean() - rise * s.mean(axis=1)
    error = ((left[:, None] + rise[:, None] * s - data.y) ** 2).sum(axis=1)
    i = int(error.argmin())
    return np.clip(np.array([left[i], left[i] + rise[i], a[i, 0], b[i, 0]]), data.low + 1e-9, data.high - 1e-9)


def fit(data: Series) -> Fit:
    """Fit twice: a first curve on wells pulled in tells the noise, the noise where soft L1 bends."""
    tame = Series(data.x, _tamed(data), data.low, data.high)
    first = minimise(tame, start(tame), math.inf, ())
    bend = _bend(data, first)
    return _described(data, minimise(data, first, bend, ()), bend)


def minimise(data: Series, theta: Values, bend: float, fixed: Sequence[int]) -> Values:
    """Return the parameters of least cost, shape (4,), those of `fixed` kept as they are in `theta`."""
    free = [i for i in range(N_PARAMETERS) if i not in fixed]

    def whole(part: Values) -> Values:
        full = theta.copy()
        full[free] = part
        return full

    found = optimize.least_squares(
        lambda part: value(whole(part), data.x) - data.y,
        np.clip(theta[free], data.low[free], data.high[free]),
        jac=lambda part: gradient(whole(part), data.x)[:, free],
        bounds=(data.low[free], data.high[free]),
        loss="linear" if math.isinf(bend) else "soft_l1",
        f_scale=1.0 if math.isinf(bend) else bend,
        x_scale="jac",
        max_nfev=200,
    )
    return whole(found.x)


def cost(data: Series, theta: Values, bend: float) -> float:
    """Return sum of rho over the wells; see `Fit.cost`."""
    r = value(theta, data.x) - data.y
    if math.isinf(bend):
        return 0.5 * float(r @ r)
    return float((bend**2 * (np.sqrt(1 + (r / bend) ** 2) - 1)).sum())


def _tamed(data: Series) -> Values:
    code = np.unique(data.x, return_inverse=True)[1]
    return np.asarray(winsorised(data.y[None, :], code)[0])


def _bend(data: Series, theta: Values) -> float:
    r = np.abs(value(theta, data.x) - data.y)
    n = len(r)
    noise = MAD_TO_SD * float(np.median(r)) * math.sqrt(n / max(n - N_PARAMETERS, 1))
    return max(_BEND_SD * noise, 1e-9 * max(float(np.ptp(data.y)), 1e-300))


def _described(data: Series, theta: Values, bend: float) -> Fit:
    weight = 1 / np.sqrt(1 + ((value(theta, data.x) - data.y) / bend) ** 2)
    psi = weight * (value(theta, data.x) - data.y)
    steepness = float((weight**3).mean())
    variance = float(psi @ psi) / max(len(psi) - N_PARAMETERS, 1)
    return Fit(theta, bend, cost(data, theta, bend), math.sqrt(variance) / steepness, variance / steepness)
