"""Compile what is wanted in wells into transfers and deck loads for one robot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nextplate.errors import PlanError
from nextplate.plate import Layout, Role
from protocols.acoustic import compile_acoustic
from protocols.carry_over import carry_over
from protocols.deckplan import LoadPlan, TipSet, deck_loads, merged, n_runs, plan_stage
from protocols.dilute import diluted
from protocols.dosing import dose
from protocols.draws import Demand, Draw, Portion, choose_draws
from protocols.labware import Pipette, RobotDeck, pipette
from protocols.model import Protocol
from protocols.order_checks import (
    check_barcodes,
    check_orders,
    check_stock,
    check_targets,
    destination,
    reachable,
)
from protocols.orders import Compiled, Order, Rules, Spare, Target, TipPolicy
from protocols.runs import Motion, motion_of
from protocols.stock import StockWell, TipRack
from protocols.strokes import bundled, is_trough, stamped
from protocols.tipping import columns_of_tips, holding, single_tips, too_few, usable_racks, without

__all__ = [
    "Compiled",
    "Order",
    "Rules",
    "Spare",
    "StockWell",
    "Target",
    "TipPolicy",
    "TipRack",
    "compile_orders",
    "compile_protocol",
]


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
    rules: Rules | None = None,
) -> Protocol:
    """Turn a layout into a protocol: every well that is not empty gets its liquid.

    Source wells are chosen so that few source plates are needed, loads so that few deck swaps are needed; partly
    used tip racks come first.

    Args:
        layout: of the assay plate.
        stock: every source well, control liquids included.
        tips: racks at hand, of any kind; those that do not fit the pipette are left alone.
        deck: robot, slots and pipette.
        transfer_nl: volume of every transfer; with ``rules.final_dmso_percent`` of the positive control only.
        controls: the compound_id in stock that fills control wells, by role.
        name: of the protocol, for people.
        destination_labware: load name of the assay plate; None takes the usual one of the layout's format.
        well_volume_nl: in the assay well before the transfer; a sample well is then served only by source wells of
            the strength that makes its dose. None: any well of the compound serves.
        rules: how doses are made and tips used; None: by strength, a fresh tip for every transfer.

    Raises:
        PlanError: volume outside the pipette's range, stock or tips that do not suffice, barcodes that clash.
        DataError: unknown labware.
    """
    rules = _by_controls(rules or Rules(), controls, well_volume_nl)
    sample_nl = transfer_nl if rules.final_dmso_percent is None else None
    orders = list(_orders(layout, controls, sample_nl, transfer_nl, is_by_dose=well_volume_nl is not None))
    plate = Target(layout.barcode, destination(layout, destination_labware), well_volume_nl or 0)
    return compile_orders(orders, (plate,), stock, tips, deck, rules, name).protocol


def _by_controls(rules: Rules, controls: Mapping[Role, str], well_volume_nl: int | None) -> Rules:
    """Fill up with the negative control, where doses are made by volume.

    Raises:
        PlanError: they are, and nobody says what stands in a well before.
    """
    if rules.final_dmso_percent is None:
        return rules
    if well_volume_nl is None:
        raise PlanError("final_dmso_percent needs well_volume_nl, what stands in a well before")
    return replace(rules, solvent=controls.get(Role.NEGATIVE, rules.solvent))


def compile_orders(
    orders: Sequence[Order],
    targets: Sequence[Target],
    stock: Sequence[StockWell],
    tips: Sequence[TipRack],
    deck: RobotDeck,
    rules: Rules,
    name: str,
) -> Compiled:
    """Turn orders for wells of several plates into a protocol.

    An acoustic dispenser is protocols.acoustic's; an 8-channel pipette makes whole columns at once.

    Args:
        orders: in any order; a well may be ordered for several times.
        targets: every plate that is ordered for.
        stock: every source well, control liquids included.
        tips: racks at hand.
        deck: robot, slots and pipettes.
        rules: how doses are made and tips used.
        name: of the protocol, for people.

    Raises:
        PlanError: what cannot be done, with the wells and what is missing.
        DataError: unknown labware.
    """
    tool = pipette(deck.pipette)
    if tool.is_acoustic:
        return compile_acoustic(orders, targets, stock, deck, rules, name)
    racks = holding(usable_racks(tips, tool), orders)
    plates = {target.barcode: target for target in targets}
    check_targets(targets, rules.spares, {item.source_plate for item in stock}, tool)
    check_orders(orders, plates, tool, racks, is_by_volume=rules.final_dmso_percent is not None)
    check_stock(stock)
    stock = reachable(stock, {order.compound_id for order in orders}, tool)
    wanted = _wanted(orders, plates, stock, tool, rules)
    kinds = {**{t.barcode: t.labware for t in targets}, **{s.barcode: s.labware for s in rules.spares}}
    protocol = _with_columns_or_without(wanted, kinds, stock, racks, deck, rules, name)
    return Compiled(protocol, carry_over(protocol), _spares_used(protocol, rules), wanted.made_um)


def _spares_used(protocol: Protocol, rules: Rules) -> dict[str, str]:
    used = {item.barcode for load in protocol.loads for item in load.deck}
    return {spare.barcode: spare.labware for spare in rules.spares if spare.barcode in used}


class _ColumnsShort(Exception):
    """There are too few whole columns of tips for eight channels."""


@dataclass(slots=True)
class _Wanted:
    """Demands on the stock, and what is drawn from dilutions."""

    demands: list[Demand]
    from_dilutions: list[Draw] = field(default_factory=list)
    mixes: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """Level of the dilution made in a well of a spare plate, and its volume."""
    made_um: dict[tuple[str, str], float] = field(default_factory=dict)


def _wanted(
    orders: Sequence[Order], plates: Mapping[str, Target], stock: Sequence[StockWell], tool: Pipette, rules: Rules
) -> _Wanted:
    if rules.final_dmso_percent is None:
        return _Wanted(list(_demands(orders, plates, stock)))
    doses = dose(orders, plates, stock, tool, rules)
    made = diluted(doses, rules, tool)
    controls = {order.compound_id for order in orders if order.is_control} | {rules.solvent}
    portions: dict[tuple[str, float | None], list[Portion]] = {}
    for liquid, items in made.from_stock.items():
        portions.setdefault((liquid.compound_id, liquid.strength_um), []).extend(items)
    portions.setdefault((rules.solvent, None), []).extend(made.solvent)
    demands = [
        Demand(name, tuple(items), name in controls, None if um is None else frozenset({um}))
        for (name, um), items in portions.items()
    ]
    return _Wanted(demands, made.from_dilutions, made.mixes, doses.made_um)


def _orders(
    layout: Layout, controls: Mapping[Role, str], sample_nl: int | None, control_nl: int, *, is_by_dose: bool
) -> Iterator[Order]:
    samples = {w.compound_id for w in layout.wells if w.compound_id is not None}
    for w in layout.wells:
        if w.role in (Role.NEGATIVE, Role.POSITIVE):
            if w.role not in controls:
                raise PlanError(f"well {w.well} is a {w.role.value} control, and no liquid is named for that role")
            if controls[w.role] in samples:
                raise PlanError(f"{controls[w.role]} is both a control and a sample on plate {layout.barcode}")
            yield Order(layout.barcode, w.well, controls[w.role], control_nl, is_control=True)
        elif w.compound_id is not None:
            yield Order(layout.barcode, w.well, w.compound_id, sample_nl, w.dose_um if is_by_dose else None)


def _demands(orders: Sequence[Order], plates: Mapping[str, Target], stock: Sequence[StockWell]) -> Iterator[Demand]:
    """Group orders with volumes: those of one compound, one dose and one role share their source wells."""
    held: dict[str, list[StockWell]] = {}
    for item in stock:
        held.setdefault(item.compound_id, []).append(item)
    groups: dict[tuple[str, bool, frozenset[float] | None], tuple[list[Portion], float | None]] = {}
    for order in orders:
        strengths = None
        if order.dose_um is not None:
            fill_nl, volume_nl = plates[order.plate].fill_nl, order.volume_nl or 0
            able = (i for i in held.get(order.compound_id, ()) if i.gives(order.dose_um, volume_nl, fill_nl))
            strengths = frozenset(item.concentration_um for item in able)
        key = order.compound_id, order.is_control, strengths
        portions, _ = groups.setdefault(key, ([], order.dose_um))
        portions.append(Portion(order.plate, (order.well,), order.volume_nl or 0))
    for (compound, is_control, strengths), (portions, dose_um) in groups.items():
        yield Demand(compound, tuple(portions), is_control, strengths, dose_um)


def _with_columns_or_without(
    wanted: _Wanted,
    kinds: Mapping[str, str],
    stock: Sequence[StockWell],
    racks: Sequence[TipRack],
    deck: RobotDeck,
    rules: Rules,
    name: str,
) -> Protocol:
    """Let eight channels move columns as long as whole columns of tips are there."""
    try:
        return _compiled(wanted, kinds, stock, racks, deck, rules, name)
    except _ColumnsShort:
        return _compiled(wanted, kinds, stock, racks, replace(deck, multichannel=""), rules, name)


def _compiled(
    wanted: _Wanted,
    kinds: Mapping[str, str],
    stock: Sequence[StockWell],
    racks: Sequence[TipRack],
    deck: RobotDeck,
    rules: Rules,
    name: str,
) -> Protocol:
    second = pipette(deck.multichannel) if deck.multichannel else None
    demands = wanted.demands if second is None else [_bundled(d, wanted, kinds, stock, second) for d in wanted.demands]
    draws = choose_draws(demands, stock) + wanted.from_dilutions
    stages = list(_stages(draws, wanted, kinds, second))
    plans = _plans(stages, racks, deck, rules.tip_policy, second)
    check_barcodes(kinds, [m for stage in stages for m in stage], plans, {plate for plate, _ in wanted.mixes})
    spares = {spare.barcode for spare in rules.spares}
    loads = deck_loads(merged(plans, len(deck.slots)), deck, kinds, spares)
    strokes = any(motion.is_stroke for stage in stages for motion in stage)
    return Protocol(name, deck.robot, deck.pipette, deck.mount, tuple(loads), deck.multichannel if strokes else "")


def _bundled(
    demand: Demand, wanted: _Wanted, kinds: Mapping[str, str], stock: Sequence[StockWell], tool: Pipette
) -> Demand:
    """Let eight channels fill whole columns of a liquid that stands in troughs only.

    What is mixed afterwards is given well by well: eight channels mix no single well.
    """
    holders = [item for item in stock if demand.serves(item)]
    if not holders or not all(is_trough(item.labware) for item in holders):
        return demand
    alone = [portion for portion in demand.portions if _mix_nl(portion, wanted)]
    rest = [portion for portion in demand.portions if not _mix_nl(portion, wanted)]
    return replace(demand, portions=(*bundled(rest, kinds, tool), *alone))


def _stages(
    draws: Sequence[Draw], wanted: _Wanted, kinds: Mapping[str, str], second: Pipette | None
) -> Iterator[list[Motion]]:
    """Return motions in groups that follow each other: dilutions level by level, what fills up, then the rest.

    Solvent comes first everywhere, while one tip may still go into every well; eight channels before one.
    """
    groups: dict[tuple[int, int], list[Draw]] = {}
    last = max((level for level, _ in wanted.mixes.values()), default=0) + 1
    for draw in draws:
        # A column may hold dilutions of several levels: what fills it up at once comes before the first of them.
        keys = [(draw.portion.plate, well) for well in draw.portion.wells]
        level = min(wanted.mixes[key][0] if key in wanted.mixes else last for key in keys)
        groups.setdefault((level, 0 if draw.portion.is_fill else 1), []).append(draw)
    for _, group in sorted(groups.items(), key=lambda item: item[0]):
        alone = [draw for draw in group if not second or _mix_nl(draw.portion, wanted)]
        joined = stamped([draw for draw in group if draw not in alone], kinds, second) if second else ()
        parts = (*joined, *((draw,) for draw in alone))
        motions = [motion_of(part, _mix_nl(part[0].portion, wanted)) for part in parts]
        for is_stroke in (True, False):
            if chosen := [motion for motion in motions if motion.is_stroke == is_stroke]:
                yield chosen


def _mix_nl(portion: Portion, wanted: _Wanted) -> int:
    """Return what a well is mixed with after a portion; 0: it is not."""
    made = wanted.mixes.get((portion.plate, portion.wells[0]))
    return 0 if made is None or portion.is_fill else made[1]


def _plans(
    stages: Sequence[Sequence[Motion]],
    racks: Sequence[TipRack],
    deck: RobotDeck,
    policy: TipPolicy,
    second: Pipette | None,
) -> list[LoadPlan]:
    tool = pipette(deck.pipette)
    earlier: list[Motion] = []
    needs: list[int] = []
    for stage in stages:
        needs.append(n_runs(stage, earlier, policy))
        earlier += stage
    is_stroke = [stage[0].is_stroke for stage in stages]
    n_columns = sum(n for n, stroke in zip(needs, is_stroke, strict=True) if stroke)
    columns = columns_of_tips([rack for rack in racks if second and rack.labware in second.tips])[:n_columns]
    if len(columns) < n_columns:
        raise _ColumnsShort
    rest = without(racks, columns) if columns else list(racks)
    singles: list[TipSet] = [(rack, (well,)) for rack, well in single_tips(rest)]
    n_singles = sum(needs) - n_columns
    if n_singles > len(singles):
        raise too_few(n_singles, len(singles), len(rest), tool)
    queues: dict[bool, Sequence[TipSet]] = {True: columns, False: singles[:n_singles]}
    plans: list[LoadPlan] = []
    earlier = []
    for stage, stroke in zip(stages, is_stroke, strict=True):
        standing = frozenset(plans[-1].barcodes) if plans else frozenset()
        plans += (new := plan_stage(stage, earlier, policy, queues[stroke], len(deck.slots), standing))
        n_used = sum(len(part.tips) for plan in new for part in plan.parts)
        queues[stroke] = queues[stroke][n_used:]
        earlier += stage
    return plans
