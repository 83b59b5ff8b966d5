"""Scores of the compounds for a plate: the rule, by joint draws where there are any, weighed by viability."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.drawing import read_draws
from controller.steps.foresight import known_once, read_met
from controller.steps.second import FILE as ENDPOINTS
from nextplate.acquisition import Knobs
from nextplate.acquisition.drawn import Scored, score_open
from nextplate.acquisition.rules import rule_named
from nextplate.acquisition.telling import knobs_for
from nextplate.conformal import Known, no_known
from nextplate.models.pareto import expected_hypervolume_improvement
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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
    p_viable = ends["p_viable"].to_numpy() if ends is not None and rule_named(rule).is_weighed else None
    best = max(tested["label"].drop_nulls().to_list(), default=float("nan"))
    drawn = read_draws(inputs["fitted"], len(prediction.mean)) if "fitted" in inputs else None
    knobs = _knobs(inputs, params, available, best)
    return score_open(rule, prediction, drawn, knobs, rng, n_by_score=n_by_score, p_viable=p_viable)


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
