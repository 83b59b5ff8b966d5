"""Write one deck load as an Opentrons Python protocol, for Flex and OT-2, or as a table for one that takes tables.

Names come from libraries and people, so each is written by ``ascii()``: whatever it holds, quotes and line breaks
included, it stays one string in a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from nextplate.errors import PlanError
from protocols.labware import pipette, robot_deck, vendor_well
from protocols.model import DeckItem, DeckLoad, Protocol, Transfer, find_load
from protocols.offsets import Offset
from protocols.render_rows import EIGHT, ONE, Row, RowKind, is_plain, rows_of, uses_eight

STEPS = "steps"
"""Name of the CSV parameter of a file of render_for_csv."""
CSV_FORMAT = "1"
"""Of the table that protocols.render_csv writes and render_for_csv reads."""
DECK_COLUMNS = ("#deck", "slot", "labware", "barcode", "role")
STEP_COLUMNS = (
    "#kind", "number", "pipette", "from_slot", "from_well", "to_slot", "to_well", "microlitres", "times", "tip_slot",
    "tip", "tip_then", "set_microlitres", "liquid",
)  # fmt: skip

_PROVEN = "the file was proven, step by step, against the plan with the digest below."
_PROVEN_WITH_TABLE = "file and table were proven together, step by step, against the plan that the table names."


def render(protocol: Protocol, load_index: int, *, offsets: Sequence[Offset] = ()) -> str:
    """Return the text of a protocol file; ASCII, the same for the same protocol and offsets.

    Args:
        protocol: checked already; what is rendered is not judged here.
        load_index: of the load.
        offsets: set in the file for the labware that they are of; others are left out.

    Raises:
        PlanError: no such load, or a step that the robot cannot do (protocols.render_rows.rows_of).
        DataError: a robot, pipette or well that is not known.
    """
    load = find_load(protocol, load_index)
    places = {(item.slot, item.labware) for item in load.deck}
    mine = [offset for offset in offsets if (offset.slot, offset.labware) in places]
    if is_plain(protocol, load) and not mine:
        return _plain(protocol, load)
    n_steps = f"{len(load.transfers)} transfers in {len(load.steps)} steps"
    return _filled(
        "opentrons_steps.py.j2",
        **_head(protocol, f"{protocol.name}, load {load.index + 1} of {len(protocol.loads)}"),
        docstring=_docstring(protocol, load),
        proven=_PROVEN,
        description=ascii(f"{n_steps}; digest {protocol.digest}"),
        deck=[_deck_row(item) for item in load.deck],
        steps=[row_texts(row) for row in rows_of(protocol, load)],
        pipettes=_pipettes(protocol, has_eight=uses_eight(load)),
        offsets=[_offset_row(offset) for offset in mine],
        is_csv=False,
    )


def render_for_csv(protocol: Protocol, *, offsets: Sequence[Offset] = ()) -> str:
    """Return a protocol file that takes its deck and steps as a CSV runtime parameter, ``steps``.

    It depends on the robot, its pipettes and the offsets only, so one file serves many nights; apiLevel 2.20 or later.
    The table (protocols.render_csv.steps_csv) carries its own digest and number of rows, which the file checks before
    anything moves.

    Raises:
        DataError: a robot or pipette that is not known.
    """
    names = " and ".join(name for name in (protocol.pipette, protocol.multichannel) if name)
    robot = robot_deck(protocol.robot)
    return _filled(
        "opentrons_steps.py.j2",
        **_head(protocol, f"nextplate steps from a table, {names}"),
        docstring=f"Any deck load for the {robot.robot_type} with {names}: its deck and steps come as a table.",
        proven=_PROVEN_WITH_TABLE,
        description=ascii("deck and steps come as CSV; the digest is in the table"),
        pipettes=_pipettes(protocol, has_eight=bool(protocol.multichannel)),
        offsets=[_offset_row(offset) for offset in offsets],
        is_csv=True,
        csv_format=ascii(CSV_FORMAT),
        n_deck_columns=len(DECK_COLUMNS),
        n_step_columns=len(STEP_COLUMNS),
        kinds=f"({', '.join(ascii(kind.value) for kind in RowKind)})",
    )


def microlitres(volume_nl: int) -> str:
    """Write nanolitres as microlitres, exactly: 1250 is 1.25."""
    whole, rest = divmod(volume_nl, 1000)
    return f"{whole}.{rest:03d}".rstrip("0") + ("0" if rest == 0 else "")


def row_values(row: Row) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return the cells of a row in the order of STEP_COLUMNS: texts, then numbers as text, then the liquid.

    Kept apart because a Python file writes a text with quotes, and a table does not; ``row_texts`` joins them.
    """
    then = "" if not row.tool else "keep" if row.is_kept else "drop"
    source_well, target_well, tip = (vendor_well(w) if w else "" for w in (row.source_well, row.target_well, row.tip))
    texts = (row.kind.value, row.tool, row.source, source_well, row.target, target_well, row.rack, tip, then)
    numbers = (
        str(row.number),
        microlitres(row.volume_nl),
        str(row.times),
        microlitres(row.set_nl) if row.set_nl else "0",
    )
    return texts, numbers, row.liquid


def ordered_cells(texts: Sequence[str], numbers: Sequence[str], liquid: str) -> list[str]:
    """Put cells into the order of STEP_COLUMNS."""
    kind, tool, source, source_well, target, target_well, rack, tip, then = texts
    number, volume_ul, times, set_ul = numbers
    return [
        kind,
        number,
        tool,
        source,
        source_well,
        target,
        target_well,
        volume_ul,
        times,
        rack,
        tip,
        then,
        set_ul,
        liquid,
    ]


def row_texts(row: Row) -> list[str]:
    """Return the cells of a row as Python literals."""
    texts, numbers, liquid = row_values(row)
    return ordered_cells([ascii(text) for text in texts], numbers, ascii(liquid))


def _plain(protocol: Protocol, load: DeckLoad) -> str:
    return _filled(
        "opentrons.py.j2",
        **_head(protocol, f"{protocol.name}, load {load.index + 1} of {len(protocol.loads)}"),
        docstring=_docstring(protocol, load),
        description=ascii(f"{len(load.transfers)} transfers; digest {protocol.digest}"),
        deck=[_deck_row(item) for item in load.deck],
        transfers=[_plain_row(t, load) for t in load.transfers],
        pipette=ascii(protocol.pipette),
        mount=ascii(protocol.mount),
        **_low_mode(protocol, load),
    )


def _filled(template: str, **values: object) -> str:
    text = files("protocols").joinpath(f"templates/{template}").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(text).render(**values)


def _head(protocol: Protocol, name: str) -> dict[str, str]:
    deck = robot_deck(protocol.robot)
    return {
        "name": ascii(name),
        "robot_type": ascii(deck.robot_type),
        "api_level": ascii(deck.api_level),
        "trash_slot": ascii(deck.trash_slot) if deck.trash_slot else "",
    }


def _docstring(protocol: Protocol, load: DeckLoad) -> str:
    robot = robot_deck(protocol.robot)
    return f"Deck load {load.index + 1} of {len(protocol.loads)}, for the {robot.robot_type}."


def _literals(values: Iterable[str]) -> list[str]:
    return [ascii(value) for value in values]


def _deck_row(item: DeckItem) -> list[str]:
    return _literals((item.slot, item.labware, item.barcode, item.role.value))


def _offset_row(offset: Offset) -> list[str]:
    return [*_literals((offset.slot, offset.labware)), *(repr(float(mm)) for mm in offset.vector_mm)]


def _pipettes(protocol: Protocol, *, has_eight: bool) -> list[list[str]]:
    made = [_literals((ONE, protocol.pipette, protocol.mount))]
    other = other_mount(protocol.mount)
    return [*made, _literals((EIGHT, protocol.multichannel, other))] if has_eight else made


def other_mount(mount: str) -> str:
    """Return where the second pipette sits."""
    return "left" if mount == "right" else "right"


def _plain_row(t: Transfer, load: DeckLoad) -> list[str]:
    slots = {item.barcode: item.slot for item in load.deck}
    for barcode in (t.source_plate, t.destination_plate, t.tip_rack):
        if barcode not in slots:
            raise PlanError(f"transfer {t.transfer_id} uses {barcode}, which is not on the deck of load {load.index}")
    return [
        str(t.transfer_id),
        ascii(slots[t.source_plate]), ascii(vendor_well(t.source_well)),
        ascii(slots[t.destination_plate]), ascii(vendor_well(t.destination_well)),
        microlitres(t.volume_nl),
        ascii(slots[t.tip_rack]), ascii(vendor_well(t.tip_well)),
        ascii(t.compound_id),
    ]  # fmt: skip


def _low_mode(protocol: Protocol, load: DeckLoad) -> Mapping[str, str]:
    """Return the mode of a whole plain load: the low one where any volume needs it."""
    tool = pipette(protocol.pipette)
    least = min((t.volume_nl for t in load.transfers), default=0)
    if not load.transfers or not tool.low_mode_below_nl or least >= tool.low_mode_below_nl:
        return {"low_volume_ul": "", "low_below_ul": ""}
    return {"low_volume_ul": microlitres(least), "low_below_ul": microlitres(tool.low_mode_below_nl)}
