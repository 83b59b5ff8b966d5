"""Several objectives at once: fronts, and how much a compound is expected to push one out. Higher is better in all."""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from nextplate.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def pareto_ranks(values: npt.ArrayLike) -> Index:
    """Sort compounds into fronts (non-dominated sorting, Deb 2002).

    Two objectives take n log n steps (Jensen 2003); more are peeled front by front.

    Args:
        values: shape (n, k), higher is better; a row with NaN is in no front.

    Returns:
        Shape (n,): 0 for compounds that none dominates (is at least as good in all and better in one), 1 for those
        that only rank 0 dominates, ...; -1 for rows with NaN. Equal rows share a rank.

    Raises:
        ModelError: values are no table.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 1:
        raise ModelError(f"objectives of shape {table.shape}; give one row per compound and one column per objective")
    ranks = np.full(len(table), -1, dtype=np.intp)
    known = np.flatnonzero(~np.isnan(table).any(axis=1))
    if len(known):
        distinct, row_of = np.unique(table[known], axis=0, return_inverse=True)
        sort = _two if table.shape[1] == 2 else _peel
        ranks[known] = sort(distinct)[row_of.ravel()]
    return ranks


def _two(points: FloatArray) -> Index:
    """Rank distinct points: from the best first objective down, a point is dominated by a front iff the highest
    second objective met in it reaches the point's; those heights fall from front to front.
    """
    order = np.lexsort((-points[:, 1], -points[:, 0]))
    ranks = np.empty(len(points), dtype=np.intp)
    depths: list[float] = []  # minus the highest second objective of each front, ascending
    for row in order.tolist():
        depth = -float(points[row, 1])
        # fronts whose height reaches the point's have depths up to depth: they come first
        front = bisect_right(depths, depth)
        ranks[row] = front
        depths[front : front + 1] = [depth]
    return ranks


def _peel(points: FloatArray) -> Index:
    ranks = np.empty(len(points), dtype=np.intp)
    left, rank = np.arange(len(points)), 0
    while len(left):
        front = left[_front(points[left])]
        ranks[front] = rank
        left, rank = np.setdiff1d(left, front), rank + 1
    return ranks


def _front(points: FloatArray) -> Index:
    """Find the points that none dominates; points are distinct."""
    rows = np.argsort(-points.sum(axis=1), kind="stable")
    found = []
    while len(rows):
        best = rows[0]  # nothing of a lower sum dominates it, and what dominated it is gone
        found.append(best)
        rows = rows[1:][(points[rows[1:]] > points[best]).any(axis=1)]
    return np.array(found, dtype=np.intp)


def expected_hypervolume_improvement(
    mean: npt.ArrayLike, spread: npt.ArrayLike, measured: npt.ArrayLike, reference: npt.ArrayLike
) -> FloatArray:
    """Return how much area each compound is expected to add to what the measured compounds dominate.

    Exact for two objectives believed independent and normal (Emmerich 2011): over the strips between the points of
    the front, the integral of P(first >= u) P(second >= v) over what is not yet dominated.

    Args:
        mean: shape (n, 2).
        spread: shape (n, 2): standard deviations, 0 allowed.
        measured: shape (m, 2): values of the compounds measured; m may be 0. Rows with NaN do not count.
        reference: shape (2,): area is counted above it.

    Returns:
        Shape (n,), not negative.

    Raises:
        ModelError: there are not two objectives.
    """
    mu, sd, ends = (np.asarray(a, dtype=np.float64) for a in (mean, spread, reference))
    if mu.ndim != 2 or mu.shape[1] != 2 or sd.shape != mu.shape or ends.shape != (2,):
        raise ModelError(f"two objectives are needed; means {mu.shape}, spreads {sd.shape}, reference {ends.shape}")
    left, floor = _strips(np.asarray(measured, dtype=np.float64).reshape(-1, 2), ends)
    total = np.zeros(len(mu))
    above = _mean_excess(mu[:, 0], sd[:, 0], left[0])
    for i, height in enumerate(floor):
        next_above = _mean_excess(mu[:, 0], sd[:, 0], left[i + 1]) if i + 1 < len(left) else np.zeros(len(mu))
        total += (above - next_above) * _mean_excess(mu[:, 1], sd[:, 1], height)
        above = next_above
    return np.maximum(total, 0.0)


def _strips(measured: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cut the area above the reference into vertical strips: the left end of each, and the height dominated in it."""
    points = measured[~np.isnan(measured).any(axis=1)]
    points = points[(points > reference).all(axis=1)]
    front = np.unique(points[pareto_ranks(points) == 0], axis=0) if len(points) else points
    return np.concatenate([reference[:1], front[:, 0]]), np.concatenate([front[:, 1], reference[1:]])


def _mean_excess(mean: FloatArray, spread: FloatArray, least: float) -> FloatArray:
    """Return E[max(Y - least, 0)], the integral of P(Y >= u) from least upwards."""
    sd = np.maximum(spread, 1e-12)
    z = (mean - least) / sd
    excess: FloatArray = sd * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + (mean - least) * ndtr(z)
    return excess
