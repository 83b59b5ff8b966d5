"""Conformal predictive systems: the whole distribution of what would be measured, with exact ties.

Residual i of a calibrating compound, scaled by the difficulties, is where candidate j would fall if it erred alike:
c_ij = mean_j + difficulty_j * residual_i / difficulty_i. The predictive distribution lies between
#{c < y} / (n + 1) and (#{c <= y} + 1) / (n + 1) (Vovk, Shen, Manokhin, Xie 2019; weighted: mass w_i and w_new).
Because c_ij is monotone in residual_i / difficulty_i, one sort serves every candidate.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, check_level, vector
from nextplate.conformal.calibration import Calibration
from nextplate.conformal.candidates import category_rows, weights_or_ones
from nextplate.conformal.mondrian import N_LEAST
from nextplate.conformal.shift import Weights
from nextplate.errors import DataError


def predictive_cdf(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    y: npt.ArrayLike,
    weights: Weights | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Bracket the probability that the measurement is at most y.

    Args:
        calibration: of the same belief.
        mean: shape (m,).
        spread: shape (m,).
        y: shape (m,) or a number, on the response scale.
        weights: None: exchangeable.

    Returns:
        low and high, each shape (m,): #{c < y} and #{c <= y} + 1, over n + 1 (masses when weighted); 0 and 1 when
        nothing calibrates. high - low is 1 / (n + 1) where nothing ties.

    Raises:
        DataError: a shape, a NaN or an infinite value.
    """
    scaled, mass, centre, width, new = _prepared(calibration, mean, spread, weights)
    asked = (np.broadcast_to(vector(np.atleast_1d(y), "y"), centre.shape) - centre) / width
    total = mass[-1] + new
    below, up_to = (mass[np.searchsorted(scaled, asked, side=side)] for side in ("left", "right"))
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, below / total, 0.0), np.where(total > 0, (up_to + new) / total, 1.0)


def reach_probability(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    threshold: float,
    weights: Weights | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Bracket the probability that the measurement reaches the threshold (one equal to it does); each shape (m,)."""
    scaled, mass, centre, width, new = _prepared(calibration, mean, spread, weights)
    asked = (float(vector([threshold], "threshold")[0]) - centre) / width
    total, below = mass[-1] + new, mass[np.searchsorted(scaled, asked, side="left")]
    with np.errstate(invalid="ignore"):
        low = np.where(total > 0, (mass[-1] - below) / total, 0.0)
        high = np.where(total > 0, (mass[-1] - below + new) / total, 1.0)
    return low, high


def predictive_quantiles(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    shares: npt.ArrayLike,
    weights: Weights | None = None,
) -> FloatArray:
    """Give quantiles of the predictive distribution: the smallest y whose lower bracket reaches the share.

    Returns:
        Shape (m, k) for k shares in (0, 1); inf where too little calibrates. A measurement is at most this value with
        at least the probability asked for.
    """
    scaled, mass, centre, width, new = _prepared(calibration, mean, spread, weights)
    asked = vector(shares, "shares")
    for share in asked:
        check_level(float(share), "a share")
    needed = asked[None, :] * (mass[-1] + new)[:, None] * (1 - 1e-12)
    # mass[i] counts the i smallest; the value that first carries the mass is element i - 1.
    at = np.searchsorted(mass[1:], needed, side="left")
    quantiles: FloatArray = centre[:, None] + width[:, None] * np.append(scaled, np.inf)[at]
    return quantiles


def measured_p_values(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    y: npt.ArrayLike,
    weights: Weights | None = None,
    *,
    bins: npt.ArrayLike | None = None,
    n_least: int = N_LEAST,
) -> tuple[FloatArray, FloatArray]:
    """Give the conformal p-value of each measurement, and the least it could have been.

    A measurement lies inside the interval of candidate_intervals at a level exactly when its p-value exceeds
    1 - level; an interval is infinite exactly when the least p-value does. One vector tells coverage at every level.

    Args:
        calibration: of the belief that made the predictions.
        mean: shape (m,), predicted before measuring.
        spread: shape (m,).
        y: shape (m,), measured; leave out compounds without a measurement.
        weights: as for the intervals.
        bins: shape (m,), exactly when the calibration has bins.
        n_least: as for the intervals.

    Returns:
        p and least, each shape (m,).

    Raises:
        DataError: a shape, a NaN or an infinite value, bins on one side only.
    """
    scores = np.abs(calibration.residuals) / calibration.difficulty
    absolute = Calibration(scores, np.ones(calibration.n), None, calibration.floor, calibration.confidence)
    centre, width = vector(mean, "means"), vector(spread, "spreads", len(np.asarray(mean)))
    asked = np.abs(vector(y, "measurements", len(centre)) - centre) / (width + calibration.floor)
    used = weights_or_ones(weights, calibration.n, len(centre))
    p, least = np.ones(len(centre)), np.ones(len(centre))
    for known, new in category_rows(calibration, bins, len(centre), n_least, []):
        own = replace(absolute, residuals=scores[known], difficulty=absolute.difficulty[known])
        part = Weights(used.calibrating[known], used.new[new], used.n_effective, ())
        p[new], least[new] = _p_values(own, asked[new], part)
    return p, least


def _p_values(absolute: Calibration, asked: FloatArray, weights: Weights) -> tuple[FloatArray, FloatArray]:
    zeros = np.zeros(len(asked))
    scaled, mass, _, _, new = _prepared(absolute, zeros, zeros, weights)
    total = mass[-1] + new
    # Half-widths are products and these are quotients: a score equal up to rounding is a tie.
    below = mass[np.searchsorted(scaled, asked * (1 - 1e-14), side="left")]
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, (mass[-1] - below + new) / total, 1.0), np.where(total > 0, new / total, 1.0)


def _prepared(
    calibration: Calibration, mean: npt.ArrayLike, spread: npt.ArrayLike, weights: Weights | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sort scaled residuals; their cumulated mass of shape (n + 1,), from 0; centres, widths, new masses."""
    if calibration.bins is not None:
        raise DataError("predictive systems take one category at a time; calibrate without bins")
    centre, width = vector(mean, "means"), vector(spread, "spreads", len(np.asarray(mean)))
    n, m = calibration.n, len(centre)
    own, new = (np.ones(n), np.ones(m)) if weights is None else (weights.calibrating, weights.new)
    if own.shape != (n,) or new.shape != (m,):
        raise DataError(f"weights of {len(own)} and {len(new)} compounds for {n} calibrating and {m} new ones")
    scaled = calibration.residuals / calibration.difficulty
    order = np.argsort(scaled, kind="stable")
    return scaled[order], np.concatenate([[0.0], np.cumsum(own[order])]), centre, width + calibration.floor, new
