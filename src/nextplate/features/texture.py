"""Haralick's texture of every object: co-occurrence of grey levels, counted for all objects at once.

Only the pairs that occur are kept: a field of nuclei has some 100,000 pixels, its dense tables would have 65,536
cells for each object. What is a mean over pairs (contrast, correlation, ...) never needs the table; entropies and the
angular second moment come from one sort of (object, level, level).
"""

from collections.abc import Mapping
from dataclasses import dataclass

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

Levels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of all objects in one direction; level 0 takes no part."""

    n: int
    n_levels: int
    owner: Index
    low: Levels
    high: Levels
    """The higher of the two levels: the table is symmetric."""
    top: Levels
    """Shape (n,): highest level in each object."""


def grey_levels(image: Image, n_levels: int, white: float | None) -> npt.NDArray[np.uint8]:
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


def texture(regions: Regions, levels: npt.NDArray[np.uint8], n_levels: int, scale: int) -> dict[str, dict[str, Values]]:
    """Return Haralick's 13 features for every direction and for their mean ("mean"), of pairs `scale` pixels apart.

    Both pixels lie in the object and have a level above 0 (mahotas, ignore_zeros). An object without a pair in one of
    the directions has NaN everywhere. Haralick, IEEE Trans. SMC 3 (1973) 610, with SumVariance about SumAverage and
    DifferenceVariance the variance of the probabilities, both as mahotas does.
    """
    found = {}
    for angle, (dy, dx) in DIRECTIONS.items():
        found[angle] = haralick(_pairs(regions, levels, n_levels, (dy * scale, dx * scale)))
    is_void = np.logical_or.reduce([np.isnan(one["Entropy"]) for one in found.values()])
    for one in found.values():
        one.update({name: np.where(is_void, np.nan, value) for name, value in one.items()})
    found["mean"] = {name: np.mean([found[angle][name] for angle in DIRECTIONS], axis=0) for name in NAMES}
    return found


def _pairs(regions: Regions, levels: npt.NDArray[np.uint8], n_levels: int, step: tuple[int, int]) -> Pairs:
    height, width = regions.shape
    here = levels.ravel()[regions.flat]
    y, x = regions.y + step[0], regions.x + step[1]
    is_pair = (y < height) & (x >= 0) & (x < width) & (here > 0)
    there = (y * width + x)[is_pair]
    other = levels.ravel()[there]
    padded_at = (y[is_pair] + 1) * (width + 2) + x[is_pair] + 1
    owner = regions.owner[is_pair]
    is_same = (regions.padded.ravel()[padded_at] == owner) & (other > 0)
    a, b = here[is_pair][is_same].astype(np.int64), other[is_same].astype(np.int64)
    top = regions.max(here.astype(np.float64)).astype(np.int64)
    return Pairs(regions.n, n_levels, owner[is_same].astype(np.intp), np.minimum(a, b), np.maximum(a, b), top)


def haralick(pairs: Pairs) -> dict[str, Values]:
    """Return the 13 features of every object from its pairs; NaN without a pair."""
    count = np.bincount(pairs.owner, minlength=pairs.n).astype(np.float64)
    count[count == 0] = np.nan
    joint, second_moment = _joint(pairs, count)
    marginal = _entropy(_table(pairs, np.concatenate([pairs.low, pairs.high]), pairs.n_levels), 2 * count)
    total = _table(pairs, pairs.low + pairs.high, 2 * pairs.n_levels)
    apart = _table(pairs, pairs.high - pairs.low, pairs.n_levels)
    with np.errstate(invalid="ignore", divide="ignore"):
        info = np.where(marginal > 0, (joint - 2 * marginal) / marginal, joint - 2 * marginal)
        return {
            "AngularSecondMoment": second_moment,
            **_means(total, apart, pairs.n_levels, count),
            "SumEntropy": _entropy(total, count),
            "Entropy": joint,
            "DifferenceVariance": _spread_of_probabilities(apart, count, pairs.top + 1),
            "DifferenceEntropy": _entropy(apart, count),
            "InfoMeas1": info,
            "InfoMeas2": np.sqrt(np.maximum(0.0, 1 - np.exp(-2 * (2 * marginal - joint)))),
        }


def _means(total: Values, apart: Values, n_levels: int, count: Values) -> dict[str, Values]:
    """Return what is a mean over pairs, from the tables of sums s and differences d of their levels.

    With both orders of each pair counted, mean level = s / 2, a^2 + b^2 = (s^2 + d^2) / 2, a b = (s^2 - d^2) / 4.
    """
    s, d = np.arange(2.0 * n_levels), np.arange(float(n_levels))
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
    """Histogram of `level` per object, shape (n, n_bins); twice as many levels as pairs are both ends."""
    owner = pairs.owner if len(level) == len(pairs.owner) else np.tile(pairs.owner, 2)
    return np.bincount(owner * n_bins + level, minlength=pairs.n * n_bins).reshape(pairs.n, n_bins).astype(np.float64)


def _joint(pairs: Pairs, count: Values) -> tuple[Values, Values]:
    """Entropy and sum of squares of the symmetric table: a pair of unlike levels fills two cells with half each."""
    size = pairs.n_levels * pairs.n_levels
    key = (pairs.owner * pairs.n_levels + pairs.low) * pairs.n_levels + pairs.high
    key = np.sort(key.astype(np.int32) if pairs.n * size < 2**31 else key)
    first = np.flatnonzero(changes(key))
    times = np.diff(np.append(first, len(key))).astype(np.float64)
    found = key[first].astype(np.int64)
    owner, cell = np.divmod(found, size)
    is_unlike = cell // pairs.n_levels != cell % pairs.n_levels
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
