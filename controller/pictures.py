"""The pictures of one plate: heat maps, contact sheets, dose-response curves, as PNG files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from controller.analysis import midpoint
from controller.files import safe_name, write_bytes
from controller.report.figures.contactsheet import Sheet, draw_sheet, shrink
from controller.report.figures.dosecurves import CurvePanel, draw_curves
from controller.report.figures.heatmap import HeatMap, draw_heatmap
from controller.report.figures.mixing import is_nuclear
from controller.shownplate import ShownPlate, middle_of, numbers_of, unit_of
from nextplate.errors import DataError
from nextplate.plate import Role
from nextplate.readout import FieldImage

_COMPOSED = 3
"""Channels over each other that an eye still tells apart."""


def write_heatmaps(shown: ShownPlate, columns: Sequence[str], out: Path) -> list[Path]:
    """Write PLATE-COLUMN.png for each column.

    Raises:
        DataError: a column is none of the plate's numbers.
    """
    known = numbers_of(shown.table)
    unknown = [c for c in columns if c not in known]
    if unknown:
        raise DataError(f"plate {shown.plate} has no number {unknown[0]!r}; it has {', '.join(known)}")
    paths = []
    for column in columns:
        paths.append(out / f"{safe_name(shown.plate)}-{safe_name(column)}.png")
        write_bytes(paths[-1], draw_heatmap(heat_of(shown, column)))
    return paths


def heat_of(shown: ShownPlate, column: str) -> HeatMap:
    """Gather what a heat map of a column shows."""
    table, middle = shown.table, middle_of(shown, column)
    values = dict(zip(table["well"], table[column].cast(pl.Float64).fill_nan(None), strict=True))
    occupied = table.filter(pl.col("role").is_not_null() & (pl.col("role") != str(Role.EMPTY)))
    return HeatMap(
        plate=shown.plate,
        shape=shown.shape,
        title=column,
        unit=unit_of(column),
        values=values,
        roles=dict(zip(occupied["well"], occupied["role"], strict=True)),
        flagged=frozenset(table.filter(pl.col("flags") != "")["well"]),
        hits=frozenset(table.filter("is_hit")["well"]) if middle is not None else frozenset(),
        middle=middle,
    )


def write_sheets(
    shown: ShownPlate,
    out: Path,
    channels: Sequence[str] = (),
    *,
    separate: bool = False,
    field: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Path], tuple[str, ...]]:
    """Write PLATE-fields.png, or with `separate` PLATE-fields-CHANNEL.png in grey.

    Args:
        shown: the plate.
        out: folder of the pictures.
        channels: what to show. (): over each other up to three, the nuclear stain first; separate: all.
        separate: one sheet per channel.
        field: number of the field. None: each well's middle one.
        progress: called with (images read, images in all).

    Returns:
        (files, why images cannot be shown).

    Raises:
        DataError: the images are gone, a channel or field is not there, or nothing can be shown.
    """
    images = shown.images()
    names = tuple(dict.fromkeys(i.channel for i in images))
    chosen = _channels(shown, names, channels, separate)
    wanted = _one_field(images, chosen, field)
    if not wanted:
        raise DataError(f"plate {shown.plate} has no field {field} of channel {', '.join(chosen)}")
    tiles, failed = shrink(wanted, shown.shape, progress)
    sheet = _sheet(shown)
    left = [n for n in names if n not in chosen]
    note = f"Not shown: {', '.join(left)}" if left else ""
    groups = [(c,) for c in chosen] if separate else [tuple(chosen)]
    paths = []
    for group in groups:
        ending = f"-{safe_name(group[0])}" if separate else ""
        paths.append(out / f"{safe_name(shown.plate)}-fields{ending}.png")
        write_bytes(paths[-1], draw_sheet(sheet, tiles, group, "" if separate else note))
    return paths, failed


def _sheet(shown: ShownPlate) -> Sheet:
    told = shown.table.filter(pl.col("role").is_not_null())
    flagged = shown.table.filter(pl.col("flags") != "")
    roles = dict(zip(told["well"], told["role"], strict=True))
    return Sheet(shown.plate, shown.shape, roles, dict(zip(flagged["well"], flagged["flags"], strict=True)))


def _channels(shown: ShownPlate, names: Sequence[str], asked: Sequence[str], separate: bool) -> list[str]:
    unknown = [c for c in asked if c not in names]
    if unknown:
        raise DataError(f"plate {shown.plate} has no channel {unknown[0]!r}; it has {', '.join(names)}")
    if asked or separate:
        return list(asked or names)
    return sorted(names, key=lambda n: not is_nuclear(n))[:_COMPOSED]


def _one_field(images: Sequence[FieldImage], channels: Sequence[str], field: int | None) -> list[FieldImage]:
    """Take one field of every well: the one asked for, else the middle one of those that have most channels."""
    wells: dict[str, dict[int, list[FieldImage]]] = {}
    for image in images:
        if image.channel in channels:
            wells.setdefault(image.well, {}).setdefault(image.field, []).append(image)
    chosen = []
    for fields in wells.values():
        most = max(len(found) for found in fields.values())
        full = sorted(n for n, found in fields.items() if len(found) == most)
        chosen += fields.get(full[len(full) // 2] if field is None else field, [])
    return chosen


def write_curves(shown: ShownPlate, out: Path) -> list[Path]:
    """Write PLATE-curves.png, with several pages PLATE-curves-1.png and on.

    Raises:
        DataError: the plate has no dose-response table.
    """
    if shown.doses is None or shown.doses.is_empty():
        raise DataError(
            f"plate {shown.plate} has no dose-response curves; measure it with a layout that gives doses: --layout FILE"
        )
    panels = [_panel(shown, row) for row in shown.doses.to_dicts()]
    pages = draw_curves(panels, f"plate {shown.plate}", unit_of(shown.dose_column))
    names = [f"{safe_name(shown.plate)}-curves{f'-{i + 1}' if len(pages) > 1 else ''}.png" for i in range(len(pages))]
    for name, page in zip(names, pages, strict=True):
        write_bytes(out / name, page)
    return [out / name for name in names]


def _panel(shown: ShownPlate, row: dict[str, object]) -> CurvePanel:
    """Gather the wells of a compound, and those without compound that were fitted with it."""
    table, name = shown.table, str(row["compound_id"])
    samples = table.filter((pl.col("compound_id") == name) & (pl.col("role") == str(Role.SAMPLE)))
    none = table.filter((pl.col("role") == str(Role.NEGATIVE)) & (pl.col("dose").fill_null(0.0) == 0))
    own = none.filter(pl.col("compound_id") == name)
    negatives = none.filter(pl.col("compound_id").is_null()) if own.is_empty() else own
    wells = pl.concat([samples, negatives.with_columns(dose=pl.lit(0.0))])
    dose, response = (
        np.asarray(wells[c].cast(pl.Float64).fill_null(float("nan")).to_numpy()) for c in ("dose", shown.dose_column)
    )
    is_good = np.asarray(wells["is_good"].fill_null(value=False).to_numpy(), dtype=np.bool_)
    return CurvePanel(name, dose, response, is_good & np.isfinite(response), row, midpoint(row))
