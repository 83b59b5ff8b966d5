"""The second endpoint: how probably a compound leaves enough cells alive, beside being active."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.labels import Gathered
from nextplate.compound import Features
from nextplate.models import kind_of
from nextplate.models.endpoints import Believed, Endpoint, believe, judged, probability_of_both, residual_correlation
from nextplate.models.funnel import N_LOT, N_PASSED, Funnelled

FloatArray = npt.NDArray[np.float64]
Pair = tuple[FloatArray, FloatArray]

FILE = "endpoints.parquet"
"""compound_id, p_active, viability, viability_spread, p_viable, p_both: one row per compound of the library."""


def write_endpoints(
    tested: pl.DataFrame,
    features: Features,
    labels: Gathered,
    activity: tuple[Any, Funnelled, Pair],
    params: Mapping[str, Any],
    seed: int,
    out: Path,
) -> tuple[dict[str, Any], Funnelled]:
    """Believe viability on its own; write FILE and the folder viability/ (the belief).

    Args:
        tested: sample wells, with viability and label.
        features: of the library.
        labels: of activity.
        activity: its belief, its predictions of the library (what was predicted in full is so of viability too), and
            mean and spread of the labels left out.
        params: kind, hit_threshold, min_viability, and perhaps n_passed and n_lot.
        seed: of the belief.
        out: folder.

    Returns:
        What the step's summary tells of it: n, n_toxic, correlation and notes; and the predictions of activity, in_full
        where viability is predicted in full too. Without a well whose viability is known nothing is written, and a
        note says so.
    """
    rows = pl.DataFrame({"compound_id": list(features.compound_ids), "row": np.arange(len(features.compound_ids))})
    wells = tested.with_columns(pl.col("viability").cast(pl.Float64))
    known = wells.filter(pl.col("label").is_not_null() & pl.col("viability").is_finite().fill_null(value=False))
    means = known.group_by("compound_id").agg(y=pl.col("viability").clip(0.0, 2.0).mean(), n=pl.len())
    seen = rows.join(means, on="compound_id").sort("row")
    if seen.is_empty():
        return {"n": 0, "notes": ["viability: no well tells it, so picks are not weighed by it"]}, activity[1]
    viability = believe(
        features,
        _viability(seen, params),
        seed,
        beside=activity[1],
        n_passed=params.get("n_passed", N_PASSED),
        n_lot=params.get("n_lot", N_LOT),
    )
    kind_of(params["kind"]).save(viability.belief, out / "viability")
    correlation = _write(features, _activity(labels, activity, params), viability, out)
    n_toxic = int((seen["y"] < params["min_viability"]).sum())
    note = (
        f"viability: believed on {len(seen)} compounds, {n_toxic} of them toxic; its errors go with those of "
        f"activity by {correlation:.2f}"
    )
    told = [f"viability: {text}" for text in (*getattr(viability.belief, "notes", ()), *viability.notes)]
    body = {"n": len(seen), "n_toxic": n_toxic, "correlation": correlation, "notes": [note, *told]}
    return body, viability.beside or activity[1]


def _viability(wells: pl.DataFrame, params: Mapping[str, Any]) -> Endpoint:
    index, weight = wells["row"].to_numpy().astype(np.intp), wells["n"].to_numpy().astype(np.float64)
    return Endpoint("viability", index, wells["y"].to_numpy(), params["min_viability"], params["kind"], weight)


def _activity(labels: Gathered, activity: tuple[Any, Funnelled, Pair], params: Mapping[str, Any]) -> Believed:
    belief, everywhere, unseen = activity
    endpoint = Endpoint("activity", labels.rows, labels.y, params["hit_threshold"], params["kind"], labels.weight)
    return judged(endpoint, belief, (everywhere.mean, everywhere.spread), unseen)


def _write(features: Features, active: Believed, viable: Believed, out: Path) -> float:
    correlation = residual_correlation(active, viable)
    both = probability_of_both(active.p_satisfied, viable.p_satisfied, correlation)
    columns = {"p_active": active.p_satisfied, "viability": viable.mean, "viability_spread": viable.spread}
    columns |= {"p_viable": viable.p_satisfied, "p_both": both}
    pl.DataFrame({"compound_id": list(features.compound_ids), **columns}).write_parquet(out / FILE)
    return correlation
