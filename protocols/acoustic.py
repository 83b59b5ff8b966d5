"""Compile orders for an acoustic dispenser: no tips, whole droplets, one source and one destination at a time.

A dose is made from the strength whose whole droplets come nearest to it; how much they really make is told. Source
wells are drawn from only within the window of their plate. Dilution plates are not needed: a droplet is small enough,
or the dose is refused with its well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nextplate.errors import PlanError
from protocols.dosing import solvent_nl
from protocols.draws import Demand, Draw, Portion, choose_draws, usable_nl
from protocols.judge_acoustic import droplet_words
from protocols.labware import LABWARE, Pipette, RobotDeck, labware, pipette
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.order_checks import check_orders, check_stock, check_targets
from protocols.orders import Compiled, Order, Rules, Target
from protocols.sentences import well_on
from protocols.stock import StockWell
from protocols.volumes import WellKey

MAX_ROUNDING = 0.1
"""Most that whole droplets may miss a dose by, as a share of it."""
_Liquid = tuple[str, frozenset[float] | None, bool]
"""Compound, the strengths that serve (None: any), and whether it is a control."""


@dataclass(slots=True)
class _Wanted:
    """Portions by liquid."""

    portions: dict[_Liquid, list[Portion]] = field(default_factory=dict)
    made_um: dict[WellKey, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, liquid: _Liquid, order: Order, volume_nl: int, *, is_fill: bool = False) -> None:
        self.portions.setdefault(liquid, []).append(Portion(order.plate, (order.well,), volume_nl, is_fill))


def compile_acoustic(
    orders: Sequence[Order],
    targets: Sequence[Target],
    stock: Sequence[StockWell],
    deck: RobotDeck,
    rules: Rules,
    name: str,
) -> Compiled:
    """Turn orders into a protocol for an acoustic dispenser; see protocols.compile.compile_orders.

    Raises:
        PlanError: what cannot be done, with the wells and why: no whole droplets, no dose near enough, a source that
            sound does not go through or that is outside its window.
        DataError: unknown labware.
    """
    tool, plates = pipette(deck.pipette), {target.barcode: target for target in targets}
    check_targets(targets, (), set(), tool)
    if clash := sorted(plates.keys() & {item.source_plate for item in stock}):
        raise PlanError(f"barcodes clash: {clash[0]} is both a source and an assay plate")
    is_by_volume = rules.final_dmso_percent is not None
    check_orders(orders, plates, tool, (), is_by_volume=is_by_volume)
    check_stock(stock)
    solvent = {rules.solvent} if is_by_volume else set()
    usable = _in_window(stock, {order.compound_id for order in orders} | solvent, tool)
    wanted = _wanted(orders, plates, usable, tool, rules)
    if wanted.problems:
        more = f"\n  and {len(wanted.problems) - 10} more wells" if len(wanted.problems) > 10 else ""
        raise PlanError(f"{tool.load_name} cannot make these:\n  " + "\n  ".join(wanted.problems[:10]) + more)
    demands = [
        Demand(compound, tuple(portions), is_control, strengths)
        for (compound, strengths, is_control), portions in wanted.portions.items()
    ]
    loads = _loads(choose_draws(demands, usable), plates, tool)
    return Compiled(Protocol(name, deck.robot, deck.pipette, deck.mount, loads), (), {}, wanted.made_um)


def in_window(item: StockWell) -> bool:
    """Tell whether sound draws from a well: its plate is made for it, and it is not too full."""
    return 0 < item.volume_nl <= LABWARE[item.labware].acoustic_max_nl


def near_droplets_nl(exact_nl: float, total_nl: int, tool: Pipette) -> int | None:
    """Return the whole droplets nearest to an exact volume; None: too few or too many, or not near enough."""
    volume_nl = in_droplets(exact_nl, tool)
    is_possible = tool.min_nl <= volume_nl <= total_nl and abs(volume_nl / exact_nl - 1) <= MAX_ROUNDING
    return volume_nl if is_possible else None


def _in_window(stock: Sequence[StockWell], wanted: set[str], tool: Pipette) -> list[StockWell]:
    """Return the wells that can be drawn from.

    Raises:
        PlanError: a compound that is wanted is in others only; names a well of it and why.
    """
    usable = [item for item in stock if in_window(item)]
    held = {item.compound_id for item in usable}
    for item in stock:
        if item.compound_id in wanted and item.compound_id not in held and item.volume_nl > 0:
            kind, where = labware(item.labware), well_on(item.source_plate, item.source_well)
            if not kind.acoustic_max_nl:
                why = f"sound does not go through {item.labware}"
            else:
                why = (
                    f"it holds {item.volume_nl} nl, and at most {kind.acoustic_max_nl} nl are allowed in {item.labware}"
                )
            raise PlanError(f"{tool.load_name} cannot draw {item.compound_id} from {where}: {why}")
    return usable


def _wanted(
    orders: Sequence[Order], plates: Mapping[str, Target], stock: Sequence[StockWell], tool: Pipette, rules: Rules
) -> _Wanted:
    wanted, room = _Wanted(), dict[str, dict[float, int]]()
    for item in stock:
        strengths = room.setdefault(item.compound_id, {})
        strengths[item.concentration_um] = strengths.get(item.concentration_um, 0) + usable_nl(item)
    controls = {order.compound_id for order in orders if order.is_control}
    if rules.final_dmso_percent is not None:
        controls.add(rules.solvent)
    for order in orders:
        is_control = order.compound_id in controls
        words = (
            _by_volume(order, plates[order.plate], room, tool, rules, wanted, is_control=is_control)
            if rules.final_dmso_percent is not None
            else _as_ordered(order, plates[order.plate], stock, tool, wanted, is_control=is_control)
        )
        if words:
            wanted.problems.append(f"{well_on(order.plate, order.well)}: {words}")
    return wanted


def _as_ordered(
    order: Order, target: Target, stock: Sequence[StockWell], tool: Pipette, wanted: _Wanted, *, is_control: bool
) -> str:
    """Enter an order that has a volume; return why it cannot be made, '' when it can."""
    volume_nl = order.volume_nl or 0
    if words := droplet_words(volume_nl, tool):
        return f"{words} ({order.compound_id})"
    strengths: frozenset[float] | None = None
    if order.dose_um is not None:
        held = {i.concentration_um for i in stock if i.compound_id == order.compound_id}
        able = [
            i for i in stock if i.compound_id == order.compound_id and i.gives(order.dose_um, volume_nl, target.fill_nl)
        ]
        if not able:
            shown = ", ".join(f"{um:g}" for um in sorted(held))
            return f"{volume_nl} nl of {order.compound_id} ({shown or 'no'} uM) do not make {order.dose_um:g} uM"
        strengths = frozenset(item.concentration_um for item in able)
        made = [um * volume_nl / (target.fill_nl + volume_nl) for um in strengths]
        wanted.made_um[order.plate, order.well] = sum(made) / len(made)
    wanted.add((order.compound_id, strengths, is_control), order, volume_nl)
    return ""


def _by_volume(
    order: Order,
    target: Target,
    room: Mapping[str, dict[float, int]],
    tool: Pipette,
    rules: Rules,
    wanted: _Wanted,
    *,
    is_control: bool,
) -> str:
    """Enter an order, and the solvent that fills it up; return why it cannot be made, '' when it can."""
    total_nl = in_droplets(solvent_nl(target.fill_nl, rules.final_dmso_percent or 0.0), tool)
    strengths: frozenset[float] | None = None
    if order.compound_id == rules.solvent:
        volume_nl = total_nl
    elif order.volume_nl is not None:
        volume_nl = order.volume_nl
        if words := droplet_words(volume_nl, tool):
            return f"{words} ({order.compound_id})"
    else:
        found = _nearest(order, target.fill_nl + total_nl, total_nl, room.get(order.compound_id, {}), tool)
        if isinstance(found, str):
            return found
        um, volume_nl = found
        strengths = frozenset({um})
        wanted.made_um[order.plate, order.well] = um * volume_nl / (target.fill_nl + total_nl)
    if not tool.min_nl <= volume_nl <= total_nl:
        return f"{volume_nl} nl of {order.compound_id}; {tool.min_nl} to {total_nl} nl keep final_dmso_percent"
    wanted.add((order.compound_id, strengths, is_control), order, volume_nl)
    if volume_nl < total_nl:
        wanted.add((rules.solvent, None, True), order, total_nl - volume_nl, is_fill=True)
    return ""


def _nearest(
    order: Order, well_nl: int, total_nl: int, strengths: dict[float, int], tool: Pipette
) -> tuple[float, int] | str:
    """Return the strength and whole droplets that come nearest to a dose, or why there are none."""
    dose_um = order.dose_um
    if dose_um is None or not 0 < dose_um < float("inf"):
        return f"a dose of {dose_um!r} uM of {order.compound_id} is none"
    made: list[tuple[float, float, int]] = []
    for um in sorted(um for um in strengths if um > 0):
        volume_nl = in_droplets(dose_um * well_nl / um, tool)
        if tool.min_nl <= volume_nl <= total_nl and volume_nl <= strengths[um]:
            made.append((abs(um * volume_nl / well_nl / dose_um - 1), um, volume_nl))
    if not made:
        held = ", ".join(f"{um:g} uM ({nl} nl can be drawn)" for um, nl in sorted(strengths.items()))
        return f"{dose_um:g} uM of {order.compound_id} from {held or 'nothing'}: not within {total_nl} nl of droplets"
    error, um, volume_nl = min(made)
    if error > MAX_ROUNDING:
        return (
            f"{dose_um:g} uM of {order.compound_id}: the nearest droplets, {volume_nl} nl of {um:g} uM, make "
            f"{um * volume_nl / well_nl:g} uM; use a weaker stock or a larger well"
        )
    strengths[um] -= volume_nl
    return um, volume_nl


def in_droplets(volume_nl: float, tool: Pipette) -> int:
    """Round a volume to whole droplets that are whole nanolitres; halves to the even number of them."""
    return round(volume_nl / tool.step_nl) * tool.step_nl


def _loads(draws: Sequence[Draw], plates: Mapping[str, Target], tool: Pipette) -> tuple[DeckLoad, ...]:
    """Make a load of each pair of plates; the destination stays while the source changes, solvent first."""
    pairs: dict[tuple[str, str], list[Draw]] = {}
    for draw in draws:
        pairs.setdefault((draw.portion.plate, draw.source.source_plate), []).append(draw)
    order = {barcode: n for n, barcode in enumerate(plates)}

    def place(item: tuple[tuple[str, str], list[Draw]]) -> tuple[int, bool, str]:
        (target, source), group = item
        return order[target], not any(draw.portion.is_fill for draw in group), source

    loads, number = list[DeckLoad](), 0
    for index, ((target, source), group) in enumerate(sorted(pairs.items(), key=place)):
        steps = []
        for draw in sorted(group, key=lambda d: (not d.portion.is_fill, d.portion.wells)):
            for volume_nl in _shots(draw.portion.volume_nl, tool):
                number += 1
                well, item = draw.portion.wells[0], draw.source
                ends = source, item.source_well, target, well
                steps.append(Transfer(number, *ends, volume_nl, "", "", item.compound_id))
        deck = (
            DeckItem("destination", target, plates[target].labware, DeckRole.DESTINATION),
            DeckItem("source", source, group[0].source.labware, DeckRole.SOURCE),
        )
        loads.append(DeckLoad(index, deck, tuple(steps)))
    return tuple(loads)


def _shots(volume_nl: int, tool: Pipette) -> list[int]:
    """Divide a volume into as few transfers of whole droplets as the dispenser needs."""
    most = tool.max_nl // tool.step_nl * tool.step_nl
    n = -(-volume_nl // most)
    whole = volume_nl // tool.step_nl
    return [(whole // n + (i < whole % n)) * tool.step_nl for i in range(n)]
