"""Scores of the compounds for a plate: the rule, by joint draws where there are any, weighed by viability."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.drawing import with_draws
from controller.steps.foresight import known_once, read_met
from controller.steps.second import FILE as ENDPOINTS
from nextplate.acquisition import Knobs, scored
from nextplate.acquisition.rules import rule_named
from nextplate.acquisition.rules.rule import NO_DRAWS
from nextplate.acquisition.telling import knobs_for
from nextplate.conformal import Known, no_known
from nextplate.models.pareto import expected_hypervolume_improvement
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Scored:
    """What compounds are picked by."""

    scores: FloatArray
    """Shape (n,): the highest is picked first."""
    notes: tuple[str, ...]
    """What was done otherwise than by the rule alone."""
    name: str
    """Of the score: the rule, and what it is weighed by, or what stands in its place."""
    among: BoolArray | None = None
    """Shape (n,): what may be picked for its score; None: all. Other compounds' scores are on another scale."""


def under_viability(prediction: Prediction, inputs: Mapping[str, Path]) -> Prediction:
    """Give the probability of being active and leaving cells alive as P(hit), where the fit believed viability."""
    ends = _endpoints(inputs)
    return prediction if ends is None else replace(prediction, p_hit=ends["p_both"].to_numpy())


def score_all(
    inputs: Mapping[str, Path],
    params: Mapping[str, Any],
    prediction: Prediction,
    available: BoolArray,
    tested: pl.DataFrame,
    rng: np.random.Generator,
    n_by_score: int = 0,
) -> Scored:
    """Score every compound of the library.

    Args:
        inputs: ``fitted``, where there is one, is the folder of the fit that the prediction is of.
        params: of the step pick.
        prediction: of n compounds.
        available: shape (n,).
        tested: sample wells so far, with label, and viability where it is known.
        rng: of the rule.
        n_by_score: how many will be picked for their score: with fewer joint draws the others are ranked as well.
    """
    ends, rule = _endpoints(inputs), params["rule"]
    if ends is not None and params.get("goal") == "pareto":
        return _by_front(prediction, ends, tested, params["min_viability"])
    is_weighed = ends is not None and rule_named(rule).is_weighed
    p_viable = ends["p_viable"].to_numpy() if ends is not None and is_weighed else None
    best = max(tested["label"].drop_nulls().to_list(), default=float("nan"))
    drawn = with_draws(prediction, inputs["fitted"]) if "fitted" in inputs else None
    if drawn is None or not available[drawn[1]].any():
        alone = scored(rule, prediction, _knobs(inputs, params, available, best), rng)
        told = alone.notes if drawn is None else _none_free(alone.notes, len(drawn[1]))
        found = Scored(_weighed(alone.scores, p_viable, available), told, rule)
    else:
        knobs = _knobs(inputs, params, available[drawn[1]], best)
        found = _by_draws(rule, prediction, drawn, available, p_viable, n_by_score, knobs, rng)
    if not is_weighed:
        return found
    note = "scores above the median of the available are weighed by the probability of viability"
    return replace(found, notes=(*found.notes, note), name=f"{rule} x P(viable)")


def _by_draws(
    rule: str,
    prediction: Prediction,
    drawn: tuple[Prediction, Index],
    available: BoolArray,
    p_viable: FloatArray | None,
    n_by_score: int,
    knobs: Knobs,
    rng: np.random.Generator,
) -> Scored:
    """Score what was drawn, and let the picks be of it alone where it holds enough of them.

    What was not drawn has no score on the same scale: the median, which viability is weighed above and diversity
    against, is that of what was drawn.
    """
    part, rows = drawn
    inner = scored(rule, part, knobs, rng)
    free = available[rows]
    scores = _weighed(inner.scores, None if p_viable is None else p_viable[rows], free)
    whole = _others_behind(scores, rows, _weighed(prediction.mean, p_viable, available))
    n_drawn, n_free = int(free.sum()), int(available.sum())
    if n_drawn == n_free:
        return Scored(whole, inner.notes, rule)
    if n_drawn >= n_by_score:
        among = np.zeros(len(available), dtype=bool)
        among[rows] = True
        note = f"joint draws: picks by score are of the {n_drawn:,} of {n_free:,} available compounds that have draws"
        return Scored(whole, (*inner.notes, note), rule, among)
    note = (
        f"joint draws: {n_free - n_drawn:,} of {n_free:,} available compounds have no draws and are ranked by mean, "
        f"behind the {n_drawn:,} that have: too few for {n_by_score:,} picks by score"
    )
    return Scored(whole, (*inner.notes, note), rule)


def _none_free(notes: tuple[str, ...], n_drawn: int) -> tuple[str, ...]:
    """Say that draws there are, but of nothing that may be picked."""
    said = (
        f"joint draws: none of the {n_drawn:,} compounds that have draws may be picked, so the others are taken as "
        "independent, normal with the belief's mean and spread"
    )
    return (said, *(note for note in notes if note != NO_DRAWS))


def _weighed(scores: FloatArray, p_viable: FloatArray | None, available: BoolArray) -> FloatArray:
    return scores if p_viable is None else weigh(scores, p_viable, available)


def _by_front(prediction: Prediction, ends: pl.DataFrame, tested: pl.DataFrame, min_viability: float) -> Scored:
    """Score by the area that a compound is expected to add to what the measured ones dominate."""
    known = tested.filter(pl.col("label").is_not_null()).with_columns(pl.col("viability").cast(pl.Float64))
    means = (
        known.group_by("compound_id", maintain_order=True)
        .agg("label", "viability")
        .select(pl.col("label").list.mean(), pl.col("viability").list.mean().fill_null(float("nan")))
    )
    mean = np.column_stack([prediction.mean, ends["viability"].to_numpy()])
    spread = np.column_stack([prediction.spread, ends["viability_spread"].to_numpy()])
    scores = expected_hypervolume_improvement(mean, spread, means.to_numpy(), [0.0, min_viability])
    note = (
        f"scores are the area expected to be added under the front of activity (above 0) and viability (above "
        f"{min_viability:g}) of {len(means)} measured compounds, instead of the rule's"
    )
    return Scored(scores, (note,), "front of activity and viability")


def weigh(scores: FloatArray, p_viable: FloatArray, available: BoolArray) -> FloatArray:
    """Weigh what a compound's score is worth by the probability that it is viable.

    What a score is worth is what lies above the median of the available compounds; of expected improvement, whose
    median is near 0, this is the constrained one (Gardner et al., ICML 2014). Scores below the median stay.

    Args:
        scores: shape (n,).
        p_viable: shape (n,), in [0, 1].
        available: shape (n,).
    """
    middle = float(np.median(scores[available])) if available.any() else 0.0
    worth = scores - middle
    weighed: FloatArray = middle + np.where(worth > 0, p_viable * worth, worth)
    return weighed


def _others_behind(scores: FloatArray, rows: Index, mean: FloatArray) -> FloatArray:
    """Put compounds without draws behind those with them, by their mean, and no further than the drawn are apart."""
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) or 1.0
    behind: FloatArray = low - step * (0.01 + 0.99 * (mean.max() - mean) / (np.ptp(mean) or 1.0))
    behind[rows] = scores
    return behind


def _knobs(inputs: Mapping[str, Path], params: Mapping[str, Any], available: BoolArray, best: float) -> Knobs:
    return knobs_for(
        params["rule"],
        _calibrating(inputs, params["hit_threshold"])
        if rule_named(params["rule"]).calibrates
        else no_known(np.empty(0, np.str_)),
        available,
        best=best,
        beta=params["beta"],
        threshold=params["hit_threshold"],
        noise=params.get("noise") or 0.0,
    )


def _calibrating(inputs: Mapping[str, Path], threshold: float) -> Known:
    """Read what was measured, each compound once: as it was foreseen, else out of fold."""
    path = inputs["fitted"] / "oof.parquet" if "fitted" in inputs else None
    if path is None or not path.exists():
        return no_known(np.empty(0, np.str_))
    return known_once(pl.read_parquet(path), read_met(inputs), threshold)


def _endpoints(inputs: Mapping[str, Path]) -> pl.DataFrame | None:
    path = inputs["fitted"] / ENDPOINTS if "fitted" in inputs else None
    return pl.read_parquet(path) if path is not None and path.exists() else None
