"""calibrate: cross-validated predictions -> a calibration -> calibrated predictions for the whole library."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.step import Progress
from controller.steps.data import write_json, write_prediction
from nextplate.conformal.calibration import calibrate, hit_probability, intervals, save_calibration
from nextplate.conformal.coverage import LEVELS, coverage_table
from nextplate.models.gates import Gate, coverage_gate, not_worse_gate
from nextplate.prediction import FloatArray, Prediction


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write calibration.json, predictions.parquet, coverage.json (of the cross-validation itself) and gates.json.

    With an input ``deployed``, the folder of the fit in use, the new belief must not be worse than that one.
    """
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
    rows = _held_out_coverage(oof, params["confidence"])
    write_json(rows, out / "coverage.json")
    gates = [asdict(gate) for gate in _gates(rows, oof, params["confidence"], inputs.get("deployed"))]
    write_json(gates, out / "gates.json")
    return {
        "n_calibrating": calibration.n,
        "coverage": rows,
        "gates": gates,
        "is_deployed": all(gate["is_passed"] for gate in gates),
    }


def _gates(rows: list[dict[str, float]], oof: pl.DataFrame, confidence: float, deployed: Path | None) -> list[Gate]:
    at = [row for row in rows if abs(row["nominal"] - confidence) < 1e-9]
    n = int(at[0]["n"]) if at else 0
    gates = [coverage_gate(round(at[0]["empirical"] * n) if n else 0, n, confidence)]
    if deployed is not None:
        known = pl.read_parquet(deployed / "oof.parquet")["compound_id"]
        unseen = oof.filter(~pl.col("compound_id").is_in(known.to_list()))
        before = pl.read_parquet(deployed / "raw.parquet").select("compound_id", before="mean")
        both = unseen.join(before, on="compound_id", maintain_order="left")
        gates.append(not_worse_gate(*(both[name].to_numpy() for name in ("mean", "before", "label"))))
    return gates


def _held_out_coverage(oof: pl.DataFrame, confidence: float) -> list[dict[str, float]]:
    """Calibrate on one half of the out-of-fold predictions and count on the other, both ways.

    Counting on the rows that calibrate would give the nominal value by construction.
    """
    halves = np.arange(len(oof)) % 2 == 0
    levels = sorted({*LEVELS, confidence})
    tables = []
    for half in (halves, ~halves):
        known, asked = oof.filter(half), oof.filter(~half)
        tables.append(coverage_table(calibrate(*_arrays(known)), *_arrays(asked), levels=levels))
    return [
        {"nominal": a.nominal, "n": a.n + b.n, "empirical": (a.empirical * a.n + b.empirical * b.n) / max(a.n + b.n, 1)}
        for a, b in zip(*tables, strict=True)
        if a.n and b.n
    ]


def _arrays(oof: pl.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    return oof["mean"].to_numpy(), oof["spread"].to_numpy(), oof["label"].to_numpy()
