"""Doses to volumes: which strength of the stock, how much of it, how much solvent fills up, and which dilutions.

Every well that is filled ends with the same share of solvent. With W nl in a well before and D nl of stock and solvent
together, a dose needs ``v = dose * (W + D) / strength`` nl of stock, and ``D - v`` of solvent fill up. Where ``v`` is
less than the pipette can move, the stock is diluted first, at most tenfold at a time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nextplate.errors import PlanError
from protocols.draws import Portion, usable_nl
from protocols.labware import Pipette, labware
from protocols.orders import Order, Rules, Target
from protocols.sentences import well_on
from protocols.stock import DOSE_TOLERANCE, StockWell
from protocols.volumes import WellKey

FACTOR = 10.0
"""Most that one dilution thins."""
ALLOWANCE = 1.1
"""How much more of a dilution is made than is drawn and stays: a pipette that gave a little less leaves no air."""
MAX_FACTOR = 1e6
"""Most that dilutions in a row thin: a dose further off is a mistake in the order."""


@dataclass(frozen=True, slots=True)
class Dilution:
    """Liquid made in a well of a spare plate from stock, or from another dilution."""

    compound_id: str
    strength_um: float | None = None
    """Of the stock it is made from in the end; None: any."""
    factor: float = 1.0
    """How much thinner than that stock; 1: the stock itself."""


@dataclass(slots=True)
class Doses:
    """Portions by liquid: of stock and dilutions into targets, and of solvent to fill up."""

    portions: dict[Dilution, list[Portion]] = field(default_factory=dict)
    fill: list[Portion] = field(default_factory=list)
    made_um: dict[WellKey, float] = field(default_factory=dict)

    def add(self, liquid: Dilution, portion: Portion) -> None:
        """Add a portion of a liquid."""
        self.portions.setdefault(liquid, []).append(portion)


def solvent_nl(fill_nl: int, percent: float) -> int:
    """Return the volume that makes a share of the whole well, rounded to a nanolitre.

    Raises:
        PlanError: a share that is not above 0 and under 100.
    """
    if not 0 < percent < 100:
        raise PlanError(f"final_dmso_percent = {percent:g}; write a share above 0 and under 100")
    return round(fill_nl * percent / (100 - percent))


def dose(
    orders: Sequence[Order], targets: Mapping[str, Target], stock: Iterable[StockWell], tool: Pipette, rules: Rules
) -> Doses:
    """Turn orders into portions.

    Args:
        orders: with a volume, or a dose, or both.
        targets: by barcode.
        stock: every source well.
        tool: that moves all of it.
        rules: with ``final_dmso_percent``.

    Raises:
        PlanError: names the wells whose doses no stock can make, and why.
    """
    if rules.final_dmso_percent is None:
        raise PlanError("doses by volume need final_dmso_percent")
    room = _room(stock)
    doses, problems = Doses(), list[str]()
    for order in orders:
        target = targets[order.plate]
        total_nl = solvent_nl(target.fill_nl, rules.final_dmso_percent)
        words = _place(order, target, total_nl, room, tool, rules, doses)
        if words:
            problems.append(f"{well_on(order.plate, order.well)}: {words}")
    if problems:
        more = f"\n  and {len(problems) - 10} more wells" if len(problems) > 10 else ""
        raise PlanError("these doses cannot be made:\n  " + "\n  ".join(problems[:10]) + more)
    return doses


def _room(stock: Iterable[StockWell]) -> dict[str, dict[float, int]]:
    """Return how much can be drawn of each compound, by strength."""
    room: dict[str, dict[float, int]] = {}
    for item in stock:
        by_strength = room.setdefault(item.compound_id, {})
        by_strength[item.concentration_um] = by_strength.get(item.concentration_um, 0) + usable_nl(item)
    return room


def _place(
    order: Order,
    target: Target,
    total_nl: int,
    room: Mapping[str, dict[float, int]],
    tool: Pipette,
    rules: Rules,
    doses: Doses,
) -> str:
    """Enter one order; return why it cannot be made, '' when it can."""
    if order.volume_nl is not None:
        volume_nl, liquid = order.volume_nl, Dilution(order.compound_id)
        if order.compound_id == rules.solvent:
            volume_nl = total_nl
        if not fits(volume_nl, total_nl, tool):
            return _misfit(order.compound_id, volume_nl, total_nl, tool)
    else:
        found = _best(order, target, total_nl, room.get(order.compound_id, {}), tool, has_spares=bool(rules.spares))
        if isinstance(found, str):
            return found
        liquid, volume_nl = found
        strength_um = (liquid.strength_um or 0.0) / liquid.factor
        doses.made_um[order.plate, order.well] = strength_um * volume_nl / (target.fill_nl + total_nl)
    doses.add(liquid, Portion(order.plate, (order.well,), volume_nl))
    if volume_nl < total_nl:
        doses.fill.append(Portion(order.plate, (order.well,), total_nl - volume_nl, is_fill=True))
    return ""


def _misfit(compound_id: str, volume_nl: int, total_nl: int, tool: Pipette) -> str:
    return (
        f"{volume_nl} nl of {compound_id} and {total_nl - volume_nl} nl to fill up to {total_nl} nl; {tool.load_name} "
        f"moves {tool.min_nl} to {tool.max_nl} nl: change final_dmso_percent or the volume"
    )


def fits(volume_nl: int, total_nl: int, tool: Pipette) -> bool:
    """Tell whether the pipette can move a volume and what fills it up."""
    rest_nl = total_nl - volume_nl
    is_movable = tool.min_nl <= volume_nl <= min(total_nl, tool.max_nl)
    return is_movable and (rest_nl == 0 or tool.min_nl <= rest_nl <= tool.max_nl)


def _best(
    order: Order, target: Target, total_nl: int, strengths: dict[float, int], tool: Pipette, *, has_spares: bool
) -> tuple[Dilution, int] | str:
    """Choose the strength and the volume for a dose: undiluted before diluted, the largest volume first.

    What is drawn is taken from ``strengths``.

    Returns:
        The liquid and the volume of it, or why there is none.
    """
    if order.dose_um is None or not math.isfinite(order.dose_um) or order.dose_um <= 0:
        return f"a dose of {order.dose_um!r} uM of {order.compound_id} is none"
    wanted = order.dose_um * (target.fill_nl + total_nl)
    usable = {um: nl for um, nl in strengths.items() if um > 0}
    if not usable:
        return f"{order.compound_id} is not in stock, or its strength is not given"
    for um in sorted(usable):
        volume_nl = near_nl(wanted / um, total_nl, tool)
        if volume_nl is not None and volume_nl <= usable[um]:
            strengths[um] -= volume_nl
            return Dilution(order.compound_id, um, 1.0), volume_nl
    thinned = _thinned(order, wanted, total_nl, usable, tool)
    if thinned is not None and has_spares:
        return thinned
    held = ", ".join(f"{um:g} uM ({nl} nl can be drawn)" for um, nl in sorted(usable.items()))
    why = f"{order.dose_um:g} uM of {order.compound_id} from {held}, {total_nl} nl into a well with {target.fill_nl} nl"
    if thinned is not None:
        return f"{why}: under the {tool.min_nl} nl minimum of {tool.load_name}; name an empty plate for dilutions"
    return f"{why}: {_why_none(wanted, total_nl, usable, tool)}"


def _why_none(wanted: float, total_nl: int, usable: Mapping[float, int], tool: Pipette) -> str:
    """Say why no strength makes a dose, diluted or not; ``wanted`` is in nl times uM."""
    if total_nl < tool.min_nl:
        return f"{total_nl} nl are under the {tool.min_nl} nl minimum of {tool.load_name}; raise final_dmso_percent"
    if total_nl > 2 * tool.max_nl:
        return f"{total_nl} nl are over what {tool.load_name} moves at once; lower final_dmso_percent"
    strongest_um = max(usable)
    exact_nl = wanted / strongest_um
    if exact_nl > total_nl:
        return f"too strong a dose for the stock: it takes {exact_nl:.0f} nl of {strongest_um:g} uM"
    if total_nl / (wanted / min(usable)) > MAX_FACTOR:
        return f"too weak a dose for the stock: it would have to be diluted more than {MAX_FACTOR:g} fold"
    if any(near_nl(wanted / um, total_nl, tool) is not None for um in usable):
        return "too little is left of it, other wells have taken the rest"
    if not any(nl >= tool.min_nl for nl in usable.values()):
        return f"what can be drawn of it is under the {tool.min_nl} nl minimum of {tool.load_name}"
    return (
        f"it takes {exact_nl:.0f} nl of {strongest_um:g} uM and {total_nl - exact_nl:.0f} nl to fill up, and "
        f"{tool.load_name} moves {tool.min_nl} to {tool.max_nl} nl; change final_dmso_percent"
    )


def near_nl(exact_nl: float, total_nl: int, tool: Pipette) -> int | None:
    """Return the whole volume nearest to an exact one that the pipette can move and fill up; None: none near."""
    for volume_nl in (round(exact_nl), total_nl, tool.min_nl, total_nl - tool.min_nl):
        if fits(volume_nl, total_nl, tool) and abs(volume_nl / exact_nl - 1) <= _error(volume_nl, exact_nl):
            return volume_nl
    return None


def _error(volume_nl: int, exact_nl: float) -> float:
    """Rounding is always allowed; a volume bent to what the pipette can do, within the tolerance of doses."""
    return DOSE_TOLERANCE / 2 if volume_nl != round(exact_nl) else 1.0


def _thinned(
    order: Order, wanted: float, total_nl: int, usable: Mapping[float, int], tool: Pipette
) -> tuple[Dilution, int] | None:
    """Return the least dilution of the weakest strength from which the dose can be made; None: there is none."""
    for um in sorted(usable):
        if usable[um] >= tool.min_nl and (found := _thin(wanted / um, total_nl, tool)) is not None:
            factor, volume_nl = found
            return Dilution(order.compound_id, um, factor), volume_nl
    return None


def _thin(exact_nl: float, total_nl: int, tool: Pipette) -> tuple[float, int] | None:
    """Return how far to thin what a dose takes ``exact_nl`` of, and the volume of it; None: it needs none, or no
    dilution helps.
    """
    if exact_nl > total_nl:
        return None
    factor = FACTOR
    while factor <= MAX_FACTOR and exact_nl * factor <= total_nl * FACTOR:
        volume_nl = near_nl(exact_nl * factor, total_nl, tool)
        if volume_nl is not None:
            return factor, volume_nl
        factor *= FACTOR
    # No power of ten will do: thin it so that nothing has to be filled up.
    factor = total_nl / exact_nl
    if factor <= MAX_FACTOR and tool.min_nl <= total_nl <= tool.max_nl:
        return round(factor, 6), total_nl
    return None


def diluted_nl(exact_nl: float, total_nl: int, spare: str, tool: Pipette) -> int | None:
    """Return how much stock one dose takes that has to be diluted first; None: no dilution makes it.

    Doses of one compound that share a dilution take less.

    Args:
        exact_nl: of the stock, undiluted.
        total_nl: of stock and solvent together, into the well.
        spare: load name of the plate for dilutions.
        tool: that moves all of it.
    """
    if (found := _thin(exact_nl, total_nl, tool)) is None:
        return None
    liquid, volume_nl = Dilution("", None, found[0]), found[1]
    while liquid.factor > 1:
        try:
            (mixture,) = mixtures(liquid, [Portion("", ("",), volume_nl)], spare, tool)
        except PlanError:
            return None
        liquid, volume_nl = parent_of(liquid), mixture.taken_nl
    return volume_nl


def parent_of(dilution: Dilution) -> Dilution:
    """Return what a dilution is made from: the next power of ten below it, in the end the stock."""
    level = 1.0
    while level * FACTOR < dilution.factor * (1 - 1e-9):
        level *= FACTOR
    return Dilution(dilution.compound_id, dilution.strength_um, level)


@dataclass(frozen=True, slots=True)
class Mixture:
    """One well of a spare plate: a dilution as it is made."""

    dilution: Dilution
    taken_nl: int
    """Of what it is made from."""
    solvent_nl: int
    portions: tuple[Portion, ...]
    """Drawn from it."""

    @property
    def volume_nl(self) -> int:
        """Return what the well holds when it is made."""
        return self.taken_nl + self.solvent_nl


def mixtures(dilution: Dilution, portions: Sequence[Portion], load_name: str, tool: Pipette) -> list[Mixture]:
    """Divide what is drawn of a dilution over as few wells as hold it, and say how each is made.

    Raises:
        PlanError: a well of the spare plate is too small for it.
    """
    kind = labware(load_name)
    ratio = dilution.factor / parent_of(dilution).factor
    # Of both parts the pipette has to be able to move what is needed.
    least_nl = math.ceil(tool.min_nl * max(ratio, ratio / (ratio - 1)))
    made, waiting = list[Mixture](), list(portions)
    while waiting:
        part, volume_nl = list[Portion](), kind.dead_volume_nl
        # A tenth is kept free, for the allowance.
        while waiting and volume_nl + waiting[0].total_nl <= kind.max_volume_nl * 0.9:
            volume_nl += waiting[0].total_nl
            part.append(waiting.pop(0))
        taken_nl = math.ceil(max(volume_nl * ALLOWANCE, least_nl) / ratio)
        mixture = Mixture(dilution, taken_nl, round(taken_nl * (ratio - 1)), tuple(part))
        if not part or mixture.volume_nl > kind.max_volume_nl:
            raise PlanError(
                f"a dilution of {dilution.compound_id} by {ratio:g} takes at least {least_nl} nl and what is drawn "
                f"from it, and a well of {load_name} holds {kind.max_volume_nl} nl; name another plate for dilutions"
            )
        made.append(mixture)
    return made


def in_moves(volume_nl: int, tool: Pipette) -> list[int]:
    """Divide a volume into as few moves as the pipette needs, as even as whole nanolitres go."""
    n = -(-volume_nl // tool.max_nl)
    return [volume_nl // n + (i < volume_nl % n) for i in range(n)]
