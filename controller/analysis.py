"""What an analysed plate leaves in its folder, and what it says to people."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.files import write_bytes, write_text
from controller.steps.data import finite

if TYPE_CHECKING:
    import polars as pl

    from nextplate.assay import ControlQc, PlateAnalysis

RESPONSES, QUALITY, DOSES, LAYOUT, WELLS = (
    "responses.parquet", "plate_qc.json", "dose_response.csv", "layout.csv", "wells.parquet",
)  # fmt: skip
"""Names in a measured folder."""
_RESPONSES_CSV = "responses.csv"
_NUMBERS = (
    ("z_prime", "Z'", 3), ("z_prime_robust", "robust Z'", 3), ("ssmd", "SSMD", 1),
    ("signal_to_background", "S/B", 2), ("cv_negative", "CV of negatives", 3), ("cv_positive", "CV of positives", 3),
)  # fmt: skip


def write_analysis(analysis: "PlateAnalysis", folder: Path, layout_file: Path | None = None) -> tuple[Path, ...]:
    """Write responses.parquet and .csv, dose_response.csv and plate_qc.json; each is whole or absent.

    Args:
        analysis: what to write.
        folder: the measured folder; made where it is not there.
        layout_file: copied to layout.csv as it is, so that the folder can be analysed again.

    Returns:
        The files, in the order in which they were written.
    """
    body = json.dumps(finite(analysis.to_json()), indent=1, sort_keys=True, allow_nan=False) + "\n"
    files = {
        RESPONSES: _parquet(analysis.responses),
        _RESPONSES_CSV: analysis.responses.write_csv().encode(),
        DOSES: analysis.doses.write_csv().encode(),
        QUALITY: body.encode(),
    }
    if layout_file is not None and layout_file.resolve() != (folder / LAYOUT).resolve():
        files = {LAYOUT: layout_file.read_bytes()} | files
    for name, content in files.items():
        write_bytes(folder / name, content)
    return tuple(folder / name for name in files)


def drop_analysis(folder: Path) -> None:
    """Remove what `write_analysis` wrote but the layout: the numbers it was about are about to change."""
    for name in (RESPONSES, _RESPONSES_CSV, DOSES, QUALITY):
        (folder / name).unlink(missing_ok=True)


def write_table(frame: "pl.DataFrame", path: Path) -> None:
    """Write a table by the ending of its name, .csv or .parquet; it is whole or absent."""
    if path.suffix == ".csv":
        write_text(path, frame.write_csv())
    else:
        write_bytes(path, _parquet(frame))


def _parquet(frame: "pl.DataFrame") -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def analysis_text(analysis: "PlateAnalysis") -> str:
    """Say in a few lines how good the plate is, where its curves bend, what was hit, and what could not be told."""
    parts = [_head(analysis), *_controls(analysis), "", *_further(analysis), *_curves(analysis.doses)]
    parts += [f"note: {reason}" for reason in analysis.reasons]
    return "\n".join(parts)


def _head(a: "PlateAnalysis") -> str:
    q = a.quality
    flags = ", ".join(f"{code} {n}" for code, n in q.flags.items())
    flagged = f"{q.n_flagged} flagged ({flags})" if flags else "none flagged"
    verdict = "passed" if q.passed else "FAILED"
    return f"plate {q.plate}: {verdict}; {q.n_wells} wells, {flagged}; response {a.endpoint.column}"


def _controls(a: "PlateAnalysis") -> list[str]:
    columns = {"all": a.controls, **a.series} if a.series else {"all": a.controls}
    head = ["controls (95 % interval)", *columns]
    wells = ["wells - / +", *(f"{c.n_negative} / {c.n_positive}" for c in columns.values())]
    rows = [[title, *(_number(c, name, digits) for c in columns.values())] for name, title, digits in _NUMBERS]
    return aligned([head, *rows, wells])


def _number(controls: "ControlQc", name: str, digits: int) -> str:
    return told(controls.numbers[name], controls.intervals.get(name), digits)


def told(value: float | None, ends: tuple[float, float] | None, digits: int) -> str:
    """Write a number with its interval; 'not known' where there is none."""
    if value is None:
        return "not known"
    interval = f" ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})" if ends else ""
    return f"{value:.{digits}f}{interval}"


def aligned(rows: Iterable[Iterable[str]]) -> list[str]:
    """Line up the columns of a small table."""
    table = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]


def _further(a: "PlateAnalysis") -> list[str]:
    r, h = a.replicates, a.hits
    lines = []
    if r.correlation is not None and r.low is not None and r.high is not None:
        ends = told(r.correlation, (r.low, r.high), 3)
        lines.append(f"replicates: correlation {ends}, {r.n_treatments} treatments in {r.n_wells} wells")
    else:
        lines.append(f"replicates: no correlation, {r.reason}")
    if h is not None:
        rate = "" if h.fdr is None else f"; false discovery rate {h.fdr:.2g} (at most {h.fdr_high:.2g})"
        lines.append(f"hits: {h.n_hits} of {h.n_samples} good samples{rate}")
    return lines


def _curves(doses: "pl.DataFrame") -> list[str]:
    if doses.is_empty():
        return ["dose-response: no compound with doses"]
    rows = [["dose-response", "midpoint (95 % interval)", "slope", "wells"]]
    return aligned([*rows, *([r["compound_id"], midpoint(r), _slope(r), str(r["n_wells"])] for r in doses.to_dicts())])


def midpoint(row: Mapping[str, Any]) -> str:
    """Write a compound's midpoint with its interval, or that it is not determined and why."""
    unit = "" if row["axis"] == "index" else f" {row['dose_unit']}"
    name = "EC index" if row["axis"] == "index" else "EC50"
    if row["midpoint"] is not None:
        ends = f"{row['midpoint_low']:.3g} to {row['midpoint_high']:.3g}"
        return f"{name} {row['midpoint']:.3g}{unit} ({ends})"
    bounds = [f"{word} {row[side]:.3g}{unit}" for side, word in (("above", ">"), ("below", "<")) if row[side]]
    return f"not determined: {row['reason']}" + (f"; {name} {' and '.join(bounds)}" if bounds else "")


def _slope(row: Mapping[str, Any]) -> str:
    return "" if row["midpoint"] is None else f"{row['slope']:.2g}"
