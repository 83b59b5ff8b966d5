"""Weights that keep intervals valid on the compounds that were picked because of their predictions.

A rule that picks high predictions makes the picked compounds unlike those that calibrate (feedback covariate shift:
Fannjiang, Bates, Angelopoulos, Listgarten, Jordan, PNAS 2022). Given what the rule looked at (mean, spread,
similarity to what was tested) the measurement follows the same law for both, so calibrating compounds are weighted by
the ratio of densities of these features, picked over calibrating (Tibshirani et al., NeurIPS 2019). The ratio comes
from a logistic regression that tells the two samples apart (Bickel, Bruckner, Scheffer 2009); it is clipped, and
Kish's effective number of compounds says how much data is left.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, table
from nextplate.conformal.quantiles import checked_weights, effective_size
from nextplate.errors import DataError

MAX_RATIO = 20.0
"""Ratios of densities are clipped to 1 / MAX_RATIO .. MAX_RATIO."""
_RIDGE = 1.0
_N_STEPS = 50


@dataclass(frozen=True, slots=True)
class Weights:
    """Ratios of densities, target over calibrating, of n calibrating and m new compounds."""

    calibrating: FloatArray
    """Shape (n,), not negative."""
    new: FloatArray
    """Shape (m,), on the same scale."""
    n_effective: float
    """Kish's effective number of calibrating compounds: n when all weigh the same."""
    notes: tuple[str, ...]
    """What was clipped or given up; empty when nothing."""


def given_weights(calibrating: npt.ArrayLike, new: npt.ArrayLike) -> Weights:
    """Take weights that are known, e.g. of a rule that picks with known probabilities; DataError on a bad one."""
    own = checked_weights(calibrating, len(np.asarray(calibrating)))
    other = checked_weights(new, len(np.asarray(new)))
    return Weights(own, other, effective_size(own), ())


def density_ratio(
    cal_features: npt.ArrayLike,
    target_features: npt.ArrayLike,
    new_features: npt.ArrayLike,
    *,
    max_ratio: float = MAX_RATIO,
) -> Weights:
    """Estimate the ratio of densities from what the picking rule looks at.

    Args:
        cal_features: shape (n, d) or (n,), of calibrating compounds: out-of-fold mean, spread, score, similarity ...
        target_features: shape (p, d), of the compounds picked (or about to be): what intervals have to hold for.
        new_features: shape (m, d), of the compounds that get an interval; often the same as target_features.
        max_ratio: ratios are clipped to 1 / max_ratio .. max_ratio.

    Returns:
        Weights; all 1, with a note, when a sample is empty.

    Raises:
        DataError: a shape, a NaN or an infinite feature, or max_ratio below 1.
    """
    known = table(cal_features, "features of calibrating compounds")
    target = table(target_features, "features of picked compounds", known.shape[1])
    new = table(new_features, "features of new compounds", known.shape[1])
    if not max_ratio >= 1:
        raise DataError(f"max_ratio is {max_ratio}; it must be at least 1")
    if not len(known) or not len(target):
        note = f"{len(known)} calibrating and {len(target)} picked compounds: no weights can be estimated, all are 1"
        return Weights(np.ones(len(known)), np.ones(len(new)), float(len(known)), (note,))
    return _fitted(known, target, new, max_ratio)


def _fitted(known: FloatArray, target: FloatArray, new: FloatArray, max_ratio: float) -> Weights:
    joined = np.concatenate([known, target])
    centre, scale = joined.mean(axis=0), joined.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    balance = np.log(len(known) / len(target))
    is_target = np.arange(len(joined)) >= len(known)
    coefficients = _logistic((joined - centre) / scale, is_target.astype(np.float64))
    logs = [_design((x - centre) / scale) @ coefficients + balance for x in (known, new)]
    bound = np.log(max_ratio)
    n_clipped = [int((np.abs(log) > bound).sum()) for log in logs]
    own, other = (np.exp(np.clip(log, -bound, bound)) for log in logs)
    notes = (
        (f"density ratios clipped at {max_ratio:g}: {n_clipped[0]} calibrating, {n_clipped[1]} new compounds",)
        if any(n_clipped)
        else ()
    )
    return Weights(own, other, effective_size(own), notes)


def _design(x: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(x)), x])


def _logistic(x: FloatArray, is_target: FloatArray) -> FloatArray:
    """Fit a ridge-penalised logistic regression by damped Newton steps; shape (d + 1,), the intercept first."""
    design = _design(x)
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[0] = 1e-6
    beta = np.zeros(design.shape[1])
    loss = _loss(design, is_target, beta, penalty)
    for _ in range(_N_STEPS):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (p - is_target) + penalty * beta
        hessian = (design.T * (p * (1 - p))) @ design + np.diag(penalty)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        while (tried := _loss(design, is_target, beta - size * step, penalty)) > loss and size > 1e-6:
            size /= 2
        beta = beta - size * step
        if loss - tried < 1e-9 * (1 + abs(loss)):
            break
        loss = tried
    return beta


def _sigmoid(z: FloatArray) -> FloatArray:
    p: FloatArray = 0.5 * (1 + np.tanh(0.5 * z))
    return p


def _loss(design: FloatArray, is_target: FloatArray, beta: FloatArray, penalty: FloatArray) -> float:
    z = design @ beta
    return float((np.logaddexp(0, z) - is_target * z).sum() + 0.5 * (penalty * beta**2).sum())


def least_effective(level: float) -> int:
    """Give the effective number of compounds below which an interval at this level rests on chance."""
    return ceil(2 / (1 - level))
