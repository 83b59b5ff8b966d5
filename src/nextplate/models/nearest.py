"""Similarity to the nearest good compound: similarity search, the baseline any belief has to beat, as a belief.

The good compounds are the hits (labels of 1), or of other labels the best tenth, at least one. The more similar a
compound is to the nearest of them, the better; what a similarity is worth is read off the labelled compounds
themselves, each compared with the good ones other than itself: an increasing step function of similarity (isotonic
regression, by pooling adjacent violators) gives the mean, mixed with a thousandth of a straight line, so that
compounds of one step stay ranked by similarity. The spread is that of the labels about it, within bins of similarity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import max_tanimoto, tanimoto
from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.design import Index, Rows
from nextplate.models.labels import Labels, check_labels, check_library, learned_from, mean_only, why_mean_only
from nextplate.models.storage import learned_of, load_arrays, read_card, save_arrays, save_folder

FloatArray = npt.NDArray[np.float64]

_BEST_SHARE = 0.1
# Share of the straight line in the mean: ranks, and hardly moves a mean.
_SLOPE = 1e-3
_N_BINS = 8
_ARRAYS = ("good", "similarity", "mean", "spread", "ends")


@dataclass(frozen=True, slots=True)
class Nearest:
    """Good compounds, and what being similar to one is worth."""

    good: npt.NDArray[np.uint8]
    """Shape (g, n_bytes): packed counted fingerprints. Empty: a mean-only belief."""
    similarity: FloatArray
    """Shape (k,), ascending: knots of the mean."""
    mean: FloatArray
    """Shape (k,), increasing."""
    spread: FloatArray
    """Shape (k,)."""
    ends: FloatArray
    """Shape (2,): lowest and highest label, where the straight line ends at similarity 0 and 1."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know, e.g. 'mean-only belief: all labels equal'."""
        return self.learned.notes

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return len(self.good) == 0


def fit(
    features: Features, rows: Index, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0
) -> Nearest:
    """Fit the belief: see the module's head; nothing in it is random.

    Raises:
        ModelError: no labels, a label or weight that is not a number, or lengths that differ.
    """
    labels = check_labels(features, rows, y, weight)
    learned = learned_from(features, labels, seed)
    if (note := why_mean_only(labels)) is not None:
        empty = np.empty(0)
        return Nearest(
            np.empty((0, features.counts.shape[1]), np.uint8), empty, empty, empty, empty, learned.noting(note)
        )
    good_rows = np.unique(labels.rows[_is_good(labels)])
    good = np.ascontiguousarray(features.counts[good_rows])
    near = _similarity_to_others(features, labels.rows, good_rows, good)
    ends = np.array([labels.y.min(), labels.y.max()])
    return Nearest(good, *_worth(near, labels), ends, learned)


def _is_good(labels: Labels) -> npt.NDArray[np.bool_]:
    n_best = max(1, round(_BEST_SHARE * len(labels.y)))
    least = 1.0 if labels.is_binary else np.partition(labels.y, -n_best)[-n_best]
    is_good: npt.NDArray[np.bool_] = labels.y >= least
    return is_good


def _similarity_to_others(features: Features, rows: Index, good_rows: Index, good: npt.NDArray[np.uint8]) -> FloatArray:
    """Compare every labelled compound with the nearest good compound that is not itself; 0 where there is none."""
    similarity = tanimoto(np.asarray(features.counts[rows]), good).astype(np.float64)
    similarity[rows[:, None] == good_rows[None, :]] = 0.0
    nearest: FloatArray = similarity.max(axis=1)
    return nearest


def _worth(near: FloatArray, labels: Labels) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the knots: similarity, mean and spread."""
    # Of equal similarities the best label first: they violate the order, and so are pooled.
    order = np.lexsort((-labels.y, near))
    x, y, w = near[order], labels.y[order], labels.weight[order] + 1e-12
    mean = pool_adjacent_violators(y, w)
    edges = np.linspace(0, len(x), min(_N_BINS, max(1, len(x) // 10)) + 1).astype(int)
    level_variance = float(np.average((y - mean) ** 2, weights=w))
    variance = np.empty(len(x))
    for a, b in pairwise(edges):
        # Two pseudo-observations of the overall variance: a bin of equal labels is not certain.
        around = float(np.average((y[a:b] - mean[a:b]) ** 2, weights=w[a:b]))
        variance[a:b] = (around * (b - a) + 2 * level_variance) / (b - a + 2)
    # Pooled steps: keep the first and the last of each, so that few knots are kept and searched.
    kept = np.ones(len(x), dtype=bool)
    kept[1:-1] = (mean[1:-1] != mean[:-2]) | (mean[1:-1] != mean[2:]) | np.isin(np.arange(1, len(x) - 1), edges)
    return x[kept], mean[kept], np.sqrt(variance[kept])


def pool_adjacent_violators(y: FloatArray, weight: FloatArray) -> FloatArray:
    """Fit the increasing sequence nearest to y in weighted squares (Ayer 1955).

    Args:
        y: shape (n,).
        weight: shape (n,), positive.

    Returns:
        Shape (n,).
    """
    values: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for value, w in zip(y.tolist(), weight.tolist(), strict=True):
        size = 1
        while values and values[-1] >= value:
            before, n = weights.pop(), sizes.pop()
            value = (values.pop() * before + value * w) / (before + w)
            w, size = w + before, size + n
        values.append(value)
        weights.append(w)
        sizes.append(size)
    return np.repeat(values, sizes)


def predict(belief: Nearest, features: Features, rows: Rows | None = None) -> tuple[FloatArray, FloatArray]:
    """Predict compounds; mean and spread, each shape (m,).

    Raises:
        ModelError: the library's features are others than those it was fitted on.
    """
    check_library(belief.learned, features)
    counts = np.asarray(features.counts[slice(None) if rows is None else rows])
    if belief.is_mean_only:
        return mean_only(belief.learned, len(counts))
    near = max_tanimoto(counts, belief.good)[0].astype(np.float64)
    low, high = belief.ends
    line = low + (high - low) * near
    mean = (1 - _SLOPE) * np.interp(near, belief.similarity, belief.mean) + _SLOPE * line
    at = np.clip(np.searchsorted(belief.similarity, near), 0, len(belief.spread) - 1)
    return mean, belief.spread[at]


def save(belief: Nearest, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: nearest.npz and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    arrays = {name: getattr(belief, name) for name in _ARRAYS}
    save_folder(
        folder, "nearest", belief.learned, lambda inside: save_arrays(inside / "nearest.npz", arrays), metrics=metrics
    )


def load(folder: Path) -> Nearest:
    """Read a belief and check every file against the card.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "nearest")
    path = folder / "nearest.npz"
    arrays = load_arrays(path)
    try:
        good, similarity, mean, spread, ends = (arrays[name] for name in _ARRAYS)
        return Nearest(good, similarity, mean, spread, ends, learned_of(card))
    except KeyError as error:
        raise ModelFileError(f"{path}: lacks the array {error}; fit the belief again") from error
