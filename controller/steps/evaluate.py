"""evaluate: what was predicted before the plate was made, against what was measured on it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import finite, labelled, write_json
from nextplate.conformal.calibration import load_calibration
from nextplate.conformal.coverage import LEVELS, coverage_table


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write coverage.json: one row per group of picks and nominal level; empty for the cold start."""
    rows = _rows(inputs, params["confidence"])
    write_json(rows, out / "coverage.json")
    at = [r for r in rows if r["group"] == "all" and abs(r["nominal"] - params["confidence"]) < 1e-9]
    n = at[0]["n"] if at else 0
    return {
        "confidence": params["confidence"],
        "n": n,
        "n_inside": round(at[0]["empirical"] * n) if n else 0,
        "low": at[0]["low"] if n else None,
        "high": at[0]["high"] if n else None,
        "coverage": rows,
    }


def _rows(inputs: Mapping[str, Path], confidence: float) -> list[dict[str, Any]]:
    if "predictions" not in inputs:
        return []
    picks = pl.read_parquet(inputs["picks"]).select("compound_id", "reason")
    used = labelled(pl.read_parquet(inputs["responses"])).filter(pl.col("label").is_not_null())
    # A compound with several wells counts once, by its first: a mean would be less noisy than what was promised.
    first = used.sort("replicate").group_by("compound_id", maintain_order=True).first()
    predicted = pl.read_parquet(inputs["predictions"]).filter(~pl.col("tested"))
    met = predicted.join(picks, on="compound_id").join(first.select("compound_id", "label"), on="compound_id")
    met = met.sort("compound_id")
    arrays = [met[c].to_numpy() for c in ("mean", "spread", "label")]
    levels = sorted({*LEVELS, confidence})
    table = coverage_table(load_calibration(inputs["calibration"]), *arrays, groups=tuple(met["reason"]), levels=levels)
    return [finite(asdict(row)) for row in table]
