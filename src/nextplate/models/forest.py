"""A random forest on fingerprints and descriptors (Breiman 2001; Geurts 2006 for extremely random trees).

Of responses and potencies the counted fingerprint is seen, of 0/1 labels the plain one: what is there and what is not
tells few hits apart better than how often it is there.

Trees are grown by scikit-learn and walked by ourselves (``trees``, ``walk``): identical predictions from packed
bits, and files without pickle. Of 0/1 labels, trees are grown with the hits weighed up to the others, as few hits
would else hardly be asked about; the leaves tell shares of compounds all the same, so that the mean is the
probability of a hit. The spread is the standard deviation of a label drawn from a leaf of a tree drawn at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.design import Index, Matrix, Rows, useful_columns
from nextplate.models.labels import Labels, check_labels, check_library, learned_from, mean_only, why_mean_only
from nextplate.models.storage import learned_of, load_arrays, read_card, save_arrays, save_folder
from nextplate.models.trees import Trees, from_arrays, take_trees, walk_trees

FloatArray = npt.NDArray[np.float64]

N_TREES = 300
"""Hits of ALDH1 rise from 137 to 158 from 100 to 300 trees; a walk costs little."""
_FEWEST_IN_LEAF = 3
"""Of 0/1 labels: next batches from campaigns on MAPK1 hold 16.5 hits instead of 15.3, on ALDH1 as many."""


@dataclass(frozen=True, slots=True)
class Forest:
    """A fitted forest."""

    trees: Trees | None
    """None: a mean-only belief."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know, e.g. 'mean-only belief: all labels equal'."""
        return self.learned.notes

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return self.trees is None


def fit(
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    n_trees: int = N_TREES,
    is_extra: bool = False,
    n_threads: int = 2,
) -> Forest:
    """Fit a forest to labelled compounds.

    Args:
        features: of the library.
        rows: shape (n,): rows that are labelled.
        y: shape (n,), responses, or 0/1.
        weight: shape (n,), e.g. wells per compound; None weighs all alike.
        seed: of bootstraps and splits.
        n_trees: grown.
        is_extra: extremely random trees: thresholds by lot, every tree on all compounds.
        n_threads: trees grown at a time; the belief does not depend on it.

    Returns:
        The belief. With fewer than 12 labels, or all labels equal, it is mean-only and its notes say so.

    Raises:
        ModelError: no labels, a label or weight that is not a number, or lengths that differ.
    """
    labels = check_labels(features, rows, y, weight)
    learned = learned_from(features, labels, seed)
    X = seen_matrix(features, labels.rows, is_binary=labels.is_binary)
    columns = useful_columns(X)
    note = why_mean_only(labels)
    if note is None and len(columns) == 0:
        note = "mean-only belief: all labelled compounds look the same"
    if note is not None:
        return Forest(None, learned.noting(note))
    data = np.ascontiguousarray(X[:, columns])
    trees = _grow(data, columns, labels, _shift(learned), seed, n_trees, is_extra, n_threads)
    return Forest(trees, learned)


def _shift(learned: Learned) -> float:
    """Tell what the leaves are less: the level, which keeps digits where labels lie far from 0; of hits nothing."""
    return 0.0 if learned.is_binary else learned.level


def seen_bits(features: Features, rows: Rows, *, is_binary: bool) -> npt.NDArray[np.uint8]:
    """Return the packed bits that a forest of 0/1 labels, or of others, sees."""
    return np.asarray((features.fingerprints if is_binary else features.counts)[rows])


def seen_matrix(features: Features, rows: Index, *, is_binary: bool) -> Matrix:
    """Return bits and descriptors as scikit-learn wants them: shape (len(rows), n_bits + n_descriptors)."""
    bits = np.unpackbits(seen_bits(features, rows, is_binary=is_binary), axis=1).astype(np.float32)
    return np.hstack([bits, np.asarray(features.descriptors[rows], dtype=np.float32)])


def _grow(
    data: Matrix,
    columns: Index,
    labels: Labels,
    level: float,
    seed: int,
    n_trees: int,
    is_extra: bool,
    n_threads: int,
) -> Trees:
    options: dict[str, Any] = {"n_estimators": n_trees, "max_features": "sqrt", "n_jobs": n_threads}
    options |= {"random_state": seed % 2**32}
    if not labels.is_binary:
        forest = _forest_class("Regressor", is_extra)(**options).fit(data, labels.y, sample_weight=labels.weight)
        return take_trees(forest.estimators_, columns, level, None)
    if not is_extra:
        options |= {"min_samples_leaf": _FEWEST_IN_LEAF}
    hit_weight = balance(labels)
    weight = labels.weight * np.where(labels.y == 1, hit_weight, 1.0)
    forest = _forest_class("Classifier", is_extra)(**options).fit(data, labels.y.astype(int), sample_weight=weight)
    return take_trees(forest.estimators_, columns, level, hit_weight)


def _forest_class(what: str, is_extra: bool) -> Any:
    from sklearn import ensemble

    return getattr(ensemble, f"{'ExtraTrees' if is_extra else 'RandomForest'}{what}")


def balance(labels: Labels) -> float:
    """Return how much more a hit has to weigh for both classes to weigh the same."""
    of_hits = float(labels.weight[labels.y == 1].sum())
    return (float(labels.weight.sum()) - of_hits) / of_hits


def predict(
    belief: Forest, features: Features, rows: Rows | None = None, *, n_threads: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Predict compounds.

    Args:
        belief: of ``fit`` or ``load``.
        features: of a library, with the descriptors the belief was fitted on.
        rows: which compounds; None: all.
        n_threads: among which the compounds are shared out.

    Returns:
        mean and spread, each shape (m,): the mean over trees, and the standard deviation by the law of total
        variance: over the trees, and within their leaves.

    Raises:
        ModelError: the library's features are others than those it was fitted on.
    """
    check_library(belief.learned, features)
    chosen = slice(None) if rows is None else rows
    bits = seen_bits(features, chosen, is_binary=belief.learned.is_binary)
    numbers = np.asarray(features.descriptors[chosen], dtype=np.float32)
    if belief.trees is None:
        return mean_only(belief.learned, len(bits))
    sums = walk_trees(belief.trees, bits, numbers, n_threads)
    mean = sums[:, 0] + _shift(belief.learned)
    return (np.clip(mean, 0.0, 1.0) if belief.learned.is_binary else mean), np.sqrt(sums[:, 1] + sums[:, 2])


def save(belief: Forest, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: trees.npz and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """

    def fill(inside: Path) -> None:
        if belief.trees is not None:
            save_arrays(inside / "trees.npz", belief.trees.arrays())

    facts = {"n_trees": 0 if belief.trees is None else len(belief.trees.roots)}
    save_folder(folder, "forest", belief.learned, fill, facts=facts, metrics=metrics)


def load(folder: Path) -> Forest:
    """Read a belief and check every file against the card.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "forest")
    if "trees.npz" not in card["sha256"]:
        return Forest(None, learned_of(card))
    path = folder / "trees.npz"
    try:
        return Forest(from_arrays(load_arrays(path)), learned_of(card))
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}; fit the belief again") from error
