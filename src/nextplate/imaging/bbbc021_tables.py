"""The three tables of BBBC021 (Broad Bioimage Benchmark Collection; Ljosa, Sokolnicki, Carpenter 2012,
doi 10.1038/nmeth.2083; images of Caie et al. 2010, doi 10.1158/1535-7163.MCT-09-1148), as published:

BBBC021_v1_image.csv (a line per field: file names of three channels, plate, well, compound, concentration),
BBBC021_v1_compound.csv (compound, smiles) and BBBC021_v1_moa.csv (compound, concentration, moa).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nextplate.chem.delimited import read_delimited
from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name

IMAGE_TABLE, COMPOUND_TABLE, MOA_TABLE = "BBBC021_v1_image.csv", "BBBC021_v1_compound.csv", "BBBC021_v1_moa.csv"
CHANNELS = ("DAPI", "Tubulin", "Actin")
"""In the order of the wavelengths w1, w2 and w4."""
CONTROL = "DMSO"
_PLATE, _WELL = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"
_COMPOUND, _CONCENTRATION = "Image_Metadata_Compound", "Image_Metadata_Concentration"
_IMAGE_COLUMNS = (
    *(f"Image_{kind}Name_{channel}" for channel in CHANNELS for kind in ("File", "Path")),
    _PLATE, _WELL, "Replicate", _COMPOUND, _CONCENTRATION,
)  # fmt: skip
_WEEK = re.compile(r"week_?0*(\d+)", re.IGNORECASE)
_SITE = re.compile(r"_s(\d+)(?=[_.]|$)", re.IGNORECASE)
_SEPARATORS = frozenset("/\\:")
_DIGITS = 6
"""Concentrations that agree to so many significant digits are the same: tables spell them 0.3, 0.30 and 0.300000012."""

Treatment = tuple[str, float]
"""(compound in folded case, concentration rounded), for looking up."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One line of the image table: a field of a well."""

    line: int
    plate: str
    well: str
    field: int
    """1-based, from `_s` in the file name; 1 where the name has none."""
    batch: str
    """Week1 .. Week10."""
    path: str
    """Folder of the images as the table writes it, e.g. Week1/Week1_22123."""
    files: Mapping[str, str]
    """File name by channel."""
    replicate: str
    compound: str
    concentration: float

    @property
    def treatment(self) -> Treatment:
        """What was in the well."""
        return treatment_key(self.compound, self.concentration)


@dataclass(frozen=True, slots=True)
class MoaRow:
    """One line of the MOA table."""

    line: int
    compound: str
    concentration: float
    moa: str


def treatment_key(compound: str, concentration: float) -> Treatment:
    """Return what two spellings of one treatment share."""
    return compound.casefold(), float(f"{concentration:.{_DIGITS}g}")


def is_control(compound: str) -> bool:
    """Say whether a well holds the solvent alone."""
    return compound.casefold() == CONTROL.casefold()


def read_image_table(path: Path) -> tuple[ImageRow, ...]:
    """Read BBBC021_v1_image.csv.

    Raises:
        DataError: with file, line, plate and well: a missing file or column, a bad well or concentration, a week that
            neither path nor plate tells, a well with two treatments, a plate in two weeks, or no line at all.
    """
    rows = tuple(_image_row(path, line, cells) for line, cells in _lines(path, _IMAGE_COLUMNS))
    if not rows:
        raise DataError(f"{path}: the header is followed by no line")
    _check_wells(path, rows)
    return rows


def read_moa_table(path: Path) -> dict[Treatment, MoaRow]:
    """Read BBBC021_v1_moa.csv; DMSO, where it is listed, is left out.

    Raises:
        DataError: with file and line: a missing file or column, a bad concentration, an empty MOA, or a treatment with
            two MOAs.
    """
    found: dict[Treatment, MoaRow] = {}
    for line, cells in _lines(path, ("compound", "concentration", "moa")):
        row = MoaRow(line, cells["compound"], _concentration(path, line, cells["concentration"]), cells["moa"])
        if is_control(row.compound):
            continue
        if not row.moa or not row.compound:
            raise DataError(f"{path}, line {line}: compound {row.compound!r} has the moa {row.moa!r}; both are needed")
        held = found.setdefault(treatment_key(row.compound, row.concentration), row)
        if held.moa != row.moa:
            raise DataError(
                f"{path}, line {line}: {row.compound} @ {row.concentration:g} is {row.moa!r} and, on line {held.line}, "
                f"{held.moa!r}; keep one"
            )
    if not found:
        raise DataError(f"{path}: lists no treatment but {CONTROL}")
    return found


def read_compound_table(path: Path) -> dict[str, str]:
    """Read BBBC021_v1_compound.csv: SMILES by compound in folded case ('' where the table has none).

    Raises:
        DataError: with file and line: a missing file or column, or a compound with two structures.
    """
    found: dict[str, tuple[int, str]] = {}
    for line, cells in _lines(path, ("compound", "smiles")):
        first, smiles = found.setdefault(cells["compound"].casefold(), (line, cells["smiles"]))
        if smiles != cells["smiles"]:
            raise DataError(f"{path}, line {line}: {cells['compound']} has another structure on line {first}; keep one")
    return {name: smiles for name, (_, smiles) in found.items()}


def _lines(path: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return (line, cells by the needed column)."""
    if not path.is_file():
        raise DataError(
            f"{path} is not there; BBBC021 is {IMAGE_TABLE}, {COMPOUND_TABLE} and {MOA_TABLE} with the images"
        )
    records = read_delimited(path).records
    header = {name.casefold(): i for i, name in enumerate(records[0].cells)}
    if absent := [name for name in needed if name.casefold() not in header]:
        held = ", ".join(records[0].cells[:4])
        raise DataError(f"{path}, line {records[0].line}: column {', '.join(absent)} missing; the header begins {held}")
    width, lines = len(records[0].cells), []
    for record in records[1:]:
        if len(record.cells) != width:
            raise DataError(f"{path}, line {record.line}: {len(record.cells)} values, the header has {width}")
        lines.append((record.line, {name: record.cells[header[name.casefold()]] for name in needed}))
    return lines


def _image_row(path: Path, line: int, cells: Mapping[str, str]) -> ImageRow:
    plate = cells[_PLATE]
    if not plate or not cells[_COMPOUND]:
        raise DataError(f"{path}, line {line}: plate {plate!r} and compound {cells[_COMPOUND]!r} are both needed")
    if _SEPARATORS & set(plate) or plate.startswith("."):
        raise DataError(f"{path}, line {line}: plate {plate!r}: a plate name holds no path; write it as in Week1_22123")
    try:
        well = well_name(*parse_well(cells[_WELL]))
    except DataError as error:
        raise DataError(f"{path}, line {line}: plate {plate}: {error}") from error
    files = {c: cells[f"Image_FileName_{c}"] for c in CHANNELS}
    folder = cells[f"Image_PathName_{CHANNELS[0]}"]
    site = _SITE.search(files[CHANNELS[0]])
    return ImageRow(
        line=line,
        plate=plate,
        well=well,
        field=int(site[1]) if site else 1,
        batch=_batch(path, line, folder, plate),
        path=folder,
        files=files,
        replicate=cells["Replicate"],
        compound=cells[_COMPOUND],
        concentration=_concentration(path, line, cells[_CONCENTRATION]),
    )


def _batch(path: Path, line: int, folder: str, plate: str) -> str:
    for text in (folder.replace("\\", "/").rpartition("/")[0].rpartition("/")[2], plate.partition("_")[0]):
        if week := _WEEK.fullmatch(text):
            return f"Week{week[1]}"
    raise DataError(
        f"{path}, line {line}: neither the path {folder!r} nor the plate {plate!r} tells the week, "
        "as in Week1/Week1_22123"
    )


def _concentration(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise DataError(f"{path}, line {line}: concentration {text!r}; write a number from 0, in micromolar")
    return value


def _check_wells(path: Path, rows: tuple[ImageRow, ...]) -> None:
    wells: dict[tuple[str, str], ImageRow] = {}
    plates: dict[str, ImageRow] = {}
    for row in rows:
        first = wells.setdefault((row.plate, row.well), row)
        if first.treatment != row.treatment:
            raise DataError(
                f"{path}, line {row.line}: plate {row.plate}, well {row.well} holds {row.compound} @ "
                f"{row.concentration:g}, on line {first.line} {first.compound} @ {first.concentration:g}; keep one"
            )
        if (other := plates.setdefault(row.plate, row)).batch != row.batch:
            raise DataError(
                f"{path}, line {row.line}: plate {row.plate} is of {row.batch}, on line {other.line} of {other.batch}"
            )
