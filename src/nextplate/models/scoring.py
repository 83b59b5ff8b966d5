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


def fold_auc(y: FloatArray, mean: FloatArray, folds: npt.NDArray[np.intp]) -> float:
    """Return the share of pairs of a hit and a non-hit of the same fold that are in order; NaN without such a pair.

    Pairs across folds would compare numbers of different beliefs: a fold with many hits is predicted by a belief that
    has seen few, and looks worse than it is.
    """
    won, n_pairs = 0.0, 0
    for fold in np.unique(folds):
        chosen = folds == fold
        n = int((y[chosen] == 1).sum()) * int((y[chosen] != 1).sum())
        if n:
            won, n_pairs = won + n * roc_auc(y[chosen], mean[chosen]), n_pairs + n
    return won / n_pairs if n_pairs else float("nan")
