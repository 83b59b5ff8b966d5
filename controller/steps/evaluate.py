"""evaluate: what was predicted before the plate was made, against what was measured on it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.step import Progress
from controller.steps.beside import met_beside
from controller.steps.data import finite, generator, labelled, predicted_in_full, read_json, write_json
from controller.steps.foresight import SCHEMA, asked_level, read_met, records
from nextplate.conformal import (
    LEVELS,
    Calibration,
    CoverageRow,
    DriftAlarm,
    Weights,
    candidate_intervals,
    coverage_of,
    coverage_picture,
    coverage_rows,
    coverage_text,
    drift_alarm,
    given_weights,
    load_calibration,
    measured_p_values,
)
from nextplate.conformal.diagnostics import SHOWN_LEVELS
from nextplate.prediction import BY_LOT

FALSE_ALARM_RATE = 0.01
"""Chance that the drift alarm is ever raised in a campaign without drift."""


@dataclass(frozen=True, slots=True)
class _Promised:
    """How the intervals of the picks were made."""

    calibration: Calibration
    weights: Weights | None
    level: float
    """Asked for, to hold at the nominal one."""


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write how this plate's predictions came out, and how all did so far.

    Files: coverage.json (one row per group of picks and nominal level; empty for the cold start) and met.parquet
    (foresight.SCHEMA; empty likewise) of this plate; of this and the earlier plates that were predicted (inputs
    ``met-ROUND``) diagnostics.json, coverage.txt, and, once there is anything to draw, coverage.png.
    """
    confidence = params["confidence"]
    joined = _joined(inputs)
    promised = None if joined is None else _promised(inputs, joined, confidence)
    rows = _rows(joined, promised, confidence)
    write_json(rows, out / "coverage.json")
    table = _met(inputs, joined, promised)
    table.write_parquet(out / "met.parquet")
    met = {**read_met(inputs), **({params["round"]: table} if len(table) else {})}
    told = tell(met, params, out)
    at = [r for r in rows if r["group"] == "all" and abs(r["nominal"] - confidence) < 1e-9]
    n = at[0]["n"] if at else 0
    if "beside" in inputs and len(table):
        told["beside"] = met_beside(inputs["beside"], table)
    return {
        "confidence": confidence,
        "n": n,
        "n_inside": round(at[0]["empirical"] * n) if n else 0,
        "n_infinite": at[0]["n_infinite"] if n else 0,
        "low": at[0]["low"] if n else None,
        "high": at[0]["high"] if n else None,
        "coverage": rows,
        **told,
    }


def _joined(inputs: Mapping[str, Path]) -> pl.DataFrame | None:
    """Put predictions and measurements of the picked compounds side by side; None for the cold start."""
    if "predictions" not in inputs:
        return None
    picks = pl.read_parquet(inputs["picks"]).select("compound_id", "reason", believed="p_hit")
    used = labelled(pl.read_parquet(inputs["responses"])).filter(pl.col("label").is_not_null())
    # A compound with several wells counts once, by its first: a mean would be less noisy than what was promised.
    first = used.sort("replicate").group_by("compound_id", maintain_order=True).first()
    predicted = pl.read_parquet(inputs["predictions"])
    # Of what was only screened nothing was promised.
    predicted = predicted.filter(~pl.col("tested") & pl.Series(predicted_in_full(predicted)))
    met = predicted.join(picks, on="compound_id", maintain_order="left").join(
        first.select("compound_id", "label", "is_hit"), on="compound_id", maintain_order="left"
    )
    # The pick knew more than the calibration where viability is an endpoint.
    return met.with_columns(p_hit=pl.col("believed").cast(pl.Float64)).sort("compound_id")


def _rows(joined: pl.DataFrame | None, promised: _Promised | None, confidence: float) -> list[dict[str, Any]]:
    """Count the intervals that were given with the picks; at the nominal level they asked for the adaptive one."""
    if joined is None or promised is None:
        return []
    mean, spread, y = (joined[c].to_numpy() for c in ("mean", "spread", "label"))
    each = {}
    for nominal in sorted({*LEVELS, confidence}):
        level = promised.level if nominal == confidence else nominal
        found = candidate_intervals(promised.calibration, mean, spread, level=level, weights=promised.weights)
        each[nominal] = (found.lower, found.upper)
    return [finite(asdict(row)) for row in coverage_of(each, y, groups=tuple(joined["reason"]))]


def _promised(inputs: Mapping[str, Path], joined: pl.DataFrame, confidence: float) -> _Promised:
    """Read how intervals of picks were made: calibration, weights, level; plain ones before there were promises."""
    promise = inputs.get("promise")
    if promise is None or not (promise / "promise.json").exists():
        return _Promised(load_calibration(inputs["calibration"]), None, confidence)
    told = read_json(promise / "promise.json")
    calibration = load_calibration(promise / "calibration-picked.json")
    return _Promised(calibration, _weights(told["weights"], joined), told["level"])


def _met(inputs: Mapping[str, Path], joined: pl.DataFrame | None, promised: _Promised | None) -> pl.DataFrame:
    if joined is None or promised is None or joined.is_empty():
        return SCHEMA.to_frame()
    mean, spread, y = (joined[c].to_numpy() for c in ("mean", "spread", "label"))
    p, least = measured_p_values(load_calibration(inputs["calibration"]), mean, spread, y)
    p_picked, least_picked = measured_p_values(promised.calibration, mean, spread, y, promised.weights)
    # Predictions of earlier versions lack it.
    known = joined if "similarity" in joined.columns else joined.with_columns(similarity=pl.lit(None, pl.Float64))
    columns = {"p": p, "least": least, "p_picked": p_picked, "least_picked": least_picked}
    return known.with_columns(**{k: pl.Series(v) for k, v in columns.items()}).select(list(SCHEMA)).cast(SCHEMA)


def _weights(calibrating: Sequence[float] | None, joined: pl.DataFrame) -> Weights | None:
    return None if calibrating is None else given_weights(calibrating, joined["weight"].to_numpy())


def tell(met: Mapping[int, pl.DataFrame], params: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Write the diagnostics of all rounds so far, and give what the summary keeps of them.

    Args:
        met: met tables by round; empty before there is any.
        params: seed, round, purpose, and confidence, which the adaptive level is asked for.
        out: folder; gets diagnostics.json, coverage.txt, and coverage.png unless there is nothing to draw.
    """
    confidence = params["confidence"]
    rows = _diagnostics(met, confidence)
    alarm = drift(met, generator(params))
    level = asked_level(met, confidence)
    body = {
        "rows": [asdict(row) for row in rows],
        "drift": _drift_body(alarm, tuple(met)),
        "adaptive": {"nominal": confidence, "level": level, "n_rounds": len(met)},
    }
    write_json(body, out / "diagnostics.json")
    (out / "coverage.txt").write_text(coverage_text(rows) + "\n", encoding="utf-8")
    if rows:
        (out / "coverage.png").write_bytes(coverage_picture(rows, "Intervals made before measuring, all rounds so far"))
    return {"drift": body["drift"], "asked_level": level}


def _diagnostics(met: Mapping[int, pl.DataFrame], confidence: float) -> tuple[CoverageRow, ...]:
    """Count coverage level by level, as the adaptive method follows one level; rows by method, group and level."""
    levels = sorted({*SHOWN_LEVELS, confidence})
    rows = [row for level in levels for row in coverage_rows(records(met, level), [level])]
    place = {key: n for n, key in enumerate(dict.fromkeys((row.method, row.group) for row in rows))}
    return tuple(sorted(rows, key=lambda row: (place[row.method, row.group], row.nominal)))


def drift(met: Mapping[int, pl.DataFrame], rng: np.random.Generator) -> DriftAlarm:
    """Bet against the plates being alike, on picks drawn by lot alone: other picks differ because they were picked.

    The bet is on p-values under each round's own calibration, so that a belief that learns is no drift.
    """
    lots = [t.filter(pl.col("reason") == BY_LOT)["p"].to_numpy() for t in met.values()]
    return drift_alarm(np.empty(0), lots, rng, false_alarm_rate=FALSE_ALARM_RATE)


def _drift_body(alarm: DriftAlarm, rounds: Sequence[int]) -> dict[str, Any]:
    return {
        "is_alarmed": alarm.is_alarmed,
        "round": None if alarm.alarmed_round is None else rounds[alarm.alarmed_round],
        "n": len(alarm.log_capital),
        "capital": float(np.exp(min(alarm.log_capital[-1], 700.0))) if len(alarm.log_capital) else 1.0,
        "threshold": alarm.threshold,
        "false_alarm_rate": alarm.false_alarm_rate,
        "notes": list(alarm.notes),
    }
