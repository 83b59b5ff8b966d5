"""Ask beliefs about whole libraries, and about compounds they have not seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.folds import assign_folds
from nextplate.models.kinds import FloatArray, Index, Kind

_BLOCK = 10_000


def predict_library(kind: Kind, belief: Any, features: Features) -> tuple[FloatArray, FloatArray]:
    """Predict every compound of a library, 10,000 at a time; mean and spread, each of shape (n,)."""
    n = len(features.compound_ids)
    mean, spread = np.empty(n), np.empty(n)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        mean[block], spread[block] = kind.predict(belief, features, block)
    return mean, spread


def cross_predict(
    kind: Kind,
    features: Features,
    rows: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    groups: Sequence[str] | None = None,
    n_folds: int = 5,
) -> tuple[FloatArray, FloatArray]:
    """Predict every labelled compound by a belief that has not seen it.

    Args:
        kind: of belief.
        features: of the library.
        rows: shape (n,): rows of the library that are labelled.
        y: shape (n,).
        weight: shape (n,) or None.
        seed: of folds and beliefs.
        groups: shape (n,), e.g. scaffolds: a group is never split, which tells how the belief does on new
            chemistry; None makes random folds, which tells how it does on compounds like the tested ones. Then
            replicates of a compound share a fold all the same, and 0/1 labels are dealt class by class, so that
            few hits do not all fall into one.
        n_folds: at most; fewer when there are fewer compounds or groups.

    Returns:
        Out-of-fold mean and spread, each shape (n,); NaN everywhere when there are fewer than two folds.

    Raises:
        ModelError: as the kind's fit.
    """
    index, labels = np.asarray(rows, dtype=np.intp), np.asarray(y, dtype=np.float64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    folds = deal_folds(index, labels, seed, groups=groups, n_folds=n_folds)
    mean, spread = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    n_used = int(folds.max(initial=0)) + 1
    for fold in range(n_used if n_used > 1 else 0):
        out, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        belief = kind.fit(features, index[kept], labels[kept], weights[kept], seed + fold + 1)
        mean[out], spread[out] = kind.predict(belief, features, index[out])
    return mean, spread


def fit_and_cross(
    kind: Kind,
    features: Features,
    rows: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
) -> tuple[Any, FloatArray, FloatArray]:
    """Fit a belief, and predict every labelled compound by one that has not seen it.

    A belief that kept such predictions while it was fitted (``left_out``: auto, gp) is fitted once more and not
    five times: what it kept may be the spread of a label, noise included, while ``predict`` gives that of the
    response. One fold, predicted by a belief without it, tells by how much, and all are put on the scale of
    ``predict``; intervals calibrated on the one and made of the other would be too narrow.

    Args:
        kind: of belief.
        features: of the library.
        rows: shape (n,): rows of the library that are labelled.
        y: shape (n,).
        weight: shape (n,) or None.
        seed: of folds and beliefs.

    Returns:
        The belief fitted to all labels; out-of-fold mean and spread, each shape (n,), NaN where labels are too few.

    Raises:
        ModelError: as the kind's fit.
    """
    index, labels = np.asarray(rows, dtype=np.intp), np.asarray(y, dtype=np.float64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    belief = kind.fit(features, index, labels, weights, seed)
    left_out = getattr(belief, "left_out", None)
    folds = deal_folds(index, labels, seed)
    if left_out is None or len(left_out[0]) != len(index) or folds.max(initial=0) == 0:
        return belief, *cross_predict(kind, features, index, labels, weights, seed)
    out, kept = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    without = kind.fit(features, index[kept], labels[kept], weights[kept], seed + 1)
    spread = kind.predict(without, features, index[out])[1]
    return belief, left_out[0], _rescaled(left_out[1], left_out[1][out], spread)


def _rescaled(spread: FloatArray, own: FloatArray, asked: FloatArray) -> FloatArray:
    """Shift variances by the mean difference of two spreads of the same compounds; never below the least asked."""
    shift = float((asked**2).mean() - (own**2).mean())
    rescaled: FloatArray = np.sqrt(np.maximum(spread**2 + shift, float(asked.min()) ** 2))
    return rescaled


def deal_folds(
    rows: Index, labels: FloatArray, seed: int, *, groups: Sequence[str] | None = None, n_folds: int = 5
) -> Index:
    """Deal labelled compounds into the folds of ``cross_predict``; shape (n,), 0, 1, ..."""
    rng = np.random.default_rng([seed, 1])
    if groups is None and len(np.unique(rows)) < len(rows):
        groups = [str(row) for row in rows]
    is_binary = len(labels) > 0 and bool(np.isin(labels, (0.0, 1.0)).all())
    return assign_folds(len(labels), n_folds, rng, groups, labels == 1 if is_binary and groups is None else None)
