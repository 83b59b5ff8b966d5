"""Haralick's texture of every object: co-occurrence of grey levels, counted for all objects at once.

Only the pairs that occur are kept: a field of nuclei has some 100,000 pixels, its dense tables would have 65,536
cells for each object. What is a mean over pairs (contrast, correlation, ...) never needs the table; entropies and the
angular second moment come from one sort of (object, level, level).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.features.check import Image
from nextplate.features.regions import Index, Regions, Values, changes

NAMES = (
    "AngularSecondMoment", "Contrast", "Correlation", "Variance", "InverseDifferenceMoment", "SumAverage",
    "SumVariance", "SumEntropy", "Entropy", "DifferenceVariance", "DifferenceEntropy", "InfoMeas1", "InfoMeas2",
)  # fmt: skip
DIRECTIONS: Mapping[str, tuple[int, int]] = {"0deg": (0, 1), "135deg": (1, 1), "90deg": (1, 0), "45deg": (1, -1)}
"""Step (rows down, columns right) to the other pixel of a pair; angles as seen on the screen, anticlockwise."""

Levels = npt.NDArray[np.signedinteger[Any]]
Bytes = npt.NDArray[np.uint8]

_BITS, _LEVEL, _N_LEVELS = 8, 255, 256
_MANY = 2**15
"""From so many objects on, object, level and level no longer fit 32 bits."""


@dataclass(frozen=True, slots=True)
class _Lit:
    """The pixels of all objects above level 0, and a framed field to look up what lies a step away."""

    n: int
    row: int
    """Length of a row of the field."""
    at: Index
    """Shape (k,): place of each pixel in the field."""
    owner: npt.NDArray[np.int32]
    code: Levels
    """object * 256 + level of each pixel."""
    field: Levels
    """Flat: the codes, -1 elsewhere."""
    top: Levels
    """Shape (n,): highest level in each object."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of all objects in one direction; level 0 takes no part."""

    n: int
    owner: npt.NDArray[np.int32]
    low: Levels
    high: Levels
    """The higher of the two levels: the table is symmetric."""
    top: Levels
    """Shape (n,): highest level in each object."""


def grey_levels(image: Image, n_levels: int, white: float | None) -> Bytes:
    """Divide an image into n_levels (2 to 256) equal levels from 0 to white.

    White None: the type's largest value for whole numbers, 1.0 for floats. As CellProfiler: first 256 levels
    (16 bits: the upper byte; floats: rounded), from these floor(level * (n_levels - 1) / 255).
    """
    if white is None and image.dtype == np.uint8:
        byte = image.astype(np.uint8)
    elif white is None and image.dtype == np.uint16:
        byte = (image.astype(np.uint16) >> 8).astype(np.uint8)
    else:
        byte = np.rint(np.clip(image / _white(image, white), 0, 1) * 255).astype(np.uint8)
    if n_levels == 256:
        return byte
    return (np.arange(256) * (n_levels - 1) / 255).astype(np.uint8)[byte]


def _white(image: Image, white: float | None) -> float:
    if white is not None:
        return white
    return float(np.iinfo(image.dtype.name).max) if image.dtype.kind in "iu" else 1.0


def texture(regions: Regions, levels: Bytes, scale: int) -> dict[str, dict[str, Values]]:
    """Return Haralick's 13 features for every direction and for their mean ("mean"), of pairs `scale` pixels apart.

    Both pixels lie in the object and have a level above 0 (mahotas, ignore_zeros). An object without a pair in one of
    the directions has NaN everywhere. Haralick, IEEE Trans. SMC 3 (1973) 610, with SumVariance about SumAverage and
    DifferenceVariance the variance of the probabilities, both as mahotas does.
    """
    lit = _lit(regions, levels, scale)
    found = {angle: haralick(_pairs(lit, dy * scale, dx * scale)) for angle, (dy, dx) in DIRECTIONS.items()}
    is_void = np.logical_or.reduce([np.isnan(one["Entropy"]) for one in found.values()])
    for one in found.values():
        one.update({name: np.where(is_void, np.nan, value) for name, value in one.items()})
    found["mean"] = {name: np.mean([found[angle][name] for angle in DIRECTIONS], axis=0) for name in NAMES}
    return found


def _lit(regions: Regions, levels: Bytes, scale: int) -> _Lit:
    """Keep the pixels above level 0, in a frame as wide as the scale."""
    height, width = regions.shape
    here = levels.ravel()[regions.flat]
    is_lit = here > 0
    row = width + 2 * scale
    at = regions.y[is_lit] * row + regions.x[is_lit] + scale
    owner = regions.owner[is_lit]
    whole: type[np.signedinteger[Any]] = np.int64 if regions.n >= _MANY else np.int32
    code: Levels = owner.astype(whole) << _BITS | here[is_lit]
    field: Levels = np.full((height + scale) * row, -1, whole)
    field[at] = code
    top = np.maximum.reduceat(here, regions.starts).astype(np.int64)
    return _Lit(regions.n, row, at, owner, code, field, top)


def _pairs(lit: _Lit, dy: int, dx: int) -> Pairs:
    apart = lit.field[lit.at + (dy * lit.row + dx)] - (lit.code & ~_LEVEL)
    is_pair = (apart >= 0) & (apart <= _LEVEL)
    a, b = lit.code[is_pair] & _LEVEL, apart[is_pair]
    return Pairs(lit.n, lit.owner[is_pair], np.minimum(a, b), np.maximum(a, b), lit.top)


def haralick(pairs: Pairs) -> dict[str, Values]:
    """Return the 13 features of every object from its pairs; NaN without a pair."""
    count = np.bincount(pairs.owner, minlength=pairs.n).astype(np.float64)
    count[count == 0] = np.nan
    joint, second_moment = _joint(pairs, count)
    both_ends = _table(pairs, pairs.low, _N_LEVELS) + _table(pairs, pairs.high, _N_LEVELS)
    marginal = _entropy(both_ends, 2 * count)
    total = _table(pairs, pairs.low + pairs.high, 2 * _N_LEVELS)
    apart = _table(pairs, pairs.high - pairs.low, _N_LEVELS)
    with np.errstate(invalid="ignore", divide="ignore"):
        info = np.where(marginal > 0, (joint - 2 * marginal) / marginal, joint - 2 * marginal)
        return {
            "AngularSecondMoment": second_moment,
            **_means(total, apart, count),
            "SumEntropy": _entropy(total, count),
            "Entropy": joint,
            "DifferenceVariance": _spread_of_probabilities(apart, count, pairs.top + 1),
            "DifferenceEntropy": _entropy(apart, count),
            "InfoMeas1": info,
            "InfoMeas2": np.sqrt(np.maximum(0.0, 1 - np.exp(-2 * (2 * marginal - joint)))),
        }


def _means(total: Values, apart: Values, count: Values) -> dict[str, Values]:
    """Return what is a mean over pairs, from the tables of sums s and differences d of their levels.

    With both orders of each pair counted, mean level = s / 2, a^2 + b^2 = (s^2 + d^2) / 2, a b = (s^2 - d^2) / 4.
    """
    s, d = np.arange(2.0 * _N_LEVELS), np.arange(float(_N_LEVELS))
    mean_s, mean_s2, mean_d2 = total @ s / count, total @ s**2 / count, apart @ d**2 / count
    sum_variance = mean_s2 - mean_s**2
    variance = (sum_variance + mean_d2) / 4
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(variance > 1e-12, (sum_variance - mean_d2) / (4 * variance), 1.0)
    return {
        "Contrast": mean_d2,
        "Correlation": np.where(np.isnan(count), np.nan, correlation),
        "Variance": variance,
        "InverseDifferenceMoment": apart @ (1 / (1 + d**2)) / count,
        "SumAverage": mean_s,
        "SumVariance": sum_variance,
    }


def _table(pairs: Pairs, level: Levels, n_bins: int) -> npt.NDArray[np.float64]:
    """Histogram of `level` per object, shape (n, n_bins)."""
    return (
        np.bincount(pairs.owner * n_bins + level, minlength=pairs.n * n_bins)
        .reshape(pairs.n, n_bins)
        .astype(np.float64)
    )


def _joint(pairs: Pairs, count: Values) -> tuple[Values, Values]:
    """Entropy and sum of squares of the symmetric table: a pair of unlike levels fills two cells with half each."""
    key = pairs.owner.astype(pairs.low.dtype) << 2 * _BITS | pairs.low << _BITS | pairs.high
    key.sort()
    first = np.flatnonzero(changes(key))
    times = np.diff(np.append(first, len(key))).astype(np.float64)
    cell = key[first]
    owner, is_unlike = cell >> 2 * _BITS, (cell >> _BITS & _LEVEL) != (cell & _LEVEL)
    log = np.bincount(owner, times * np.log2(np.where(is_unlike, times / 2, times)), minlength=pairs.n)
    squares = np.bincount(owner, times**2 * np.where(is_unlike, 0.5, 1.0), minlength=pairs.n)
    return _not_negative_zero(np.log2(count) - log / count), squares / count**2


def _entropy(table: npt.NDArray[np.float64], count: Values) -> Values:
    """Entropy, bits, of histograms in rows that sum to count."""
    logs = np.log2(table, out=np.zeros_like(table), where=table > 0)
    return _not_negative_zero(np.log2(count) - np.einsum("ij,ij->i", table, logs) / count)


def _not_negative_zero(entropy: Values) -> Values:
    return np.where(np.abs(entropy) < 1e-12, 0.0, entropy)


def _spread_of_probabilities(apart: npt.NDArray[np.float64], count: Values, n_cells: Levels) -> Values:
    """Variance over the cells 0..top of the probabilities of the differences of levels."""
    return np.asarray((apart**2).sum(axis=1) / count**2 / n_cells - 1.0 / n_cells.astype(np.float64) ** 2)
