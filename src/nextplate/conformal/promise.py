"""What is promised of compounds about to be picked: intervals, a hit list, P(hit), and the level to ask for.

One code path: the nights (controller.steps.calibrate, evaluate) and retrospective campaigns
(acquisition.retrospect) call these functions with the same arrays and so promise the same.

Intervals that hold for compounds like those tested do not hold for what is picked because of its prediction. From the
second predicted plate on those of picks rest on what was predicted before measuring, and the level asked for learns
from every plate (adaptive). Before that the calibrating compounds are weighted for our own selection (shift).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nextplate.conformal.adaptive import AdaptiveLevel, adapt, start_adaptive
from nextplate.conformal.arrays import FloatArray, Index
from nextplate.conformal.calibration import Calibration, calibrate, hit_probability
from nextplate.conformal.candidates import Intervals, candidate_intervals, tempered
from nextplate.conformal.coverage import LEVELS, coverage_table
from nextplate.conformal.known import Candidates, Known
from nextplate.conformal.predictive import measured_p_values
from nextplate.conformal.selection import HitList, hit_list
from nextplate.conformal.shift import Weights, density_ratio
from nextplate.conformal.venn_abers import p_hit

FDR = 0.2
"""Bound on the expected share of false hits in the hit list."""
LEAST_LEVEL, MOST_LEVEL = 0.5, 0.995
"""The level asked for is at least a half, and never certainty."""


@dataclass(frozen=True, slots=True)
class Promise:
    """How the intervals of picks are made."""

    calibration: Calibration
    weights: Weights | None
    """Of calibrating compounds and of those asked about; None: all weigh the same."""
    level: float
    """Asked for, so that the nominal level is kept."""
    method: str
    """foreseen, weighted or plain."""
    n_effective: float
    notes: tuple[str, ...]

    def of(self, rows: Index) -> "Promise":
        """Restrict to some of the compounds asked about."""
        if self.weights is None:
            return self
        return replace(self, weights=replace(self.weights, new=self.weights.new[rows]))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Coverage of compounds that did not calibrate."""

    nominal: float
    n: int
    empirical: float
    """Share of measurements inside."""
    n_infinite: int
    """How many were inside only because their interval was infinite."""


def adapted(rounds: Iterable[npt.ArrayLike], level: float) -> AdaptiveLevel:
    """Let the level of the picks' intervals learn from every round so far, oldest first.

    Args:
        rounds: of each round the conformal p-values (``promise_p_values``) of what was picked by a score.
        level: nominal.
    """
    state = start_adaptive(level)
    for p_values in rounds:
        state = adapt(state, p_values)
    return state


def asked_level(rounds: Iterable[npt.ArrayLike], level: float) -> float:
    """Give the level to ask for so that picks are covered at ``level``; arguments as ``adapted``."""
    return min(max(adapted(rounds, level).level, LEAST_LEVEL), MOST_LEVEL)


def promise_picks(
    known: Known, library: Candidates, *, level: float, confidence: float, n_picks: int, beta: float
) -> Promise:
    """Say how intervals of the next picks are made.

    Args:
        known: all that was measured, each compound once (``once_each``).
        library: as it is predicted now.
        level: to ask for, of ``asked_level``.
        confidence: nominal.
        n_picks: compounds of the next plate.
        beta: of the upper confidence bound that stands for the rule.

    Raises:
        DataError, ModelError: a shape, a negative spread, a level out of range.
    """
    told = known.finite()
    calibration = calibrate(told.mean, told.spread, told.y, confidence)
    if n_foreseen := int(known.is_foreseen.sum()):
        note = (
            f"intervals of picks: calibrated on {n_foreseen} compounds as predicted before they were measured and "
            f"{calibration.n - n_foreseen} out of fold; {level:.1%} is asked for so that {confidence:.0%} holds"
        )
        return Promise(calibration, None, level, "foreseen", float(calibration.n), (note,))
    likely = library.likely(n_picks, beta)
    if not len(told) or not len(likely):
        note = f"intervals of picks: plain, as {len(told)} compounds calibrate and {len(likely)} can be picked"
        return Promise(calibration, None, level, "plain", float(calibration.n), (note,))
    return _weighted(told, library, likely, calibration, level)


def _weighted(known: Known, library: Candidates, likely: Index, calibration: Calibration, level: float) -> Promise:
    features = library.features
    weights, told = tempered(density_ratio(known.features, features[likely], features), level)
    note = (
        f"intervals of picks: weighted for the {len(likely)} compounds most likely to be picked, "
        f"{weights.n_effective:.0f} effective of {calibration.n} calibrating"
    )
    return Promise(calibration, weights, level, "weighted", weights.n_effective, (note, *weights.notes, *told))


def promised_intervals(promise: Promise, mean: npt.ArrayLike, spread: npt.ArrayLike) -> Intervals:
    """Give the intervals that are promised of the compounds asked about; mean and spread as they are predicted now."""
    return candidate_intervals(promise.calibration, mean, spread, level=promise.level, weights=promise.weights)


def promise_p_values(
    promise: Promise, mean: npt.ArrayLike, spread: npt.ArrayLike, y: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Judge a promise by what was measured: p-values, and the least they could have been, as measured_p_values.

    A measurement was inside its promised interval exactly when its p-value exceeds 1 - promise.level.
    """
    return measured_p_values(promise.calibration, mean, spread, y, promise.weights)


def best_hits(known: Known, library: Candidates, n_best: int, fdr: float = FDR) -> HitList:
    """Call untested compounds hits, of the best few by their mean.

    Of a whole library so few are hits that no list could be supported. Only scores from the least of the best
    candidates' on count, of candidates and of what calibrates alike. Compounds that were foreseen were picked as the
    candidates are going to be, and stand for them as they are; before there are any, weights make those of the first
    plate stand for them. (Weights beside foreseen compounds, estimated from some dozens, cost truth and power: in
    replays of rare hits, Enamine10k's best 1 %, MAPK1 and ALDH1, lists were 19, 13 and 8 % false instead of 0, 0 and
    2 %, and of commoner ones, TYK2 and Enamine10k at 5 to 20 %, they held 1.5 to 11 times fewer hits; always within
    the bound.)

    The bound is guaranteed for scores of one belief that did not see the compounds they calibrate. Here foreseen
    compounds carry the scores of the belief of their own round, and out-of-fold ones those of several folds, so it is
    not: that it holds is measured, on the replays of bench, and no more than that.

    Args:
        known: all that was measured, each compound once (``once_each``).
        library: as it is predicted now.
        n_best: compounds asked about, of the best means; ties at the edge are asked about too.
        fdr: bound on the expected share of false hits.

    Returns:
        The list, its rows being rows of the library; p-values have shape (m,), 1 of what was not asked about and NaN
        of what is tested.
    """
    at = best_few(library, n_best)
    least = float(library.mean[at].min(initial=np.inf))
    told = known.finite()
    told = told.take(told.mean >= least)
    asked = library.features[at]
    is_shifted = len(told) > 0 and len(at) > 0 and not known.is_foreseen.any()
    weights = density_ratio(told.features, asked, asked) if is_shifted else None
    found = hit_list(told.mean, told.is_hit, library.mean[at], fdr, weights)
    p_values = np.where(library.is_open, 1.0, np.nan)
    p_values[at] = found.p_values
    return replace(found, rows=at[found.rows], p_values=p_values)


def best_few(library: Candidates, n_best: int) -> Index:
    """Give the rows of the untested compounds of the best means that ``best_hits`` asks about; ties at the edge too."""
    opened = np.flatnonzero(library.is_open)
    mean = library.mean[opened]
    if (n := min(n_best, len(mean))) < 1:
        return opened[:0]
    rows: Index = opened[mean >= np.partition(mean, -n)[-n]]
    return rows


def chance_of_hit(
    known: Known, mean: npt.ArrayLike, spread: npt.ArrayLike, threshold: float
) -> tuple[FloatArray, tuple[str, ...]]:
    """Give the probability of a hit by Venn-Abers; where only one class was seen, by the predictive distribution.

    Args:
        known: what calibrates: all that was measured, out of fold.
        mean: shape (m,), as predicted now.
        spread: shape (m,).
        threshold: the least measurement of a hit.

    Returns:
        Shape (m,), in [0, 1], and notes: how it was made.
    """
    told = known.finite()
    n, n_hits = len(told), int(told.is_hit.sum())
    if n == 0 or 0 < n_hits < n:
        found = p_hit(told.mean, told.is_hit, mean)
        return found.probability, found.notes or (
            f"probabilities of a hit: Venn-Abers on {n} compounds, {n_hits} hits",
        )
    what = "no hit" if n_hits == 0 else "nothing but hits"
    note = f"probabilities of a hit: {what} among {n} compounds, so by the conformal predictive distribution"
    return hit_probability(calibrate(told.mean, told.spread, told.y), mean, spread, threshold), (note,)


def chance_unseen(known: Known, threshold: float, n_folds: int = 5) -> FloatArray:
    """Give of every calibrating compound the probability of a hit that those of the other folds calibrate.

    A calibrator that has seen a compound's own label agrees with it on average, whatever the scores are worth; what
    was promised can be judged by what was found only where it has not. Fold k holds every n_folds-th compound by name.

    Args:
        known: out of fold, finite; n compounds.
        threshold: the least measurement of a hit.
        n_folds: at most as many as there are compounds.

    Returns:
        Shape (n,), in [0, 1].
    """
    order = np.argsort(known.ids, kind="stable")
    fold = np.empty(len(known), dtype=np.intp)
    fold[order] = np.arange(len(known)) % n_folds
    found = np.full(len(known), np.nan)
    for k in np.unique(fold):
        asked = known.take(fold == k)
        found[fold == k] = chance_of_hit(known.take(fold != k), asked.mean, asked.spread, threshold)[0]
    return found


def held_out_coverage(known: Known, levels: Sequence[float] = LEVELS) -> tuple[HeldOut, ...]:
    """Calibrate on one half of what is known and count on the other, both ways; empty when a half is empty.

    Counting on the rows that calibrate would give the nominal value by construction.
    """
    halves = np.arange(len(known)) % 2 == 0
    tables = []
    for half in (halves, ~halves):
        own, asked = known.take(half), known.take(~half)
        calibration = calibrate(own.mean, own.spread, own.y)
        tables.append(coverage_table(calibration, asked.mean, asked.spread, asked.y, levels=levels))
    return tuple(
        HeldOut(a.nominal, n, (a.empirical * a.n + b.empirical * b.n) / n, a.n_infinite + b.n_infinite)
        for a, b in zip(*tables, strict=True)
        if a.n and b.n and (n := a.n + b.n)
    )
