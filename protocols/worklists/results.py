"""Result tables: rows that name source, destination, what moved and how it ended; columns by name, in any order.

No vendor's sample was at hand (shared/facts/robots.md section 5): nothing here is verified on a robot, so every
heading and status word is configuration, and what does not fit is refused rather than guessed. The ``[result]`` table
of a mapping file::

    [result]
    source_plate = "Source Plate Name"
    source_well = "Source Well"
    destination_plate = "Destination Plate Name"
    destination_well = "Destination Well"
    planned = "Transfer Volume"      # "" where the file does not repeat it
    actual = "Actual Volume"         # "" where a status is all there is
    actual_end = "dispensed"         # or "both": what was drawn and what arrived alike
    status = "Status"
    reason = "Error"                 # ""
    ok = ["ok", "complete"]          # any other status is a fault; case is ignored
    begun_not = ["skipped"]          # of a transfer that was never begun
    unit = "uL"
    well = "A1"
    decimal = "."
    separator = ","
    encoding = "utf-8"
    end = "END"                      # first cell of the last row; "" where the file has no such mark
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any

from nextplate.errors import DataError
from protocols.labware import LABWARE
from protocols.model import DeckLoad, Transfer
from protocols.worklists.account import Account, Fate, Happened, account_of, judged
from protocols.worklists.columns import WELLS, unspelled
from protocols.worklists.names import Names
from protocols.worklists.picks import number
from protocols.worklists.tables import SEPARATORS, rows_of, text_of

_UNITS = {"uL": 1000, "nL": 1}
_ENDS = ("dispensed", "both")


@dataclass(frozen=True, slots=True)
class ResultColumns:
    """Headings and words of a result table."""

    source_plate: str = "Source Plate Name"
    source_well: str = "Source Well"
    destination_plate: str = "Destination Plate Name"
    destination_well: str = "Destination Well"
    planned: str = "Transfer Volume"
    """Empty: the file does not repeat the plan."""
    actual: str = "Actual Volume"
    """Empty: a status is all there is."""
    actual_end: str = "dispensed"
    """What ``actual`` is: dispensed (a pipette may have drawn more) or both (what left arrived, as by sound)."""
    status: str = "Status"
    reason: str = ""
    """Empty: the status is the reason."""
    ok: tuple[str, ...] = ("ok", "complete", "completed", "success", "done")
    """Lower-case words of the status of a transfer that went well."""
    begun_not: tuple[str, ...] = ("skipped", "not executed")
    """Of one that was never begun."""
    unit: str = "uL"
    well: str = "A1"
    decimal: str = "."
    separator: str = ","
    encoding: str = "utf-8"
    end: str = ""
    """First cell of the last row, which proves that the file is whole; its second cell may say ``aborted`` and its
    third why. Empty: the last row's line end is all the proof there is, and rows that lack are unknown."""
    aborted: tuple[str, ...] = ("aborted", "error", "failed")
    """Lower-case second cells of the last row of a run that ended early."""


def read_result_columns(body: Mapping[str, Any], base: ResultColumns | None = None) -> ResultColumns:
    """Read the ``[result]`` table of a mapping.

    Raises:
        DataError: names what is unknown or wrong.
    """
    base = base or ResultColumns()
    known = {f.name: type(getattr(base, f.name)) for f in fields(base)}
    values: dict[str, Any] = {}
    for name, value in body.items():
        if name not in known:
            raise DataError(f"result: {name!r:.40} is not known; known are {', '.join(known)}")
        is_list = known[name] is tuple
        if is_list and isinstance(value, list) and all(isinstance(word, str) for word in value):
            values[name] = tuple(word.casefold() for word in value)
        elif not is_list and isinstance(value, str):
            values[name] = value
        else:
            raise DataError(f"result: {name} is {value!r:.60}; it should be {'a list of texts' if is_list else 'text'}")
    made = replace(base, **values)
    choices = {
        "unit": tuple(_UNITS),
        "well": WELLS,
        "decimal": (".", ","),
        "separator": SEPARATORS,
        "actual_end": _ENDS,
    }
    for name, allowed in choices.items():
        if getattr(made, name) not in allowed:
            raise DataError(
                f"result: {name} is {getattr(made, name)!r:.40}; allowed are {', '.join(map(repr, allowed))}"
            )
    if made.decimal == made.separator or not made.status:
        raise DataError("result: the decimal mark is the separator, or no status column is named")
    return made


@dataclass(slots=True)
class Matching:
    """Finds the transfer of each row; every transfer is told once."""

    load: DeckLoad
    names: Names
    columns: ResultColumns
    told: dict[int, Happened] = field(default_factory=dict)
    ambiguous: set[int] = field(default_factory=set)
    """Transfers of one place of which rows tell fewer than there are, and the volumes differ."""
    places: dict[tuple[str, ...], list[Transfer]] = field(default_factory=dict)
    """Transfers by source plate and well, destination plate and well."""
    known: dict[str, str] = field(init=False)
    labware: dict[str, str] = field(init=False)
    ends: tuple[set[str], set[str]] = field(init=False)
    """Source plates and destination plates."""

    def __post_init__(self) -> None:
        self.known = self.names.by_label()
        self.labware = {item.barcode: item.labware for item in self.load.deck}
        for t in self.load.transfers:
            key = t.source_plate, t.source_well, t.destination_plate, t.destination_well
            self.places.setdefault(key, []).append(t)
        known = [barcode for barcode, kind in self.labware.items() if kind in LABWARE]
        used = [{place[n] for place in self.places} for n in (0, 2)]
        self.ends = used[0].intersection(known), used[1].intersection(known)

    def take(self, cells: Mapping[str, str]) -> None:
        """Take one row, cells by field.

        Raises:
            DataError: another plate, an unknown well, a transfer that was not planned or is told twice, a volume that
                is none or above the plan.
        """
        waiting = self._waiting(cells)
        planned_nl = self._volume(cells, "planned")
        fitting = [t for t in waiting if planned_nl is None or t.volume_nl == planned_nl]
        if not fitting:
            volumes = ", ".join(str(t.volume_nl) for t in waiting)
            raise DataError(f"a transfer of {planned_nl} nl, planned are {volumes} nl: it is of another plan")
        actual_nl = self._volume(cells, "actual")
        fitting = [t for t in fitting if actual_nl is None or actual_nl <= t.volume_nl]
        if not fitting:
            raise DataError(f"{actual_nl} nl moved, more than was planned")
        fitting.sort(key=lambda t: t.volume_nl != actual_nl)
        t, word = fitting[0], cells.get("status", "").strip().casefold()
        if len({other.volume_nl for other in fitting}) > 1:
            self.ambiguous.update(other.transfer_id for other in fitting)
        reason = cells.get("reason", "").strip() or ("" if word in self.columns.ok else cells.get("status", "").strip())
        if word in self.columns.begun_not:
            if actual_nl:
                raise DataError(f"status {word!r:.40} with {actual_nl} nl moved")
            self.told[t.transfer_id] = Happened(t.transfer_id, Fate.NOT_BEGUN, Decimal(0), Decimal(0), reason)
        else:
            # Where the file has a column for what moved, an empty cell confirms nothing.
            is_ok = word in self.columns.ok and not (self.columns.actual and actual_nl is None)
            is_both = self.columns.actual_end == "both"
            self.told[t.transfer_id] = judged(t, actual_nl, is_ok=is_ok, reason=reason, is_both=is_both)

    def _waiting(self, cells: Mapping[str, str]) -> list[Transfer]:
        place: list[str] = []
        for n, end in enumerate(("source", "destination")):
            label = cells[f"{end}_plate"].strip()
            plate = self.known.get(label, label)
            if plate not in self.ends[n]:
                raise DataError(f"{end} plate {label!r:.60} is not of this load: the file is for other plates")
            shape = LABWARE[self.labware[plate]].wells_format
            place += [plate, unspelled(cells[f"{end}_well"], shape, self.columns.well)]
        here = self.places.get(tuple(place), [])
        if not here:
            raise DataError(f"no transfer from {place[1]} of {place[0]} to {place[3]} of {place[2]} was planned")
        waiting = [t for t in here if t.transfer_id not in self.told]
        if not waiting:
            raise DataError(f"the transfer from {place[1]} to {place[3]} is told once more than it was planned")
        return waiting

    def _volume(self, cells: Mapping[str, str], name: str) -> Decimal | None:
        text = cells.get(name, "").strip()
        if not text:
            return None
        volume_nl = number(text, self.columns.decimal) * _UNITS[self.columns.unit]
        if volume_nl < 0:
            raise DataError(f"{name} volume {text!r:.40} is below 0")
        return volume_nl

    def ended(self, *, is_aborted: bool = False, message: str = "") -> Account:
        """Return the account; transfers that rows cannot tell apart are unknown unless all of them are told."""
        open_ones = self.ambiguous - self.told.keys()
        if open_ones:
            for number_ in self.ambiguous:
                self.told.pop(number_, None)
        return account_of(self.load, self.told, is_aborted=is_aborted, message=message)


FIELDS = (
    "source_plate",
    "source_well",
    "destination_plate",
    "destination_well",
    "planned",
    "actual",
    "status",
    "reason",
)


def heading(row: Sequence[str], columns: ResultColumns) -> dict[str, int]:
    """Return the place of each field in a heading row.

    Raises:
        DataError: a column that is named is not there, or twice.
    """
    cells = [cell.strip() for cell in row]
    places = {}
    for name in FIELDS:
        wanted = getattr(columns, name)
        if not wanted:
            continue
        if cells.count(wanted) != 1:
            how = "is not there" if wanted not in cells else "is there twice"
            raise DataError(f"column {wanted!r:.60} {how}; columns are {', '.join(cells)!r:.200}")
        places[name] = cells.index(wanted)
    return places


def cells_of(row: Sequence[str], places: Mapping[str, int], width: int) -> dict[str, str]:
    """Return the cells of a row by field.

    Raises:
        DataError: it is not as wide as its heading.
    """
    if len(row) != width:
        raise DataError(f"{len(row)} cells, and the heading has {width}")
    return {name: row[n] for name, n in places.items()}


def read_results(raw: bytes, load: DeckLoad, names: Names, columns: ResultColumns | None = None) -> Account:
    """Read a result table.

    Args:
        raw: the file.
        load: that was run.
        names: labels of its work list.
        columns: how the table looks; None: as the docstring of the module says.

    Raises:
        DataError: anything that does not fit this load and these columns; names the line.
    """
    columns = columns or ResultColumns()
    text = text_of(raw, columns.encoding)
    if not text.endswith("\n"):
        raise DataError("the last line has no end: the file was cut")
    rows = rows_of(text, columns.separator)
    places, matching, last = heading(rows[0], columns), Matching(load, names, columns), None
    for n, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if last is not None:
            raise DataError(f"line {n}: something follows the last row {columns.end!r:.40}")
        if columns.end and row[0].strip() == columns.end:
            last = [*row, "", "", ""]
            continue
        try:
            matching.take(cells_of(row, places, len(rows[0])))
        except DataError as error:
            raise DataError(f"line {n}: {error}") from error
    if columns.end and last is None:
        raise DataError(f"the last row {columns.end!r:.40} is not there: the file was cut")
    is_aborted = last is not None and last[1].strip().casefold() in columns.aborted
    return matching.ended(is_aborted=is_aborted, message=last[2].strip() if last is not None else "")
