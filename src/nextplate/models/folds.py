"""Deal compounds into cross-validation folds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def assign_folds(
    n: int,
    n_folds: int,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
    strata: npt.NDArray[np.bool_] | None = None,
) -> Index:
    """Deal rows, or whole groups (largest first, each to the smallest fold), into folds of nearly equal size.

    Args:
        n: rows.
        n_folds: at most.
        rng: decides.
        groups: shape (n,): a group is never split; None deals single rows.
        strata: shape (n,): without groups, rows of True are dealt first, so that every fold gets its share of them.

    Returns:
        Shape (n,): fold of each row, 0 .. at most n_folds - 1, none empty.
    """
    folds = np.empty(n, dtype=np.intp)
    if groups is None:
        order = rng.permutation(n)
        if strata is not None:
            order = order[np.argsort(~strata[order], kind="stable")]
        folds[order] = np.arange(n) % max(1, min(n_folds, n))
        return folds
    _, member_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    fold_of = np.zeros(len(sizes), dtype=np.intp)
    filled = np.zeros(min(n_folds, len(sizes)), dtype=np.intp)
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = int(np.argmin(filled))
        filled[fold_of[group]] += sizes[group]
    folds[:] = fold_of[member_of]
    return folds
