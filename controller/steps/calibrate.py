"""calibrate: cross-validated predictions -> a calibration -> calibrated predictions for the whole library.

Two sets of intervals are made. The plain ones hold for compounds like those tested. Those for picks hold for what is
about to be picked because of its prediction, which the plain ones do not. How is said in nextplate.conformal.promise,
which retrospective campaigns call too; this step reads and writes.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.data import predicted_in_full, write_json, write_prediction
from controller.steps.foresight import asked_level, known_once, known_out_of_fold, read_met
from nextplate.conformal import (
    LEVELS,
    Calibration,
    Candidates,
    HitList,
    Known,
    Promise,
    best_few,
    best_hits,
    calibrate,
    chance_of_hit,
    chance_unseen,
    held_out_coverage,
    intervals,
    promise_picks,
    promised_intervals,
    save_calibration,
)
from nextplate.models.gates import Gate, coverage_gate, not_worse_gate
from nextplate.prediction import FloatArray, Prediction

BoolArray = npt.NDArray[np.bool_]


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write calibrations, predictions, the hit list, coverage of the cross-validation itself, and gates.

    Files: calibration.json and predictions.parquet (plain, and the columns lower_picked, upper_picked, weight for
    picks; intervals without end for compounds that were screened and not predicted in full; p_hit_unseen: of labelled
    compounds P(hit) out of fold of belief and calibrator alike, NaN of others); calibration-picked.json and
    promise.json (how those of picks were made); hits.json and hits.parquet (untested compounds to be called hits at
    20 % false discoveries, with p-values); coverage.json; gates.json.

    With an input ``deployed``, the folder of the fit in use, the new belief must not be worse than that one. Inputs
    ``met-ROUND`` are folders of evaluate: what was predicted before earlier plates, and what was measured.
    """
    oof, raw = (pl.read_parquet(inputs["fitted"] / name) for name in ("oof.parquet", "raw.parquet"))
    met, confidence, n_picks = read_met(inputs), params["confidence"], params["n_picks"]
    is_tested = raw["compound_id"].is_in(oof["compound_id"].to_list()).to_numpy()
    # Of what was only screened nothing is promised: it is neither picked for its prediction nor called a hit.
    unseen, library = known_out_of_fold(oof), _library(raw, is_tested | ~predicted_in_full(raw))
    known = known_once(oof, met, params["threshold"])
    calibration = calibrate(unseen.mean, unseen.spread, unseen.y, confidence)
    save_calibration(calibration, out / "calibration.json")
    probability, told = chance_of_hit(unseen, library.mean, library.spread, params["threshold"])
    level = asked_level(met, confidence)
    promise = promise_picks(known, library, level=level, confidence=confidence, n_picks=n_picks, beta=params["beta"])
    hits = best_hits(known, library, n_picks)
    out_of_fold = chance_unseen(unseen, params["threshold"])
    chances = {"p_hit": probability, "p_hit_unseen": _placed(out_of_fold, unseen.ids, raw)}
    n_asked = len(best_few(library, n_picks))
    _write(raw, calibration, promise, hits, n_asked, chances, is_tested, params, out)
    rows = _held_out(unseen, confidence)
    write_json(rows, out / "coverage.json")
    gates = [asdict(gate) for gate in _gates(rows, oof, confidence, inputs.get("deployed"))]
    write_json(gates, out / "gates.json")
    return {
        "n_calibrating": calibration.n,
        "coverage": rows,
        "gates": gates,
        "is_deployed": all(gate["is_passed"] for gate in gates),
        "picks": {"method": promise.method, "level": promise.level, "n_effective": promise.n_effective},
        "n_hit_list": len(hits.rows),
        "notes": [*told, *promise.notes, *(f"hit list: {note}" for note in hits.notes)],
    }


def _write(
    raw: pl.DataFrame,
    calibration: Calibration,
    promise: Promise,
    hits: HitList,
    n_asked: int,
    chances: Mapping[str, FloatArray],
    is_tested: BoolArray,
    params: Mapping[str, Any],
    out: Path,
) -> None:
    ids, mean, spread = tuple(raw["compound_id"]), raw["mean"].to_numpy(), raw["spread"].to_numpy()
    in_full = predicted_in_full(raw)
    lower, upper = _unbounded(intervals(calibration, mean, spread), ~in_full)
    found = promised_intervals(promise, mean, spread)
    lower_picked, upper_picked = _unbounded((found.lower, found.upper), ~in_full)
    write_prediction(
        Prediction(ids, mean, spread, lower, upper, params["confidence"], chances["p_hit"]),
        out / "predictions.parquet",
        tested=is_tested,
        similarity=raw["similarity"],
        in_full=in_full,
        by_lot=predicted_in_full(raw, "by_lot"),
        lower_picked=lower_picked,
        upper_picked=upper_picked,
        weight=np.ones(len(ids)) if promise.weights is None else promise.weights.new,
        p_value=hits.p_values,
        p_hit_unseen=chances["p_hit_unseen"],
    )
    save_calibration(promise.calibration, out / "calibration-picked.json")
    own = None if promise.weights is None else promise.weights.calibrating.tolist()
    body = {"method": promise.method, "level": promise.level, "nominal": params["confidence"], "weights": own}
    notes = [*promise.notes, *found.notes]
    write_json({**body, "n_effective": promise.n_effective, "notes": notes}, out / "promise.json")
    called = hits.rows
    columns = {"compound_id": [ids[i] for i in called], "mean": mean[called], "p_hit": chances["p_hit"][called]}
    pl.DataFrame({**columns, "p_value": hits.p_values[called]}).write_parquet(out / "hits.parquet")
    told = {"fdr": hits.fdr, "n": len(called), "expected_hits": hits.expected_hits, "notes": list(hits.notes)}
    write_json({**told, "n_candidates": n_asked, "compounds": columns["compound_id"]}, out / "hits.json")


def _placed(values: FloatArray, ids: npt.NDArray[np.str_], raw: pl.DataFrame) -> FloatArray:
    """Set values of some compounds to their rows of the library; NaN elsewhere."""
    known = pl.DataFrame({"compound_id": ids, "value": values}, {"compound_id": pl.String, "value": pl.Float64})
    both = raw.select("compound_id").join(known, on="compound_id", how="left", maintain_order="left")
    return both["value"].fill_null(float("nan")).to_numpy()


def _unbounded(ends: tuple[FloatArray, FloatArray], where: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Take back the intervals of some compounds: what calibrates them was not predicted as they were."""
    return np.where(where, -np.inf, ends[0]), np.where(where, np.inf, ends[1])


def _library(raw: pl.DataFrame, is_closed: BoolArray) -> Candidates:
    """Take the library as it is predicted."""
    mean, spread = raw["mean"].to_numpy(), raw["spread"].to_numpy()
    return Candidates(mean, spread, raw["similarity"].fill_null(float("nan")).to_numpy(), ~is_closed)


def _gates(rows: list[dict[str, float]], oof: pl.DataFrame, confidence: float, deployed: Path | None) -> list[Gate]:
    at = [row for row in rows if abs(row["nominal"] - confidence) < 1e-9]
    n = int(at[0]["n"]) if at else 0
    gates = [coverage_gate(round(at[0]["empirical"] * n) if n else 0, n, confidence)]
    if deployed is not None:
        known = pl.read_parquet(deployed / "oof.parquet")["compound_id"]
        unseen = oof.filter(~pl.col("compound_id").is_in(known.to_list()))
        said = pl.read_parquet(deployed / "raw.parquet")
        before = said.filter(predicted_in_full(said)).select("compound_id", before="mean")
        both = unseen.join(before, on="compound_id", maintain_order="left")
        gates.append(not_worse_gate(*(both[name].to_numpy() for name in ("mean", "before", "label"))))
    return gates


def _held_out(known: Known, confidence: float) -> list[dict[str, float]]:
    return [asdict(row) for row in held_out_coverage(known, sorted({*LEVELS, confidence}))]
