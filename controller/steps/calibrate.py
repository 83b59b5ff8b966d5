"""calibrate: cross-validated predictions -> a calibration -> calibrated predictions for the whole library.

Two sets of intervals are made. The plain ones hold for compounds like those tested. Those for picks hold for what is
about to be picked because of its prediction, which the plain ones do not: from the second predicted plate on they rest
on what was predicted before measuring, before that on weights for our own selection.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.data import predicted_in_full, write_json, write_prediction
from controller.steps.foresight import asked_level, once_each, read_met
from nextplate.conformal import (
    LEVELS,
    Calibration,
    HitList,
    Weights,
    calibrate,
    candidate_intervals,
    coverage_table,
    density_ratio,
    hit_list,
    hit_probability,
    intervals,
    p_hit,
    save_calibration,
    tempered,
)
from nextplate.models.gates import Gate, coverage_gate, not_worse_gate
from nextplate.prediction import FloatArray, Prediction

BoolArray = npt.NDArray[np.bool_]

FDR = 0.2
"""Bound on the expected share of false hits in the hit list."""


@dataclass(frozen=True, slots=True)
class Promise:
    """How the intervals of picks are made."""

    calibration: Calibration
    weights: Weights | None
    """Of calibrating compounds and of the whole library; None: all weigh the same."""
    level: float
    """Asked for, so that the nominal level is kept."""
    method: str
    """foreseen, weighted or plain."""
    n_effective: float
    notes: tuple[str, ...]


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write calibrations, predictions, the hit list, coverage of the cross-validation itself, and gates.

    Files: calibration.json and predictions.parquet (plain, and the columns lower_picked, upper_picked, weight for
    picks; intervals without end for compounds that were screened and not predicted in full); calibration-picked.json
    and promise.json (how the latter were made); hits.json and hits.parquet (untested compounds to be called hits at
    20 % false discoveries, with p-values); coverage.json; gates.json.

    With an input ``deployed``, the folder of the fit in use, the new belief must not be worse than that one. Inputs
    ``met-ROUND`` are folders of evaluate: what was predicted before earlier plates, and what was measured.
    """
    oof, raw = (pl.read_parquet(inputs["fitted"] / name) for name in ("oof.parquet", "raw.parquet"))
    known, met = _finite(oof), read_met(inputs)
    is_tested = raw["compound_id"].is_in(oof["compound_id"].to_list()).to_numpy()
    calibration = calibrate(*_arrays(known), params["confidence"])
    save_calibration(calibration, out / "calibration.json")
    probability, told = _hit_probability(known, raw, calibration, params["threshold"])
    # Of what was only screened nothing is promised: it is neither picked for its prediction nor called a hit.
    is_closed = is_tested | ~predicted_in_full(raw)
    promise = _promise(known, raw, met, is_closed, params)
    hits = _hit_list(known, raw, met, is_closed, params["n_picks"])
    _write(raw, calibration, promise, hits, probability, is_tested, params, out)
    rows = _held_out_coverage(known, params["confidence"])
    write_json(rows, out / "coverage.json")
    gates = [asdict(gate) for gate in _gates(rows, oof, params["confidence"], inputs.get("deployed"))]
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
    probability: FloatArray,
    is_tested: BoolArray,
    params: Mapping[str, Any],
    out: Path,
) -> None:
    ids, mean, spread = tuple(raw["compound_id"]), raw["mean"].to_numpy(), raw["spread"].to_numpy()
    in_full = predicted_in_full(raw)
    lower, upper = _unbounded(intervals(calibration, mean, spread), ~in_full)
    found = candidate_intervals(promise.calibration, mean, spread, level=promise.level, weights=promise.weights)
    lower_picked, upper_picked = _unbounded((found.lower, found.upper), ~in_full)
    p_value = np.full(len(ids), np.nan)
    p_value[~is_tested & in_full] = hits.p_values
    write_prediction(
        Prediction(ids, mean, spread, lower, upper, params["confidence"], probability),
        out / "predictions.parquet",
        tested=is_tested,
        similarity=raw["similarity"],
        in_full=in_full,
        by_lot=predicted_in_full(raw, "by_lot"),
        lower_picked=lower_picked,
        upper_picked=upper_picked,
        weight=np.ones(len(ids)) if promise.weights is None else promise.weights.new,
        p_value=p_value,
    )
    save_calibration(promise.calibration, out / "calibration-picked.json")
    own = None if promise.weights is None else promise.weights.calibrating.tolist()
    body = {"method": promise.method, "level": promise.level, "nominal": params["confidence"], "weights": own}
    notes = [*promise.notes, *found.notes]
    write_json({**body, "n_effective": promise.n_effective, "notes": notes}, out / "promise.json")
    called = np.flatnonzero(~is_tested & in_full)[hits.rows]
    columns = {"compound_id": [ids[i] for i in called], "mean": mean[called], "p_hit": probability[called]}
    pl.DataFrame({**columns, "p_value": p_value[called]}).write_parquet(out / "hits.parquet")
    told = {"fdr": hits.fdr, "n": len(called), "expected_hits": hits.expected_hits, "notes": list(hits.notes)}
    write_json(
        {**told, "n_candidates": int((hits.p_values < 1).sum()), "compounds": columns["compound_id"]}, out / "hits.json"
    )


def _unbounded(ends: tuple[FloatArray, FloatArray], where: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Take back the intervals of some compounds: what calibrates them was not predicted as they were."""
    return np.where(where, -np.inf, ends[0]), np.where(where, np.inf, ends[1])


def _finite(oof: pl.DataFrame) -> pl.DataFrame:
    """Keep the labelled compounds that could be predicted without their own label."""
    return oof.filter(*(pl.col(name).is_finite() for name in ("mean", "spread", "label")))


def _hit_probability(
    known: pl.DataFrame, raw: pl.DataFrame, calibration: Calibration, threshold: float
) -> tuple[FloatArray, tuple[str, ...]]:
    """Give the probability of a hit by Venn-Abers; where only one class was seen, by the predictive distribution."""
    n, n_hits = len(known), int(known["is_hit"].sum())
    mean = raw["mean"].to_numpy()
    if n == 0 or 0 < n_hits < n:
        found = p_hit(known["mean"].to_numpy(), known["is_hit"].to_numpy(), mean)
        note = f"probabilities of a hit: Venn-Abers on {n} compounds, {n_hits} hits"
        return found.probability, found.notes or (note,)
    what = "no hit" if n_hits == 0 else "nothing but hits"
    note = f"probabilities of a hit: {what} among {n} compounds, so by the conformal predictive distribution"
    return hit_probability(calibration, mean, raw["spread"].to_numpy(), threshold), (note,)


def _promise(
    known: pl.DataFrame,
    raw: pl.DataFrame,
    met: Mapping[int, pl.DataFrame],
    is_tested: BoolArray,
    params: Mapping[str, Any],
) -> Promise:
    level = asked_level(met, params["confidence"])
    if met:
        return _foreseen(once_each(known, met), level, params["confidence"])
    plain = calibrate(*_arrays(known), params["confidence"])
    likely = _likely(raw, is_tested, params)
    if not len(known) or not len(likely):
        note = f"intervals of picks: plain, as {len(known)} compounds calibrate and {len(likely)} can be picked"
        return Promise(plain, None, level, "plain", float(plain.n), (note,))
    weights, told = tempered(density_ratio(_features(known), _features(likely), _features(raw)), level)
    note = (
        f"intervals of picks: weighted for the {len(likely)} compounds most likely to be picked, "
        f"{weights.n_effective:.0f} effective of {plain.n} calibrating"
    )
    return Promise(plain, weights, level, "weighted", weights.n_effective, (note, *weights.notes, *told))


def _foreseen(frame: pl.DataFrame, level: float, confidence: float) -> Promise:
    calibration = calibrate(*_arrays(_finite(frame)), confidence)
    n_foreseen = int(frame["is_foreseen"].sum())
    note = (
        f"intervals of picks: calibrated on {n_foreseen} compounds as predicted before they were measured and "
        f"{calibration.n - n_foreseen} out of fold; {level:.1%} is asked for so that {confidence:.0%} holds"
    )
    return Promise(calibration, None, level, "foreseen", float(calibration.n), (note,))


def _likely(raw: pl.DataFrame, is_tested: BoolArray, params: Mapping[str, Any]) -> pl.DataFrame:
    """Take the untested compounds that an upper confidence bound would pick; rules differ little in their top."""
    bound = pl.col("mean") + params["beta"] * pl.col("spread")
    return raw.filter(~pl.Series(is_tested)).sort(bound, descending=True, maintain_order=True).head(params["n_picks"])


def _features(frame: pl.DataFrame) -> FloatArray:
    """Give what selection looks at, shape (n, 3): mean, spread, similarity to what is labelled (0 if nothing is)."""
    similarity = frame["similarity"].fill_nan(0.0).fill_null(0.0)
    return np.column_stack([frame["mean"].to_numpy(), frame["spread"].to_numpy(), similarity.to_numpy()])


def _hit_list(
    known: pl.DataFrame, raw: pl.DataFrame, met: Mapping[int, pl.DataFrame], is_tested: BoolArray, n_best: int
) -> HitList:
    """Call untested compounds hits, of the best few by their mean.

    Of a whole library so few are hits that no list could be supported. Only scores from the least of the best
    candidates' on count, of candidates and of what calibrates alike. Within them weights make the tested, which were
    picked, stand for the untested. P-values of all other compounds are 1.
    """
    asked = raw.filter(~pl.Series(is_tested))
    mean = asked["mean"].to_numpy()
    least = float(np.sort(mean)[-min(n_best, len(mean))]) if len(mean) else 0.0
    at = np.flatnonzero(mean >= least)
    told = once_each(known, met).join(known.select("compound_id", "is_hit"), on="compound_id", maintain_order="left")
    told = _finite(told).filter(pl.col("mean") >= least)
    features = _features(asked)[at]
    weights = density_ratio(_features(told), features, features) if len(told) and len(at) else None
    found = hit_list(told["mean"].to_numpy(), told["is_hit"].to_numpy(), mean[at], FDR, weights)
    p_values = np.ones(len(mean))
    p_values[at] = found.p_values
    return replace(found, rows=at[found.rows], p_values=p_values)


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
