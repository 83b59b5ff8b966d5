"""From fields to tables: one row per well, one row per cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.imaging.field import FieldNumbers
from nextplate.imaging.quality import is_blurred, join_flags
from nextplate.imaging.survey import Survey
from nextplate.readout import Missing

Row = dict[str, str | int | float | None]

_WELL_SCHEMA: dict[str, pl.DataType] = {
    "plate": pl.String(),
    "well": pl.String(),
    "n_fields": pl.Int32(),
    "n_cells": pl.Int32(),
    "n_expressing": pl.Int32(),
    "nuclear_area_um2": pl.Float64(),
    "nuclear_area_px": pl.Float64(),
    "nuclear_dna": pl.Float64(),
    "reporter_nucleus": pl.Float64(),
    "reporter_ring": pl.Float64(),
    "nc_ratio": pl.Float64(),
    "nc_ratio_mad": pl.Float64(),
    "focus_score": pl.Float64(),
    "focus_slope": pl.Float64(),
    "reporter_focus_score": pl.Float64(),
    "reporter_focus_slope": pl.Float64(),
    "saturated_share": pl.Float64(),
    "background_dna": pl.Float64(),
    "background_reporter": pl.Float64(),
    "flags": pl.String(),
    "details": pl.String(),
}


@dataclass(frozen=True, slots=True)
class WellMeasure:
    """The measured fields of one well and what went wrong in it."""

    well: str
    fields: tuple[FieldNumbers, ...]
    codes: frozenset[str]
    """Flags known from reading, before the plate is judged as a whole."""
    problems: tuple[Missing, ...]


def well_table(
    plate: str, wells: Sequence[WellMeasure], survey: Survey | None, focus_z: float, max_saturated_share: float
) -> pl.DataFrame:
    """Summarise each well and flag it; a number that a well does not have is null.

    Medians run over cells (areas, intensities, nc_ratio; nc_ratio_mad is 1.4826 MAD), means over fields
    (focus, background); saturated_share is the worst field's.
    """
    rows = [_well_row(plate, w, survey) for w in wells]
    blurred = {
        "out-of-focus": is_blurred(_column(rows, "focus_score"), _column(rows, "focus_slope"), focus_z),
        "reporter-out-of-focus": is_blurred(
            _column(rows, "reporter_focus_score"), _column(rows, "reporter_focus_slope"), focus_z
        ),
    }
    for i, (row, well) in enumerate(zip(rows, wells, strict=True)):
        codes = set(well.codes) | {code for code, is_bad in blurred.items() if is_bad[i]}
        if well.fields and row["n_cells"] == 0:
            codes.add("empty-field")
        if max((f.saturated_share for f in well.fields), default=0.0) > max_saturated_share:
            codes.add("saturated")
        row["flags"] = join_flags(codes)
    return pl.DataFrame(rows, schema=_WELL_SCHEMA)


def cell_table(plate: str, wells: Sequence[WellMeasure], survey: Survey | None) -> pl.DataFrame:
    """Put the nuclei of all wells in one table; positions and areas are in raw pixels.

    Null: area_um2 where the pixel size is unknown, reporter_ring and nc_ratio where a cell has none.
    """
    factor = survey.factor if survey else 1
    size = survey.pixel_size_um if survey else None
    parts = [(w.well, f) for w in wells for f in w.fields]
    counts = [len(f.objects.area_px) for _, f in parts]
    names = np.repeat(np.array([well for well, _ in parts], dtype=np.str_), counts)
    area = _joined(parts, "area_px") * np.float32(factor**2)
    centre = {key: (_joined(parts, key) + np.float32(0.5)) * factor - np.float32(0.5) for key in ("y_px", "x_px")}
    values = {
        **centre,
        "area_um2": area * np.float32(np.nan if size is None else size**2),
        "area_px": area,
        **{key: _joined(parts, key) for key in ("dna", "reporter_nucleus", "reporter_ring", "nc_ratio")},
    }
    return pl.DataFrame(
        [
            pl.Series("plate", [plate] * len(names), dtype=pl.String),
            pl.Series("well", names.tolist(), dtype=pl.String),
            pl.Series("field", np.repeat(np.array([f.field for _, f in parts], np.int32), counts), dtype=pl.Int32),
            *(pl.Series(key, column, dtype=pl.Float32).fill_nan(None) for key, column in values.items()),
        ]
    )


def _joined(parts: Sequence[tuple[str, FieldNumbers]], name: str) -> npt.NDArray[np.float32]:
    pieces = [getattr(f.objects, name) for _, f in parts]
    return np.asarray(np.concatenate([*pieces, np.empty(0)]), dtype=np.float32)


def _column(rows: Sequence[Row], key: str) -> npt.NDArray[np.float64]:
    return np.array([row[key] for row in rows], dtype=np.float64)


def _well_row(plate: str, well: WellMeasure, survey: Survey | None) -> Row:
    fields = well.fields
    area = _median(_cells(fields, "area_px"))
    area_px = None if area is None or survey is None else area * survey.factor**2
    size = survey.pixel_size_um if survey else None
    ratio = _cells(fields, "nc_ratio")
    centre = _median(ratio)
    return {
        "plate": plate,
        "well": well.well,
        "n_fields": len(fields),
        "n_cells": sum(len(f.objects.area_px) for f in fields),
        "n_expressing": int(np.isfinite(ratio).sum()),
        "nuclear_area_um2": area_px * size**2 if area_px is not None and size else None,
        "nuclear_area_px": area_px,
        "nuclear_dna": _median(_cells(fields, "dna")),
        "reporter_nucleus": _median(_cells(fields, "reporter_nucleus")),
        "reporter_ring": _median(_cells(fields, "reporter_ring")),
        "nc_ratio": centre,
        "nc_ratio_mad": None if centre is None else _scaled(_median(np.abs(ratio - centre))),
        "focus_score": _mean([f.sharpness_dna for f in fields]),
        "focus_slope": _mean([f.slope_dna for f in fields]),
        "reporter_focus_score": _mean([f.sharpness_reporter for f in fields]),
        "reporter_focus_slope": _mean([f.slope_reporter for f in fields]),
        "saturated_share": max((f.saturated_share for f in fields), default=None),
        "background_dna": _mean([f.background_dna for f in fields]),
        "background_reporter": _mean([f.background_reporter for f in fields]),
        "flags": "",
        "details": "; ".join(sorted({_detail(p) for p in well.problems})),
    }


def _detail(problem: Missing) -> str:
    where = f"field {problem.field}: " if problem.field is not None else ""
    channel = f"{problem.channel}: " if problem.channel is not None else ""
    return f"{where}{channel}{problem.reason}"


def _cells(fields: Sequence[FieldNumbers], name: str) -> npt.NDArray[np.float64]:
    pieces = [getattr(f.objects, name) for f in fields]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _median(values: npt.NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _scaled(mad: float | None) -> float | None:
    return None if mad is None else 1.4826 * mad


def _mean(values: Sequence[float]) -> float | None:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
