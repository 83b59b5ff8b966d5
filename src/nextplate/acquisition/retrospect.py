"""One round of a replay: fit, calibrate on what was predicted before it was measured, predict, list the hits.

Out-of-fold residuals flatter picked compounds: near duplicates sit in the other folds. So every batch is remembered
as it was predicted before it was measured, and the calibration is those residuals beside the out-of-fold ones of the
first batch, which nobody picked. What a plain split over all out-of-fold residuals would have given is kept too.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.conformal import calibrate, coverage, hit_list, hit_probability, intervals, label_sets, p_hit
from nextplate.models import fit_and_cross, kind_of, predict_library
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """Predictions of measured compounds that had not seen the measurement."""

    mean: FloatArray
    spread: FloatArray
    y: FloatArray

    def __len__(self) -> int:
        return len(self.y)

    def joined(self, other: "Known") -> "Known":
        """Put two together."""
        pairs = ((self.mean, other.mean), (self.spread, other.spread), (self.y, other.y))
        return Known(*(np.concatenate(pair) for pair in pairs))


@dataclass(slots=True)
class Memory:
    """What a campaign remembers for its calibration."""

    n_first: int
    """Labels of the first batch, which come first among the labelled."""
    foreseen: Known = field(default_factory=lambda: Known(np.empty(0), np.empty(0), np.empty(0)))
    """Later batches as they were predicted before they were measured."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is believed before a batch is measured."""

    prediction: Prediction
    calibrating: Known
    """What the intervals rest on: the first batch out of fold, later ones as foreseen."""
    out_of_fold: Known
    """What a plain split would rest on: all labels out of fold."""
    is_binary: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A hit list at a false discovery rate, and what the file says of it."""

    n_listed: int
    n_false: int
    n_hits_left: int


def look_ahead(
    features: Features,
    labelled: Index,
    y: FloatArray,
    kind_name: str,
    memory: Memory,
    threshold: float,
    confidence: float,
    seed: int,
) -> Outlook:
    """Fit a kind of belief, calibrate it and predict the library.

    Args:
        features: of the library.
        labelled: shape (n,): rows whose value is known by now, the first batch first.
        y: shape (n,): their values.
        kind_name: of belief.
        memory: of the batches before.
        threshold: of a hit.
        confidence: of the intervals.
        seed: of everything random.
    """
    kind = kind_of(kind_name)
    belief, unseen_mean, unseen_spread = fit_and_cross(kind, features, labelled, y, None, seed)
    mean, spread = predict_library(kind, belief, features)
    is_known = np.isfinite(unseen_mean)
    out_of_fold = Known(unseen_mean[is_known], unseen_spread[is_known], y[is_known])
    first = is_known[: memory.n_first]
    calibrating = Known(*(a[: memory.n_first][first] for a in (unseen_mean, unseen_spread, y))).joined(memory.foreseen)
    is_binary = bool(np.isin(y, (0.0, 1.0)).all())
    calibration = calibrate(calibrating.mean, calibrating.spread, calibrating.y, confidence)
    lower, upper = intervals(calibration, mean, spread)
    chance = _chance(calibrating, mean) if is_binary else hit_probability(calibration, mean, spread, threshold)
    unknown = np.isnan(chance)
    # Before anything calibrates, Laplace's share of hits: what a further label would be.
    chance = np.where(unknown, (float((y >= threshold).sum()) + 1) / (len(y) + 2), chance)
    notes = (*belief.notes, *(("P(hit) is the share of hits so far: nothing calibrates yet",) if unknown.any() else ()))
    prediction = Prediction(features.compound_ids, mean, spread, lower, upper, confidence, chance)
    return Outlook(prediction, calibrating, out_of_fold, is_binary, notes)


def _chance(known: Known, mean: FloatArray) -> FloatArray:
    """Calibrate probabilities of a hit; before both labels were seen they stand as the belief says them."""
    if len(np.unique(known.y)) < 2:
        return mean
    return p_hit(known.mean, known.y, mean).probability


def measured(outlook: Outlook, rows: Index, values: FloatArray) -> Known:
    """Join what was foreseen of a batch to what was then measured; unscored compounds are left out."""
    scored = rows[np.isfinite(values[rows])]
    return Known(outlook.prediction.mean[scored], outlook.prediction.spread[scored], values[scored])


def covered(known: Known, batch: Known, confidence: float, is_binary: bool) -> tuple[float, int]:
    """Count a batch inside intervals (of 0/1 labels: class-conditional label sets) that rest on known predictions.

    Returns:
        The share inside and of how many; NaN and 0 where nothing calibrates or nothing was measured.
    """
    if not len(known) or not len(batch):
        return float("nan"), 0
    if is_binary:
        # Picks are the highest scores: only compounds that score as high are exchangeable with them.
        as_high = known.mean >= batch.mean.min()
        sets = label_sets(known.mean[as_high], known.y[as_high], batch.mean, level=confidence)
        inside = np.where(batch.y == 1, sets.may_hit, sets.may_not)
        return float(inside.mean()), len(batch)
    ends = intervals(calibrate(known.mean, known.spread, known.y, confidence), batch.mean, batch.spread)
    return coverage(batch.y, *ends)


def list_hits(
    outlook: Outlook, available: Mask, values: FloatArray, threshold: float, fdr: float, n_best: int
) -> Listed:
    """List hits among the best compounds left at a false discovery rate; count with the file how many are false.

    Asked are the n_best by mean, and against calibrating compounds predicted as high: over a whole library, p-values
    from some hundred compounds are never small enough for a list.
    """
    rows = np.flatnonzero(available & np.isfinite(values))
    mean, known = outlook.prediction.mean[rows], outlook.calibrating
    least = np.partition(mean, -n_best)[-n_best] if n_best < len(mean) else -np.inf
    asked, answered = rows[mean >= least], known.mean >= least
    listed = hit_list(known.mean[answered], known.y[answered] >= threshold, outlook.prediction.mean[asked], fdr).rows
    is_hit = values[asked] >= threshold
    return Listed(len(listed), int((~is_hit[listed]).sum()), int((values[rows] >= threshold).sum()))
