"""Joint draws of a belief, kept beside its predictions for rules that compare compounds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.data import generator
from nextplate.acquisition import Knobs, scored
from nextplate.compound import Features
from nextplate.errors import DataError
from nextplate.models.draws import drawn_alone, joint_draws, most_drawn
from nextplate.models.funnel import Funnelled
from nextplate.prediction import Prediction

Index = npt.NDArray[np.intp]

DRAWS, ROWS = "draws.npy", "draws-rows.npy"
"""float32 (n_draws, m), and int64 (m,): the rows of the library that they are of, ascending."""
N_DRAWS = 64
MOST_DRAWN = 20_000
"""Compounds drawn at most: of a larger library, those that the rule ranks best when they are taken as independent.
Only compounds predicted in full are drawn: of the rest nothing is promised, and none is picked for its score."""


def write_draws(
    belief: Any,
    features: Features,
    known: pl.DataFrame,
    everywhere: Funnelled,
    params: Mapping[str, Any],
    out: Path,
) -> list[str]:
    """Write DRAWS and ROWS where the belief gives joint draws, and say what was done.

    Args:
        belief: of the kind params["kind"].
        features: of the library.
        known: labelled compounds, with their row: they are not drawn.
        everywhere: predictions of the library.
        params: kind, draws_for (the rule), hit_threshold, and what ``generator`` needs.
        out: folder.
    """
    rng = generator({**params, "purpose": "draws"})
    most = most_drawn(params["kind"], belief, MOST_DRAWN)
    is_open = everywhere.in_full.copy()
    is_open[known["row"].to_numpy()] = False
    n_open, in_full = int(is_open.sum()), "" if everywhere.in_full.all() else " and predicted in full"
    if n_open == 0:
        return [f"draws: none, as no compound is without a label{in_full}"]
    rows = _candidates(np.flatnonzero(is_open), everywhere, params, most, rng)
    draws = joint_draws(params["kind"], belief, features, rows, N_DRAWS, rng)
    if draws is None:
        return [f"draws: a belief of kind {params['kind']} gave no joint draws for the rule {params['draws_for']}"]
    np.save(out / DRAWS, draws, allow_pickle=False)
    np.save(out / ROWS, rows.astype(np.int64), allow_pickle=False)
    told = f"draws: {len(draws)} joint draws of {len(rows)} of {n_open} compounds without a label{in_full}"
    alone = drawn_alone(params["kind"], belief)
    note = f"draws: of {', '.join(alone)} there are no joint draws, so that share is of independent normals"
    return [told, note] if alone else [told]


def _candidates(
    rows: Index, everywhere: Funnelled, params: Mapping[str, Any], most: int, rng: np.random.Generator
) -> Index:
    """Take the rows that the rule ranks best, each by itself; all where they are not too many."""
    if len(rows) <= most:
        return rows
    mean, spread = everywhere.mean[rows], everywhere.spread[rows]
    nan = np.full(len(rows), np.nan)
    alone = Prediction([""] * len(rows), mean, spread, nan, nan, 0.0, nan)
    knobs = Knobs(float("nan"), threshold=params["hit_threshold"])
    scores = scored(params["draws_for"], alone, knobs, rng).scores
    best = np.argpartition(-scores, most)[:most]
    return np.sort(rows[best])


def with_draws(prediction: Prediction, fitted: Path) -> tuple[Prediction, Index] | None:
    """Restrict a prediction to the compounds of which there are draws, and add these; None where there are none.

    Raises:
        DataError: the files do not belong together or to this library.
    """
    if not (fitted / DRAWS).exists():
        return None
    draws, rows = (np.load(fitted / name, allow_pickle=False) for name in (DRAWS, ROWS))
    n = len(prediction.mean)
    if draws.ndim != 2 or draws.shape[1:] != rows.shape or (len(rows) and not 0 <= rows.min() <= rows.max() < n):
        raise DataError(f"{fitted / DRAWS}: shape {draws.shape} does not fit {len(rows)} rows of {n} compounds")
    part = {name: getattr(prediction, name)[rows] for name in ("mean", "spread", "lower", "upper", "p_hit")}
    ids = [prediction.compound_ids[row] for row in rows]
    return replace(prediction, compound_ids=ids, draws=draws, **part), rows.astype(np.intp)
