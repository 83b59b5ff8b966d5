"""A measured folder as `nextplate measure` leaves it, read back: wells, layout, responses, and where the images lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from controller.analysis import DOSES, LAYOUT, QUALITY, RESPONSES, WELLS
from nextplate.errors import DataError
from nextplate.readout import FieldImage

if TYPE_CHECKING:
    from nextplate.assay import MeasuredLayout

_FIELDS, _ORIGIN = "fields.parquet", "measure.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """One plate in numbers on disk."""

    folder: Path
    plate: str
    wells: pl.DataFrame
    """One row per well that was imaged."""
    layout: "MeasuredLayout | None"
    """None: measured without one."""
    responses: pl.DataFrame | None
    """One row per occupied well; None without a layout."""
    doses: pl.DataFrame | None
    """One row per compound with doses."""


def is_measured(folder: Path) -> bool:
    """Say whether a folder holds the wells of a measured plate."""
    return (folder / WELLS).is_file()


def open_measured(folder: Path, layout_file: Path | None = None) -> Measured:
    """Read a measured folder.

    Args:
        folder: as `nextplate measure` left it.
        layout_file: used in place of the folder's own layout; the stored responses then do not count.

    Raises:
        DataError: nothing measured there, a damaged file, or a mistake in the layout.
    """
    from nextplate.assay import read_measured_layout

    if not is_measured(folder):
        raise DataError(f"{folder} holds no {WELLS}; measure the plate first: nextplate measure PLATE_FOLDER --out DIR")
    wells = _table(folder / WELLS)
    plates = wells["plate"].unique().to_list() if "plate" in wells.columns else []
    if len(plates) != 1:
        raise DataError(f"{folder / WELLS} is of {len(plates)} plates; a measured folder holds one")
    plate = str(plates[0])
    own = folder / LAYOUT
    path = layout_file or (own if own.is_file() else None)
    layout = None if path is None else read_measured_layout(path, _named(path, plate)).covering(wells["well"])
    responses = doses = None
    if layout_file is None:
        responses, doses = _optional(folder / RESPONSES), _optional(folder / DOSES)
    return Measured(folder, plate, wells, layout, responses, doses)


def _named(path: Path, plate: str) -> str | None:
    """Name the plate to take from a layout of several; a layout of one plate may call it otherwise."""
    from nextplate.assay import plates_of_layout

    names = plates_of_layout(path)
    return plate if len(names) > 1 else None


def _optional(path: Path) -> pl.DataFrame | None:
    return _table(path) if path.is_file() else None


def _table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema_length=None) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); measure the plate again") from error


def judged_column(folder: Path, wells: pl.DataFrame) -> str:
    """Name the column of the wells by which a plate was judged; where nothing says so the loop's, or cells counted."""
    from nextplate.assay import NC_RATIO

    column = NC_RATIO.column
    has_ratio = column in wells.columns and wells[column].null_count() < len(wells)
    try:
        return str(json.loads((folder / QUALITY).read_bytes())["endpoint"]["column"])
    except (OSError, ValueError, KeyError, TypeError):
        return column if has_ratio else "n_cells"


def images_of(folder: Path, images: Path | None = None) -> tuple[FieldImage, ...]:
    """List the images of a measured plate, without looking for them.

    Args:
        folder: the measured folder.
        images: where the plate's folder lies now; None: where it lay when it was measured.

    Raises:
        DataError: the folder does not say which images were measured, or they are gone.
    """
    table = folder / _FIELDS
    if not table.is_file():
        raise DataError(f"{folder} holds no {_FIELDS}; name the folder of the plate's images: --images FOLDER")
    home = images or _home(folder)
    if not home.is_dir():
        raise DataError(f"the images are gone from {home}; say where they are: --images FOLDER")
    return tuple(_image(row, home) for row in _table(table).iter_rows(named=True))


def _home(folder: Path) -> Path:
    try:
        return Path(json.loads((folder / _ORIGIN).read_bytes())["folder"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder / _ORIGIN} does not say where the images are; name their folder: --images FOLDER"
        ) from error


def _image(row: dict[str, Any], home: Path) -> FieldImage:
    names = ("plate", "well", "field", "channel", "pixel_size_um", "z", "t", "x_um", "y_um", "z_um", "page")
    # Tables of before there was this column have no stacks in them.
    steps = tuple((home / step["path"], int(step["page"])) for step in row.get("stack") or ())
    return FieldImage(path=home / row["path"], stack=steps, **{name: row[name] for name in names})
