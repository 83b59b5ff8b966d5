"""From fields to tables: one row per well, one row per cell."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.imaging.channel_look import ChannelLook, mean_look
from nextplate.imaging.field import FieldNumbers
from nextplate.imaging.judgement import Judged, mean_debris
from nextplate.imaging.params import MeasureParams
from nextplate.imaging.quality import excludes, join_flags
from nextplate.imaging.survey import Survey
from nextplate.imaging.well import Value, WellMeasure, background_name, focus_names
from nextplate.readout import Missing

_MAD_TO_SD = 1.4826

_WELL_SCHEMA: dict[str, pl.DataType] = {
    "plate": pl.String(),
    "well": pl.String(),
    "n_images": pl.Int32(),
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
    "debris_share": pl.Float64(),
    "nuclear_likeness": pl.Float64(),
}


def well_measure(
    well: str,
    fields: Sequence[FieldNumbers],
    cells: pl.DataFrame,
    codes: Iterable[str],
    problems: Sequence[Missing],
    survey: Survey | None,
    params: MeasureParams,
) -> WellMeasure:
    """Summarise one well; `cells` are its rows of `cell_table`.

    Medians run over cells (areas, intensities, nc_ratio, features; `_mad` is 1.4826 MAD), means over fields (focus,
    background, features of whole fields); saturated_share is the worst channel of the worst field.
    """
    numbers = {
        **_counts(fields, cells),
        **_reporter(fields, survey),
        **_channels(fields, params),
        **_features(cells),
        **_whole(fields),
    }
    found = set(codes)
    if fields and numbers["n_cells"] == 0:
        found.add("empty-field")
    if (numbers["saturated_share"] or 0.0) > params.max_saturated_share:
        found.add("saturated")
    return WellMeasure(
        well, numbers, frozenset(found), tuple(problems), mean_debris([f.debris for f in fields]), _looks(fields)
    )


def _looks(fields: Sequence[FieldNumbers]) -> dict[str, ChannelLook]:
    channels = dict.fromkeys(c for f in fields for c in f.looks)
    return {c: mean_look([f.looks[c] for f in fields if c in f.looks]) for c in channels}


def well_table(plate: str, wells: Sequence[WellMeasure], judged: Judged, dna: str) -> pl.DataFrame:
    """Put the wells of a plate in one table, with what was found on judging them."""
    rows = [
        {
            "plate": plate,
            "well": w.well,
            **w.numbers,
            "debris_share": _known(float(judged.debris_share[i])),
            "nuclear_likeness": _known(w.looks[dna].likeness) if dna in w.looks else None,
            "flags": join_flags(w.codes | judged.codes[i]),
            "details": "; ".join((*sorted({_detail(p) for p in w.problems}), *judged.details[i])),
        }
        for i, w in enumerate(wells)
    ]
    more = dict.fromkeys(name for w in wells for name in w.numbers if name not in _WELL_SCHEMA)
    schema = _WELL_SCHEMA | dict.fromkeys(more, pl.Float64()) | {"flags": pl.String(), "details": pl.String()}
    return pl.DataFrame(rows, schema=schema)


def _detail(problem: Missing) -> str:
    where = f"field {problem.field}: " if problem.field is not None else ""
    channel = f"{problem.channel}: " if problem.channel is not None else ""
    return f"{where}{channel}{problem.reason}"


def _counts(fields: Sequence[FieldNumbers], cells: pl.DataFrame) -> dict[str, Value]:
    return {
        "n_images": sum(len(f.quality) for f in fields),
        "n_fields": len(fields),
        "n_cells": len(cells),
        "n_expressing": int(cells["nc_ratio"].is_not_null().sum()),
    }


def _reporter(fields: Sequence[FieldNumbers], survey: Survey | None) -> dict[str, Value]:
    area = _median(_cells(fields, "area_px"))
    area_px = None if area is None or survey is None else area * survey.factor**2
    size = survey.pixel_size_um if survey else None
    ratio = _cells(fields, "nc_ratio")
    centre = _median(ratio)
    return {
        "nuclear_area_um2": area_px * size**2 if area_px is not None and size else None,
        "nuclear_area_px": area_px,
        "nuclear_dna": _median(_cells(fields, "dna")),
        "reporter_nucleus": _median(_cells(fields, "reporter_nucleus")),
        "reporter_ring": _median(_cells(fields, "reporter_ring")),
        "nc_ratio": centre,
        "nc_ratio_mad": None if centre is None else _scaled(_median(np.abs(ratio - centre))),
    }


def _channels(fields: Sequence[FieldNumbers], params: MeasureParams) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for channel in params.channels:
        seen = [f.quality[channel] for f in fields if channel in f.quality]
        sharpness, slope = focus_names(channel, params)
        found[sharpness] = _mean([q.sharpness for q in seen])
        found[slope] = _mean([q.slope for q in seen])
        found[background_name(channel, params)] = _mean([q.background for q in seen])
    shares = [q.saturated_share for f in fields for q in f.quality.values()]
    return found | {"saturated_share": max(shares, default=None)}


def _features(cells: pl.DataFrame) -> dict[str, Value]:
    names = [name for name in cells.columns if name not in CELL_SCHEMA]
    if not names:
        return {}
    centre = cells.select(pl.col(names).cast(pl.Float64).median())
    spread = cells.select(
        ((pl.col(name).cast(pl.Float64) - centre[name][0]).abs().median() * _MAD_TO_SD).alias(f"{name}_mad")
        for name in names
    )
    return {**centre.row(0, named=True), **spread.row(0, named=True)}


def _whole(fields: Sequence[FieldNumbers]) -> dict[str, Value]:
    names = dict.fromkeys(name for f in fields for name in f.whole)
    return {name: _mean([f.whole[name] for f in fields if name in f.whole]) for name in names}


CELL_SCHEMA: dict[str, pl.DataType] = {
    "plate": pl.String(),
    "well": pl.String(),
    "field": pl.Int32(),
    **dict.fromkeys(("y_px", "x_px", "area_um2", "area_px", "dna"), pl.Float32()),
    **dict.fromkeys(("reporter_nucleus", "reporter_ring", "nc_ratio"), pl.Float32()),
}
"""The columns every cell table has, before those of features."""


def cell_table(plate: str, well: str, fields: Sequence[FieldNumbers], survey: Survey | None) -> pl.DataFrame:
    """Put the nuclei of a well in one table, in field and label order; positions and areas are in raw pixels.

    Null: area_um2 where the pixel size is unknown, reporter columns where a cell has none, features not defined.
    """
    factor = survey.factor if survey else 1
    size = survey.pixel_size_um if survey else None
    counts = [len(f.objects.area_px) for f in fields]
    area = _cells(fields, "area_px") * factor**2
    centre = {key: (_cells(fields, key) + 0.5) * factor - 0.5 for key in ("y_px", "x_px")}
    values = {
        **centre,
        "area_um2": area * (np.nan if size is None else size**2),
        "area_px": area,
        **{key: _cells(fields, key) for key in ("dna", "reporter_nucleus", "reporter_ring", "nc_ratio")},
    }
    table = pl.DataFrame(
        {
            "plate": [plate] * len(area),
            "well": [well] * len(area),
            "field": np.repeat(np.array([f.field for f in fields], np.int32), counts),
            **values,
        },
        schema=CELL_SCHEMA,
    ).with_columns(pl.col(pl.Float32).fill_nan(None))
    features = [f.features for f in fields if f.features is not None]
    return table.hstack(pl.concat(features, how="diagonal")) if features else table


def _cells(fields: Sequence[FieldNumbers], name: str) -> npt.NDArray[np.float64]:
    pieces = [getattr(f.objects, name) for f in fields]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _median(values: npt.NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _scaled(mad: float | None) -> float | None:
    return None if mad is None else _MAD_TO_SD * mad


def is_unusable(wells: pl.DataFrame) -> pl.Series:
    """Say of each row of a well table whether it must not be trusted (see `quality.excludes`)."""
    rows = wells.select("flags", "n_fields").iter_rows()
    return pl.Series([excludes(str(flags), int(n)) for flags, n in rows], dtype=pl.Boolean)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _mean(values: Sequence[float]) -> float | None:
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
