"""The table of fields: one row per image, with its place, channel, position and file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from nextplate.imaging.listing import Listing
from nextplate.imaging.shown import shown
from nextplate.readout import FieldImage, Missing, Readout

SCHEMA = {
    "plate": pl.String,
    "well": pl.String,
    "field": pl.Int64,
    "channel": pl.String,
    "z": pl.Int64,
    "t": pl.Int64,
    "x_um": pl.Float64,
    "y_um": pl.Float64,
    "z_um": pl.Float64,
    "pixel_size_um": pl.Float64,
    "path": pl.String,
    "page": pl.Int64,
    "reader": pl.String,
}
_STEP = pl.Struct({"path": pl.String, "page": pl.Int64})
MISSING_SCHEMA = {
    "plate": pl.String,
    "well": pl.String,
    "field": pl.Int64,
    "channel": pl.String,
    "reason": pl.String,
}


def field_table(readout: Readout) -> pl.DataFrame:
    """Return one row per chosen image, sorted by well, field and channel.

    `z` is the 1-based step, 0 a projection (also one still to be taken), null without a stack; `t` is null without a
    time series; positions and pixel size are null when the files do not say them. `path` is below the plate's
    folder, written with '/', so that the table does not depend on where the plate lies. `stack` lists the steps of
    which the image is the maximum, null for all others.
    """
    rows = [_row(image, readout) for image in readout.images]
    steps = [
        [{"path": _below(path, readout), "page": page} for path, page in image.stack] or None
        for image in readout.images
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(stack=pl.Series(steps, dtype=pl.List(_STEP)))


def plane_table(listing: Listing) -> pl.DataFrame:
    """Return one row per z-step and time point of everything a folder holds, as listed; `path` as found."""
    rows = [
        (
            *(listing.plate, p.well, p.field, p.channel, p.z, p.t, p.x_um, p.y_um, p.z_um, p.pixel_size_um),
            *(shown(str(p.path)), p.page, listing.reader),
        )
        for p in listing.planes
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def missing_table(plate: str, missing: Iterable[Missing]) -> pl.DataFrame:
    """Return one row per thing missing: null field is the whole well, null channel is every channel."""
    rows = [(plate, m.well, m.field, m.channel, m.reason) for m in missing]
    return pl.DataFrame(rows, schema=MISSING_SCHEMA, orient="row")


def _row(image: FieldImage, readout: Readout) -> tuple[Any, ...]:
    i = image
    path = _below(i.path, readout)
    return (
        *(i.plate, i.well, i.field, i.channel, i.z, i.t, i.x_um, i.y_um, i.z_um, i.pixel_size_um),
        *(path, i.page, readout.reader),
    )


def _below(path: Path, readout: Readout) -> str:
    is_below = path.is_relative_to(readout.folder)
    return shown(path.relative_to(readout.folder).as_posix() if is_below else str(path))
