"""Amplitudes and noise of a Gaussian process by its marginal likelihood, under a weak prior."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from scipy.optimize import minimize

from nextplate.errors import ModelError

FloatArray = npt.NDArray[np.float64]

# Responses are standardised: together the amplitudes and the noise make about 1. The prior keeps an amplitude that
# the data say nothing about near where it started, within a factor of e^2.
_PRIOR_LOG, _PRIOR_WIDTH = float(np.log(0.3)), 2.0
_START_SIGNAL, _START_NOISE = 0.5, 0.4
_MAX_STEPS = 30
_JITTER = 1e-4
_LIFT = 1e-3


def most_likely(parts: Sequence[FloatArray], y: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    """Maximise log p(y | amplitudes, noise) + log prior (Rasmussen & Williams 2006, eqs. 5.8 and 5.9).

    Args:
        parts: k kernels, each shape (n, n).
        y: shape (n,), standardised.
        weight: shape (n,): the noise variance of y[i] is noise / weight[i].

    Returns:
        Amplitudes, shape (k,), and the noise variance.
    """
    k = len(parts)
    start = np.log(np.r_[np.full(k, _START_SIGNAL / k), _START_NOISE])
    bounds = [(-8.0, 3.0)] * k + [(-6.0, 1.0)]
    found = minimize(
        lambda log: _loss(log, parts, y, weight),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _MAX_STEPS},
    )
    best = np.exp(found.x)
    return best[:k], float(best[k]) + _JITTER


def _loss(log: FloatArray, parts: Sequence[FloatArray], y: FloatArray, weight: FloatArray) -> tuple[float, FloatArray]:
    """Negative log posterior of the logarithms, and its gradient."""
    amplitudes, noise = np.exp(log[:-1]), float(np.exp(log[-1]))
    total = sum((a * part for a, part in zip(amplitudes, parts, strict=True)), np.zeros_like(parts[0]))
    total[np.diag_indices(len(y))] += (noise + _JITTER) / weight
    inverse, log_det = _inverse(total)
    solved = inverse @ y
    # d/da of the loss is tr(G dK/da) / 2 with G = K^-1 - (K^-1 y)(K^-1 y)^T.
    slope = inverse - np.outer(solved, solved)
    gradient = [0.5 * a * float((slope * part).sum()) for a, part in zip(amplitudes, parts, strict=True)]
    gradient.append(0.5 * noise * float((np.diag(slope) / weight).sum()))
    off = log - _PRIOR_LOG
    loss = 0.5 * float(y @ solved) + 0.5 * log_det + 0.5 * float(off @ off) / _PRIOR_WIDTH**2
    return loss, np.array(gradient) + off / _PRIOR_WIDTH**2


def _inverse(matrix: FloatArray) -> tuple[FloatArray, float]:
    """Invert a positive definite matrix by Cholesky; also its log determinant."""
    root, info = lapack.dpotrf(matrix, lower=1, clean=1)
    if info:
        # float32 similarities of equal structures: rounding alone can make a variance negative.
        lifted = matrix + _LIFT * float(np.trace(matrix)) / len(matrix) * np.eye(len(matrix))
        root, info = lapack.dpotrf(lifted, lower=1, clean=1)
    if info:
        raise ModelError(f"the covariance of {len(matrix)} labelled compounds is not positive definite; fit a forest")
    half, _ = lapack.dpotri(root, lower=1)
    inverse = half + half.T
    inverse[np.diag_indices(len(inverse))] /= 2
    return inverse, 2 * float(np.log(np.diag(root)).sum())
