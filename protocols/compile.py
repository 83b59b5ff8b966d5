"""Compile a plate layout into transfers and deck loads for one robot."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nextplate.errors import PlanError
from nextplate.plate import Layout, Role, parse_well
from protocols.draws import Demand, Draw, choose_draws
from protocols.labware import DESTINATIONS, Pipette, RobotDeck, labware, pipette
from protocols.loads import pack
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.stock import StockWell, TipRack

__all__ = ["StockWell", "TipRack", "compile_protocol"]

Tip = tuple[TipRack, str]


def compile_protocol(
    layout: Layout,
    stock: Sequence[StockWell],
    tips: Sequence[TipRack],
    deck: RobotDeck,
    transfer_nl: int,
    controls: Mapping[Role, str],
    name: str,
    *,
    destination_labware: str | None = None,
    well_volume_nl: int | None = None,
) -> Protocol:
    """Turn a layout into a protocol: one transfer with a fresh tip into every well that is not empty.

    Source wells are chosen so that few source plates are needed, loads so that few deck swaps are needed; partly
    used tip racks come first. The result is a plan on paper: protocols.ledger judges it against volumes, and
    protocols.analyze proves the rendered file.

    Args:
        layout: of the assay plate.
        stock: every source well, control liquids included.
        tips: racks at hand, of any kind; those that do not fit the pipette are left alone.
        deck: robot, slots and pipette.
        transfer_nl: volume of every transfer.
        controls: the compound_id in stock that fills control wells, by role.
        name: of the protocol, for people.
        destination_labware: load name of the assay plate; None takes the usual one of the layout's format.
        well_volume_nl: in the assay well before the transfer; a sample well is then served only by source wells of
            the strength that makes its dose. None: any well of the compound serves.

    Raises:
        PlanError: volume outside the pipette's range, stock or tips that do not suffice, barcodes that clash.
        DataError: unknown labware.
    """
    target = _destination(layout, destination_labware)
    tool = pipette(deck.pipette)
    racks = _usable_racks(tips, tool)
    demands = list(_demands(layout, controls, is_by_dose=well_volume_nl is not None))
    _check_volume(transfer_nl, tool, racks, demands)
    _check_stock(stock)
    draws = choose_draws(demands, stock, transfer_nl, well_volume_nl)
    tip_list = _take_tips(racks, len(draws), tool)
    _check_barcodes(layout.barcode, draws, [rack for rack, _ in tip_list])
    loads = _build_loads(layout.barcode, target, deck, transfer_nl, draws, tip_list)
    return Protocol(name, deck.robot, deck.pipette, deck.mount, tuple(loads))


def _destination(layout: Layout, load_name: str | None) -> str:
    n_wells = layout.plate_format.n_wells
    chosen = load_name or DESTINATIONS.get(n_wells)
    if chosen is None:
        raise PlanError(f"no usual labware for an assay plate of {n_wells} wells; name destination_labware")
    kind = labware(chosen)
    if kind.wells_format != layout.plate_format or kind.is_tip_rack:
        raise PlanError(f"assay plate {layout.barcode} has {n_wells} wells, {chosen} has {kind.n_wells}")
    return chosen


def _demands(layout: Layout, controls: Mapping[Role, str], *, is_by_dose: bool) -> Iterator[Demand]:
    wells: dict[tuple[str, bool, float | None], list[str]] = {}
    for w in layout.wells:
        if w.role in (Role.NEGATIVE, Role.POSITIVE):
            if w.role not in controls:
                raise PlanError(f"well {w.well} is a {w.role.value} control, and no liquid is named for that role")
            wells.setdefault((controls[w.role], True, None), []).append(w.well)
        elif w.compound_id is not None:
            wells.setdefault((w.compound_id, False, w.dose_um if is_by_dose else None), []).append(w.well)
    samples = {compound for compound, is_control, _ in wells if not is_control}
    for (compound, is_control, dose_um), targets in wells.items():
        if is_control and compound in samples:
            raise PlanError(f"{compound} is both a control and a sample on plate {layout.barcode}")
        yield Demand(compound, tuple(targets), is_control, dose_um)


def _usable_racks(tips: Sequence[TipRack], tool: Pipette) -> list[TipRack]:
    """Return racks that fit and hold tips: partly used ones first, the emptiest before others."""
    often = Counter(rack.barcode for rack in tips)
    if twice := sorted(barcode for barcode, n in often.items() if n > 1):
        raise PlanError(f"tip rack {', '.join(twice)} is listed twice")
    racks = [rack for rack in tips if rack.labware in tool.tips and rack.free_wells]
    for rack in racks:
        kind = labware(rack.labware)
        bad = [well for well in rack.free_wells if not kind.has(well)]
        if bad or len(set(rack.free_wells)) < len(rack.free_wells):
            raise PlanError(f"tip rack {rack.barcode}: {', '.join(bad) or 'a position'} unknown or listed twice")
    return sorted(racks, key=lambda r: (len(r.free_wells), r.barcode))


def _check_volume(transfer_nl: int, tool: Pipette, racks: Sequence[TipRack], demands: Sequence[Demand]) -> None:
    if isinstance(transfer_nl, bool) or not isinstance(transfer_nl, int):
        raise PlanError(f"transfer volume {transfer_nl!r} is not a whole number of nanolitres")
    wells = [well for demand in demands for well in demand.wells]
    where = f"into {wells[0]} and {len(wells) - 1} more wells" if wells else "asked for"
    most = min([tool.max_nl, *(labware(rack.labware).max_volume_nl for rack in racks)])
    if not tool.min_nl <= transfer_nl <= most:
        raise PlanError(
            f"{transfer_nl} nl {where}: {tool.load_name} takes {tool.min_nl} to {most} nl; change the volume or "
            "the pipette"
        )


def _check_stock(stock: Iterable[StockWell]) -> None:
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
        if not 0 <= item.volume_nl <= kind.max_volume_nl or not math.isfinite(item.volume_nl):
            problems.append(f"{where} holds {item.volume_nl} nl; {item.labware} takes 0 to {kind.max_volume_nl}")
    if problems:
        raise PlanError("the stock table is wrong:\n  " + "\n  ".join(problems))


def _take_tips(racks: Sequence[TipRack], n_needed: int, tool: Pipette) -> list[Tip]:
    free: list[Tip] = []
    for rack in racks:
        held = set(rack.free_wells)
        free += [(rack, well) for well in labware(rack.labware).wells_by_column() if well in held]
    missing = n_needed - len(free)
    if missing > 0:
        size = labware(tool.tips[0]).n_wells
        raise PlanError(
            f"{n_needed} tips needed, {len(free)} free in {len(racks)} racks; load {-(-missing // size)} more full "
            f"rack(s) of {tool.tips[0]}"
        )
    return free[:n_needed]


def _check_barcodes(destination: str, draws: Sequence[Draw], racks: Sequence[TipRack]) -> None:
    kinds = {("assay plate", destination)}
    kinds |= {("source plate", draw.source.source_plate) for draw in draws}
    kinds |= {("tip rack", rack.barcode) for rack in racks}
    often = Counter(barcode for _, barcode in kinds)
    clashes = sorted(f"{barcode} is also a {kind}" for kind, barcode in kinds if often[barcode] > 1)
    if clashes:
        raise PlanError("barcodes clash: " + ", ".join(clashes))


def _by_column(well: str) -> tuple[int, int]:
    row, column = parse_well(well)
    return column, row


def _build_loads(
    barcode: str,
    target: str,
    deck: RobotDeck,
    transfer_nl: int,
    draws: Sequence[Draw],
    tips: Sequence[Tip],
) -> Iterator[DeckLoad]:
    by_plate: dict[str, list[Draw]] = {}
    for draw in sorted(draws, key=lambda d: (d.source.source_plate, *_by_column(d.source.source_well))):
        by_plate.setdefault(draw.source.source_plate, []).append(draw)
    if not by_plate:
        return
    rack_sizes = list(Counter(rack.barcode for rack, _ in tips).values())
    counts = {plate: len(items) for plate, items in by_plate.items()}
    plates = {plate: items[0].source.labware for plate, items in by_plate.items()}
    destination = DeckItem(deck.slots[0], barcode, target, DeckRole.DESTINATION)
    before: dict[str, str] = {}
    done = 0
    for index, load in enumerate(pack(counts, len(deck.slots) - 1, rack_sizes)):
        taken = tips[done : done + sum(load.values())]
        wanted = {rack.barcode: (rack.labware, DeckRole.TIPS) for rack, _ in taken}
        wanted |= {plate: (plates[plate], DeckRole.SOURCE) for plate in load}
        slots = _assign(wanted, deck.slots[1:], before)
        items = sorted((DeckItem(slots[b], b, *wanted[b]) for b in wanted), key=lambda i: deck.slots.index(i.slot))
        # Plates in the order of their slots; on a plate column by column, as the wells were sorted.
        moves = [by_plate[i.barcode].pop(0) for i in items if i.role is DeckRole.SOURCE for _ in range(load[i.barcode])]
        transfers = tuple(
            Transfer(
                done + n, move.source.source_plate, move.source.source_well, barcode, move.destination_well,
                transfer_nl, rack.barcode, tip, move.source.compound_id,
            )
            for n, (move, (rack, tip)) in enumerate(zip(moves, taken, strict=True), start=1)
        )  # fmt: skip
        yield DeckLoad(index, (destination, *items), transfers)
        before, done = slots, done + len(transfers)


def _assign(wanted: Iterable[str], slots: Sequence[str], before: Mapping[str, str]) -> dict[str, str]:
    """Give labware slots; what stood on the deck before stays where it is."""
    kept = {barcode: before[barcode] for barcode in wanted if barcode in before}
    free = iter([slot for slot in slots if slot not in set(kept.values())])
    return {barcode: kept.get(barcode) or next(free) for barcode in wanted}
