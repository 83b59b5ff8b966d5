"""Gather what became of predictions made before measuring, over all rounds, and the hit list of untested compounds."""

from typing import Any

from controller.report import estimates
from controller.report.model import Estimate, Foresight, ForesightRow, HitListView
from controller.report.source import Source
from nextplate.conformal.diagnostics import BETWEEN_ROUNDS


def gather_foresight(source: Source) -> Foresight | None:
    """Read the diagnostics of the last plate judged; None before there are any, or where nothing was predicted yet."""
    found = _last(source, "evaluate", "diagnostics.json")
    if found is None or not found[1]["rows"]:
        return None
    r, body = found
    drift, adaptive = body["drift"], body["adaptive"]
    picture = source.folder / str(source.step("evaluate", r)) / "coverage.png"
    return Foresight(
        rows=tuple(_row(row) for row in body["rows"]),
        picture=picture.read_bytes() if picture.is_file() else None,
        nominal=adaptive["nominal"],
        asked=adaptive["level"],
        drift_round=drift["round"],
        drift_capital=drift["capital"],
        drift_threshold=drift["threshold"],
        drift_n=drift["n"],
        drift_rate=drift["false_alarm_rate"],
        origin=f"{source.step('evaluate', r)}/diagnostics.json",
    )


def _row(row: dict[str, Any]) -> ForesightRow:
    # Diagnostics of before intervals were made between rounds say nothing of them: they are Wilson's.
    kind = estimates.BETWEEN if row.get("interval") == BETWEEN_ROUNDS else estimates.WILSON
    share = Estimate(row["empirical"], row["low"], row["high"], row["n"], kind)
    return ForesightRow(row["method"], row["group"], row["nominal"], share, row["n_infinite"])


def gather_hit_list(source: Source) -> HitListView | None:
    """Read the hit list of the last belief; None while there is none."""
    found = _last(source, "calibrate", "hits.json")
    if found is None:
        return None
    r, body = found
    notes = tuple(source.summary("calibrate", r).get("notes", ()))
    return HitListView(
        tuple(body["compounds"]), body["fdr"], body["expected_hits"], body["n_candidates"], tuple(body["notes"]), notes
    )


def _last(source: Source, task: str, name: str) -> tuple[int, Any] | None:
    """Find the last round whose step wrote a file; steps of before there were such files have none."""
    for r in range(source.plan.rounds, -1, -1):
        folder = source.step(task, r)
        if folder is not None and (source.folder / folder / name).is_file():
            return r, source.json(task, r, name)
    return None
