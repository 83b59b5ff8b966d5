"""Combine two beliefs about the same compounds into one, by weights learnt where the truth is known.

Stacked generalisation (Wolpert 1992; Breiman 1996, who found that weights must not be negative) on out-of-fold
predictions. Probabilities are pooled as log odds, which lets two independent pieces of evidence add up (each weight
may approach 1); potencies linearly. Weights are shrunk towards one half each, the equal-weight pool that is hard to
beat when little is known (Clemen 1989): the prior is worth a normal of standard deviation 0.5 around it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]

PRIOR_SD = 0.5
# No belief of ours is worth more certainty than this: a leaf of a tree that happens to be pure says 0 or 1.
_SUREST = 0.005
_PRIOR_RESIDUALS = 5


Width = tuple[float, float, float]
"""A variance as a + b * (the beliefs' own variance) + c * (their disagreement squared); a, b, c at least 0."""
_AS_IS: Width = (0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """How two beliefs are combined."""

    offset: float
    """Added to the pooled log odds or, in units of the labels, to the pooled mean."""
    chemistry: float
    """Weight, at least 0."""
    image: float
    """Weight, at least 0."""
    is_binary: bool
    width: Width = _AS_IS
    """Of the spread where both are known, learnt from out-of-fold errors; as it is for probabilities."""
    lone_width: Width = _AS_IS
    """The same of chemistry's spread where there is no profile."""
    lone_shift: float = 0.0
    """Of probabilities: how far, root mean square, knowing the image moves the mean: chemistry alone cannot know it."""


def learn_pool(y: FloatArray, weight: FloatArray, chemistry: FloatArray, image: FloatArray, *, is_binary: bool) -> Pool:
    """Learn the weights of two beliefs from predictions of compounds neither has seen.

    Args:
        y: shape (n,): labels, 0/1 where is_binary.
        weight: shape (n,): of the labels.
        chemistry: shape (n,): out-of-fold means.
        image: shape (n,): likewise.
        is_binary: pool log odds by log loss; else means by squared error.

    Returns:
        The pool; its widths are learnt by ``learn_width``.
    """
    share = weight / weight.mean()
    if is_binary:
        found = _least(lambda w: _log_loss(w, y, share, log_odds(chemistry), log_odds(image)))
        return Pool(found[0], found[1], found[2], is_binary=True)
    level, unit = float(np.average(y, weights=weight)), float(max(y.std(), 1e-12))
    z, c, i = ((a - level) / unit for a in (y, chemistry, image))
    noise = float(max(np.average((z - (c + i) / 2) ** 2, weights=share), 1e-6))
    found = _least(lambda w: _half_square(w, z, share, c, i, noise))
    return Pool(found[0] * unit + level * (1 - found[1] - found[2]), found[1], found[2], is_binary=False)


def _least(loss: Callable[[FloatArray], tuple[float, FloatArray]]) -> tuple[float, float, float]:
    start = np.array([0.0, 0.5, 0.5])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None), (0, None)])
    return float(found.x[0]), float(found.x[1]), float(found.x[2])


def _prior(w: FloatArray) -> tuple[float, FloatArray]:
    gap = np.array([w[0] / 2, w[1] - 0.5, w[2] - 0.5]) / PRIOR_SD
    slope = gap / PRIOR_SD
    slope[0] /= 2
    return float((gap**2).sum() / 2), slope


def _log_loss(
    w: FloatArray, y: FloatArray, share: FloatArray, c: FloatArray, i: FloatArray
) -> tuple[float, FloatArray]:
    odds = w[0] + w[1] * c + w[2] * i
    loss, slope = _prior(w)
    loss += float((share * (np.logaddexp(0, odds) - y * odds)).sum())
    error = share * (_probability(odds) - y)
    return loss, slope + np.array([error.sum(), error @ c, error @ i])


def _half_square(
    w: FloatArray, z: FloatArray, share: FloatArray, c: FloatArray, i: FloatArray, noise: float
) -> tuple[float, FloatArray]:
    error = w[0] + w[1] * c + w[2] * i - z
    loss, slope = _prior(w)
    pull = share * error / noise
    return loss + float((pull * error).sum() / 2), slope + np.array([pull.sum(), pull @ c, pull @ i])


def log_odds(p: FloatArray) -> FloatArray:
    """Give the log odds of probabilities, none surer than 0.5 % from 0 or 1."""
    safe = np.clip(p, _SUREST, 1 - _SUREST)
    odds: FloatArray = np.log(safe / (1 - safe))
    return odds


def _probability(odds: FloatArray) -> FloatArray:
    p: FloatArray = 1 / (1 + np.exp(-odds))
    return p


def pool_mean(pool: Pool, chemistry: FloatArray, image: FloatArray) -> FloatArray:
    """Combine means, each shape (n,)."""
    if pool.is_binary:
        return _probability(pool.offset + pool.chemistry * log_odds(chemistry) + pool.image * log_odds(image))
    return pool.offset + pool.chemistry * chemistry + pool.image * image


def own_variance(
    pool: Pool, means: tuple[FloatArray, FloatArray], spreads: tuple[FloatArray, FloatArray]
) -> FloatArray:
    """Propagate the spreads of two beliefs that err independently through the pool, shape (n,), as a variance.

    Of probabilities: variances of log odds (spread / p (1 - p), the delta method) are added up.
    """
    parts = []
    for share, mean, spread in zip((pool.chemistry, pool.image), means, spreads, strict=True):
        p = np.clip(mean, _SUREST, 1 - _SUREST)
        parts.append((share * (spread / (p * (1 - p)) if pool.is_binary else spread)) ** 2)
    variance: FloatArray = parts[0] + parts[1]
    return variance


def pool_spread(pool: Pool, means: tuple[FloatArray, FloatArray], spreads: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Give the spread of the pooled mean, shape (n,).

    Args:
        pool: of ``learn_pool``.
        means: of chemistry and of images, each shape (n,).
        spreads: likewise.
    """
    own = own_variance(pool, means, spreads)
    if pool.is_binary:
        p = pool_mean(pool, *means)
        return np.asarray(p * (1 - p) * np.sqrt(own))
    return np.asarray(np.sqrt(widened(pool.width, own, (means[0] - means[1]) ** 2)))


def lone_spread(pool: Pool, spread: FloatArray) -> FloatArray:
    """Give the spread of chemistry's mean where no image is known, shape (n,)."""
    return np.asarray(np.sqrt(widened(pool.lone_width, spread**2, np.zeros(len(spread))) + pool.lone_shift**2))


def widened(width: Width, own: FloatArray, disagreement: FloatArray) -> FloatArray:
    """Give the variance that a width makes of own variances and squared disagreements, shape (n,)."""
    variance: FloatArray = width[0] + width[1] * own + width[2] * disagreement
    return variance


def learn_width(error: FloatArray, own: FloatArray, disagreement: FloatArray) -> Width:
    """Learn how wide a spread must be from errors on compounds not seen, by the likelihood of a normal.

    Args:
        error: shape (n,): label minus mean.
        own: shape (n,): variances of the belief.
        disagreement: shape (n,): squared, of the beliefs it is made of; zeros where it is made of one.

    Returns:
        The width. Five further errors of average size at average values stand for what few errors cannot tell.
    """
    unit = float(np.mean(error**2)) or 1.0
    parts = [np.ones(len(own)), own, disagreement]
    scales = np.array([float(part.mean()) or 1.0 for part in parts])
    design = np.stack([part / scale for part, scale in zip(parts, scales, strict=True)], axis=1)
    design = np.concatenate([design, np.repeat(design.mean(axis=0)[None], _PRIOR_RESIDUALS, axis=0)])
    square = np.append(error**2 / unit, np.ones(_PRIOR_RESIDUALS))

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        variance = design @ w + 1e-6
        slope = (1 / variance - square / variance**2) / 2
        return float((np.log(variance) + square / variance).sum() / 2), slope @ design

    found = minimize(loss, np.array([0.5, 0.5, 0.1]), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 3).x
    found = found * unit / scales
    return float(found[0]), float(found[1]), float(found[2]) if disagreement.any() else 0.0
