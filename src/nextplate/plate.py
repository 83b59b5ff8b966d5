"""Plates, wells and layouts.

A well is named by its row letters and zero-padded column, ``A01`` .. ``P24`` (``AF48`` on 1536), everywhere
inside nextplate; vendor spellings (``A1``) are made at the edges.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nextplate.errors import DataError

_WELL = re.compile(r"^([A-Za-z]{1,2})0*([1-9]\d?)$")


@dataclass(frozen=True, slots=True)
class PlateFormat:
    """A rectangular grid of wells."""

    n_rows: int
    n_columns: int

    @property
    def n_wells(self) -> int:
        """Count the wells."""
        return self.n_rows * self.n_columns

    def wells(self) -> Iterator[str]:
        """Yield well names row by row: A01, A02 .. P24."""
        for row in range(self.n_rows):
            for column in range(self.n_columns):
                yield well_name(row, column)


PLATE_96 = PlateFormat(8, 12)
PLATE_384 = PlateFormat(16, 24)
PLATE_1536 = PlateFormat(32, 48)
_SMALL = (PlateFormat(2, 3), PlateFormat(3, 4), PlateFormat(4, 6), PlateFormat(6, 8))
FORMATS = {f.n_wells: f for f in (*_SMALL, PLATE_96, PLATE_384, PLATE_1536)}
"""Every plate there is, by its number of wells: 6, 12, 24, 48, 96, 384, 1536."""


def row_letters(row: int) -> str:
    """Spell a 0-based row: 0 is A, 25 is Z, 26 is AA."""
    return chr(65 + row) if row < 26 else chr(64 + row // 26) + chr(65 + row % 26)


def well_name(row: int, column: int) -> str:
    """Name the well at a 0-based row and column."""
    return f"{row_letters(row)}{column + 1:02d}"


def parse_well(text: str) -> tuple[int, int]:
    """Return the 0-based (row, column) of a well written A1, a01 or AF48.

    Raises:
        DataError: the text is not a well name.
    """
    match = _WELL.match(text.strip())
    if not match:
        raise DataError(f"{text!r} is not a well name; write a row letter and a column, as in B07")
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - 64
    return row - 1, int(match[2]) - 1


def normal_well(text: str, plate_format: PlateFormat) -> str:
    """Return the zero-padded name of a well and check that the plate has it.

    Raises:
        DataError: not a well name, or outside the plate.
    """
    row, column = parse_well(text)
    if row >= plate_format.n_rows or column >= plate_format.n_columns:
        last = well_name(plate_format.n_rows - 1, plate_format.n_columns - 1)
        raise DataError(f"well {text} lies outside a {plate_format.n_wells}-well plate (A01 to {last})")
    return well_name(row, column)


def fitting_format(wells: Iterable[str]) -> PlateFormat:
    """Guess the plate from the wells in use: a format whose wells are all there, else the smallest screening plate.

    Screening plates are those of 96, 384 and 1536 wells; a few wells of a small plate look like a few of a large one.

    Raises:
        DataError: not a well name, or a well that no plate has.
    """
    places = {parse_well(w) for w in wells}
    for shape in FORMATS.values():
        if len(places) == shape.n_wells and all(_has(shape, *place) for place in places):
            return shape
    for shape in (PLATE_96, PLATE_384, PLATE_1536):
        if all(_has(shape, *place) for place in places):
            return shape
    far = max(places)
    raise DataError(f"well {well_name(*far)} lies outside a 1536-well plate (A01 to AF48)")


def _has(shape: PlateFormat, row: int, column: int) -> bool:
    return row < shape.n_rows and column < shape.n_columns


class Role(StrEnum):
    """What a well is for."""

    SAMPLE = "sample"
    NEGATIVE = "negative"
    POSITIVE = "positive"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class LayoutWell:
    """Who sits in a well, and why."""

    well: str
    role: Role
    compound_id: str | None
    """None in control and empty wells."""
    replicate: int
    """0 for the first well of a compound on this plate, 1 for the second .."""
    dose_um: float
    """Final concentration in micromolar; 0 in negative controls and empty wells."""
    reason: str
    """The word of the pick: cold-start, exploit, explore, confirm, dose-response; control, empty."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan of one plate: every well exactly once, row by row."""

    barcode: str
    plate_format: PlateFormat
    wells: tuple[LayoutWell, ...]

    def by_role(self, role: Role) -> tuple[LayoutWell, ...]:
        """Return the wells of one role, in plate order."""
        return tuple(w for w in self.wells if w.role is role)
