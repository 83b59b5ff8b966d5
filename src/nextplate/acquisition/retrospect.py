"""One round of a replay: fit, predict the library, promise, and later judge the promise by what was measured.

What is promised of picks is made by ``nextplate.conformal.promise``, as every night makes it. A campaign remembers
every batch as it was predicted before it was measured. Beside the promise stands the plain one, which rests on all
out-of-fold predictions alike and is not meant for what is picked.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.acquisition.stopping import Count, Yield, count_hits
from nextplate.chem.similarity import max_similarity, nearest_other
from nextplate.compound import Features
from nextplate.conformal import (
    Candidates,
    Known,
    LabelSets,
    Promise,
    asked_level,
    best_hits,
    calibrate,
    chance_of_hit,
    joined,
    label_sets,
    measured_p_values,
    no_known,
    once_each,
    pick_sets,
    places,
    promise_p_values,
    promise_picks,
    promised_intervals,
)
from nextplate.models import fit_and_cross, kind_of, predict_library
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Terms:
    """What stays the same in every round of a campaign."""

    kind: str
    """Of belief."""
    confidence: float
    """Nominal, of every promise."""
    n_picks: int
    """Compounds of a batch."""
    beta: float
    """Of the upper confidence bound that stands for the rule where it is asked what is likely to be picked."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a campaign remembers for its promises; compounds are rows of the library."""

    foreseen: Known
    """Batches as they were predicted before they were measured, oldest first."""
    places: FloatArray
    """Shape (len(foreseen),): where each stood among the likely picks of its round; NaN of those drawn by lot."""
    p_values: tuple[FloatArray, ...] = ()
    """Of each such batch but those drawn by lot, under what was promised: the level asked for learns from them."""
    yields: tuple[Yield, ...] = ()
    """What each such batch promised and gave in hits."""
    nearest: npt.NDArray[np.float32] | None = None
    """Shape (n,): similarity of every compound to the nearest of the first n_near labelled; None: of none yet."""
    n_near: int = 0


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is believed and promised before a batch is measured."""

    prediction: Prediction
    """With the intervals that are promised of picks."""
    library: Candidates
    known: Known
    """All that was measured, each compound once; what the promise rests on."""
    unseen: Known
    """The same out of fold; what the plain promise rests on."""
    promise: Promise
    terms: Terms
    threshold: float
    """The least value of a hit."""
    is_binary: bool
    """Values are 0 and 1: sets of labels are promised, not intervals."""
    belief: Any
    """Of the kind that the terms name."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """How a promise was kept on one batch."""

    n: int
    """Compounds measured."""
    n_inside: int
    n_trivial: int
    """How many were inside whatever was measured: the interval was infinite, or the set held both labels."""
    n_hits: int
    n_hits_inside: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A hit list at a false discovery rate, and what the file says of it."""

    n_listed: int
    n_false: int
    n_hits_left: int


@dataclass(frozen=True, slots=True)
class Foretold:
    """How many hits a batch was to give, and how many it gave."""

    count: Count
    n_hits: int


def no_memory() -> Memory:
    """Begin a campaign."""
    return Memory(no_known(np.empty(0, dtype=np.intp)), np.empty(0))


def look_ahead(
    features: Features, labelled: Index, y: FloatArray, terms: Terms, memory: Memory, is_open: Mask, threshold: float,
    seed: int,
) -> tuple[Prospect, Memory]:  # fmt: skip
    """Fit a belief, predict the library and promise.

    Args:
        features: of the library, n compounds.
        labelled: shape (t,): rows whose value is known by now, in the order they became known.
        y: shape (t,): their values.
        terms: of the campaign.
        memory: of the batches before.
        is_open: shape (n,): rows that are not tested.
        threshold: of a hit, by what is known now.
        seed: of everything random.

    Returns:
        The prospect, and the memory that knows how near every compound is to what is labelled.
    """
    kind = kind_of(terms.kind)
    belief, unseen_mean, unseen_spread = fit_and_cross(kind, features, labelled, y, None, seed)
    mean, spread = predict_library(kind, belief, features)
    memory = _look_around(memory, features, labelled)
    own = nearest_other(np.ascontiguousarray(features.fingerprints[labelled])).astype(np.float64)
    is_out_of_fold = np.zeros(len(y), dtype=bool)
    unseen = Known(labelled, unseen_mean, unseen_spread, own, y, y >= threshold, is_out_of_fold).finite()
    library = Candidates(mean, spread, _similarities(memory, len(mean)), is_open)
    # What counts as a hit may have moved since a batch was foreseen.
    known = once_each(unseen, replace(memory.foreseen, is_hit=memory.foreseen.y >= threshold))
    promise = promise_picks(
        known, library, level=asked_level(memory.p_values, terms.confidence), confidence=terms.confidence,
        n_picks=terms.n_picks, beta=terms.beta,
    )  # fmt: skip
    found = promised_intervals(promise, mean, spread)
    chance, told = chance_of_hit(unseen, mean, spread, threshold)
    prediction = Prediction(features.compound_ids, mean, spread, found.lower, found.upper, terms.confidence, chance)
    is_binary = bool(np.isin(y, (0.0, 1.0)).all())
    notes = (*belief.notes, *(told if len(np.unique(unseen.is_hit)) < 2 else ()))
    return Prospect(prediction, library, known, unseen, promise, terms, threshold, is_binary, belief, notes), memory


def _look_around(memory: Memory, features: Features, labelled: Index) -> Memory:
    """Compare the library with those labelled since the last round only: a round takes as long as the first."""
    new = labelled[memory.n_near :]
    if not len(new):
        return memory
    packed = np.asarray(features.fingerprints)
    nearest = max_similarity(packed, np.ascontiguousarray(packed[new]))
    if memory.nearest is not None:
        nearest = np.maximum(nearest, memory.nearest)
    return replace(memory, nearest=nearest, n_near=len(labelled))


def _similarities(memory: Memory, n: int) -> FloatArray:
    return np.full(n, np.nan) if memory.nearest is None else memory.nearest.astype(np.float64)


def measured(prospect: Prospect, rows: Index, values: FloatArray) -> Known:
    """Join what was foreseen of a batch to what was then measured; unscored compounds are left out."""
    at = rows[np.isfinite(values[rows])]
    library, y = prospect.library, values[at]
    is_foreseen = np.ones(len(at), dtype=bool)
    return Known(
        at, library.mean[at], library.spread[at], library.similarity[at], y, y >= prospect.threshold, is_foreseen
    )


def remember(memory: Memory, prospect: Prospect, rows: Index, picked: Index, values: FloatArray) -> Memory:
    """Learn from a batch once it is measured; batches nobody foresaw are not to be remembered.

    Args:
        memory: of the batches before.
        prospect: what was believed and promised.
        rows: shape (r,), the batch.
        picked: those of them that were picked for what was predicted, not drawn by lot.
        values: shape (n,), of the whole library.
    """
    batch = measured(prospect, rows, values)
    is_picked = np.isin(batch.ids, picked)
    p_values, _ = _p_values(prospect, batch.take(is_picked))
    where = np.where(is_picked, _places(prospect, batch.ids), np.nan)
    gave = Yield(float(prospect.prediction.p_hit[batch.ids].sum()), int(batch.is_hit.sum()))
    return replace(
        memory,
        yields=(*memory.yields, gave),
        foreseen=joined([memory.foreseen, batch]),
        places=np.concatenate([memory.places, where]),
        p_values=(*memory.p_values, p_values),
    )


def _p_values(prospect: Prospect, batch: Known) -> tuple[FloatArray, FloatArray]:
    return promise_p_values(prospect.promise.of(batch.ids), batch.mean, batch.spread, batch.y)


def _places(prospect: Prospect, rows: Index) -> FloatArray:
    return places(prospect.library, rows, n_picks=prospect.terms.n_picks, beta=prospect.terms.beta)


def judge(memory: Memory, prospect: Prospect, rows: Index, values: FloatArray) -> tuple[Kept, Kept]:
    """Count how a batch came out under what was promised of it, and under the plain promise.

    Args:
        memory: as it was when the promise was made.
        prospect: with that promise.
        rows: shape (r,), what was picked; compounds drawn by lot were not promised this.
        values: shape (n,), of the whole library; NaN: unscored, not counted.
    """
    batch = measured(prospect, rows, values)
    if prospect.is_binary:
        return _kept_sets(_sets(memory, prospect, batch), batch), _kept_sets(_plain_sets(prospect, batch), batch)
    plain = calibrate(prospect.unseen.mean, prospect.unseen.spread, prospect.unseen.y)
    by_plain = measured_p_values(plain, batch.mean, batch.spread, batch.y)
    ours = _kept_intervals(*_p_values(prospect, batch), prospect.promise.level, batch)
    return ours, _kept_intervals(*by_plain, prospect.terms.confidence, batch)


def _sets(memory: Memory, prospect: Prospect, batch: Known) -> LabelSets:
    terms, was_picked = prospect.terms, np.isfinite(memory.places)
    return pick_sets(
        prospect.known, memory.places[was_picked], memory.foreseen.y[was_picked] >= prospect.threshold,
        prospect.library, batch.ids, level=terms.confidence, n_picks=terms.n_picks, beta=terms.beta,
    )  # fmt: skip


def _plain_sets(prospect: Prospect, batch: Known) -> LabelSets:
    return label_sets(prospect.unseen.mean, prospect.unseen.is_hit, batch.mean, level=prospect.terms.confidence)


def _kept_intervals(p: FloatArray, least: FloatArray, level: float, batch: Known) -> Kept:
    edge = 1 - level + _ROUNDING
    return _kept(p > edge, least > edge, batch.is_hit)


def _kept_sets(sets: LabelSets, batch: Known) -> Kept:
    return _kept(np.where(batch.is_hit, sets.may_hit, sets.may_not), sets.size == 2, batch.is_hit)


def _kept(is_inside: Mask, is_trivial: Mask, is_hit: Mask) -> Kept:
    return Kept(
        len(is_hit), int(is_inside.sum()), int(is_trivial.sum()), int(is_hit.sum()), int((is_inside & is_hit).sum())
    )


def foretell(memory: Memory, prospect: Prospect, rows: Index, values: FloatArray) -> Foretold | None:
    """Foretell the hits of a batch as every night does (``stopping``), and count them; arguments as ``judge``.

    Of unscored compounds nobody will know whether they are hits: they are neither foretold nor counted. None of a
    batch of unscored compounds alone.
    """
    scored = rows[np.isfinite(values[rows])]
    if not len(scored):
        return None
    return Foretold(
        count_hits(prospect.prediction.p_hit[scored], memory.yields),
        int((values[scored] >= prospect.threshold).sum()),
    )


def list_hits(prospect: Prospect, values: FloatArray, fdr: float) -> Listed:
    """List hits among the compounds left as every night does, and count with the file how many are false.

    Unscored compounds may be listed; they are not counted.
    """
    rows = best_hits(prospect.known, prospect.library, prospect.terms.n_picks, fdr).rows
    is_hit, is_scored = values >= prospect.threshold, np.isfinite(values)
    listed = rows[is_scored[rows]]
    return Listed(len(listed), int((~is_hit[listed]).sum()), int((is_hit & prospect.library.is_open).sum()))
