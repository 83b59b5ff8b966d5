"""One plate as it is shown, be it a lab's or a measured folder: a table of wells, its curves, its images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from controller.measured import Measured, images_of, judged_column, open_measured
from nextplate.errors import DataError
from nextplate.plate import FORMATS, PlateFormat, Role, fitting_format
from nextplate.readout import FieldImage

UNITS: Mapping[str, str] = {
    "activity": "activity: 0 negative, 1 positive control",
    "raw_activity": "response before normalisation",
    "activity_z": "robust z to the negatives",
    "b_score": "B-score",
    "viability": "cells against the negatives",
    "nc_ratio": "log2 nucleus / ring",
    "nc_ratio_mad": "spread of log2 nucleus / ring",
    "n_cells": "cells",
    "n_expressing": "cells that express the reporter",
    "n_fields": "fields",
    "responders": "share of cells that respond",
    "saturated_share": "share of saturated pixels",
    "p": "p",
    "q": "q",
}
_ENDINGS = (("_um2", "µm²"), ("_um", "µm"), ("_px", "px"), ("_mad", "spread over cells"))
_DIVERGING = ("activity", "raw_activity", "activity_z", "b_score", "nc_ratio", "responders")
"""Responses: shown about the median of the negatives."""
DEFAULT = "activity"


@dataclass(frozen=True, slots=True)
class ShownPlate:
    """A plate ready to be shown."""

    plate: str
    head: str
    """What the plate is, for the first line of its text."""
    shape: PlateFormat
    table: pl.DataFrame
    """One row per well of the plate, in plate order: well, role, compound_id, flags, is_hit, is_toxic, then numbers;
    null where nothing is known."""
    doses: pl.DataFrame | None
    """One row per compound with doses; None where no curve was fitted."""
    dose_column: str
    images: Callable[[], tuple[FieldImage, ...]]
    """List the images; raises DataError where there are none."""
    noise: float | None = None
    """Standard deviation of the negatives on the activity scale."""


def measured_plate(folder: Path, layout: Path | None, images: Path | None, pattern: str | None) -> ShownPlate:
    """Show a measured folder.

    Args:
        folder: as `nextplate measure` left it.
        layout: in place of the folder's own; the plate is then analysed anew.
        images: where the images lie now; None: where they lay when the plate was measured.
        pattern: for images of no known microscope.

    Raises:
        DataError: as open_measured.
    """
    from nextplate.assay import AssayParams, analyse_plate
    from nextplate.imaging import open_readout

    found = open_measured(folder, layout)
    responses, doses, column = found.responses, found.doses, DEFAULT
    judged = judged_column(folder, found.wells)
    if responses is None and found.layout is not None and judged in found.wells.columns:
        analysis = analyse_plate(found.wells, found.layout, AssayParams(), judged)
        responses, doses, column = analysis.responses, analysis.doses, analysis.dose_column
    if responses is not None and responses[DEFAULT].null_count() == len(responses):
        column = "raw_activity"
    shape = found.layout.plate_format if found.layout else fitting_format(found.wells["well"])

    def listed() -> tuple[FieldImage, ...]:
        if pattern is None:
            return images_of(folder, images)
        if images is None:
            raise DataError("with a pattern the images' folder is needed: --images FOLDER")
        return open_readout(images, pattern=pattern).images

    head = f"plate {found.plate}, measured in {folder}"
    table = _full(shape, found.wells, responses, found)
    return ShownPlate(found.plate, head, shape, table, doses, column, listed, _noise(table))


def _noise(table: pl.DataFrame) -> float | None:
    """Return the robust standard deviation of the good negatives' activity; None without any."""
    from nextplate.assay.statistics import robust_sd

    if DEFAULT not in table.columns or "is_good" not in table.columns:
        return None
    good = table.filter((pl.col("role") == str(Role.NEGATIVE)) & pl.col("is_good"))
    return robust_sd(good[DEFAULT].drop_nulls().drop_nans().to_numpy())


def lab_plate(lab_folder: Path, barcode: str) -> ShownPlate:
    """Show a plate of a lab's present campaign.

    Raises:
        DataError: no such plate in the campaign, or it is not measured yet.
        PlanError: no campaign has been started.
    """
    from controller.lab import open_lab
    from controller.recipe import barcode_of
    from controller.report.shots import read_images
    from controller.report.source import read_source

    source = read_source(open_lab(lab_folder))
    rounds = [r for r in range(source.plan.rounds) if source.outcome("layout", r)]
    number = next((r for r in rounds if barcode_of(source.state, source.plan, r) == barcode), None)
    if number is None:
        raise DataError(f"plate {barcode} is not one of campaign {source.plan.name}; pictures are of its plates only")
    wells = source.frame("measure", number, "wells.parquet")
    layout = source.frame("layout", number, "layout.csv")
    if wells is None or layout is None:
        raise DataError(f"plate {barcode} is not measured yet; see: nextplate status")
    responses = source.frame("normalise", number, "responses.parquet")
    head = f"plate {barcode}, campaign {source.plan.name}, round {number + 1}"
    shape = FORMATS[len(layout)]
    table = _full(shape, wells, responses, layout)
    return ShownPlate(barcode, head, shape, table, None, DEFAULT, lambda: read_images(source, number))


def _full(
    shape: PlateFormat, wells: pl.DataFrame, responses: pl.DataFrame | None, plan: "Measured | pl.DataFrame"
) -> pl.DataFrame:
    """Give every well of the plate a row with what is known of it; a name both tables have is the responses'."""
    every = pl.DataFrame({"well": list(shape.wells())}).join(_roles(plan), on="well", how="left", maintain_order="left")
    told = responses.drop("plate", "role", "compound_id", strict=False) if responses is not None else None
    mine = wells.drop("plate", *(told.columns if told is not None else ()), strict=False).with_columns(wells["well"])
    table = every.join(mine, on="well", how="left", maintain_order="left")
    if told is not None:
        flags = wells.select("well", imaging=pl.col("flags"))
        table = table.join(told, on="well", how="left", maintain_order="left").join(flags, on="well", how="left")
        table = table.with_columns(flags=pl.coalesce("flags", "imaging")).drop("imaging")
    for name in ("is_hit", "is_toxic"):
        present = pl.col(name).fill_null(value=False) if name in table.columns else pl.lit(value=False)
        table = table.with_columns(present.alias(name))
    return table.with_columns(pl.col("flags").fill_null(""))


def _roles(plan: "Measured | pl.DataFrame") -> pl.DataFrame:
    if isinstance(plan, pl.DataFrame):
        return plan.select("well", "role", "compound_id")
    if plan.layout is None:
        # Nobody said what the wells hold.
        return plan.wells.select(
            "well", pl.lit(None, pl.String).alias("role"), pl.lit(None, pl.String).alias("compound_id")
        )
    rows = [(w.well, str(w.role), w.compound_id) for w in plan.layout.wells]
    schema = {"well": pl.String, "role": pl.String, "compound_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def numbers_of(table: pl.DataFrame) -> list[str]:
    """List the columns of which a heat map can be drawn."""
    return [name for name, kind in table.schema.items() if kind.is_numeric()]


def unit_of(column: str) -> str:
    """Say what stands at a colour bar."""
    if column in UNITS:
        return UNITS[column]
    return next((f"{column}, {unit}" for ending, unit in _ENDINGS if column.endswith(ending)), column)


def middle_of(shown: ShownPlate, column: str) -> float | None:
    """Return where a response has its middle: the median of the good negatives; None for what is no response."""
    if column not in _DIVERGING:
        return None
    good = (pl.col("role") == str(Role.NEGATIVE)) & ((pl.col("flags") == "") | (pl.col("flags") == "no-control"))
    median: Any = shown.table.filter(good)[column].drop_nulls().drop_nans().median()
    return None if median is None else float(median)
