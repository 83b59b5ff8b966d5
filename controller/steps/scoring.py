"""Scores of the compounds for a plate: the rule, by joint draws where there are any, weighed by viability."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.drawing import with_draws
from controller.steps.foresight import known_once, read_met
from controller.steps.second import FILE as ENDPOINTS
from nextplate.acquisition import Knobs, scored
from nextplate.acquisition.rules.rule import Told
from nextplate.acquisition.telling import CALIBRATED, knobs_for
from nextplate.conformal import Known, no_known
from nextplate.models.pareto import expected_hypervolume_improvement
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BY_CHANCE = frozenset(("entropy", "margin", "hits-at-fdr"))
"""Rules that look at P(hit), which holds viability already."""


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
) -> Told:
    """Score every compound of the library.

    Args:
        inputs: ``fitted``, where there is one, is the folder of the fit that the prediction is of.
        params: of the step pick.
        prediction: of n compounds.
        available: shape (n,).
        tested: sample wells so far, with label, and viability where it is known.
        rng: of the rule.

    Returns:
        Scores, shape (n,), and what was done otherwise than by the rule alone.
    """
    ends = _endpoints(inputs)
    if ends is not None and params.get("goal") == "pareto":
        return _by_front(prediction, ends, tested, params["min_viability"])
    best = max(tested["label"].drop_nulls().to_list(), default=float("nan"))
    rule, knobs = params["rule"], _knobs(inputs, params, available, best)
    drawn = with_draws(prediction, inputs["fitted"]) if "fitted" in inputs else None
    if drawn is None or not available[drawn[1]].any():
        found = scored(rule, prediction, knobs, rng)
    else:
        part, rows = drawn
        inner = scored(rule, part, replace(knobs, available=available[rows]), rng)
        found = Told(_others_behind(inner.scores, rows, prediction.mean), inner.notes)
    if ends is None or rule in BY_CHANCE or rule == "random":
        return found
    note = "scores above the median of the available are weighed by the probability of viability"
    return Told(weigh(found.scores, ends["p_viable"].to_numpy(), available), (*found.notes, note))


def _by_front(prediction: Prediction, ends: pl.DataFrame, tested: pl.DataFrame, min_viability: float) -> Told:
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
    return Told(scores, (note,))


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


def _others_behind(scores: FloatArray, rows: npt.NDArray[np.intp], mean: FloatArray) -> FloatArray:
    """Put compounds without draws behind those with them, by their mean."""
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) or 1.0
    behind: FloatArray = low - step * (1 + (mean.max() - mean) / (np.ptp(mean) or 1.0))
    behind[rows] = scores
    return behind


def _knobs(inputs: Mapping[str, Path], params: Mapping[str, Any], available: BoolArray, best: float) -> Knobs:
    return knobs_for(
        params["rule"],
        _calibrating(inputs, params["hit_threshold"])
        if params["rule"] in CALIBRATED
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
