"""Reading and writing what steps hand to each other."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.compound import Features
from nextplate.errors import DataError
from nextplate.prediction import Pick, Prediction
from protocols.decks import described_deck
from protocols.giving import Giving
from protocols.labware import RobotDeck, pipette, robot_deck
from protocols.stock import DOSE_TOLERANCE, PlateCare, StockWell, TipRack


def generator(params: Mapping[str, Any]) -> np.random.Generator:
    """Derive the random stream of one purpose of one round from the campaign's seed."""
    text = f"{params['seed']}/{params['round']}/{params['purpose']}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


def integer_seed(params: Mapping[str, Any]) -> int:
    """Derive a seed for libraries that want a 31-bit integer."""
    return int(generator(params).integers(2**31 - 1))


def open_library(folder: Path) -> Features:
    """Open the features of a library; in a lab the folder bears the first digits of its digest.

    Raises:
        DataError: a file is missing, cut short or altered, or the folder holds another library.
    """
    # Loaded only where it is needed: reports read step files without any chemistry.
    from nextplate.chem.folder import load_features

    features = load_features(folder)
    return of_library(features, folder.name) if re.fullmatch("[0-9a-f]{16}", folder.name) else features


def of_library(features: Features, digest: str) -> Features:
    """Return features that are of the library with this digest, or whose digest begins with it.

    Raises:
        DataError: they are of another one.
    """
    if not features.digest.startswith(digest):
        raise DataError(
            f"{features.folder}: holds another library ({features.digest[:16]}); move it away and add the library "
            f"{digest[:16]} again: nextplate library add FILE"
        )
    return features


def tested_responses(inputs: Mapping[str, Path]) -> pl.DataFrame:
    """Gather the sample wells of all accepted plates; columns round and label are added."""
    named = sorted((int(n.removeprefix("responses-")), p) for n, p in inputs.items() if n.startswith("responses-"))
    frames = [labelled(pl.read_parquet(path)).with_columns(round=pl.lit(r)) for r, path in named]
    if not frames:
        return pl.DataFrame(schema={"compound_id": pl.String, "label": pl.Float64, "is_hit": pl.Boolean})
    return pl.concat(frames, how="diagonal")


def labelled(responses: pl.DataFrame) -> pl.DataFrame:
    """Keep the sample wells, with the label of each: as the plate's step normalise gave it, else by the default."""
    told = responses if "label" in responses.columns else with_labels(responses)
    return told.filter((pl.col("role") == "sample") & pl.col("compound_id").is_not_null())


def with_labels(responses: pl.DataFrame, viability: str = "gate", dose_um: float | None = None) -> pl.DataFrame:
    """Add what is learned from each sample well: label, null where nothing is.

    The label is the activity. Beyond [-1, 2] it is an artefact and is cut off, as one well may not outweigh a
    hundred; an infinite one is no measurement at all.

    Args:
        responses: as the step normalise writes them.
        viability: gate: a toxic well counts as inactive, whatever its few dying cells look like, since such a
            compound can never be a hit. endpoint: only where its activity is not known.
        dose_um: the dose that labels are for; wells of another, of a dose-response series, have none. None: all are.
    """
    is_sample = (pl.col("role") == "sample") & pl.col("compound_id").is_not_null()
    is_known = pl.col("is_used") & pl.col("activity").is_finite().fill_null(value=False)
    counts_as_none = pl.col("is_toxic") if viability == "gate" else pl.col("is_toxic") & ~is_known
    label = pl.when(counts_as_none).then(0.0).when(is_known).then(pl.col("activity").clip(-1.0, 2.0)).fill_nan(None)
    if dose_um is not None:
        is_sample = is_sample & ((pl.col("dose_um") / dose_um - 1).abs() <= DOSE_TOLERANCE)
    return responses.with_columns(label=pl.when(is_sample).then(label))


def stock_wells(path: Path) -> tuple[StockWell, ...]:
    """Read the source wells of a stock snapshot that may be used."""
    frame = _stock(path).filter(pl.col("unusable") == "")
    return tuple(StockWell(**row) for row in frame.drop("unusable", "n_thaws", "max_thaws").to_dicts())


def left_out(path: Path) -> tuple[str, ...]:
    """Say which source plates of a stock snapshot may not be used, and why."""
    out = _stock(path).filter(pl.col("unusable") != "").unique("source_plate").sort("source_plate")
    return tuple(f"source plate {row['source_plate']} is left out: {row['unusable']}" for row in out.to_dicts())


def stock_care(path: Path) -> dict[str, PlateCare]:
    """Read how often the plates of a stock snapshot were thawed and may be, where it is said."""
    told = _stock(path).filter(pl.col("max_thaws").is_not_null()).unique("source_plate").to_dicts()
    return {row["source_plate"]: PlateCare(row["n_thaws"], row["max_thaws"]) for row in told}


def _stock(path: Path) -> pl.DataFrame:
    """Read a stock snapshot; where nobody spoke of plates, it has no columns for that."""
    frame = pl.read_parquet(path)
    nothing = {"unusable": pl.lit(""), "n_thaws": pl.lit(0), "max_thaws": pl.lit(None, pl.Int64)}
    return frame.with_columns(**{name: value for name, value in nothing.items() if name not in frame.columns})


def giving(params: Mapping[str, Any]) -> Giving:
    """Return how doses are made: ``robot`` is there where doses are made by volume, or by sound."""
    transfer_nl, well_nl = (round(params[name] * 1000) for name in ("transfer_ul", "well_volume_ul"))
    percent = params.get("final_dmso_percent")
    tool = pipette(robot_deck(params["robot"]).pipette) if "robot" in params else None
    return Giving(transfer_nl, well_nl, percent, tool, params.get("dilution", ""))


def tip_racks(path: Path) -> tuple[TipRack, ...]:
    """Read a tips snapshot."""
    body = json.loads(path.read_text())
    return tuple(TipRack(r["barcode"], r["labware"], tuple(r["free_wells"])) for r in body)


def write_picks(picks: Sequence[Pick], path: Path, why: Sequence[str] | None = None) -> None:
    """Write picks in rank order, with a line each that says why where it is given."""
    columns = {f.name: [getattr(p, f.name) for p in picks] for f in fields(Pick)}
    doses = pl.Series("doses_um", [list(p.doses_um) for p in picks], pl.List(pl.Float64))
    table = pl.DataFrame({**columns, "doses_um": doses})
    (table if why is None else table.with_columns(why=pl.Series(list(why), dtype=pl.String))).write_parquet(path)


def read_picks(path: Path) -> tuple[Pick, ...]:
    """Read picks in rank order."""
    names = {f.name for f in fields(Pick)}
    rows = pl.read_parquet(path).to_dicts()
    return tuple(Pick(**{k: _kept(v) for k, v in row.items() if k in names}) for row in rows)


def _kept(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def write_prediction(prediction: Prediction, path: Path, **more: Iterable[Any]) -> None:
    """Write a prediction, one row per compound, with further columns."""
    columns = ("mean", "spread", "lower", "upper", "p_hit")
    body = {"compound_id": list(prediction.compound_ids), **{c: getattr(prediction, c) for c in columns}}
    pl.DataFrame({**body, **{name: _column(values) for name, values in more.items()}}).write_parquet(path)


def _column(values: Iterable[Any]) -> Any:
    """Keep what is an array: a million numbers in a list take a second and 30 MB."""
    return values if isinstance(values, np.ndarray | pl.Series) else list(values)


def prediction_of(frame: pl.DataFrame, confidence: float) -> Prediction:
    """Take the prediction from a table that ``write_prediction`` wrote, with the intervals meant for what is picked."""
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


def deck(params: Mapping[str, Any]) -> RobotDeck:
    """Return the liquid handler's deck: ``deck`` is there where the lab says more than which robot it is."""
    return described_deck(params["robot"], params.get("deck", {}))
