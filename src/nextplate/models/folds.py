"""Deal compounds into cross-validation folds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def assign_folds(n: int, n_folds: int, rng: np.random.Generator, groups: Sequence[str] | None = None) -> Index:
    """Deal rows, or whole groups (largest first, each to the smallest fold), into folds of nearly equal size.

    Returns:
        Shape (n,): fold of each row, 0 .. at most n_folds - 1, none empty.
    """
    folds = np.empty(n, dtype=np.intp)
    if groups is None:
        folds[rng.permutation(n)] = np.arange(n) % min(n_folds, n)
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
