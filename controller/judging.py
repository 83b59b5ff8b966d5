"""The second half of nextplate measure: with a layout, what the numbers of a measured folder say about the plate."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from controller.analysis import WELLS, analysis_text, write_analysis, write_table
from controller.lock import lab_lock
from controller.measuring import cells_of
from controller.steps.data import finite
from nextplate.assay import AssayParams, MeasuredLayout, PlateAnalysis, analyse_plate, read_measured_layout
from nextplate.assay.responders import Cut, responder_cut, responders
from nextplate.assay.statistics import z_prime
from nextplate.errors import DataError
from nextplate.imaging import MeasureParams, is_unusable
from nextplate.plate import Role
from nextplate.readout import Readout

RESPONDERS = "responders"
_TOLD = ("z_prime", "z_prime_robust", "ssmd")


def read_layout(path: Path, readout: Readout) -> MeasuredLayout:
    """Read a layout file for a plate that is to be measured.

    Raises:
        DataError: with file, line, well and the fix.
    """
    return read_measured_layout(path, readout.plate)


def negatives_of(layout: MeasuredLayout | None) -> frozenset[str] | None:
    """Return the wells of the negative controls; None without a layout."""
    return None if layout is None else frozenset(w.well for w in layout.wells if w.role is Role.NEGATIVE)


def judge_folder(
    out: Path, layout: MeasuredLayout | None, layout_file: Path | None, column: str | None, params: MeasureParams
) -> tuple[dict[str, Any], str]:
    """Judge a measured folder by its layout and write what was found beside the measurements.

    Args:
        out: the measured folder.
        layout: None: nothing is known about the wells, and every number of quality is None.
        layout_file: kept as layout.csv.
        column: of wells.parquet, the response. None: the share of responding cells where there is a reporter, else
            the number of cells.
        params: how the plate was measured.

    Returns:
        (what `--json` adds, text for people).

    Raises:
        DataError: no such column, or the layout is another plate's.
    """
    started = time.perf_counter()
    nothing = {"readout": None, "intervals": {}, "reasons": ["no layout was given: --layout"]} | dict.fromkeys(_TOLD)
    if layout is None:
        return {**nothing, "seconds": 0.0}, "no layout was given, so there is no Z' and no response: --layout"
    with lab_lock(out, "nextplate measure"):
        wells, cut = _with_responders(pl.read_parquet(out / WELLS), layout, out)
        write_table(wells, out / WELLS)
        chosen = column or _default_column(wells, params)
        if chosen not in wells.columns or not wells.schema[chosen].is_numeric():
            raise DataError(f"--readout {chosen}: {_like(chosen, wells)}")
        # A plate of a few wells is no reason to say nothing: it is judged, and its verdict stands beside its numbers.
        analysis = analyse_plate(wells, layout, AssayParams(), chosen)
        write_analysis(analysis, out, layout_file)
    body = _body(analysis, cut) | {"z_prime_by_readout": _by_readout(wells, layout)}
    return {**body, "seconds": time.perf_counter() - started}, analysis_text(analysis)


def _by_readout(wells: pl.DataFrame, layout: MeasuredLayout) -> dict[str, float | None]:
    """Tell Z' of the readouts there are, so that nobody takes the default's for the assay's."""
    good = wells.filter(~is_unusable(wells))
    found = {}
    for column in (c for c in (RESPONDERS, "nc_ratio", "n_cells") if c in wells.columns):
        values = {str(w): v for w, v in good.select("well", column).drop_nulls().iter_rows()}
        positive, negative = (
            np.array([values[w.well] for w in layout.wells if w.role is role and w.well in values], dtype=np.float64)
            for role in (Role.POSITIVE, Role.NEGATIVE)
        )
        found[column] = z_prime(positive, negative)
    return found


def _body(analysis: PlateAnalysis, cut: Cut | None) -> dict[str, Any]:
    found = analysis.to_json()
    series = {name: {k: body[k] for k in (*_TOLD, "intervals")} for name, body in found["series"].items()}
    body = {
        "readout": analysis.endpoint.column,
        "responder_cut": None if cut is None else cut.value,
        **{name: found[name] for name in _TOLD},
        "intervals": found["intervals"],
        "series": series,
        "passed": found["passed"],
        "reasons": found["reasons"],
        "dose_response": found["dose_response"],
        "hits": found["hits"],
    }
    plain: dict[str, Any] = finite(body)
    return plain


def _with_responders(wells: pl.DataFrame, layout: MeasuredLayout, out: Path) -> tuple[pl.DataFrame, Cut | None]:
    """Add the share of responding cells, where the controls tell what a response is."""
    wells = wells.drop("responders", "responders_low", "responders_high", strict=False)
    role = {w.well: w.role for w in layout.wells}
    ratio = wells["nc_ratio"].fill_null(float("nan")).to_numpy()
    medians = np.where(is_unusable(wells).to_numpy(), np.nan, ratio)
    cut = responder_cut(medians, [role.get(w, Role.EMPTY) for w in wells["well"]])
    if cut is None:
        return wells, None
    shares = responders(cells_of(out, ["well", "nc_ratio"]), cut)
    joined = wells.join(shares, on="well", how="left", maintain_order="left")
    first = [c for c in wells.columns if c not in ("flags", "details")]
    return joined.select(*first, *shares.columns[1:], "flags", "details"), cut


def _default_column(wells: pl.DataFrame, params: MeasureParams) -> str:
    if RESPONDERS in wells.columns:
        return RESPONDERS
    return "n_cells" if params.reporter is None else "nc_ratio"


def _like(column: str, wells: pl.DataFrame) -> str:
    import difflib

    names = [name for name, kind in wells.schema.items() if kind.is_numeric()]
    close = difflib.get_close_matches(column, names, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(close)}?" if close else f"there are {len(names)}, {', '.join(names[:5])} .."
    return f"no such number is in wells.parquet; {hint}"
