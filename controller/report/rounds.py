"""Gather the rounds: picks, quality, coverage, liquid handling and computing time of each."""

from typing import Any

import polars as pl

from controller.report import estimates
from controller.report.model import CoverageRow, Estimate, RoundView
from controller.report.plates import gather_plate
from controller.report.source import Source
from controller.steps.data import labelled

_NEW = ("exploit", "over-cap", "explore")
CROSS_VALIDATION = "cross-validation"


def gather_rounds(source: Source) -> tuple[RoundView, ...]:
    """Gather every round that was begun, and the closing belief after the last."""
    begun = {i.round for k, i in source.state.intents.items() if k.startswith(f"{source.plan.name}.r")}
    return tuple(_round(source, r) for r in sorted(begun))


def _round(source: Source, r: int) -> RoundView:
    plate = gather_plate(source, r) if r < source.plan.rounds else None
    samples = [w for w in plate.wells if w.compound_id] if plate and plate.quality else None
    summary = source.summary("compile", r)
    transfers = _transfers(source, r)
    return RoundView(
        round=r,
        plate=plate,
        reasons=source.summary("pick", r).get("reasons", {}),
        n_called=None if samples is None else len({w.compound_id for w in samples if w.is_hit}),
        n_toxic=None if samples is None else len({w.compound_id for w in samples if w.is_toxic}),
        coverage=_coverage(source, r),
        held_out=_held_out(source, r),
        rmse_held_out=_rmse_held_out(source, r),
        rmse_picks=_rmse_picks(source, r),
        n_planned=summary.get("n_transfers"),
        n_moved=None if transfers is None else sum(nl > 0 for _, nl in transfers),
        n_loads=len(summary["loads"]) if summary else None,
        n_tips=None if transfers is None else 0 if _is_by_sound(source) else len(transfers),
        dilution_plates=tuple(summary.get("dilution_plates", ())),
        seconds=_seconds(source, r),
        lab_hours=_lab_hours(source, r),
        beside=source.summary("evaluate", r).get("beside"),
        beside_held_out=source.summary("fit", r).get("beside"),
    )


def _is_by_sound(source: Source) -> bool:
    """Tell whether the liquid handler has no tips."""
    devices = source.plan.settings.get("device", ())
    return any(device["kind"] == "liquid-handler" and device.get("robot") == "echo" for device in devices)


def _transfers(source: Source, r: int) -> list[tuple[int, int]] | None:
    """Return (transfer, nanolitres moved) as the handler reported; None before the first load."""
    runs = [o for t in source.tasks(r) if t.startswith("run-") and (o := source.outcome(t, r))]
    if not runs:
        return None
    return [(int(t), int(nl)) for o in runs for t, nl in o.result.get("transfers", ())]


def _coverage(source: Source, r: int) -> tuple[CoverageRow, ...]:
    rows = source.json("evaluate", r, "coverage.json") or []
    return tuple(
        CoverageRow(row["group"], row["nominal"], _recorded(row), row.get("mean_width")) for row in rows if row["n"]
    )


def _recorded(row: dict[str, Any]) -> Estimate:
    return Estimate(row["empirical"], row["low"], row["high"], row["n"], estimates.WILSON)


def _held_out(source: Source, r: int) -> tuple[CoverageRow, ...]:
    rows = source.json("calibrate", r, "coverage.json") or []
    return tuple(
        CoverageRow(
            CROSS_VALIDATION, row["nominal"], estimates.share(round(row["empirical"] * row["n"]), row["n"]), None
        )
        for row in rows
        if row["n"]
    )


def _rmse_held_out(source: Source, r: int) -> Estimate:
    oof = source.frame("fit", r, "oof.parquet")
    if oof is None:
        return estimates.unknown("nothing was tested before" if r == 0 else "the belief is not fitted yet")
    return estimates.rmse(oof["mean"], oof["label"], "too few compounds were tested")


def _rmse_picks(source: Source, r: int) -> Estimate:
    """Compare what was predicted of newly picked compounds with the label of the first good well of each."""
    picks, responses = source.frame("pick", r, "picks.parquet"), source.frame("normalise", r, "responses.parquet")
    if picks is None or responses is None:
        return estimates.unknown("the plate is not measured yet" if r < source.plan.rounds else "no plate follows")
    measured = labelled(responses).filter(pl.col("label").is_not_null()).sort("replicate")
    first = measured.group_by("compound_id", maintain_order=True).first().select("compound_id", "label")
    met = picks.filter(pl.col("reason").is_in(_NEW)).join(first, on="compound_id")
    why = "the first plate is picked without a belief" if r == 0 else "no picked compound has a usable response"
    return estimates.rmse(met["mean"], met["label"], why)


def _seconds(source: Source, r: int) -> dict[str, float]:
    tasks = [t for t in source.tasks(r) if "key" in source.result(t, r)]
    return {t: float(source.record(t, r)["seconds"]) for t in tasks}


def _lab_hours(source: Source, r: int) -> float | None:
    times = [i.time for k, i in source.state.intents.items() if k.startswith(f"{source.plan.name}.r{r}.")]
    ends = [o.time for k, o in source.state.outcomes.items() if k.startswith(f"{source.plan.name}.r{r}.")]
    return (max(ends) - min(times)).total_seconds() / 3600 if ends else None
