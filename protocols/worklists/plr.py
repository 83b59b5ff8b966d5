"""A PyLabRobot script of one load: runs with pylabrobot 0.2.2's generic deck and prints what it would do.

Every name stands in a table as ``ascii()`` writes it: whatever it holds, it stays one string. Nothing of it is ever
formatted into code. Geometry is a generic SBS plate with the wells in their grid; for a real robot the deck is the
lab's own, and only the table of transfers is taken over.
"""

import ast
from collections.abc import Sequence

from nextplate.errors import DataError, PlanError
from nextplate.plate import parse_well, well_name
from protocols.labware import LABWARE, PIPETTES, vendor_well
from protocols.model import DeckItem, DeckRole, Protocol, Transfer
from protocols.worklists.names import Names
from protocols.worklists.picks import Pick, Written, listed

_HEAD = '''"""Deck load {number} of {total}, written by nextplate for PyLabRobot 0.2.2; protocol {digest}."""

import asyncio

from pylabrobot.liquid_handling import LiquidHandler
from pylabrobot.liquid_handling.backends import LiquidHandlerChatterboxBackend
from pylabrobot.resources import Coordinate, Deck, Plate, Tip, TipRack, TipSpot, Trash, Well, create_ordered_items_2d

# resource, barcode, slot, labware, rows, columns, microlitres that a well or tip takes
LABWARE = [
'''
_MIDDLE = """]
# number, source, well, destination, well, microlitres, tip rack, tip, compound
TRANSFERS = [
"""
_TAIL = '''LABWARE_IS_TIPS = {tips}


def make(name, rows, columns, volume_ul, is_tips):
    """Make a plate, trough or tip rack of the generic footprint."""
    dx, dy = 108.0 / columns, 72.0 / rows
    grid = dict(num_items_x=columns, num_items_y=rows, dx=9.0, dy=6.0, dz=1.0, item_dx=dx, item_dy=dy)
    size = dict(size_x=dx * 0.9, size_y=dy * 0.9)

    def tip(name="tip"):
        return Tip(has_filter=False, total_tip_length=50.0, maximal_volume=volume_ul, fitting_depth=8.0, name=name)

    if is_tips:
        spots = create_ordered_items_2d(TipSpot, make_tip=tip, **size, **grid)
        return TipRack(name, 127.0, 86.0, 50.0, ordered_items=spots)
    wells = create_ordered_items_2d(Well, size_z=12.0, max_volume=volume_ul, **size, **grid)
    return Plate(name, 127.0, 86.0, 15.0, ordered_items=wells)


async def main():
    """Do the transfers, one tip after the other; a tip stays on while the next transfer names it again."""
    deck = Deck(size_x=2000.0, size_y=500.0, size_z=500.0)
    deck.assign_child_resource(Trash("trash", 100.0, 100.0, 50.0), location=Coordinate(1800.0, 0.0, 0.0))
    at = {{}}
    for n, (name, _barcode, _slot, _labware, rows, columns, volume_ul) in enumerate(LABWARE):
        at[name] = make(name, rows, columns, volume_ul, LABWARE_IS_TIPS[n])
        deck.assign_child_resource(at[name], location=Coordinate(140.0 * (n % 12), 100.0 * (n // 12), 0.0))
    handler = LiquidHandler(backend=LiquidHandlerChatterboxBackend(), deck=deck)
    await handler.setup()
    held = None
    for _number, source, source_well, target, target_well, volume_ul, rack, tip, _compound in TRANSFERS:
        if held != (rack, tip):
            if held is not None:
                await handler.discard_tips()
            await handler.pick_up_tips(at[rack][tip])
            held = rack, tip
        await handler.aspirate(at[source][source_well], vols=[volume_ul])
        await handler.dispense(at[target][target_well], vols=[volume_ul])
    if held is not None:
        await handler.discard_tips()
    await handler.stop()


if __name__ == "__main__":
    asyncio.run(main())
'''


def write_plr(protocol: Protocol, load_index: int) -> Written:
    """Write a load as a script.

    Raises:
        PlanError: a step that is no transfer, a stroke of eight channels, a transfer without a tip, or a tip rack
            that is not on the deck.
    """
    it = listed(protocol, load_index, needs_tips=True)
    for t in it.load.transfers:
        if t.stroke:
            raise PlanError(f"transfer {t.transfer_id} is a stroke of eight channels, which the script cannot say")
        if t.tip_rack not in it.deck or it.deck[t.tip_rack].role is not DeckRole.TIPS:
            raise PlanError(f"transfer {t.transfer_id}: tip rack {t.tip_rack} is not on the deck")
        if not LABWARE[it.deck[t.tip_rack].labware].has(t.tip_well):
            raise PlanError(f"transfer {t.transfer_id}: tip rack {t.tip_rack} has no tip {t.tip_well!r:.20}")
    known = [item for item in it.load.deck if item.labware in LABWARE]
    resources = {item.barcode: f"labware_{n}" for n, item in enumerate(known)}
    tips = [LABWARE[item.labware].is_tip_rack for item in known]
    head = _HEAD.format(number=load_index + 1, total=len(protocol.loads), digest=protocol.digest)
    labware = "".join(f"    {_line(_labware(item, resources, protocol))},\n" for item in known)
    moves = "".join(f"    {_line(_transfer(t, resources))},\n" for t in it.load.transfers)
    return Written(head + labware + _MIDDLE + moves + "]\n" + _TAIL.format(tips=tips), Names({}))


def _line(values: Sequence[object]) -> str:
    return f"({', '.join(ascii(value) for value in values)})"


def _labware(item: DeckItem, resources: dict[str, str], protocol: Protocol) -> tuple[object, ...]:
    kind = LABWARE[item.labware]
    tool = PIPETTES.get(protocol.pipette)
    most_nl = min(kind.max_volume_nl, tool.max_nl) if kind.is_tip_rack and tool else kind.max_volume_nl
    shape = kind.wells_format
    name = resources[item.barcode]
    return name, item.barcode, item.slot, item.labware, shape.n_rows, shape.n_columns, most_nl / 1000


def _transfer(t: Transfer, resources: dict[str, str]) -> tuple[object, ...]:
    return (
        t.transfer_id, resources[t.source_plate], vendor_well(t.source_well), resources[t.destination_plate],
        vendor_well(t.destination_well), t.volume_nl / 1000, resources[t.tip_rack], vendor_well(t.tip_well),
        t.compound_id,
    )  # fmt: skip


def read_plr(text: str) -> tuple[Pick, ...]:
    """Read the tables of a script that `write_plr` wrote, without running it.

    Raises:
        DataError: no such script.
    """
    try:
        tables = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        barcodes = {row[0]: row[1] for row in tables["LABWARE"]}
        return tuple(
            Pick(
                barcodes[source],
                well_name(*parse_well(source_well)),
                barcodes[target],
                well_name(*parse_well(target_well)),
                round(volume_ul * 1000),
                compound,
            )
            for _, source, source_well, target, target_well, volume_ul, _, _, compound in tables["TRANSFERS"]
        )
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError, MemoryError, AttributeError) as error:
        raise DataError(f"not a script that nextplate wrote: {error!r:.200}") from error
