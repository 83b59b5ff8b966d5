"""Refuse orders that no protocol can fill, each with the well, plate or rack that is wrong."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set

from nextplate.errors import PlanError
from nextplate.plate import Layout
from protocols.deckplan import LoadPlan
from protocols.labware import DESTINATIONS, Pipette, labware
from protocols.orders import Order, Spare, Target
from protocols.runs import Motion
from protocols.sentences import well_on
from protocols.stock import StockWell, TipRack


def destination(layout: Layout, load_name: str | None) -> str:
    """Return the load name of a layout's assay plate: the one named, or the usual one of its format.

    Raises:
        PlanError: there is no usual one, or the one named has other wells.
        DataError: unknown labware.
    """
    n_wells = layout.plate_format.n_wells
    chosen = load_name or DESTINATIONS.get(n_wells)
    if chosen is None:
        raise PlanError(f"no usual labware for an assay plate of {n_wells} wells; name destination_labware")
    kind = labware(chosen)
    if kind.wells_format != layout.plate_format or kind.is_tip_rack:
        raise PlanError(f"assay plate {layout.barcode} has {n_wells} wells, {chosen} has {kind.n_wells}")
    return chosen


def check_targets(targets: Sequence[Target], spares: Sequence[Spare], sources: set[str], tool: Pipette) -> None:
    """Check the plates to be filled.

    Raises:
        PlanError: one named twice, one that is stock, a tip rack, or wells that the pipette's tips do not go into.
    """
    often = Counter([target.barcode for target in targets] + [spare.barcode for spare in spares])
    if twice := sorted(barcode for barcode, n in often.items() if n > 1):
        raise PlanError(f"plate {', '.join(twice)} is named twice")
    if clashes := sorted(spare.barcode for spare in spares if spare.barcode in sources):
        raise PlanError(f"barcodes clash: {clashes[0]} is also a dilution plate")
    for barcode, name in [(t.barcode, t.labware) for t in targets] + [(s.barcode, s.labware) for s in spares]:
        kind = labware(name)
        if kind.is_tip_rack:
            raise PlanError(f"{barcode} is {name}, a tip rack, and cannot be filled")
        if kind.n_wells > tool.max_wells:
            raise PlanError(f"{tool.load_name} cannot reach into {barcode}: {name} has {kind.n_wells} wells")


def reachable(stock: Sequence[StockWell], wanted: set[str], tool: Pipette) -> Sequence[StockWell]:
    """Return the wells that the pipette's tips go into.

    Raises:
        PlanError: a compound that is wanted is in others only.
    """
    usable = [item for item in stock if labware(item.labware).n_wells <= tool.max_wells]
    held = {item.compound_id for item in usable}
    for item in stock:
        if item.compound_id in wanted and item.compound_id not in held:
            where = well_on(item.source_plate, item.source_well)
            raise PlanError(
                f"{tool.load_name} cannot reach into {where}, the only well with {item.compound_id}: {item.labware} "
                f"has {labware(item.labware).n_wells} wells"
            )
    return usable


def check_orders(
    orders: Sequence[Order],
    plates: Mapping[str, Target],
    tool: Pipette,
    racks: Sequence[TipRack],
    *,
    is_by_volume: bool,
) -> None:
    """Check that every well exists and every volume can be moved.

    Raises:
        PlanError: names the wells.
    """
    most = min([tool.max_nl, *(labware(rack.labware).max_volume_nl for rack in racks)])
    wrong: dict[str, list[str]] = {}
    for order in orders:
        if order.plate not in plates:
            raise PlanError(f"{well_on(order.plate, order.well)} is ordered for, and no such plate is named")
        kind = labware(plates[order.plate].labware)
        if not kind.has(order.well):
            raise PlanError(f"{kind.load_name} {order.plate} has no well {order.well!r}")
        if order.dose_um is not None and not (math.isfinite(order.dose_um) and order.dose_um > 0):
            where = well_on(order.plate, order.well)
            raise PlanError(f"{where}: a dose of {order.dose_um} uM of {order.compound_id} is none; leave the well out")
        if is_by_volume and (order.volume_nl is None or order.is_control):
            continue
        if words := _wrong_volume(order.volume_nl, tool, most):
            wrong.setdefault(words, []).append(order.well)
    for words, wells in wrong.items():
        raise PlanError(words.format(where=f"into {wells[0]} and {len(wells) - 1} more wells"))


def _wrong_volume(volume_nl: int | None, tool: Pipette, most: int) -> str:
    if isinstance(volume_nl, bool) or not isinstance(volume_nl, int):
        return f"transfer volume {volume_nl!r} {{where}} is not a whole number of nanolitres"
    if not tool.min_nl <= volume_nl <= most:
        allowed = f"{tool.load_name} takes {tool.min_nl} to {most} nl"
        return f"{volume_nl} nl {{where}}: {allowed}; change the volume or the pipette"
    return ""


def check_stock(stock: Iterable[StockWell]) -> None:
    """Check the stock table.

    Raises:
        PlanError: lists wells named twice or that do not exist, plates of two kinds, volumes that no well holds.
    """
    problems = []
    seen: dict[tuple[str, str], str] = {}
    kinds: dict[str, str] = {}
    for item in stock:
        where = f"{item.source_well} on {item.source_plate}"
        key = (item.source_plate, item.source_well)
        if key in seen:
            problems.append(f"{where} holds {seen[key]} and {item.compound_id}")
        seen[key] = item.compound_id
        kind = labware(item.labware)
        if kinds.setdefault(item.source_plate, item.labware) != item.labware:
            problems.append(f"{item.source_plate} is {kinds[item.source_plate]} and {item.labware}")
        if not kind.has(item.source_well):
            problems.append(f"{where} is not a well of {item.labware}")
        if not math.isfinite(item.concentration_um) or item.concentration_um < 0:
            problems.append(f"{where} is {item.concentration_um!r} uM strong, which is no concentration")
        if isinstance(item.volume_nl, bool) or not isinstance(item.volume_nl, int):
            problems.append(f"{where} holds {item.volume_nl!r} nl, not whole nanolitres")
        elif not 0 <= item.volume_nl <= kind.max_volume_nl:
            problems.append(f"{where} holds {item.volume_nl} nl; {item.labware} takes 0 to {kind.max_volume_nl}")
    if problems:
        raise PlanError("the stock table is wrong:\n  " + "\n  ".join(problems))


def check_barcodes(
    kinds: Mapping[str, str], motions: Iterable[Motion], plans: Iterable[LoadPlan], spares: Set[str]
) -> None:
    """Check that every barcode is one thing.

    Raises:
        PlanError: one is not.
    """
    used = {("assay plate", barcode) for barcode in kinds if barcode not in spares}
    used |= {("source plate", motion.source_plate) for motion in motions if motion.source_plate not in spares}
    used |= {("tip rack", barcode) for plan in plans for barcode in plan.racks}
    used |= {("dilution plate", barcode) for barcode in spares}
    often = Counter(barcode for _, barcode in used)
    clashes = sorted(f"{barcode} is also a {kind}" for kind, barcode in used if often[barcode] > 1)
    if clashes:
        raise PlanError("barcodes clash: " + ", ".join(clashes))
