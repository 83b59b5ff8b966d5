"""Read what plates may suffer and have suffered: thaws, expiry, evaporation; a CSV that people keep."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from nextplate.errors import DataError
from protocols.stock import PlateCare

_T = TypeVar("_T")

COLUMNS = ("plate", "n_thaws", "max_thaws", "expires", "evaporation_nl_per_h")
"""Of the file; only the first has to be there, and a cell may be empty."""
MAX_COUNT = 10**9


def read_care(path: Path) -> dict[str, PlateCare]:
    """Read a CSV of plates: UTF-8, a header line, one line per plate, dates as 2026-11-25.

    Raises:
        DataError: cannot be read, a column missing or unknown, a plate named twice, a cell that is none; says where.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start})") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    names = [name.strip() for name in reader.fieldnames or ()]
    unknown = [name for name in names if name not in COLUMNS]
    if "plate" not in names or unknown or len(set(names)) < len(names):
        raise DataError(f"{path}:1: the columns are {', '.join(names) or 'none'}; known are {', '.join(COLUMNS)}")
    reader.fieldnames = names
    found: dict[str, PlateCare] = {}
    try:
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            plate = (cells["plate"] or "").strip()
            if not plate or plate in found:
                raise DataError(f"{where}: plate {plate!r:.60} is {'named twice' if plate else 'empty'}")
            found[plate] = _care(cells, where)
    except csv.Error as error:
        raise DataError(f"{path}: after line {reader.line_num}: {error}") from error
    return found


def care_row(plate: str, care: PlateCare) -> dict[str, Any]:
    """Return the row of the table plate_care that says it."""
    return {
        "plate": plate,
        "n_thaws": care.n_thaws,
        "max_thaws": care.max_thaws,
        "expires": None if care.expires is None else care.expires.isoformat(),
        "evaporation_nl_per_h": care.evaporation_nl_per_h,
    }


def _care(cells: Mapping[str | None, str | None], where: str) -> PlateCare:
    if None in cells:
        raise DataError(f"{where}: has more cells than the header")
    return PlateCare(
        _cell(cells, "n_thaws", where, _count) or 0,
        _cell(cells, "max_thaws", where, _count),
        _cell(cells, "expires", where, date.fromisoformat),
        _cell(cells, "evaporation_nl_per_h", where, _count) or 0,
    )


def _cell(cells: Mapping[str | None, str | None], name: str, where: str, read: Callable[[str], _T]) -> _T | None:
    text = (cells.get(name) or "").strip()
    if not text:
        return None
    try:
        return read(text)
    except ValueError:
        wanted = "a date like 2026-11-25" if read is not _count else f"a whole number from 0 to {MAX_COUNT}"
        raise DataError(f"{where}: {name} is {text!r:.40}, not {wanted}") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_COUNT:
        raise ValueError
    return int(text)
