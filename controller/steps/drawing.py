"""Joint draws of a belief, kept beside its predictions for rules that compare compounds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.steps.data import generator
from nextplate.acquisition.drawn import Drawn, draw
from nextplate.compound import Features
from nextplate.errors import DataError
from nextplate.models.funnel import Funnelled

DRAWS, ROWS = "draws.npy", "draws-rows.npy"
"""float32 (n_draws, m), and int64 (m,): the rows of the library that they are of, ascending. Only compounds predicted
in full are drawn: of the rest nothing is promised, and none is picked for its score."""


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
    is_open = everywhere.in_full.copy()
    is_open[known["row"].to_numpy()] = False
    n_open, in_full = int(is_open.sum()), "" if everywhere.in_full.all() else " and predicted in full"
    if n_open == 0:
        return [f"draws: none, as no compound is without a label{in_full}"]
    drawn, notes = draw(
        params["draws_for"],
        params["kind"],
        belief,
        features,
        (everywhere.mean, everywhere.spread),
        np.flatnonzero(is_open),
        params["hit_threshold"],
        generator({**params, "purpose": "draws"}),
    )
    if drawn is None:
        return list(notes)
    np.save(out / DRAWS, drawn.draws, allow_pickle=False)
    np.save(out / ROWS, drawn.rows.astype(np.int64), allow_pickle=False)
    told = f"draws: {len(drawn.draws)} joint draws of {len(drawn.rows)} of {n_open} compounds without a label{in_full}"
    return [told, *notes]


def read_draws(fitted: Path, n_compounds: int) -> Drawn | None:
    """Read the draws kept beside a fit of a library; None where there are none.

    Raises:
        DataError: the files do not belong together or to this library.
    """
    if not (fitted / DRAWS).exists():
        return None
    draws, rows = (np.load(fitted / name, allow_pickle=False) for name in (DRAWS, ROWS))
    is_inside = not len(rows) or 0 <= rows.min() <= rows.max() < n_compounds
    if draws.ndim != 2 or draws.shape[1:] != rows.shape or not is_inside:
        raise DataError(
            f"{fitted / DRAWS}: shape {draws.shape} does not fit {len(rows)} rows of {n_compounds} compounds"
        )
    return Drawn(draws, rows.astype(np.intp))
