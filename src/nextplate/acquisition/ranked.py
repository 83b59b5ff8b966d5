"""Ranked batch selection over arrays: the picks of modAL's ``ranked_batch``, one distance column per pick.

Reference: Cardoso et al., Information Sciences 379 (2017) 313. modAL measures every candidate against every labelled
row again for each pick; here only the row picked last is new, and a running minimum keeps the rest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import count_bits, max_tanimoto, tanimoto
from nextplate.errors import PlanError

FloatArray = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint8]
Distance = Callable[[int], FloatArray]
"""Distances, shape (n,), of every candidate to the candidate of that row."""


def ranked_batch(
    uncertainty: npt.ArrayLike, distance_to: Distance, nearest: npt.ArrayLike, n_labelled: int, n_picks: int
) -> Index:
    """Pick rows one by one by alpha * (1 - similarity) + (1 - alpha) * uncertainty.

    Similarity is 1 / (1 + distance to the nearest labelled or picked row); alpha is the share of candidates among
    candidates and labelled rows. The first of equal scores is taken.

    Args:
        uncertainty: shape (n,), finite.
        distance_to: gives the distances of all candidates to one of them.
        nearest: shape (n,): distance to the nearest labelled row.
        n_labelled: how many labelled rows there are, at least 1.
        n_picks: fewer are returned when there are fewer candidates.

    Returns:
        Rows in the order picked, distinct.

    Raises:
        PlanError: lengths differ, a value is not finite, nothing is labelled, or n_picks is below 1.
    """
    unsure, near = np.asarray(uncertainty, dtype=np.float64), np.array(nearest, dtype=np.float64)
    _check(unsure, near, n_labelled, n_picks)
    n, is_taken = len(unsure), np.zeros(len(unsure), dtype=bool)
    picks = np.empty(min(n_picks, n), dtype=np.intp)
    for i in range(len(picks)):
        alpha = (n - i) / (n + n_labelled)
        scores = alpha * (1 - 1 / (1 + near)) + (1 - alpha) * unsure
        scores[is_taken] = -np.inf
        picks[i] = int(np.argmax(scores))
        is_taken[picks[i]] = True
        np.minimum(near, distance_to(int(picks[i])), out=near)
    return picks


def _check(unsure: FloatArray, near: FloatArray, n_labelled: int, n_picks: int) -> None:
    if unsure.ndim != 1 or unsure.shape != near.shape:
        raise PlanError(f"uncertainty has the shape {unsure.shape}, nearest {near.shape}; give one of each per row")
    if not (np.isfinite(unsure).all() and np.isfinite(near).all()):
        raise PlanError("uncertainty or nearest holds values that are not finite; leave those candidates out")
    if n_labelled < 1 or n_picks < 1:
        raise PlanError(f"{n_labelled} labelled rows and {n_picks} picks; a ranked batch needs at least 1 of each")


def ranked_by_tanimoto(uncertainty: npt.ArrayLike, packed: Packed, labelled: Packed, n_picks: int) -> Index:
    """Rank by the Jaccard distance of packed bits, exact in float64: modAL's picks for ``metric="jaccard"``.

    Args:
        uncertainty: shape (n,), finite.
        packed: shape (n, n_bytes), fingerprints of the candidates, at most 4096 bits set in any two.
        labelled: shape (t, n_bytes), at least one.
        n_picks: fewer are returned when there are fewer candidates.

    Raises:
        PlanError: as ``ranked_batch``.
    """
    _refuse_none_labelled(labelled)
    n_set, n_known = count_bits(packed), count_bits(labelled)
    similar, nearest = max_tanimoto(packed, labelled)
    return ranked_batch(
        uncertainty,
        lambda row: _jaccard(tanimoto(packed[row : row + 1], packed)[0], n_set, n_set[row]),
        _jaccard(similar, n_set, n_known[nearest]),
        len(labelled),
        n_picks,
    )


def ranked_by_euclid(uncertainty: npt.ArrayLike, rows: npt.ArrayLike, labelled: npt.ArrayLike, n_picks: int) -> Index:
    """Rank by the Euclidean distance of rows of numbers: modAL's picks for ``metric="euclidean"``.

    Args:
        uncertainty: shape (n,), finite.
        rows: shape (n, d), finite: the candidates.
        labelled: shape (t, d), at least one.
        n_picks: fewer are returned when there are fewer candidates.

    Raises:
        PlanError: as ``ranked_batch``.
    """
    x, known = np.asarray(rows, dtype=np.float64), np.asarray(labelled, dtype=np.float64)
    _refuse_none_labelled(known)
    squares = np.einsum("ij,ij->i", x, x)
    return ranked_batch(uncertainty, lambda row: _euclid(x, squares, row), _nearest(x, known), len(known), n_picks)


def _jaccard(similar: Floats, n_set: Counts, n_other: Counts) -> FloatArray:
    """Go back from a float32 similarity to the whole number of shared bits, and on to the exact distance."""
    both = n_set + n_other
    shared = np.rint(similar * both / (1.0 + similar.astype(np.float64)))
    distance: FloatArray = (both - 2 * shared) / np.maximum(both - shared, 1)
    return distance


def _euclid(x: FloatArray, squares: FloatArray, row: int) -> FloatArray:
    squared = squares + squares[row] - 2 * (x @ x[row])
    distance: FloatArray = np.sqrt(np.maximum(squared, 0, out=squared), out=squared)
    return distance


def _nearest(x: FloatArray, known: FloatArray) -> FloatArray:
    from sklearn.metrics import pairwise_distances_argmin_min

    return np.asarray(pairwise_distances_argmin_min(x, known)[1], dtype=np.float64)


def _refuse_none_labelled(labelled: npt.NDArray[Any]) -> None:
    if len(labelled) == 0:
        raise PlanError("0 labelled rows; a ranked batch needs at least 1: begin with a cold start")
