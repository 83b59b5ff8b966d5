"""Plan deck loads: which plates and racks stand together, in as few loads and with as few swaps as can be."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocols.geometry import fits_beside
from protocols.labware import RobotDeck
from protocols.loads import SOLVER_WORK, pack
from protocols.model import DeckItem, DeckLoad, DeckRole
from protocols.orders import TipPolicy
from protocols.runs import Motion, Run, dirtied, in_order, runs_of
from protocols.steps import Mix, Step, Transfer
from protocols.stock import TipRack

MIX_CYCLES = 3
"""Of a dilution."""

TipSet = tuple[TipRack, tuple[str, ...]]
"""One tip, or a column of eight."""


@dataclass(frozen=True, slots=True)
class Part:
    """Runs done on one deck, and the tips for them."""

    runs: Mapping[str, Sequence[Run]]
    """By source plate."""
    tips: Sequence[TipSet]
    """One for each run, in order of use."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What stands on the deck together, before it has slots."""

    destinations: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def racks(self) -> dict[str, str]:
        """Return load names of the tip racks, by barcode, in order of use."""
        return {rack.barcode: rack.labware for part in self.parts for rack, _ in part.tips}

    @property
    def sources(self) -> dict[str, str]:
        """Return load names of the source plates, by barcode."""
        return {
            plate: runs[0][0].source_labware
            for part in self.parts
            for plate, runs in part.runs.items()
            if plate not in self.destinations
        }

    @property
    def barcodes(self) -> set[str]:
        """Return everything on the deck."""
        return {*self.destinations, *self.racks, *self.sources}


def plan_stage(
    motions: Sequence[Motion],
    earlier: Sequence[Motion],
    policy: TipPolicy,
    tips: Sequence[TipSet],
    n_slots: int,
    before: frozenset[str],
) -> list[LoadPlan]:
    """Plan the loads of motions that may be done in any order.

    Args:
        motions: all with one channel, or all with eight.
        earlier: what was done before: those wells are no longer clean.
        policy: when tips change.
        tips: in order of use, at least as many as there are motions, or all there are.
        n_slots: of the deck.
        before: what stands on the deck already.

    Returns:
        Loads; their tips are the first of ``tips``.
    """
    dirty = dirtied(earlier, motions)
    plates = list(dict.fromkeys(motion.plate for motion in motions))
    best: tuple[tuple[int, int], int] | None = None
    most = min(len(plates), n_slots - 2)
    for size in range(1, most + 1) if len(plates) > 1 else ():
        loads = _grouped(motions, dirty, policy, tips, n_slots, before, _chunks(plates, size), 0.0)
        score = (_swaps(loads, before), len(loads)), -size
        best = min(best, score) if best else score
    size = -best[1] if best else 1
    # With several destinations the tips make many small loads, of which the solver saves few and thinks long.
    work = SOLVER_WORK if len(plates) == 1 else SOLVER_WORK / 10
    return _grouped(motions, dirty, policy, tips, n_slots, before, _chunks(plates, size), work)


def _chunks(plates: Sequence[str], size: int) -> list[Sequence[str]]:
    return [plates[i : i + size] for i in range(0, len(plates), size)]


def _grouped(
    motions: Sequence[Motion],
    dirty: set[tuple[str, str]],
    policy: TipPolicy,
    tips: Sequence[TipSet],
    n_slots: int,
    before: frozenset[str],
    groups: Sequence[Sequence[str]],
    work: float,
) -> list[LoadPlan]:
    """Plan the loads for destination plates that stand on the deck group by group."""
    loads: list[LoadPlan] = []
    used = 0
    share = work / len(groups)
    for group in groups:
        standing = loads[-1].barcodes if loads else before
        runs = _by_source([m for m in motions if m.plate in set(group)], policy, dirty, standing)
        n_runs = sum(map(len, runs.values()))
        mine = tips[used : used + n_runs]
        counts = {plate: len(items) for plate, items in runs.items()}
        sizes = list(Counter(rack.barcode for rack, _ in mine).values())
        waiting = {plate: list(items) for plate, items in runs.items()}
        done = 0
        for load in pack(counts, n_slots - len(group), sizes, share):
            taken = mine[done : done + sum(load.values())]
            part = {plate: tuple(waiting[plate].pop(0) for _ in range(n)) for plate, n in load.items()}
            loads.append(LoadPlan(tuple(group), (Part(part, taken),)))
            done += len(taken)
        used += n_runs
    return loads


def _by_source(
    motions: Sequence[Motion], policy: TipPolicy, dirty: set[tuple[str, str]], standing: Iterable[str]
) -> dict[str, list[Run]]:
    """Divide motions into runs by source plate; plates that stand on the deck already come first."""
    by_plate: dict[str, list[Motion]] = {}
    for motion in in_order(motions):
        by_plate.setdefault(motion.source_plate, []).append(motion)
    first = sorted(by_plate, key=lambda plate: (plate not in set(standing), plate))
    return {plate: list(runs_of(by_plate[plate], policy, dirty)) for plate in first}


def n_runs(motions: Sequence[Motion], earlier: Sequence[Motion], policy: TipPolicy) -> int:
    """Return an upper bound of the tips, or columns of tips, that motions need."""
    if policy is TipPolicy.FRESH:
        return len(motions)
    dirty = dirtied(earlier, motions)
    plates = {motion.plate for motion in motions}
    one_by_one = ([m for m in motions if m.plate == plate] for plate in plates)
    return sum(len(runs) for part in one_by_one for runs in _by_source(part, policy, dirty, ()).values())


def _swaps(loads: Sequence[LoadPlan], before: Iterable[str]) -> int:
    standing, n = set(before), 0
    for load in loads:
        n += len(standing ^ load.barcodes)
        standing = load.barcodes
    return n


def merged(loads: Iterable[LoadPlan], n_slots: int) -> Iterator[LoadPlan]:
    """Join loads that follow each other and stand on one deck together."""
    last: LoadPlan | None = None
    for load in loads:
        if last is not None and len(last.barcodes | load.barcodes) <= n_slots:
            destinations = tuple(dict.fromkeys((*last.destinations, *load.destinations)))
            last = LoadPlan(destinations, last.parts + load.parts)
        else:
            if last is not None:
                yield last
            last = load
    if last is not None:
        yield last


def deck_loads(
    plans: Iterable[LoadPlan], deck: RobotDeck, labware: Mapping[str, str], spares: Iterable[str]
) -> Iterator[DeckLoad]:
    """Give labware slots and steps their numbers and tips.

    Args:
        plans: in order.
        deck: its first slot is for the first destination.
        labware: load name of every destination and spare plate.
        spares: plates that are filled and drawn from.
    """
    before: dict[str, str] = {}
    done = 0
    spare = set(spares)
    for index, plan in enumerate(plans):
        wanted = {barcode: (labware[barcode], DeckRole.DESTINATION) for barcode in plan.destinations}
        wanted |= {rack: (name, DeckRole.TIPS) for rack, name in plan.racks.items()}
        wanted |= {plate: (name, DeckRole.SOURCE) for plate, name in plan.sources.items()}
        wanted |= {b: (name, DeckRole.INTERMEDIATE) for b, (name, _) in wanted.items() if b in spare}
        where = _assign({barcode: name for barcode, (name, _) in wanted.items()}, deck, before)
        in_slots = sorted(wanted, key=lambda b: (b not in plan.destinations, deck.slots.index(where[b])))
        steps = list(_steps(plan, in_slots, done))
        yield DeckLoad(index, tuple(DeckItem(where[b], b, *wanted[b]) for b in in_slots), tuple(steps))
        before, done = where, done + len(steps)


def _assign(wanted: Mapping[str, str], deck: RobotDeck, before: Mapping[str, str]) -> dict[str, str]:
    """Give labware slots; what stood on the deck before stays where it is.

    Nothing is set where it would be in the way, as long as there is another slot; else the checker will say so.
    """
    where = {barcode: before[barcode] for barcode in wanted if barcode in before}
    standing = {slot: wanted[barcode] for barcode, slot in where.items()}
    for barcode, name in wanted.items():
        if barcode not in where:
            free = [slot for slot in deck.slots if slot not in standing]
            where[barcode] = next((slot for slot in free if fits_beside(deck, slot, name, standing)), free[0])
            standing[where[barcode]] = name
    return {barcode: where[barcode] for barcode in wanted}


def _steps(plan: LoadPlan, in_slots: Sequence[str], done: int) -> Iterator[Step]:
    """Return the steps of a load: plates in the order of their slots, on a plate column by column."""
    number, stroke = done, 0
    for part in plan.parts:
        tips = iter(part.tips)
        for plate in sorted(part.runs, key=in_slots.index):
            for run, (rack, wells) in zip(part.runs[plate], tips, strict=False):
                for motion in run:
                    stroke += motion.is_stroke
                    for step in _motion_steps(motion, rack.barcode, wells, number, stroke * motion.is_stroke):
                        yield step
                        number += 1


def _motion_steps(motion: Motion, rack: str, tips: Sequence[str], number: int, stroke: int) -> Iterator[Step]:
    ends = zip(motion.source_wells, motion.wells, tips, motion.compounds, strict=True)
    for source, well, tip, compound in ends:
        number += 1
        yield Transfer(
            number, motion.source_plate, source, motion.plate, well, motion.volume_nl, rack, tip, compound, stroke
        )
    if motion.mix_nl:
        yield Mix(number + 1, motion.plate, motion.wells[0], motion.mix_nl, MIX_CYCLES, rack, tips[0])
