"""Gather the plates: layout, responses, measurements and quality of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.recipe import accepted_rounds, barcode_of
from controller.report import estimates
from controller.report.model import PlateView, Quality, WellView
from controller.report.shots import choose_shots
from controller.report.source import Source
from nextplate.plate import FORMATS, Role
from protocols.stock import DOSE_TOLERANCE

JSON = Mapping[str, Any]
_SHOWN_APART = {"plate", "n_wells", "n_flagged", "flags", "z_prime", "z_prime_robust", "ssmd", "passed", "reasons"}
_UNKNOWN = " is not known: "
"""How nextplate.assay says why a number of plate_qc.json is null."""
_STEPS = ("layout", "acquire", "measure", "normalise")


def gather_plate(source: Source, round_number: int) -> PlateView | None:
    """Gather a round's plate as far as it has come; None before its layout."""
    layout = source.frame("layout", round_number, "layout.csv")
    if layout is None:
        return None
    wells = _wells(source, layout, round_number)
    quality = _quality(source, round_number)
    assay = source.plan.section("assay")
    return PlateView(
        barcode=barcode_of(source.state, source.plan, round_number),
        round=round_number,
        shape=FORMATS[len(wells)],
        wells=wells,
        quality=quality,
        verdict=_verdict(source, quality, round_number),
        counts=round_number in accepted_rounds(source.state, source.plan.rounds),
        shots=choose_shots(source, wells, round_number),
        threshold=assay["hit_threshold"],
        min_viability=assay["min_viability"],
        origin={t: f for t in _STEPS if (f := source.step(t, round_number))},
    )


def _wells(source: Source, layout: pl.DataFrame, round_number: int) -> tuple[WellView, ...]:
    responses = _by_well(source.frame("normalise", round_number, "responses.parquet"))
    measured = _by_well(source.frame("measure", round_number, "wells.parquet"))
    return tuple(_well(row, responses.get(row["well"]), measured.get(row["well"], {})) for row in layout.to_dicts())


def _by_well(frame: pl.DataFrame | None) -> dict[str, dict[str, Any]]:
    return {} if frame is None else {row["well"]: row for row in frame.fill_nan(None).to_dicts()}


def _well(planned: JSON, response: JSON | None, measured: JSON) -> WellView:
    found = response or {}
    return WellView(
        well=planned["well"],
        role=planned["role"],
        reason=planned["reason"] or "",
        compound_id=planned["compound_id"],
        replicate=planned["replicate"],
        dose_um=planned["dose_um"],
        activity=found.get("activity"),
        viability=found.get("viability"),
        n_cells=measured.get("n_cells"),
        flags=tuple(f for f in (found.get("flags") or measured.get("flags") or "").split(";") if f),
        is_used=bool(found.get("is_used")),
        is_hit=bool(found.get("is_hit")),
        is_toxic=bool(found.get("is_toxic")),
    )


def _quality(source: Source, round_number: int) -> Quality | None:
    body = source.json("normalise", round_number, "plate_qc.json")
    if body is None:
        return None
    n = body["n_negative"] + body["n_positive"]
    found = {
        name: estimates.recorded(body.get(name), body["intervals"].get(name), n, _why(name, body["reasons"]))
        for name in ("z_prime", "z_prime_robust", "ssmd")
    }
    others = {k: v for k, v in body.items() if k not in _SHOWN_APART and (v is None or isinstance(v, int | float))}
    return Quality(
        **found,
        n_flagged=body["n_flagged"],
        flags=body["flags"],
        passed=body["passed"],
        reasons=tuple(r for r in body["reasons"] if _UNKNOWN not in r),
        others=others,
    )


def _why(name: str, reasons: Sequence[str]) -> str:
    said = (r.partition(_UNKNOWN)[2] for r in reasons if r.startswith(f"{name}{_UNKNOWN}"))
    return next(said, "the controls do not allow it")


def is_at_plate_dose(source: Source, well: WellView) -> bool:
    """Tell whether a sample well has the dose that hits are called at, rather than another of a series."""
    dose_um: float = source.plan.section("assay")["dose_um"]
    return abs(well.dose_um / dose_um - 1) <= DOSE_TOLERANCE


def control_activities(wells: Sequence[WellView], role: Role) -> npt.NDArray[np.float64]:
    """Return the activities of a role's good wells, shape (n,); on a plate that failed no well is used."""
    good = [w.activity for w in wells if w.role == role and w.activity is not None and (w.is_used or not w.flags)]
    return np.array(good, dtype=np.float64)


def _verdict(source: Source, quality: Quality | None, round_number: int) -> str:
    if quality is None:
        return "not measured"
    if quality.passed:
        return "passed"
    fault = source.state.faults.get(source.state.latest_key("normalise", round_number))
    answers = {"use": "failed and used", "discard": "failed and discarded", "abort": "failed; campaign aborted"}
    return answers.get((fault.answer if fault else None) or "", "failed, waits for a decision")
