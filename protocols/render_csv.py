r"""Write a deck load as the CSV table that a file of protocols.render.render_for_csv takes at run time.

First row: what it is, the format, the robot, the number of rows after it, their sha256, the protocol's digest, the
number of the load. Then the deck, then the steps, each under a row of headings that begins with ``#``. Names are
written with Python's escapes (``\xb5``), so the file is ASCII and no cell holds a line break; a name that a
spreadsheet would take for a formula begins with an escape, too. The digest is over the cells, so a spreadsheet may
write line ends and quotes its own way, and a changed cell is found.
"""

import csv
import hashlib
import io
from collections.abc import Sequence

from protocols.labware import robot_deck
from protocols.model import DeckItem, Protocol, find_load
from protocols.render import CSV_FORMAT, DECK_COLUMNS, STEP_COLUMNS, ordered_cells, row_values
from protocols.render_rows import Row, rows_of

_FORMULA = "=+-@"


def steps_csv(protocol: Protocol, load_index: int) -> str:
    """Return the table of a load; ASCII, the same for the same protocol.

    Raises:
        PlanError, DataError: as protocols.render.render.
    """
    load = find_load(protocol, load_index)
    deck = [_deck_cells(item) for item in load.deck]
    rows = [[*DECK_COLUMNS], *deck, [*STEP_COLUMNS], *(_step_cells(row) for row in rows_of(protocol, load))]
    head = ["nextplate steps", CSV_FORMAT, robot_deck(protocol.robot).robot_type, str(len(rows)), cells_digest(rows)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([[*head, protocol.digest, str(load.index)], *rows])
    return text.getvalue()


def cells_digest(rows: Sequence[Sequence[str]]) -> str:
    """Return the sha256 of rows, whatever quotes and line ends they are written with."""
    return hashlib.sha256("\n".join("\t".join(row) for row in rows).encode("ascii")).hexdigest()


def name_cell(name: str) -> str:
    """Write a name as a cell: ASCII on one line, and no formula."""
    text = name.encode("unicode_escape").decode("ascii")
    return f"\\x{ord(text[0]):02x}{text[1:]}" if text[:1] and text[0] in _FORMULA else text


def _deck_cells(item: DeckItem) -> list[str]:
    return ["deck", item.slot, item.labware, name_cell(item.barcode), item.role.value]


def _step_cells(row: Row) -> list[str]:
    texts, numbers, liquid = row_values(row)
    return ordered_cells(texts, numbers, name_cell(liquid))
