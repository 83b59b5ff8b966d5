"""Read a stock file: which compound stands in which source well, how much, how strong."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from nextplate.errors import DataError
from nextplate.plate import normal_well
from protocols.labware import LABWARE

DEFAULT_LABWARE = "corning_384_wellplate_112ul_flat"

_PLATE = ("source_plate", "plate", "barcode")
_WELL = ("source_well", "well")
_COMPOUND = ("compound_id",)
_VOLUME = {"volume_ul": 1000, "volume_nl": 1}
_CONCENTRATION = {"concentration_um": 1, "concentration_mm": 1000}
_SEPARATORS = (",", ";", "\t")
_BARCODE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")
"""Barcodes name places (hotel/SRC-001) and labware in protocols."""


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong with one line."""

    line: int
    """Counted from 1, the header included."""
    what: str


@dataclass(frozen=True, slots=True)
class StockRow:
    """One source well as a file gives it."""

    line: int = field(compare=False)
    source_plate: str
    source_well: str
    compound_id: str
    volume_nl: int
    concentration_um: float
    labware: str


@dataclass(frozen=True, slots=True)
class StockFile:
    """A stock file as read: the lines that make sense, and what is wrong with the others."""

    name: str
    """Of the file, without its folder."""
    rows: tuple[StockRow, ...]
    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    plate: str
    well: str
    compound: str
    volume: str
    concentration: str


class _BadLine(Exception):
    """A line cannot be used; its text says why."""


def read_stock(path: Path) -> StockFile:
    """Read a CSV of source wells.

    Columns: source_plate (or plate, barcode), source_well (or well), compound_id, volume_ul or volume_nl,
    concentration_um or concentration_mm, and labware if it is not corning_384_wellplate_112ul_flat. Separated
    by comma, semicolon (decimal commas allowed) or tab; UTF-8 with or without BOM, or the UTF-16 of a
    spreadsheet; any line ends.

    Raises:
        DataError: the file as a whole cannot be used: no text, a column missing or given twice, no rows.
    """
    text = _decode(path)
    separator = max(_SEPARATORS, key=text.splitlines()[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns = _find_columns(path.name, [n.strip().lower() for n in reader.fieldnames or ()])
    reader.fieldnames = [n.strip().lower() for n in reader.fieldnames or ()]
    rows: list[StockRow] = []
    issues: list[Issue] = []
    try:
        for line, cells in _lines(reader):
            try:
                rows.append(_row(line, cells, columns, is_comma_decimal=separator == ";"))
            except (_BadLine, DataError) as error:
                issues.append(Issue(line, str(error)))
    except csv.Error as error:
        raise DataError(f"{path.name}: after line {reader.line_num}: {error}; save it as CSV again") from error
    if not rows and not issues:
        raise DataError(f"{path.name} has a header and no rows; write one line per source well")
    return StockFile(path.name, tuple(rows), (*issues, *_twice(rows)))


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path.name}:{line}: byte {error.start} is not {encoding}; save the file as UTF-8") from error
    if not text.strip():
        raise DataError(f"{path.name} is empty; write a header line and one line per source well")
    if "\0" in text:
        raise DataError(f"{path.name} holds zero bytes and is no text; save the sheet as CSV")
    return text


def _find_columns(name: str, header: list[str]) -> _Columns:
    def one(of: tuple[str, ...]) -> str:
        found = [n for n in header if n in of]
        if len(found) != 1:
            what = (
                f"has the columns {' and '.join(found)} for one thing" if found else f"has no column {' or '.join(of)}"
            )
            raise DataError(f"{name}:1: the stock file {what}; it has {', '.join(header)}")
        return found[0]

    if header.count("labware") > 1:
        raise DataError(f"{name}:1: the stock file has the column labware twice")
    return _Columns(one(_PLATE), one(_WELL), one(_COMPOUND), one(tuple(_VOLUME)), one(tuple(_CONCENTRATION)))


def _lines(reader: "csv.DictReader[str]") -> Iterator[tuple[int, Mapping[str | None, str | list[str] | None]]]:
    for cells in reader:
        if any(cell for cell in cells.values()):  # a line of separators is how spreadsheets end
            yield reader.line_num, cells


def _row(
    line: int, cells: Mapping[str | None, str | list[str] | None], c: _Columns, *, is_comma_decimal: bool
) -> StockRow:
    if None in cells:
        raise _BadLine("has more cells than the header")

    def cell(name: str) -> str:
        value = cells.get(name)
        return value.strip() if isinstance(value, str) else ""

    labware = cell("labware") or DEFAULT_LABWARE
    kind = LABWARE.get(labware)
    if kind is None or kind.is_tip_rack:
        known = sorted(name for name, item in LABWARE.items() if not item.is_tip_rack)
        raise _BadLine(f"labware {labware!r} is not known for stock; known are {', '.join(known)}")
    for name in (c.plate, c.well, c.compound):
        if not cell(name):
            raise _BadLine(f"{name} is empty")
    if not _BARCODE.match(cell(c.plate)):
        raise _BadLine(f"{c.plate} {cell(c.plate)!r} is no barcode; use up to 40 letters, digits, '_', '-' and '.'")
    well = normal_well(cell(c.well), kind.wells_format)
    volume_nl = _volume(cell(c.volume), c.volume, kind.max_volume_nl, labware, is_comma_decimal)
    concentration = _number(cell(c.concentration), c.concentration, is_comma_decimal)
    if concentration < 0:
        raise _BadLine(f"{c.concentration} is {concentration}; it cannot be negative")
    concentration_um = float(concentration * _CONCENTRATION[c.concentration])
    return StockRow(line, cell(c.plate), well, cell(c.compound), volume_nl, concentration_um, labware)


def _volume(text: str, column: str, capacity_nl: int, labware: str, is_comma_decimal: bool) -> int:
    volume = _number(text, column, is_comma_decimal) * _VOLUME[column]
    if volume <= 0:
        raise _BadLine(f"{column} is {text}; a source well holds more than nothing")
    if volume > capacity_nl:
        raise _BadLine(f"{column} is {text}, and a well of {labware} holds {capacity_nl / 1000:g} microlitres")
    if volume != volume.to_integral_value():
        raise _BadLine(f"{column} is {text}, not a whole number of nanolitres")
    return int(volume)


def _number(text: str, column: str, is_comma_decimal: bool) -> Decimal:
    if is_comma_decimal and "." not in text:
        text = text.replace(",", ".")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _BadLine(f"{column} is {text!r}, not a number") from None
    if not value.is_finite() or "_" in text:
        raise _BadLine(f"{column} is {text!r}, not a number")
    if abs(value) > Decimal(10) ** 12 or (value and abs(value) < Decimal(10) ** -12):
        raise _BadLine(f"{column} is {text}; is the unit right?")
    return value


def _twice(rows: list[StockRow]) -> Iterator[Issue]:
    wells: dict[tuple[str, str], int] = {}
    plates: dict[str, StockRow] = {}
    for row in rows:
        first = wells.setdefault((row.source_plate, row.source_well), row.line)
        if first != row.line:
            yield Issue(row.line, f"well {row.source_plate} {row.source_well} is on line {first} already")
        plate = plates.setdefault(row.source_plate, row)
        if plate.labware != row.labware:
            yield Issue(
                row.line, f"plate {row.source_plate} is a {plate.labware} on line {plate.line}, here {row.labware}"
            )
