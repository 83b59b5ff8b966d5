"""A user's copy of BBBC021: its tables and images as readouts, one per plate, and a table of its wells.

The image table says which file is which channel (w1 is DAPI, w2 tubulin, w4 actin; there is no w3). Plate folders are
looked for where the table puts them and where the published archives unpack: FOLDER/Week1/Week1_22123,
FOLDER/Week1_22123, either below FOLDER/images or below FOLDER/BBBC021_v1_images_Week1_22123.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from nextplate.errors import DataError
from nextplate.imaging.bbbc021_tables import (
    CHANNELS,
    COMPOUND_TABLE,
    IMAGE_TABLE,
    MOA_TABLE,
    ImageRow,
    MoaRow,
    Treatment,
    is_control,
    read_compound_table,
    read_image_table,
    read_moa_table,
)
from nextplate.imaging.readers.files import Shelf
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Missing, Readout

READER = "bbbc021"
_WELL_SCHEMA: dict[str, pl.DataType] = {
    "plate": pl.String(), "well": pl.String(), "batch": pl.String(), "compound": pl.String(),
    "concentration_um": pl.Float64(), "moa": pl.String(), "is_control": pl.Boolean(), "replicate": pl.String(),
    "n_fields": pl.Int32(), "smiles": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bbbc021:
    """A copy of BBBC021, or of some of its plates."""

    folder: Path
    wells: pl.DataFrame
    """A row per well of the image table, by plate and place: plate, well, batch, compound, concentration_um, moa (''
    where not annotated), is_control, replicate, n_fields (lines of the table), smiles ('' where unknown)."""
    readouts: tuple[Readout, ...]
    """Plates whose folder is there, by name."""
    absent_plates: tuple[str, ...]
    """Plates of the table without a folder."""
    treatments: tuple[MoaRow, ...]
    """Annotated treatments, by name."""
    notes: tuple[str, ...]
    """What the tables and the disk disagree on, with counts."""


def read_bbbc021(folder: Path, *, has_all_wells: bool = False) -> Bbbc021:
    """Read the tables and find the images; no pixels are read.

    Args:
        folder: holds the three tables and the images.
        has_all_wells: False leaves wells out of the readouts that are neither DMSO nor annotated: they are not scored.

    Raises:
        DataError: no such folder, a missing or wrong table (with its line), or not one plate folder.
    """
    tables = read_tables(folder)
    annotated = tables.moas.keys()
    plates: dict[str, list[ImageRow]] = {}
    for row in tables.rows:
        plates.setdefault(row.plate, []).append(row)
    readouts, absent = [], []
    for plate, rows in sorted(plates.items()):
        wanted = [r for r in rows if has_all_wells or is_control(r.compound) or r.treatment in annotated]
        place = _plate_folder(folder, plate, rows[0].path)
        if place is None:
            absent.append(plate)
        elif wanted:
            readouts.append(_readout(folder, place, plate, wanted))
    if not readouts:
        first = min(plates)
        raise DataError(
            f"{folder}: none of the {len(plates)} plate folders of {IMAGE_TABLE} is there; unpack the images so that "
            f"{plates[first][0].path} lies in it (plate {first})"
        )
    treatments = tuple(sorted(tables.moas.values(), key=lambda m: (m.compound.casefold(), m.concentration)))
    notes = tuple(_notes(tables, absent, readouts, len(plates)))
    return Bbbc021(folder, well_rows(tables), tuple(readouts), tuple(absent), treatments, notes)


@dataclass(frozen=True, slots=True)
class Tables:
    """The three tables as read."""

    rows: tuple[ImageRow, ...]
    moas: dict[Treatment, MoaRow]
    smiles: dict[str, str]


def read_tables(folder: Path) -> Tables:
    """Read the three tables of a folder; images need not be there.

    Raises:
        DataError: as the readers of the tables.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder that holds {IMAGE_TABLE}")
    rows = read_image_table(folder / IMAGE_TABLE)
    moas = read_moa_table(folder / MOA_TABLE)
    return Tables(rows, moas, read_compound_table(folder / COMPOUND_TABLE))


def well_rows(tables: Tables) -> pl.DataFrame:
    """Return a row per well of the image table, as `Bbbc021.wells`."""
    wells: dict[tuple[str, tuple[int, int]], list[ImageRow]] = {}
    for row in tables.rows:
        wells.setdefault((row.plate, parse_well(row.well)), []).append(row)
    return pl.DataFrame([_well(rows, tables) for _, rows in sorted(wells.items())], schema=_WELL_SCHEMA, orient="row")


def _well(rows: Sequence[ImageRow], tables: Tables) -> tuple[object, ...]:
    r = rows[0]
    moa = tables.moas.get(r.treatment)
    name, dose = (moa.compound, moa.concentration) if moa else (r.compound, r.concentration)
    smiles = tables.smiles.get(r.compound.casefold(), "")
    is_dmso = is_control(r.compound)
    return (
        r.plate, r.well, r.batch, name, dose, moa.moa if moa and not is_dmso else "", is_dmso, r.replicate,
        len({row.field for row in rows}), smiles,
    )  # fmt: skip


def _plate_folder(folder: Path, plate: str, path: str) -> Path | None:
    parts = PurePosixPath(path.replace("\\", "/")).parts
    is_plain = bool(parts) and not path.startswith(("/", "\\")) and ".." not in parts and ":" not in path
    tails = [*([Path(*parts)] if is_plain else []), Path(plate)]
    for root in (folder, folder / "images", folder / f"BBBC021_v1_images_{plate}"):
        for tail in tails:
            if (root / tail).is_dir() and (root / tail).resolve().is_relative_to(folder.resolve()):
                return root / tail
    return None


def _readout(folder: Path, place: Path, plate: str, rows: Sequence[ImageRow]) -> Readout:
    shelf = Shelf(folder, place)
    images: list[FieldImage] = []
    missing: list[Missing] = []
    seen: dict[tuple[str, int], int] = {}
    for row in sorted(rows, key=lambda r: (parse_well(r.well), r.field, r.line)):
        first = seen.setdefault((row.well, row.field), row.line)
        if first != row.line:
            words = f"duplicate-image: lines {first} and {row.line} of {IMAGE_TABLE} are both field {row.field}"
            missing.append(Missing(row.well, row.field, None, f"{words}; the first is taken"))
            continue
        for channel in CHANNELS:
            path, reason = shelf.find(row.files[channel])
            if reason:
                missing.append(Missing(row.well, row.field, channel, f"{reason} ({IMAGE_TABLE}, line {row.line})"))
            else:
                images.append(FieldImage(plate, row.well, row.field, channel, path, None))
    return Readout(READER, plate, place, CHANNELS, tuple(images), tuple(missing), is_complete=not missing)


def _notes(tables: Tables, absent: Sequence[str], readouts: Sequence[Readout], n_plates: int) -> Iterable[str]:
    if absent:
        yield f"{len(absent)} of {n_plates} plates have no folder here: {_some(absent)}"
    here = {r.plate for r in readouts}
    imaged = {(i.plate, i.well) for r in readouts for i in r.images}
    held = {row.treatment for row in tables.rows if (row.plate, row.well) in imaged}
    tabled = {row.treatment for row in tables.rows}
    unlisted = [m for key, m in tables.moas.items() if key not in tabled]
    without = [m for key, m in tables.moas.items() if key in tabled - held]
    if unlisted:
        yield f"{len(unlisted)} treatments of {MOA_TABLE} are on no line of {IMAGE_TABLE}: {_treatments(unlisted)}"
    if without:
        yield f"{len(without)} of {len(tables.moas)} annotated treatments have no image here: {_treatments(without)}"
    unknown = sorted({r.compound for r in tables.rows if not is_control(r.compound)
                      and r.compound.casefold() not in tables.smiles})  # fmt: skip
    if unknown:
        yield f"{len(unknown)} compounds of {IMAGE_TABLE} are not in {COMPOUND_TABLE}: {_some(unknown)}"
    lost = sum(len(r.missing) for r in readouts)
    if lost:
        first = next((r.plate, m) for r in readouts for m in r.missing)
        where = f"plate {first[0]}, well {first[1].well}, field {first[1].field}: {first[1].reason}"
        yield f"{lost} images of {len(here)} plates are missing or unusable, first {where}"


def _treatments(rows: Sequence[MoaRow]) -> str:
    return _some([f"{m.compound} @ {m.concentration:g} (line {m.line})" for m in rows])


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" .." if len(names) > 5 else "")
