"""Calibrated intervals of candidates: split, normalised, Mondrian, weighted, and cross-conformal (CV+).

    found = candidate_intervals(calibration, mean, spread)                        # split, normalised by the spread
    found = candidate_intervals(calibration, mean, spread, bins=scaffold_cluster) # per category
    weights = density_ratio(cal_features, picked_features, features)              # what the rule looked at
    found = candidate_intervals(calibration, mean, spread, weights=weights)       # holds on what is picked
    found = cross_intervals(residuals, fold_of, fold_means, level=0.9)            # CV+: needs each fold's predictions

Infinite intervals are honest ones: too little was measured to promise anything narrower.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, check_level, table, vector
from nextplate.conformal.calibration import Bins, Calibration
from nextplate.conformal.mondrian import N_LEAST, merge_small
from nextplate.conformal.quantiles import effective_size, weighted_quantile
from nextplate.conformal.shift import Weights, least_effective
from nextplate.errors import DataError

Fallback = Literal["infinite", "tempered"]
_EXPONENTS = tuple(k / 10 for k in range(9, -1, -1))
_ROUNDING = 4e-16
_N_SEARCH = 200


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of m candidates."""

    lower: FloatArray
    """Shape (m,); -inf where too little calibrates."""
    upper: FloatArray
    """Shape (m,); inf likewise."""
    level: float
    """Nominal coverage."""
    n_effective: float
    """Effective number of calibrating compounds (Kish); n when all weigh the same."""
    notes: tuple[str, ...]
    """Merged categories, clipped weights, fallbacks, infinite intervals; empty when nothing."""

    @property
    def n_infinite(self) -> int:
        """How many intervals have no finite end."""
        return int(np.isinf(self.upper).sum())


def candidate_intervals(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    *,
    level: float | None = None,
    weights: Weights | None = None,
    bins: npt.ArrayLike | None = None,
    n_least: int = N_LEAST,
    fallback: Fallback = "infinite",
) -> Intervals:
    """Give calibrated intervals of candidates.

    Args:
        calibration: of the same belief (its difficulty normalises by the spread).
        mean: shape (m,).
        spread: shape (m,), not negative.
        level: None takes the calibration's.
        weights: of density_ratio or given_weights; None: calibrating and new compounds are exchangeable.
        bins: shape (m,), exactly when the calibration has bins; small categories are merged (merge_small).
        n_least: calibrating compounds a category needs to stand alone.
        fallback: when the weights leave an interval infinite: keep it so, or 'tempered': flatten the weights, w to
            the power of the largest 0.9, 0.8 .. 0 that leaves enough effective compounds, and say so in the notes.

    Raises:
        DataError: a shape, NaN, infinite value or negative spread; bins on one side only; weights of other lengths.
    """
    asked = calibration.confidence if level is None else level
    check_level(asked)
    centre, width = vector(mean, "means"), vector(spread, "spreads", len(np.asarray(mean)))
    if (width < 0).any():
        raise DataError("spreads: one is negative; spreads are standard deviations")
    width = width + calibration.floor
    scores = np.abs(calibration.residuals) / calibration.difficulty
    used, notes = weights_or_ones(weights, calibration.n, len(centre)), [] if weights is None else list(weights.notes)
    if fallback == "tempered":
        used, told = tempered(used, asked)
        notes += told
    half = np.full(len(centre), np.inf)
    for known, new in category_rows(calibration, bins, len(centre), n_least, notes):
        half[new] = weighted_quantile(scores[known], used.calibrating[known], used.new[new], asked)
    half = half * width
    notes += _infinite(half, asked, used.n_effective)
    return Intervals(centre - half, centre + half, asked, used.n_effective, tuple(notes))


def weights_or_ones(weights: Weights | None, n: int, m: int) -> Weights:
    """Check that weights fit n calibrating and m new compounds, or make ones; DataError when they do not."""
    if weights is None:
        return Weights(np.ones(n), np.ones(m), float(n), ())
    if len(weights.calibrating) != n or len(weights.new) != m:
        raise DataError(
            f"weights of {len(weights.calibrating)} calibrating and {len(weights.new)} new compounds, "
            f"where {n} calibrate and {m} are new"
        )
    return weights


def category_rows(
    calibration: Calibration, bins: npt.ArrayLike | None, m: int, n_least: int, notes: list[str]
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Pair calibrating with new rows per category, adding to notes what was merged; DataError on unfit bins."""
    if (bins is None) != (calibration.bins is None):
        raise DataError("categories are needed for the candidates exactly when the calibration has them")
    if bins is None or calibration.bins is None:
        return [(np.arange(calibration.n), np.arange(m))]
    asked: Bins = np.asarray(bins).astype(np.str_)
    if asked.shape != (m,):
        raise DataError(f"{asked.shape} categories for {m} candidates; give one per candidate")
    merged = merge_small(calibration.bins, asked, n_least)
    notes += merged.notes
    return list(merged.groups())


def tempered(weights: Weights, level: float) -> tuple[Weights, tuple[str, ...]]:
    """Flatten weights until they leave enough effective compounds and no new compound outweighs the level.

    Returns:
        The weights to the power of the largest of 1, 0.9 .. 0 that does, and a note where it is below 1.
    """
    if _is_enough(weights, level):
        return weights, ()
    for exponent in _EXPONENTS:
        own, new = weights.calibrating**exponent, weights.new**exponent
        tried = Weights(own, new, effective_size(own), weights.notes)
        if exponent == 0 or _is_enough(tried, level):
            break
    note = f"weights flattened to the power {exponent:g} for {tried.n_effective:.0f} effective compounds: "
    return tried, (note + "coverage on picked compounds is approximate",)


def _is_enough(weights: Weights, level: float) -> bool:
    largest = float(weights.new.max(initial=0.0))
    mass = float(weights.calibrating.sum())
    return weights.n_effective >= least_effective(level) and mass >= level * (mass + largest)


def _infinite(half: FloatArray, level: float, n_effective: float) -> tuple[str, ...]:
    n = int(np.isinf(half).sum())
    if n == 0:
        return ()
    return (f"{n} of {len(half)} intervals at {level:.0%} are infinite: {n_effective:.0f} compounds calibrate them",)


def split_intervals(
    residuals: npt.ArrayLike, mean: npt.ArrayLike, *, level: float = 0.9, weights: Weights | None = None
) -> Intervals:
    """Give split-conformal intervals of one width, mean -+ a quantile of |residual|; DataError on bad input."""
    known = vector(residuals, "residuals")
    plain = Calibration(known, np.ones(len(known)), None, 1.0, level)
    return candidate_intervals(plain, mean, np.zeros(len(np.asarray(mean))), weights=weights)


def cross_intervals(
    residuals: npt.ArrayLike, folds: npt.ArrayLike, fold_means: npt.ArrayLike, *, level: float = 0.9
) -> Intervals:
    """Give CV+ intervals (jackknife+ when every fold is one compound; Barber, Candes, Ramdas, Tibshirani 2021).

    The ends are order statistics of {mean of fold k(i) for the candidate -+ |residual i|}: a selection in the union of
    n_folds sorted lists, so memory is O(n_folds m) and never O(n m) as when the union is written out.

    Args:
        residuals: shape (n,), out of fold.
        folds: shape (n,), integers in 0 .. n_folds - 1: the fold that was left out.
        fold_means: shape (n_folds, m): what the belief without that fold says of each candidate.
        level: coverage is at least 2 level - 1 in theory (for n much larger than n_folds), close to level in practice.

    Raises:
        DataError: shapes do not fit, a fold does not exist, or a value is NaN or infinite.
    """
    check_level(level)
    sizes = np.abs(vector(residuals, "residuals"))
    means = table(np.atleast_2d(np.asarray(fold_means, dtype=np.float64)), "fold_means")
    fold_of = np.asarray(folds)
    if fold_of.shape != sizes.shape or not np.isin(fold_of, np.arange(len(means))).all():
        raise DataError(f"folds: give one of 0 .. {len(means) - 1} for each of {len(sizes)} residuals")
    n, m = len(sizes), means.shape[1]
    rank = int(np.ceil((n + 1) * level * (1 - 1e-12)))
    if rank > n:
        notes = (f"{m} of {m} intervals at {level:.0%} are infinite: {n} compounds calibrate them",)
        return Intervals(np.full(m, -np.inf), np.full(m, np.inf), level, float(n), notes)
    lists = [np.sort(sizes[fold_of == k]) for k in range(len(means))]
    upper = _kth_of_union(lists, means, rank)
    lower = -_kth_of_union(lists, -means, rank)
    return Intervals(lower, upper, level, float(n), ())


def _kth_of_union(lists: list[FloatArray], shifts: FloatArray, rank: int) -> FloatArray:
    """Give the rank-th smallest of the union of (list k + shift k), for every column of shifts; exact.

    Bisects on the value, and each time also tries the next element above the lower end.
    """
    kept = [k for k, own in enumerate(lists) if len(own)]
    padded = [np.append(lists[k], np.inf) for k in kept]
    moved = shifts[kept]
    low = np.min([own[0] + s for own, s in zip(padded, moved, strict=True)], axis=0)
    low = low - (1 + np.abs(low))
    high = np.max([own[-2] + s for own, s in zip(padded, moved, strict=True)], axis=0)
    answer, left = np.full(shifts.shape[1], np.nan), np.arange(shifts.shape[1])
    for _ in range(_N_SEARCH):
        following = np.min([_next(o, s[left], low[left]) for o, s in zip(padded, moved, strict=True)], axis=0)
        is_found = _count(padded, moved[:, left], following) >= rank
        answer[left[is_found]] = following[is_found]
        left, following = left[~is_found], following[~is_found]
        if not len(left):
            return answer
        middle = np.maximum(following, (following + high[left]) / 2)
        is_above = _count(padded, moved[:, left], middle) >= rank
        high[left], low[left] = np.where(is_above, middle, high[left]), np.where(is_above, following, middle)
    answer[left] = high[left]
    return answer


def _slack(value: FloatArray, shift: FloatArray) -> FloatArray:
    # value - shift must find the element that value was made of, whatever the sum rounded to.
    slack: FloatArray = _ROUNDING * (np.abs(value) + np.abs(shift))
    return slack


def _next(own: FloatArray, shift: FloatArray, value: FloatArray) -> FloatArray:
    found: FloatArray = own[np.searchsorted(own[:-1], value - shift + _slack(value, shift), side="right")] + shift
    return found


def _count(lists: list[FloatArray], shifts: FloatArray, value: FloatArray) -> npt.NDArray[np.intp]:
    each = [
        np.searchsorted(o[:-1], value - s + _slack(value, s), side="right") for o, s in zip(lists, shifts, strict=True)
    ]
    return np.asarray(np.sum(each, axis=0), dtype=np.intp)
