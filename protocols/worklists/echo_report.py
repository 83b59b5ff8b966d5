"""Echo transfer report: the CSV that the dispenser's software exports after a run.

Layout, from what third-party parsers read (nothing verified on a device, hence configurable): lines ``name,value``
(run, protocol, user), then ``[EXCEPTIONS]`` and ``[DETAILS]``, each a table with its own heading, then lines
``name,value`` of the instrument, the last of which proves that the file is whole. Volumes are nanolitres. A transfer
stands in one section, or in both with the same words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nextplate.errors import DataError
from protocols.model import DeckLoad
from protocols.worklists.account import Account
from protocols.worklists.names import Names
from protocols.worklists.results import Matching, ResultColumns, cells_of, heading
from protocols.worklists.tables import rows_of, text_of

_COLUMNS = ResultColumns(
    source_plate="Source Plate Barcode",
    destination_plate="Destination Plate Barcode",
    actual_end="both",
    status="Transfer Status",
    ok=("", "ok", "success", "successful"),
    begun_not=("skipped", "not attempted"),
    unit="nL",
)


@dataclass(frozen=True, slots=True)
class EchoReport:
    """How the report of one software version looks."""

    columns: ResultColumns = field(default_factory=lambda: _COLUMNS)
    """In the details an empty status is a success; in the exceptions nothing is."""
    exceptions: str = "[EXCEPTIONS]"
    details: str = "[DETAILS]"
    end: str = "Instrument Serial Number"
    """First cell of the line without which the file counts as cut; empty: the details are enough."""


def read_echo_report(raw: bytes, load: DeckLoad, names: Names, form: EchoReport | None = None) -> Account:
    """Read a transfer report.

    Args:
        raw: the file.
        load: that was run.
        names: labels of its pick list.
        form: how reports look; None: as this module's docstring says.

    Raises:
        DataError: no report, cut, of other plates or another plan, or it contradicts itself; names the line.
    """
    form = form or EchoReport()
    text = text_of(raw, form.columns.encoding)
    if not text.endswith("\n"):
        raise DataError("the last line has no end: the report was cut")
    rows = rows_of(text, form.columns.separator)
    marks = [row[0].strip() if row else "" for row in rows]
    for mark in (form.details, form.end):
        if mark and mark not in marks:
            raise DataError(f"{mark!r:.40} is not there: no transfer report, or it was cut")
    if form.end and marks.index(form.end) < marks.index(form.details):
        raise DataError(f"line {marks.index(form.end) + 1}: {form.end!r:.40} stands before {form.details!r:.40}")
    matching = Matching(load, names, form.columns)
    seen: dict[tuple[str, ...], str] = {}
    for section, n, cells in _rows(rows, form):
        try:
            _take(section, cells, matching, seen, form)
        except DataError as error:
            raise DataError(f"line {n}: {error}") from error
    return matching.ended()


def _take(
    section: str, cells: dict[str, str], matching: Matching, seen: dict[tuple[str, ...], str], form: EchoReport
) -> None:
    if section == form.exceptions and cells["status"].strip().casefold() in form.columns.ok:
        # It stands among the exceptions: whatever its status says, it did not go well.
        cells = {**cells, "status": "exception without a status"}
    key = tuple(cells.values())
    if section == form.details and seen.get(key) == form.exceptions:
        return
    seen[key] = section
    matching.take(cells)


def _rows(rows: list[list[str]], form: EchoReport) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Return section, line number and cells of each row of the tables."""
    section, places, width, seen = "", dict[str, int](), 0, set[str]()
    for n, row in enumerate(rows, 1):
        first = row[0].strip() if row else ""
        if first in (form.exceptions, form.details):
            if first in seen:
                raise DataError(f"line {n}: a second section {first}")
            seen.add(first)
            section, places = first, {}
        elif not any(cell.strip() for cell in row):
            if places:
                section, places = "", {}
        elif section and not places:
            try:
                places, width = heading(row, form.columns), len(row)
            except DataError as error:
                raise DataError(f"line {n}: {error}") from error
        elif section and (first == form.end or (len(row) <= 2 < width)):
            section, places = "", {}
        elif section:
            try:
                yield section, n, cells_of(row, places, width)
            except DataError as error:
                raise DataError(f"line {n}: {error}") from error
        elif len(row) > 4 and n > 1 and form.details in seen:
            raise DataError(f"line {n}: {len(row)} cells outside any section")
