"""Labels on their way into a belief: checked, described, and what is believed when they teach nothing."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models.belief import Learned

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_LARGEST = 1e30
"""Squares of labels beyond leave the range of single precision, which networks and boosters compute in."""
FEWEST_LABELS = 12
"""Fewer labels than this cannot grow a tree worth having: a leaf takes three, and a bootstrap loses a third."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled compounds, checked."""

    rows: Index
    """Shape (n,): rows of the library; one may occur several times, as replicates."""
    y: FloatArray
    """Shape (n,): finite."""
    weight: FloatArray
    """Shape (n,): finite, not negative, not all 0."""

    @property
    def is_binary(self) -> bool:
        """Whether all labels are 0 or 1."""
        return bool(np.isin(self.y, (0.0, 1.0)).all())

    @property
    def n_hits(self) -> int:
        """Labels of 1."""
        return int((self.y == 1).sum())


def check_labels(features: Features, rows: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None) -> Labels:
    """Check what is to be learned from.

    Args:
        features: of the library.
        rows: shape (n,): rows of the library that are labelled.
        y: shape (n,): responses, potencies, or 0/1.
        weight: shape (n,), e.g. wells per compound; None weighs all alike.

    Raises:
        ModelError: no labels, a label or weight that is not a number, lengths that differ, a row that is not there.
    """
    index, labels = np.asarray(rows, dtype=np.intp), np.asarray(y, dtype=np.float64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    if labels.ndim != 1 or index.shape != labels.shape or weights.shape != labels.shape:
        raise ModelError(f"shapes differ: rows {index.shape}, labels {labels.shape}, weights {weights.shape}")
    if len(labels) == 0:
        raise ModelError("there is no labelled compound yet; measure a plate before fitting a belief")
    n_compounds = len(features.compound_ids)
    if index.min() < 0 or index.max() >= n_compounds:
        raise ModelError(f"rows {index.min()} to {index.max()} are labelled; the library has {n_compounds} compounds")
    _finite(labels)
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise ModelError("weights must be finite, not negative, and not all 0")
    return Labels(index, labels, weights)


def _finite(labels: FloatArray) -> None:
    n_missing, n_infinite = int(np.isnan(labels).sum()), int(np.isinf(labels).sum())
    if n_missing == len(labels):
        raise ModelError(f"all {n_missing} labels are missing; measure a plate before fitting a belief")
    if n_missing:
        raise ModelError(f"{n_missing} of {len(labels)} labels are not numbers; leave unmeasured compounds out")
    if n_huge := int((np.abs(labels) > _LARGEST).sum()) - n_infinite:
        raise ModelError(
            f"{n_huge} of {len(labels)} labels lie beyond {_LARGEST:g}, the largest {np.abs(labels).max():g}; correct "
            "them or change the unit"
        )
    if n_infinite:
        raise ModelError(f"{n_infinite} of {len(labels)} labels are infinite; leave them out, or say them as censored")


def learned_from(features: Features, labels: Labels, seed: int, notes: tuple[str, ...] = ()) -> Learned:
    """Describe what a belief was fitted on."""
    level, spread = level_of(labels)
    return Learned(
        len(labels.y),
        level,
        spread,
        labels.is_binary,
        seed,
        _digest(features, labels),
        features.digest,
        features.fingerprints.shape[1] * 8,
        features.counts.shape[1] * 8,
        features.descriptor_names,
        notes,
    )


def level_of(labels: Labels) -> tuple[float, float]:
    """Return the mean of the labels and the standard deviation of the next one, as far as n labels can tell.

    Of 0/1 labels: the mean of the Beta posterior under Jeffreys' prior, and the standard deviation of the next
    label under it: without a hit among 20 the chance of one is 2 %, not 0. Of other labels that differ: their
    sample deviation, times sqrt(1 + 1/n) for the mean's own error. Where all are equal the scale is unknown; one
    response unit (or the level itself, if larger) stands for it, as if one more label had been that far off.
    """
    y, weight = labels.y, labels.weight
    n = len(y)
    if labels.is_binary:
        share = (float(np.average(y, weights=weight)) * n + 0.5) / (n + 1)
        return share, float(np.sqrt(share * (1 - share)))
    level = float(np.average(y, weights=weight))
    variance = float(np.average((y - level) ** 2, weights=weight))
    if np.ptp(y) == 0:
        return level, float(max(1.0, abs(level)) / np.sqrt(n + 1))
    return level, float(np.sqrt(variance * n / (n - 1) * (1 + 1 / n)))


def why_mean_only(labels: Labels) -> str | None:
    """Tell why nothing but a mean can be learned; None when more can."""
    if len(labels.y) < FEWEST_LABELS:
        return f"mean-only belief: only {len(labels.y)} labelled compounds, {FEWEST_LABELS} are needed"
    if np.ptp(labels.y) == 0:
        what = {0.0: " (no hit yet)", 1.0: " (all are hits)"}.get(labels.y[0], "") if labels.is_binary else ""
        return f"mean-only belief: all labels equal{what}"
    if np.ptp(labels.y[labels.weight > 0]) == 0:
        return "mean-only belief: all labels that weigh anything are equal"
    return None


def mean_only(learned: Learned, n: int) -> tuple[FloatArray, FloatArray]:
    """Predict the level and its spread for n compounds."""
    return np.full(n, learned.level), np.full(n, learned.level_spread)


def check_library(learned: Learned, features: Features) -> None:
    """Check that a library has the features a belief was fitted on.

    Raises:
        ModelError: it has others.
    """
    n_bits, n_count_bits = features.fingerprints.shape[1] * 8, features.counts.shape[1] * 8
    has = (n_bits, n_count_bits, features.descriptor_names)
    if has != (learned.n_bits, learned.n_count_bits, learned.descriptor_names):
        raise ModelError(
            f"the belief was fitted on {learned.n_columns} columns ({learned.n_bits} bits and "
            f"{len(learned.descriptor_names)} descriptors) and is asked about {n_bits} bits and "
            f"{len(features.descriptor_names)} descriptors; the library was featurised by another version: fit again"
        )


def _digest(features: Features, labels: Labels) -> str:
    sha = hashlib.sha256()
    sha.update("\n".join(features.smiles[row] for row in labels.rows).encode())
    seen = (features.fingerprints, features.counts, features.descriptors)
    for array in (*(a[labels.rows] for a in seen), labels.y, labels.weight):
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
