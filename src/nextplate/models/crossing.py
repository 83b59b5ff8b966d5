"""Ask beliefs about whole libraries, and about compounds they have not seen."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.chem.pages import release_pages
from nextplate.compound import Features
from nextplate.models.folds import assign_folds
from nextplate.models.kinds import FloatArray, Index, Kind, Rows

_BLOCK = 10_000
# Above this a second block is asked about while the first is; below, the kinds' own threads are enough.
_FEWEST_FOR_THREADS = 50_000


def predict_library(
    kind: Kind, belief: Any, features: Features, *, n_threads: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Predict every compound of a library, 10,000 at a time, so that a library on disk is never in memory as a whole.

    Args:
        kind: of belief.
        belief: as the kind fitted it.
        features: of the library.
        n_threads: blocks at a time where there are more than 50,000 compounds; the result does not depend on it.

    Returns:
        mean and spread, each of shape (n,).
    """
    n = len(features.compound_ids)
    return _in_blocks(kind, belief, features, [slice(i, min(i + _BLOCK, n)) for i in range(0, n, _BLOCK)], n, n_threads)


def predict_rows(
    kind: Kind, belief: Any, features: Features, rows: Index, *, n_threads: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Predict many compounds of a library in blocks, as ``predict_library`` does; mean and spread, shape (len(rows),).

    Args:
        kind: of belief.
        belief: as the kind fitted it.
        features: of the library.
        rows: shape (m,), ascending where the library lies on disk, so that it is read front to back.
        n_threads: blocks at a time where there are more than 50,000 rows.
    """
    blocks = [rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK)]
    return _in_blocks(kind, belief, features, blocks, len(rows), n_threads)


def _in_blocks(
    kind: Kind, belief: Any, features: Features, blocks: Sequence[Rows], n: int, n_threads: int
) -> tuple[FloatArray, FloatArray]:
    mean, spread = np.empty(n), np.empty(n)

    def ask(i: int) -> None:
        at = slice(i * _BLOCK, (i + 1) * _BLOCK)
        mean[at], spread[at] = kind.predict(belief, features, blocks[i])
        release_pages(features)

    with ThreadPoolExecutor(n_threads if n > _FEWEST_FOR_THREADS else 1) as pool:
        deque(pool.map(ask, range(len(blocks))), maxlen=0)
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
    """Fit a belief and predict every labelled compound without its own label.

    A belief that has done so while it was fitted (``left_out``: a stack, a Gaussian process) is not fitted again.

    Returns:
        The belief, and left-out mean and spread as ``cross_predict`` gives them.

    Raises:
        ModelError: as the kind's fit.
    """
    belief = kind.fit(features, np.asarray(rows, dtype=np.intp), y, weight, seed)
    left_out = getattr(belief, "left_out", None)
    return belief, *(left_out or cross_predict(kind, features, rows, y, weight, seed))


def deal_folds(
    rows: Index, labels: FloatArray, seed: int, *, groups: Sequence[str] | None = None, n_folds: int = 5
) -> Index:
    """Deal labelled compounds into the folds of ``cross_predict``; shape (n,), 0, 1, ..."""
    rng = np.random.default_rng([seed, 1])
    if groups is None and len(np.unique(rows)) < len(rows):
        groups = [str(row) for row in rows]
    is_binary = len(labels) > 0 and bool(np.isin(labels, (0.0, 1.0)).all())
    return assign_folds(len(labels), n_folds, rng, groups, labels == 1 if is_binary and groups is None else None)
