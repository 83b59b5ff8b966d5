"""Reading and writing what steps hand to each other."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.errors import DataError
from nextplate.prediction import Pick, Prediction
from protocols.stock import StockWell, TipRack


def generator(params: Mapping[str, Any]) -> np.random.Generator:
    """Derive the random stream of one purpose of one round from the campaign's seed."""
    text = f"{params['seed']}/{params['round']}/{params['purpose']}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


def integer_seed(params: Mapping[str, Any]) -> int:
    """Derive a seed for libraries that want a 31-bit integer."""
    return int(generator(params).integers(2**31 - 1))


def tested_responses(inputs: Mapping[str, Path]) -> pl.DataFrame:
    """Gather the sample wells of all accepted plates; columns round and label are added."""
    named = sorted((int(n.removeprefix("responses-")), p) for n, p in inputs.items() if n.startswith("responses-"))
    frames = [labelled(pl.read_parquet(path)).with_columns(round=pl.lit(r)) for r, path in named]
    if not frames:
        return pl.DataFrame(schema={"compound_id": pl.String, "label": pl.Float64, "is_hit": pl.Boolean})
    return pl.concat(frames, how="diagonal")


def labelled(responses: pl.DataFrame) -> pl.DataFrame:
    """Keep the sample wells and add what is learned from each: label, null where nothing is.

    The label is the activity under the constraint of viability: a toxic well counts as inactive, whatever its few
    dying cells look like, since such a compound can never be a hit. Beyond [-1, 2] activity is an artefact and is
    cut off, as one well may not outweigh a hundred; an infinite one is no measurement at all.
    """
    is_known = pl.col("is_used") & pl.col("activity").is_finite()
    gated = pl.when(pl.col("is_toxic")).then(0.0).when(is_known).then(pl.col("activity").clip(-1.0, 2.0))
    samples = responses.filter((pl.col("role") == "sample") & pl.col("compound_id").is_not_null())
    return samples.with_columns(label=gated.fill_nan(None))


def stock_wells(path: Path) -> tuple[StockWell, ...]:
    """Read a stock snapshot."""
    return tuple(StockWell(**row) for row in pl.read_parquet(path).to_dicts())


def tip_racks(path: Path) -> tuple[TipRack, ...]:
    """Read a tips snapshot."""
    body = json.loads(path.read_text())
    return tuple(TipRack(r["barcode"], r["labware"], tuple(r["free_wells"])) for r in body)


def write_picks(picks: Sequence[Pick], path: Path, why: Sequence[str] | None = None) -> None:
    """Write picks in rank order, with a line each that says why where it is given."""
    columns = {f.name: [getattr(p, f.name) for p in picks] for f in fields(Pick)}
    pl.DataFrame(columns if why is None else {**columns, "why": list(why)}).write_parquet(path)


def read_picks(path: Path) -> tuple[Pick, ...]:
    """Read picks in rank order."""
    columns = [f.name for f in fields(Pick)]
    return tuple(Pick(**row) for row in pl.read_parquet(path, columns=columns).to_dicts())


def write_prediction(prediction: Prediction, path: Path, **more: Iterable[Any]) -> None:
    """Write a prediction, one row per compound, with further columns."""
    columns = ("mean", "spread", "lower", "upper", "p_hit")
    body = {"compound_id": list(prediction.compound_ids), **{c: getattr(prediction, c) for c in columns}}
    pl.DataFrame({**body, **{name: _column(values) for name, values in more.items()}}).write_parquet(path)


def _column(values: Iterable[Any]) -> Any:
    """Keep what is an array: a million numbers in a list take a second and 30 MB."""
    return values if isinstance(values, np.ndarray | pl.Series) else list(values)


def read_prediction(path: Path, confidence: float) -> Prediction:
    """Read a prediction, with the intervals that are meant for what is picked."""
    frame = pl.read_parquet(path)
    ends = ("lower_picked", "upper_picked") if "lower_picked" in frame.columns else ("lower", "upper")
    mean, spread, lower, upper, p_hit = (frame[c].to_numpy() for c in ("mean", "spread", *ends, "p_hit"))
    return Prediction(tuple(frame["compound_id"]), mean, spread, lower, upper, confidence, p_hit)


def predicted_in_full(frame: pl.DataFrame, column: str = "in_full") -> npt.NDArray[np.bool_]:
    """Tell which rows of a prediction were predicted in full, or (``by_lot``) drawn by lot; all where it is not said.

    Large libraries are predicted in two stages (``models.funnel``); of what was only screened nothing is promised.
    """
    return frame[column].to_numpy() if column in frame.columns else np.ones(len(frame), dtype=bool)


def write_json(body: Any, path: Path) -> None:
    """Write JSON with sorted keys; NaN and infinities become null, which JSON can say."""
    path.write_text(json.dumps(finite(body), indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error}); remove the step's folder and run again") from error


def finite(body: Any) -> Any:
    """Replace NaN and infinities by None, numpy numbers by Python's, tuples by lists."""
    if isinstance(body, Mapping):
        return {str(k): finite(v) for k, v in body.items()}
    if isinstance(body, list | tuple):
        return [finite(v) for v in body]
    if isinstance(body, np.generic):
        return finite(body.item())
    return None if isinstance(body, float) and not math.isfinite(body) else body
