"""From a score to the probability of a hit: a logistic curve, fitted to left-out scores."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_STEPS = 50
_EQUAL = 1e-9
_LEAST_SLOPE = 1e-3
# One pseudo-observation: with a handful of hits, scores that part them from the others perfectly would otherwise
# make the curve a step.
_PRIOR = 1.0


def fit_logistic(score: FloatArray, is_hit: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Fit p = 1 / (1 + exp(-(offset + slope * z))), z the standardised score (Platt 1999, with his targets).

    Args:
        score: shape (n,), each predicted without its own label.
        is_hit: shape (n,), 0 or 1, both present.
        weight: shape (n,).

    Returns:
        Offset and slope for the score itself. The slope is at least a thousandth per standard deviation: scores that
        tell nothing still rank. Of equal scores it is 0, and the curve is the share of hits.
    """
    centre, width = float(score.mean()), float(score.std())
    if width < _EQUAL:
        return float(np.log((is_hit.sum() + 0.5) / ((1 - is_hit).sum() + 0.5))), 0.0
    z = (score - centre) / width
    n_hits, n_others = float(is_hit.sum()), float((1 - is_hit).sum())
    target = np.where(is_hit == 1, (n_hits + 1) / (n_hits + 2), 1 / (n_others + 2))
    offset, slope = float(np.log((n_hits + 1) / (n_others + 1))), 0.0
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(offset + slope * z)))
        gap, curve = weight * (p - target), weight * p * (1 - p)
        gradient = np.array([gap.sum(), gap @ z + _PRIOR * slope])
        hessian = np.array([[curve.sum() + 1e-9, curve @ z], [curve @ z, curve @ z**2 + _PRIOR]])
        step = np.linalg.solve(hessian, gradient)
        offset, slope = offset - float(np.clip(step[0], -2, 2)), slope - float(np.clip(step[1], -2, 2))
        if np.abs(step).max() < 1e-9:
            break
    if slope < _LEAST_SLOPE:
        slope, offset = _LEAST_SLOPE, _offset(target, weight)
    return offset - slope * centre / width, slope / width


def _offset(target: FloatArray, weight: FloatArray) -> float:
    """Give the offset of a curve that is all but level."""
    share = float(np.average(target, weights=weight))
    return float(np.log(share / (1 - share)))
