"""From measurements to labels: replicates and duplicates merged, censored values imputed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models.crossing import cross_predict
from nextplate.models.kinds import Kind

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_CONFLICT = 4.0


@dataclass(frozen=True, slots=True)
class Merged:
    """Labels by compound."""

    rows: Index
    """Shape (m,): rows of the library, ascending. Of 0/1 labels a compound measured both ways has two entries."""
    y: FloatArray
    """Shape (m,): mean of the compound's replicates."""
    weight: FloatArray
    """Shape (m,): how much each label tells, mean 1 (of 0/1 labels: replicates)."""
    n_replicates: Index
    """Shape (m,)."""
    variance: FloatArray
    """Shape (m,): variance of the mean, of the noise pooled over all replicates; NaN where no compound has two."""
    noise: float
    """Standard deviation of a single measurement, pooled within compounds; NaN where no compound has two."""
    conflicts: tuple[str, ...]
    """One text per compound whose replicates lie further apart than noise explains."""


def merge_replicates(features: Features, rows: npt.ArrayLike, y: npt.ArrayLike) -> Merged:
    """Merge the measurements of each structure.

    Entries of the library with the same structure count as one compound, the first of them. The noise is pooled
    within compounds; a label weighs 1 / (variance between compounds + noise^2 / n), scaled to mean 1, so that where
    noise is small a replicate more hardly counts, and where it is all a mean of n counts n times (random effects,
    DerSimonian 1986). 0/1 labels are not averaged: each value keeps its count.

    Args:
        features: of the library.
        rows: shape (n,): rows measured, with repeats.
        y: shape (n,); NaN is left out.

    Raises:
        ModelError: nothing is measured, lengths differ, or a value is infinite.
    """
    index, values = np.asarray(rows, dtype=np.intp), np.asarray(y, dtype=np.float64)
    if index.shape != values.shape or index.ndim != 1:
        raise ModelError(f"shapes differ: rows {index.shape}, values {values.shape}")
    if np.isinf(values).any():
        raise ModelError(f"{int(np.isinf(values).sum())} of {len(values)} values are infinite; say them as censored")
    known = ~np.isnan(values)
    if not known.any():
        raise ModelError(f"all {len(values)} values are missing; measure a plate before fitting a belief")
    first = first_of_structure(features)[index[known]]
    is_binary = bool(np.isin(values[known], (0.0, 1.0)).all())
    return _counted(features, first, values[known]) if is_binary else _averaged(features, first, values[known])


def first_of_structure(features: Features) -> Index:
    """Give for each row the first row with the same structure, shape (n,)."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(smiles, row) for row, smiles in enumerate(features.smiles)], dtype=np.intp)


def _counted(features: Features, rows: Index, values: FloatArray) -> Merged:
    pairs, n = np.unique(np.stack([rows, values.astype(np.intp)], axis=1), axis=0, return_counts=True)
    both = pairs[1:, 0][pairs[1:, 0] == pairs[:-1, 0]]
    conflicts = []
    for row in both:
        n_not, n_hit = n[pairs[:, 0] == row]
        conflicts.append(f"{features.compound_ids[row]}: a hit {n_hit} times, none {n_not} times; both are kept")
    nan = np.full(len(pairs), np.nan)
    weight = n.astype(np.float64)
    return Merged(
        pairs[:, 0], pairs[:, 1].astype(float), weight, n.astype(np.intp), nan, float("nan"), tuple(conflicts)
    )


def _averaged(features: Features, rows: Index, values: FloatArray) -> Merged:
    unique, member, counted = np.unique(rows, return_inverse=True, return_counts=True)
    n: Index = counted.astype(np.intp)
    mean = np.bincount(member, values) / n
    squares = np.bincount(member, (values - mean[member]) ** 2)
    n_free = int((n - 1).sum())
    if n_free == 0:
        nan = np.full(len(unique), np.nan)
        return Merged(unique, mean, np.ones(len(unique)), n.astype(np.intp), nan, float("nan"), ())
    noise = _noise(squares, n)
    variance = noise**2 / n
    between = max(float(mean.var()) - float(variance.mean()), 0.0)
    total = between + variance
    weight = 1 / total if (total > 0).all() else n.astype(np.float64)
    conflicts = _conflicts(features, unique, member, values, n, noise)
    return Merged(unique, mean, weight / weight.mean(), n.astype(np.intp), variance, noise, conflicts)


def _noise(squares: npt.NDArray[Any], n: Index) -> float:
    """Pool the deviation within compounds; of many, the wildest twentieth does not count: a conflict is no noise."""
    several = np.flatnonzero(n > 1)
    each = squares[several] / (n[several] - 1)
    kept = several[each <= np.quantile(each, 0.95)] if len(several) >= 20 else several
    return float(np.sqrt(squares[kept].sum() / (n[kept] - 1).sum()))


def _conflicts(
    features: Features, unique: Index, member: Index, values: FloatArray, n: Index, noise: float
) -> tuple[str, ...]:
    """Name compounds whose replicates span more than four times sqrt(2) the noise: 5 in 100,000 pairs would by luck."""
    high, low = np.full(len(unique), -np.inf), np.full(len(unique), np.inf)
    np.maximum.at(high, member, values)
    np.minimum.at(low, member, values)
    wild = np.flatnonzero((n > 1) & (high - low > _CONFLICT * np.sqrt(2) * noise))
    return tuple(
        f"{features.compound_ids[unique[i]]}: {n[i]} measurements from {low[i]:.3g} to {high[i]:.3g}, "
        f"noise of one {noise:.2g}; the mean is kept"
        for i in wild
    )


@dataclass(frozen=True, slots=True)
class Imputed:
    """Labels with the censored ones replaced by what is expected of them."""

    y: FloatArray
    """Shape (n,)."""
    noise: float
    """Standard deviation of a label about its prediction, as estimated."""
    notes: tuple[str, ...]


def impute_censored(
    kind: Kind,
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    side: Sequence[int] | npt.NDArray[np.int8],
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    n_iterations: int = 3,
) -> Imputed:
    """Replace censored labels ('> 10 uM') by their conditional expectation, for beliefs that cannot hold a bound.

    A Tobit model (1958) fitted by expectation and maximisation, in approximation: the mean of each label is what a
    belief of the kind predicts out of fold, noise is normal with one deviation for all labels, and the expectation
    of a label beyond its bound is mean +- deviation times the inverse Mills ratio. The imputed values then count
    as if measured: the belief's spread does not know that they were not.

    Args:
        kind: of belief.
        features: of the library.
        rows: shape (n,).
        y: shape (n,): values, or bounds.
        side: shape (n,): 0 a value, 1 the true value lies above, -1 below.
        weight: shape (n,) or None.
        seed: of beliefs and folds.
        n_iterations: of expectation and maximisation.

    Raises:
        ModelError: sides that are none; as the kind's fit.
    """
    bound, sides = np.asarray(y, dtype=np.float64), np.asarray(side, dtype=np.intp)
    if sides.shape != bound.shape or not np.isin(sides, (-1, 0, 1)).all():
        raise ModelError("the side of each label is 0 (a value), 1 (above its bound) or -1 (below)")
    censored = np.flatnonzero(sides)
    if len(censored) == 0:
        return Imputed(bound.copy(), float("nan"), ())
    said = f"{len(censored)} of {len(bound)} labels are censored"
    if len(censored) > len(bound) - 5:
        return Imputed(bound.copy(), float("nan"), (f"{said}: too few values to impute the rest; the bounds are used",))
    values, noise = bound.copy(), float("nan")
    variance = np.zeros(len(bound))
    for _ in range(n_iterations):
        mean = cross_predict(kind, features, rows, values, weight, seed)[0]
        noise = float(np.sqrt(np.mean((values - mean) ** 2 + variance)))
        expected, variance[censored] = _beyond(mean[censored], noise, bound[censored], sides[censored])
        values[censored] = expected
    note = (
        f"{said}: replaced by their expectation beyond the bound (normal noise of {noise:.2g}, {n_iterations} rounds)"
    )
    return Imputed(values, noise, (note,))


def _beyond(mean: FloatArray, noise: float, bound: FloatArray, side: Index) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of normal variables known to lie beyond a bound."""
    sd = max(noise, 1e-12)
    a = side * (bound - mean) / sd
    mills = np.exp(-0.5 * a * a - 0.5 * np.log(2 * np.pi) - log_ndtr(-a))
    expected = mean + side * sd * mills
    # beyond some 1e8 deviations digits fail: never on the wrong side of the bound
    expected = np.where(side > 0, np.maximum(expected, bound), np.minimum(expected, bound))
    return expected, sd * sd * np.clip(1 + a * mills - mills**2, 0.0, 1.0)
