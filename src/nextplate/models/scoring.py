"""How good predictions of compounds not seen were, as one number a person knows."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def score(y: FloatArray, mean: FloatArray, *, is_binary: bool) -> float:
    """Return ROC AUC of 0/1 labels (NaN with one class) or root mean square error of others."""
    return roc_auc(y, mean) if is_binary else float(np.sqrt(np.mean((y - mean) ** 2)))


def roc_auc(y: FloatArray, mean: FloatArray) -> float:
    """Return the chance that a hit is ranked above a non-hit, ties counting half; NaN without one of either.

    From ranks (Mann & Whitney 1947).
    """
    from scipy.stats import rankdata

    is_hit = y == 1
    n_hits, n_rest = int(is_hit.sum()), int((~is_hit).sum())
    if n_hits == 0 or n_rest == 0:
        return float("nan")
    ranks = rankdata(mean)
    return float((ranks[is_hit].sum() - n_hits * (n_hits + 1) / 2) / (n_hits * n_rest))
