"""calibrate: cross-validated predictions -> a calibration -> calibrated predictions for the whole library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.step import Progress
from controller.steps.data import write_json, write_prediction
from nextplate.conformal.calibration import calibrate, hit_probability, intervals, save_calibration
from nextplate.conformal.coverage import coverage_table
from nextplate.prediction import FloatArray, Prediction


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write calibration.json, predictions.parquet and coverage.json (coverage of the cross-validation itself)."""
    oof, raw = (pl.read_parquet(inputs["fitted"] / name) for name in ("oof.parquet", "raw.parquet"))
    calibration = calibrate(*_arrays(oof), params["confidence"])
    save_calibration(calibration, out / "calibration.json")
    mean, spread = raw["mean"].to_numpy(), raw["spread"].to_numpy()
    lower, upper = intervals(calibration, mean, spread)
    p_hit = hit_probability(calibration, mean, spread, params["threshold"])
    # Where nothing calibrates, nothing is known: a coin nobody has thrown is not a probability of zero.
    p_hit = np.where(np.isnan(p_hit), 0.5, p_hit)
    ids = tuple(raw["compound_id"])
    prediction = Prediction(ids, mean, spread, lower, upper, params["confidence"], p_hit)
    tested = set(oof["compound_id"])
    write_prediction(prediction, out / "predictions.parquet", tested=[i in tested for i in ids])
    rows = _held_out_coverage(oof)
    write_json(rows, out / "coverage.json")
    return {"n_calibrating": calibration.n, "coverage": rows}


def _held_out_coverage(oof: pl.DataFrame) -> list[dict[str, float]]:
    """Calibrate on one half of the out-of-fold predictions and count on the other, both ways.

    Counting on the rows that calibrate would give the nominal value by construction.
    """
    halves = np.arange(len(oof)) % 2 == 0
    tables = []
    for half in (halves, ~halves):
        known, asked = oof.filter(half), oof.filter(~half)
        tables.append(coverage_table(calibrate(*_arrays(known)), *_arrays(asked)))
    return [
        {"nominal": a.nominal, "n": a.n + b.n, "empirical": (a.empirical * a.n + b.empirical * b.n) / max(a.n + b.n, 1)}
        for a, b in zip(*tables, strict=True)
        if a.n and b.n
    ]


def _arrays(oof: pl.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    return oof["mean"].to_numpy(), oof["spread"].to_numpy(), oof["label"].to_numpy()
