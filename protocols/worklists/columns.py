"""CSV by column mapping: for Hamilton, Biomek and whatever else reads a table that its own method defines.

There is no fixed format (shared/facts/robots.md section 5); a mapping says which column holds what::

    unit = "uL"            # or nL
    well = "A1"            # A01, down-columns (B1 is 2), along-rows (A2 is 2)
    decimal = "."          # or ,
    separator = ","        # ; | or a tab
    header = true
    n_decimals = 3         # of the volume

    [columns]              # in the order of the file
    "Source Plate Name" = "source_plate"
    "Source Well" = "source_well"
    "Destination Plate Name" = "destination_plate"
    "Destination Well" = "destination_well"
    "Transfer Volume" = "volume"

    [constants]            # columns that hold the same in every row, after the others
    "Liquid Class" = "Water"

A ``[result]`` table says how the result file looks: `protocols.worklists.results`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nextplate.errors import DataError, PlanError
from nextplate.plate import PlateFormat, parse_well, well_name
from protocols.labware import LABWARE, vendor_well
from protocols.model import Protocol, Transfer
from protocols.sentences import well_on
from protocols.worklists.names import Names
from protocols.worklists.picks import (
    Listed,
    Pick,
    Written,
    decimal_nl,
    listed,
    position,
    restored,
    whole_nl,
)
from protocols.worklists.tables import SEPARATORS, rows_of, written

FIELDS = (
    "transfer", "source_plate", "source_well", "source_slot", "source_labware", "destination_plate",
    "destination_well", "destination_slot", "destination_labware", "volume", "compound", "tip_rack", "tip_well",
)  # fmt: skip
"""What a column may hold."""
_NEEDED = ("source_plate", "source_well", "destination_plate", "destination_well", "volume")
_UNITS = {"uL": 1000, "nL": 1}
WELLS = ("A1", "A01", "down-columns", "along-rows")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which column holds what, and how it is spelled."""

    columns: Mapping[str, str]
    """Field by column heading, in the order of the file."""
    unit: str = "uL"
    """Of the volume: uL or nL."""
    well: str = "A1"
    """One of WELLS."""
    decimal: str = "."
    separator: str = ","
    has_header: bool = True
    n_decimals: int = 3
    """Of a volume in uL."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """Text by column heading, the same in every row."""

    @property
    def headings(self) -> tuple[str, ...]:
        """Return the headings in the order of the file."""
        return (*self.columns, *self.constants)


TESELAGEN = ColumnMapping(
    {
        "Source Plate Name": "source_plate",
        "Source Well": "source_well",
        "Destination Plate Name": "destination_plate",
        "Destination Well": "destination_well",
        "Transfer Volume": "volume",
    }
)
"""What TeselaGen exports for Hamilton (third-party documentation)."""


def read_mapping(body: Mapping[str, Any]) -> ColumnMapping:
    """Read a mapping from TOML or JSON values; a table ``result`` is not looked at.

    Raises:
        DataError: names what is missing, unknown or wrong, and what is allowed.
    """
    allowed = ("unit", "well", "decimal", "separator", "header", "n_decimals", "columns", "constants", "result")
    if unknown := sorted(set(body) - set(allowed)):
        raise DataError(f"mapping: {unknown[0]!r:.40} is not known; known are {', '.join(allowed)}")
    columns, constants = _texts(body.get("columns"), "columns"), _texts(body.get("constants", {}), "constants")
    if missing := [name for name in _NEEDED if name not in columns.values()]:
        raise DataError(f"mapping: no column holds {', '.join(missing)}")
    for name in columns.values():
        if name not in FIELDS:
            raise DataError(f"mapping: no column can hold {name!r:.40}; known are {', '.join(FIELDS)}")
        if list(columns.values()).count(name) > 1:
            raise DataError(f"mapping: two columns hold {name}")
    if twice := sorted(set(columns) & set(constants)):
        raise DataError(f"mapping: column {twice[0]!r:.40} is both a column and a constant")
    decimal, separator = _one_of(body, "decimal", ".", (".", ",")), _one_of(body, "separator", ",", SEPARATORS)
    if decimal == separator:
        raise DataError("mapping: the decimal mark is the separator")
    n_decimals, has_header = body.get("n_decimals", 3), body.get("header", True)
    if type(n_decimals) is not int or not 0 <= n_decimals <= 3 or type(has_header) is not bool:
        raise DataError("mapping: n_decimals is 0 to 3, header is true or false")
    unit, well = _one_of(body, "unit", "uL", tuple(_UNITS)), _one_of(body, "well", "A1", WELLS)
    return ColumnMapping(columns, unit, well, decimal, separator, has_header, n_decimals, constants)


def _one_of(body: Mapping[str, Any], name: str, default: str, allowed: Sequence[str]) -> str:
    value = body.get(name, default)
    if value not in allowed:
        raise DataError(f"mapping: {name} is {value!r:.40}; allowed are {', '.join(map(repr, allowed))}")
    return str(value)


def _texts(value: Any, name: str) -> dict[str, str]:
    """Check a table of texts that a spreadsheet takes for nothing but text."""
    if not isinstance(value, Mapping):
        raise DataError(f"mapping: {name} is {value!r:.40}, not a table")
    for pair in value.items():
        for text in pair:
            if not isinstance(text, str) or len(text) > 200 or not (text.isascii() and text.isprintable()):
                raise DataError(f"mapping: {name} holds {text!r:.60}; it takes printable ASCII")
            if text[:1] in ("=", "+", "-", "@"):
                raise DataError(f"mapping: {name} holds {text!r:.60}, which a spreadsheet takes for a formula")
    return dict(value)


def write_columns(protocol: Protocol, load_index: int, mapping: ColumnMapping = TESELAGEN) -> Written:
    """Write a load as a table.

    Raises:
        PlanError: what the table cannot say, with the well.
    """
    it = listed(protocol, load_index)
    if {"tip_rack", "source_slot", "destination_slot"} & set(mapping.columns.values()):
        words = [*it.names.labels, *(t.tip_rack for t in it.load.transfers), *(i.slot for i in it.load.deck)]
        it = Listed(it.load, it.deck, Names.of(words))
    rows: list[Sequence[str]] = [mapping.headings] if mapping.has_header else []
    rows += [_row(t, it, mapping) for t in it.load.transfers]
    return Written(written(rows, mapping.separator), it.names)


def _row(t: Transfer, it: Listed, mapping: ColumnMapping) -> list[str]:
    try:
        cells = [_FIELDS[name](t, it, mapping) for name in mapping.columns.values()]
    except DataError as error:
        where = well_on(t.destination_plate, t.destination_well)
        raise PlanError(f"transfer {t.transfer_id} into {where}: {error}; see n_decimals of the mapping") from error
    return [*cells, *mapping.constants.values()]


def _volume(t: Transfer, _: Listed, mapping: ColumnMapping) -> str:
    text = str(t.volume_nl) if mapping.unit == "nL" else decimal_nl(t.volume_nl, mapping.n_decimals)
    return text.replace(".", mapping.decimal)


def _tip_well(well: str, mapping: ColumnMapping) -> str:
    if not well:
        return ""
    return vendor_well(well) if mapping.well == "A1" else well_name(*parse_well(well))


def _well(barcode: str, well: str, it: Listed, mapping: ColumnMapping) -> str:
    return spelled(well, it.kind(barcode).wells_format, mapping.well)


def spelled(well: str, shape: PlateFormat, how: str) -> str:
    """Spell a well in one of WELLS."""
    if how == "A01":
        return well
    if how == "A1":
        return vendor_well(well)
    row, column = parse_well(well)
    return str(position(well, shape) if how == "down-columns" else row * shape.n_columns + column + 1)


def unspelled(text: str, shape: PlateFormat, how: str) -> str:
    """Read a well spelled in one of WELLS.

    Raises:
        DataError: it is none of the plate.
    """
    plain = text.strip()
    if how in ("A1", "A01"):
        row, column = parse_well(plain)
    else:
        if not (plain.isascii() and plain.isdigit() and len(plain) < 6 and 1 <= int(plain) <= shape.n_wells):
            raise DataError(f"well {text!r:.20} is none of {shape.n_wells}")
        height = shape.n_rows if how == "down-columns" else shape.n_columns
        first, second = divmod(int(plain) - 1, height)
        row, column = (second, first) if how == "down-columns" else (first, second)
    if row >= shape.n_rows or column >= shape.n_columns:
        raise DataError(f"well {text!r:.20} is not on a plate of {shape.n_wells} wells")
    return well_name(row, column)


_FIELDS: Mapping[str, Callable[[Transfer, Listed, ColumnMapping], str]] = {
    "transfer": lambda t, _, __: str(t.transfer_id),
    "source_plate": lambda t, it, _: it.names.label(t.source_plate),
    "source_well": lambda t, it, m: _well(t.source_plate, t.source_well, it, m),
    "source_slot": lambda t, it, _: it.names.label(it.deck[t.source_plate].slot),
    "source_labware": lambda t, it, _: it.deck[t.source_plate].labware,
    "destination_plate": lambda t, it, _: it.names.label(t.destination_plate),
    "destination_well": lambda t, it, m: _well(t.destination_plate, t.destination_well, it, m),
    "destination_slot": lambda t, it, _: it.names.label(it.deck[t.destination_plate].slot),
    "destination_labware": lambda t, it, _: it.deck[t.destination_plate].labware,
    "volume": _volume,
    "compound": lambda t, it, _: it.names.label(t.compound_id),
    "tip_rack": lambda t, it, _: it.names.label(t.tip_rack),
    "tip_well": lambda t, _, m: _tip_well(t.tip_well, m),
}


def read_columns(
    text: str, kinds: Mapping[str, str], mapping: ColumnMapping = TESELAGEN, names: Names | None = None
) -> tuple[Pick, ...]:
    """Read the table that `write_columns` wrote.

    Args:
        text: of the table.
        kinds: load name of each plate, by barcode.
        mapping: that it was written with.
        names: from its side table; None: every label is a name.

    Raises:
        DataError: another header, rows of another length, a plate, well or volume that is none; names the line.
    """
    rows = rows_of(text, mapping.separator)
    if not text.endswith("\r\n") or (mapping.has_header and (not rows or tuple(rows[0]) != mapping.headings)):
        raise DataError("line 1: not the columns of the mapping, or the file was cut")
    known = (names or Names({})).by_label()
    return tuple(
        _read_row(row, n, kinds, mapping, known) for n, row in enumerate(rows, 1) if n > 1 or not mapping.has_header
    )


def _read_row(
    row: list[str], number: int, kinds: Mapping[str, str], mapping: ColumnMapping, known: Mapping[str, str]
) -> Pick:
    try:
        if len(row) != len(mapping.headings):
            raise DataError(f"{len(row)} cells, not {len(mapping.headings)}")
        cells = dict(zip(mapping.columns.values(), row, strict=False))
        volume_nl = whole_nl(cells["volume"], per_unit=_UNITS[mapping.unit], decimal=mapping.decimal)
        pick = Pick(cells["source_plate"], "", cells["destination_plate"], "", volume_nl, cells.get("compound", ""))
        pick = restored(pick, known)
        wells = []
        for plate, cell in ((pick.source_plate, "source_well"), (pick.destination_plate, "destination_well")):
            if kinds.get(plate) not in LABWARE:
                raise DataError(f"plate {plate!r:.60} is not known")
            wells.append(unspelled(cells[cell], LABWARE[kinds[plate]].wells_format, mapping.well))
    except DataError as error:
        raise DataError(f"line {number}: {error}") from error
    return Pick(pick.source_plate, wells[0], pick.destination_plate, wells[1], volume_nl, pick.compound_id)
