"""The same least robust cost as `hill_curve.minimise`, for the many small problems of a profile: three parameters free.

Levenberg-Marquardt on the weighted normal equations (Marquardt 1963, doi 10.1137/0111030) with a box: a parameter at
its bound and pushed outwards stays. It costs a fraction of scipy's general solver, which spends its time on checks.
"""

import math

import numpy as np

from nextplate.assay.hill_curve import N_PARAMETERS, Series, gradient, value
from nextplate.assay.statistics import Values

_MAX_STEPS = 80
_GAIN = 1e-7
"""Of the cost: a smaller gain ends the descent."""
_DAMPING = (1e-9, 1e-3, 1e9)


def descend(data: Series, theta: Values, bend: float, held: int) -> tuple[Values, float]:
    """Return (parameters of least cost, shape (4,), the cost); the one numbered `held` stays as in `theta`."""
    free = [i for i in range(N_PARAMETERS) if i != held]
    at = theta.copy()
    at[free] = np.clip(theta[free], data.low[free], data.high[free])
    residual, lowest = _residual(data, at, bend)
    damping = _DAMPING[1]
    for _ in range(_MAX_STEPS):
        direction = _step(data, at, residual, bend, free, damping)
        if direction is None:
            break
        new = at.copy()
        new[free] = np.clip(at[free] + direction, data.low[free], data.high[free])
        new_residual, new_cost = _residual(data, new, bend)
        if new_cost < lowest:
            gain, at, residual, lowest = lowest - new_cost, new, new_residual, new_cost
            damping = max(damping / 6, _DAMPING[0])
            if gain <= _GAIN * lowest:
                break
        else:
            damping *= 4
            if damping > _DAMPING[2]:
                break
    return at, lowest


def _residual(data: Series, theta: Values, bend: float) -> tuple[Values, float]:
    r = value(theta, data.x) - data.y
    if math.isinf(bend):
        return r, 0.5 * float(r @ r)
    return r, float((bend**2 * (np.sqrt(1 + (r / bend) ** 2) - 1)).sum())


def _step(data: Series, theta: Values, residual: Values, bend: float, free: list[int], damping: float) -> Values | None:
    """Return the damped step of the free parameters, in units of their own curvature; None when none can move."""
    weight = 1 / np.sqrt(1 + (residual / bend) ** 2)
    jacobian = gradient(theta, data.x)[:, free]
    slope = jacobian.T @ (weight * residual)
    curvature = (jacobian.T * weight) @ jacobian
    part = theta[free]
    is_stuck = ((part <= data.low[free]) & (slope > 0)) | ((part >= data.high[free]) & (slope < 0))
    unit = np.sqrt(np.diag(curvature))
    moves = np.flatnonzero(~is_stuck & (unit > 0))
    if len(moves) == 0:
        return None
    scaled = curvature[np.ix_(moves, moves)] / np.outer(unit[moves], unit[moves])
    step = np.zeros(len(free))
    step[moves] = -np.linalg.solve(scaled + damping * np.eye(len(moves)), slope[moves] / unit[moves]) / unit[moves]
    return step
