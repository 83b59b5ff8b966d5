"""Finite-sample quantiles of nonconformity scores, plain and weighted, vectorised over candidates.

The plain quantile is the ceil((n + 1) level)-th smallest score (Vovk et al. 2005). The weighted one is the level
quantile of the law that gives score i the mass w_i / (sum w + w_new) and infinity the mass w_new / (sum w + w_new)
(Tibshirani, Foygel Barber, Candes, Ramdas 2019, Lemma 3); with equal weights both are the same number.
"""

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, check_level, vector
from nextplate.errors import DataError

_ROUNDING = 1e-12
"""Relative slack: 0.9 * 10 must count as 9 and not as 9.000000000000002."""


def conformal_quantile(scores: npt.ArrayLike, level: float) -> float:
    """Give the ceil((n + 1) level)-th smallest of n scores; inf when there are fewer than that."""
    return float(weighted_quantile(scores, None, np.ones(1), level)[0])


def weighted_quantile(
    scores: npt.ArrayLike, weights: npt.ArrayLike | None, new_weights: npt.ArrayLike, level: float
) -> FloatArray:
    """Give the weighted conformal quantile for each new compound, in O((n + m) log n).

    Args:
        scores: shape (n,), of the calibrating compounds.
        weights: shape (n,), not negative; None: all 1.
        new_weights: shape (m,), not negative, on the same scale.
        level: in (0, 1).

    Returns:
        Shape (m,); inf where the calibrating compounds carry less than the mass asked for.

    Raises:
        DataError: a shape, NaN, infinite or negative weight.
    """
    check_level(level)
    known = vector(scores, "calibration scores")
    own, new = checked_weights(weights, len(known)), vector(new_weights, "weights of new compounds")
    if (new < 0).any():
        raise DataError("weights of new compounds: one is negative; a weight is a ratio of densities")
    order = np.argsort(known, kind="stable")
    mass = np.cumsum(own[order])
    asked = level * ((mass[-1] if len(mass) else 0.0) + new)
    at = np.searchsorted(mass, asked * (1 - _ROUNDING), side="left")
    # No mass anywhere says nothing: such a compound is outside of all that was measured.
    at = np.where(asked > 0, at, len(known))
    return np.append(known[order], np.inf)[at]


def checked_weights(weights: npt.ArrayLike | None, n: int) -> FloatArray:
    """Make n weights of the calibrating compounds; None: ones; DataError on a negative one."""
    if weights is None:
        return np.ones(n)
    own = vector(weights, "weights of calibrating compounds", n)
    if (own < 0).any():
        raise DataError("weights of calibrating compounds: one is negative; a weight is a ratio of densities")
    return own


def effective_size(weights: npt.ArrayLike) -> float:
    """Give Kish's effective number of compounds, (sum w)^2 / sum w^2; 0 when nothing weighs."""
    own = np.asarray(weights, dtype=np.float64)
    squares = float((own**2).sum())
    return float(own.sum()) ** 2 / squares if squares > 0 else 0.0
