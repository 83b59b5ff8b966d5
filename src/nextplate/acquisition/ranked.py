"""Ranked batch selection over arrays: the picks of modAL's ``ranked_batch``, one distance column per pick.

Reference: Cardoso et al., Information Sciences 379 (2017) 313. modAL measures every candidate against every labelled
row again for each pick; here only the row picked last is new, and a running minimum keeps the rest.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nextplate.errors import PlanError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
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
