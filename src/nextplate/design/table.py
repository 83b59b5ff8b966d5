"""A layout as CSV, one line per well."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from nextplate.errors import DataError
from nextplate.plate import FORMATS, Layout, LayoutWell, PlateFormat, Role, normal_well

HEADER = ("barcode", "well", "role", "compound_id", "replicate", "dose_um", "reason")


def layout_to_csv(layout: Layout) -> str:
    """Write a layout as CSV text: a header and one line per well, row by row."""
    lines = [",".join(HEADER)]
    for w in layout.wells:
        values = (layout.barcode, w.well, w.role.value, w.compound_id or "", w.replicate, float(w.dose_um), w.reason)
        lines.append(",".join(_quoted(str(value)) for value in values))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # Not csv.writer: on 3.11 it leaves a carriage return bare, which no reader survives.
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def layout_from_csv(path: Path) -> Layout:
    """Read a layout file.

    Raises:
        DataError: naming file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return parse_layout(text, str(path))


def parse_layout(text: str, name: str = "layout.csv") -> Layout:
    """Read what layout_to_csv wrote; name is for error messages.

    Raises:
        DataError: a column missing, a line unreadable, a well twice or missing, several barcodes.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [column for column in HEADER if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{name}, line 1: column {', '.join(missing)} missing; write {','.join(HEADER)}")
    lines = _numbered(reader, name)
    if len(lines) not in FORMATS:
        sizes = ", ".join(map(str, sorted(FORMATS)))
        raise DataError(f"{name} has {len(lines)} wells; give every well of a plate of {sizes} one line")
    plate_format = FORMATS[len(lines)]
    barcodes = {row["barcode"]: line for line, row in reversed(lines)}
    if len(barcodes) > 1:
        line, other = max((line, barcode) for barcode, line in barcodes.items())
        raise DataError(f"{name}, line {line}: barcode {other!r}, but {lines[0][1]['barcode']!r} before; give one")
    return Layout(lines[0][1]["barcode"], plate_format, _in_order(lines, plate_format, name))


def _numbered(reader: "csv.DictReader[str]", name: str) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, row), every row complete."""
    lines: list[tuple[int, dict[str, str]]] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{name}, line {reader.line_num}: not {len(HEADER)} values")
            lines.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}") from error
    return lines


def _in_order(lines: list[tuple[int, dict[str, str]]], plate_format: PlateFormat, name: str) -> tuple[LayoutWell, ...]:
    wells: dict[str, tuple[int, LayoutWell]] = {}
    for line, row in lines:
        try:
            well = _well(row, plate_format)
        except DataError as error:
            raise DataError(f"{name}, line {line}: {error}") from error
        if well.well in wells:
            raise DataError(f"{name}, line {line}: well {well.well} was on line {wells[well.well][0]} already")
        wells[well.well] = (line, well)
    return tuple(wells[well][1] for well in plate_format.wells())


def _well(row: Mapping[str, str], plate_format: PlateFormat) -> LayoutWell:
    try:
        role = Role(row["role"])
    except ValueError:
        raise DataError(f"role {row['role']!r}; write {', '.join(r.value for r in Role)}") from None
    compound = row["compound_id"] or None
    if (role is Role.SAMPLE) != (compound is not None):
        raise DataError(f"a {role.value} well with compound {row['compound_id']!r}; only samples have one")
    well = normal_well(row["well"], plate_format)
    return LayoutWell(well, role, compound, _replicate(row["replicate"]), _dose(row["dose_um"]), row["reason"])


def _replicate(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise DataError(f"replicate {text!r}; write a whole number from 0")
    return int(text)


def _dose(text: str) -> float:
    try:
        dose = float(text)
    except ValueError:
        dose = math.nan
    if not (math.isfinite(dose) and dose >= 0):
        raise DataError(f"dose_um {text!r}; write a number of micromolar from 0")
    return dose
