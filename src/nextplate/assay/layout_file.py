"""Read the layout file of a measured plate: CSV with well, role, compound, dose, dose_unit, and whatever else.

The files are as people send them: saved by Excel with a byte-order mark, a cp1252 micro sign, semicolons and decimal
commas, or `sep=;` on top. nextplate's own layout files (compound_id, dose_um, barcode) are read as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nextplate.assay.measured_layout import CONCENTRATIONS_UM, INDEX, MeasuredLayout, MeasuredWell, in_plate_order
from nextplate.chem.delimited import Delimited, read_delimited
from nextplate.errors import DataError
from nextplate.plate import FORMATS, PlateFormat, Role, fitting_format, normal_well, parse_well, well_name

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "well": ("well",),
    "role": ("role",),
    "compound": ("compound", "compound_id"),
    "dose": ("dose", "dose_um"),
    "unit": ("dose_unit",),
    "plate": ("plate", "barcode"),
}
"""What each column may be called, whatever the case."""
_ROLES = ", ".join(r.value for r in Role)
_UNITS = {u.lower(): u for u in (*CONCENTRATIONS_UM, INDEX)}
_MICRO = str.maketrans({"\u00b5": "u", "\u03bc": "u"})


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the file, cells by column."""

    number: int
    cells: Mapping[str, str]
    further: Mapping[str, str]


def read_measured_layout(path: Path, plate: str | None = None, n_wells: int | None = None) -> MeasuredLayout:
    """Read a layout file.

    Args:
        path: a CSV or TSV file.
        plate: the plate to take, where the file has a column plate (or barcode). None: the file's only one.
        n_wells: of the plate. None: the plate whose wells are all named, else the smallest of 96, 384 and 1536 wells
            that has all of those named.

    Raises:
        DataError: with file, line, well and the fix: no such file, a column missing, an unknown role or unit, a bad
            well, a well twice, a dose that is no number or negative, a sample without compound or dose where others
            have one, concentrations and an index for one compound, no such plate.
    """
    if n_wells is not None and n_wells not in FORMATS:
        raise DataError(f"there is no plate of {n_wells} wells; there are plates of {', '.join(map(str, FORMATS))}")
    lines = _of_plate(_lines(_delimited(path), path), path, plate)
    shape = FORMATS[n_wells] if n_wells else _format(lines, path)
    wells = _wells(lines, path, shape)
    _check_complete(lines, wells, path)
    return MeasuredLayout(shape, in_plate_order(_in_one_unit(lines, wells, path)), str(path))


def plates_of_layout(path: Path) -> tuple[str, ...]:
    """List the plates that a layout file names, in order; () where it has no column plate or barcode.

    Raises:
        DataError: as `read_measured_layout`, of the file and its header.
    """
    return _plates(_lines(_delimited(path), path))


def _plates(lines: list[_Line]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for line in lines if (name := line.cells.get("plate", ""))))


def _delimited(path: Path) -> Delimited:
    try:
        if path.read_bytes().strip() == b"":
            raise DataError(f"{path}: the file is empty; write a header, well,role,compound,dose,dose_unit, and wells")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return read_delimited(path)
    except DataError:
        return _from_excel(path)


def _from_excel(path: Path) -> Delimited:
    """Read what Excel on Windows writes, a micro sign as cp1252; a file that is broken otherwise fails as before."""
    try:
        return read_delimited(path, encoding="cp1252")
    except DataError as error:
        # Libraries take an option for this, layouts do not.
        raise DataError(str(error).replace(", or name its encoding (--encoding latin-1)", "")) from error


def _lines(file: Delimited, path: Path) -> list[_Line]:
    records = file.records[1:] if file.records[0].cells[0].lower().startswith("sep=") else file.records
    header = records[0].cells
    known = _known(header, path, records[0].line)
    lines = []
    for record in records[1:]:
        cells = (*record.cells, *[""] * (len(header) - len(record.cells)))
        if any(cells[len(header) :]):
            raise DataError(f"{path}, line {record.line}: {len(record.cells)} values, the header has {len(header)}")
        found = {name: cells[i] for name, i in known.items()}
        found["dose"] = _decimal(found.get("dose", ""), file.delimiter)
        if "unit" not in known and header[known.get("dose", 0)].lower() == "dose_um":
            found["unit"] = "uM"
        rest = {header[i]: cells[i] for i in range(len(header)) if i not in known.values() and header[i]}
        lines.append(_Line(record.line, found, rest))
    return lines


def _known(header: Sequence[str], path: Path, line: int) -> dict[str, int]:
    """Map what we know to the place of its column."""
    lower = [name.lower() for name in header]
    twice = next((name for i, name in enumerate(lower) if name and name in lower[:i]), None)
    if twice is not None:
        raise DataError(f"{path}, line {line}: two columns are called {twice!r}; keep one or give it another name")
    known: dict[str, int] = {}
    for name, spellings in _COLUMNS.items():
        places = [i for i, title in enumerate(lower) if title in spellings]
        if len(places) > 1:
            names = " and ".join(header[i] for i in places)
            raise DataError(f"{path}, line {line}: the columns {names} say the same; keep one of them")
        known |= {name: places[0]} if places else {}
    missing = [name for name in ("well", "role") if name not in known]
    if missing:
        raise DataError(
            f"{path}, line {line}: column {', '.join(missing)} missing among {', '.join(header)}; "
            "write well,role,compound,dose,dose_unit"
        )
    return known


def _decimal(text: str, delimiter: str) -> str:
    # Where semicolons part the cells, a comma is the decimal point of the country.
    return text.replace(",", ".") if delimiter != "," and text.count(",") == 1 and "." not in text else text


def _of_plate(lines: list[_Line], path: Path, plate: str | None) -> list[_Line]:
    """Take the lines of one plate; all of them where the file names no plate."""
    names = _plates(lines)
    if not names:
        return lines
    if plate is None and len(names) > 1:
        raise DataError(f"{path} is of the plates {', '.join(names[:5])}; say which one is meant")
    chosen = plate or names[0]
    if chosen not in names:
        raise DataError(
            f"{path} has no line of plate {chosen}; it is of {', '.join(names[:5])}. "
            "Give the layout of the plate that was imaged, or leave its column plate out"
        )
    return [line for line in lines if line.cells["plate"] == chosen]


def _format(lines: list[_Line], path: Path) -> PlateFormat:
    found = []
    for line in lines:
        try:
            found.append(well_name(*parse_well(line.cells["well"])))
            fitting_format(found[-1:])
        except DataError as error:
            raise DataError(f"{path}, line {line.number}: {error}") from error
    return fitting_format(found)


def _wells(lines: list[_Line], path: Path, shape: PlateFormat) -> list[MeasuredWell]:
    if not lines:
        raise DataError(f"{path}: the header is followed by no well")
    seen: dict[str, int] = {}
    wells = []
    for line in lines:
        try:
            wells.append(_well(line, shape))
        except DataError as error:
            raise DataError(f"{path}, line {line.number}: {error}") from error
        name = wells[-1].well
        if name in seen:
            raise DataError(f"{path}, line {line.number}: well {name} stands on line {seen[name]} already; keep one")
        seen[name] = line.number
    return wells


def _well(line: _Line, shape: PlateFormat) -> MeasuredWell:
    well = normal_well(line.cells["well"], shape)
    role = _role(line.cells["role"], well)
    if role is Role.EMPTY:
        return MeasuredWell(well, role, None, None, "", line.further)
    dose = _dose(line.cells["dose"], well)
    unit = "" if dose is None else _unit(line.cells.get("unit", ""), dose, well)
    return MeasuredWell(well, role, line.cells.get("compound") or None, dose, unit, line.further)


def _role(text: str, well: str) -> Role:
    try:
        return Role(text.lower())
    except ValueError:
        raise DataError(f"well {well}: role {text!r}; write {_ROLES}") from None


def _dose(text: str, well: str) -> float | None:
    if not text:
        return None
    try:
        dose = float(text)
    except ValueError:
        dose = math.nan
    if not (math.isfinite(dose) and dose >= 0):
        raise DataError(f"well {well}: dose {text!r}; write a number from 0, and its unit in the column dose_unit")
    return dose


def _unit(text: str, dose: float, well: str) -> str:
    unit = _UNITS.get(text.translate(_MICRO).lower().replace(" ", ""))
    if unit is None and not text and dose == 0:
        return ""
    if unit is None:
        found = f"dose_unit {text!r}" if text else f"dose {dose:g} without a unit"
        raise DataError(f"well {well}: {found}; write pM, nM, uM, mM, M, or index for the steps of a dilution")
    return unit


def _check_complete(lines: list[_Line], wells: list[MeasuredWell], path: Path) -> None:
    """Refuse samples without compound or dose where other samples have one."""
    samples = [(line, w) for line, w in zip(lines, wells, strict=True) if w.role is Role.SAMPLE]
    for what, value in (("compound", "compound_id"), ("dose", "dose")):
        without = [(line, w) for line, w in samples if getattr(w, value) is None]
        if without and len(without) < len(samples):
            line, w = without[0]
            raise DataError(
                f"{path}, line {line.number}: sample well {w.well} has no {what}, other samples have one; "
                f"write it, or make the well empty"
            )


def _in_one_unit(lines: list[_Line], wells: list[MeasuredWell], path: Path) -> list[MeasuredWell]:
    """Turn the doses of a compound into micromolar where its units differ; dose 0 is 0 in any unit."""
    units: dict[str | None, dict[str, tuple[int, MeasuredWell]]] = {}
    for line, w in zip(lines, wells, strict=True):
        if w.dose:
            units.setdefault(w.compound_id, {}).setdefault(w.dose_unit, (line.number, w))
    for compound, found in units.items():
        if INDEX in found and len(found) > 1:
            first = next(place for unit, place in found.items() if unit != INDEX)
            (at, one), (number, other) = sorted((found[INDEX], first), key=lambda place: place[0])
            raise DataError(
                f"{path}, line {number}: well {other.well} gives {compound or 'its'} dose in {other.dose_unit}, "
                f"well {one.well} on line {at} in {one.dose_unit}; steps and concentrations cannot share an axis"
            )
    return [_converted(w, set(units.get(w.compound_id, {}))) for w in wells]


def _converted(w: MeasuredWell, units: set[str]) -> MeasuredWell:
    if w.dose is None or not units:
        return w
    if len(units) == 1:
        return replace(w, dose_unit=next(iter(units)))
    return replace(w, dose=w.dose_um, dose_unit="uM")
