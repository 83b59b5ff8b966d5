"""Lay dilutions into spare plates, from the thinnest to the thickest: each is made from the one before it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nextplate.errors import PlanError
from protocols.dosing import FACTOR, Dilution, Doses, Mixture, in_moves, mixtures, parent_of
from protocols.draws import Draw, Portion
from protocols.labware import Pipette, labware
from protocols.orders import Rules, Spare
from protocols.stock import StockWell
from protocols.volumes import WellKey


@dataclass(slots=True)
class Diluted:
    """What is drawn from where once dilutions have wells."""

    from_stock: dict[Dilution, list[Portion]] = field(default_factory=dict)
    """By strength, of factor 1."""
    solvent: list[Portion] = field(default_factory=list)
    from_dilutions: list[Draw] = field(default_factory=list)
    mixes: dict[WellKey, tuple[int, int]] = field(default_factory=dict)
    """By well of a spare plate, the level of its dilution and what to mix with, nanolitres."""


def level_of(dilution: Dilution) -> int:
    """Return how many dilutions lead to it; 0: it is the stock."""
    return math.ceil(math.log10(dilution.factor) - 1e-9) if dilution.factor > 1 else 0


def diluted(doses: Doses, rules: Rules, tool: Pipette) -> Diluted:
    """Give every dilution wells, and say what goes into and out of them.

    Solvent for dilutions is added to ``doses.fill``: it is dispensed before what it dilutes.

    Raises:
        PlanError: too few wells on the spare plates, or too small ones.
    """
    waiting = {liquid: list(portions) for liquid, portions in doses.portions.items()}
    places = _places(rules.spares)
    made = Diluted()
    for thinnest in _from_thinnest(waiting):
        for well, spare, mixture in _lay(thinnest, waiting.pop(thinnest), places, rules, tool):
            place = Portion(spare.barcode, (well,), mixture.taken_nl)
            waiting.setdefault(parent_of(thinnest), []).extend(_parts(place, tool))
            doses.fill.extend(_parts(Portion(spare.barcode, (well,), mixture.solvent_nl, is_fill=True), tool))
            made.mixes[spare.barcode, well] = level_of(thinnest), _mix_nl(mixture, tool)
            um = (thinnest.strength_um or 0.0) / thinnest.factor
            source = StockWell(spare.barcode, well, thinnest.compound_id, mixture.volume_nl, um, spare.labware)
            made.from_dilutions += [Draw(source, portion) for portion in mixture.portions]
    made.from_stock = waiting
    made.solvent = list(doses.fill)
    return made


def _from_thinnest(waiting: Iterable[Dilution]) -> list[Dilution]:
    """Return the dilutions asked for and all that they are made from, but for the stock."""
    needed: set[Dilution] = set()
    for dilution in waiting:
        while dilution.factor > 1 and dilution not in needed:
            needed.add(dilution)
            dilution = parent_of(dilution)
    return sorted(needed, key=lambda d: (d.factor, d.compound_id, d.strength_um or 0.0), reverse=True)


def _mix_nl(mixture: Mixture, tool: Pipette) -> int:
    return max(tool.min_nl, min(tool.max_nl, mixture.volume_nl // 2))


def _parts(portion: Portion, tool: Pipette) -> Iterator[Portion]:
    for volume_nl in in_moves(portion.volume_nl, tool):
        yield replace(portion, volume_nl=volume_nl)


def _places(spares: tuple[Spare, ...]) -> Iterator[tuple[Spare, str]]:
    return ((spare, well) for spare in spares for well in labware(spare.labware).wells_by_column())


def _lay(
    dilution: Dilution, portions: list[Portion], places: Iterator[tuple[Spare, str]], rules: Rules, tool: Pipette
) -> Iterator[tuple[str, Spare, Mixture]]:
    """Return wells for a dilution, each with how it is made there."""
    kind = rules.spares[0].labware
    for mixture in mixtures(dilution, portions, kind, tool):
        place = next(places, None)
        if place is None:
            raise PlanError(
                f"no well is left for a dilution of {dilution.compound_id} by {FACTOR:g} on "
                f"{', '.join(spare.barcode for spare in rules.spares)}; name one more empty plate for dilutions"
            )
        yield place[1], place[0], mixture
