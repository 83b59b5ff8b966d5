"""Will it run dry: what a night draws, against what can be drawn; names the bottle to fill and by how much."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from protocols.draws import usable_nl
from protocols.evaporation import follow_seal, lost_nl, rates_of
from protocols.labware import LABWARE, labware
from protocols.ledger import Ledger
from protocols.model import Protocol
from protocols.sentences import named
from protocols.steps import Step, plate_of
from protocols.stock import StockWell
from protocols.volumes import Tally, WellKey, apply, flows


@dataclass(frozen=True, slots=True)
class Refill:
    """A well that has to be filled before a night."""

    plate: str
    """Barcode of a source plate or a reservoir."""
    well: str
    liquid: str
    """What it holds; empty where nobody said."""
    missing_nl: int
    """At least this much more has to be in it."""
    room_nl: int
    """What still fits; less than is missing: a second well is needed."""

    def __str__(self) -> str:
        what = f" with {named(self.liquid)}" if self.liquid else ""
        more = "" if self.missing_nl <= self.room_nl else f", of which only {self.room_nl} nl fit: set up a second well"
        return f"fill {self.well} of {self.plate}{what} by at least {self.missing_nl} nl{more}"


@dataclass(frozen=True, slots=True)
class Retip:
    """A tip rack that lacks tips for a night."""

    rack: str
    labware: str
    wells: tuple[str, ...]
    """Positions that have to hold a tip and do not."""

    def __str__(self) -> str:
        more = " .." if len(self.wells) > 4 else ""
        shown = ", ".join(self.wells[:4]) + more
        return f"{len(self.wells)} tip(s) missing in {self.rack} ({shown}): put in a full {self.labware}"


Shortage = Refill | Retip


def shortages(ledger: Ledger, protocols: Sequence[Protocol]) -> tuple[Shortage, ...]:
    """Return what has to be filled before protocols run one after another; empty when nothing runs dry.

    Every well is taken at the least it can hold; what is booked already counts as drawn. A well that the protocols
    fill themselves is judged as it is when they come to it.
    """
    run = _Run(Tally(ledger.least(), ledger.most()), ledger, dict(ledger.labware))
    run.free, run.sealed = ledger.free_tips(), set(ledger.sealed)
    for protocol in protocols:
        for load in protocol.loads:
            run.kinds.update((item.barcode, item.labware) for item in load.deck)
            on: set[tuple[str, str]] = set()
            for step in load.steps:
                on = _take(step, on, run)
    refills = [_refill(key, lowest, run) for key, lowest in run.lowest.items()]
    retips = [Retip(rack, run.kinds.get(rack, ""), tuple(wells)) for rack, wells in run.missing.items()]
    return (*(refill for refill in refills if refill is not None), *retips)


@dataclass(slots=True)
class _Run:
    tally: Tally
    ledger: Ledger
    kinds: dict[str, str]
    free: dict[str, set[str]] = field(default_factory=dict)
    lowest: dict[WellKey, int] = field(default_factory=dict)
    """The least that a well drawn from ever holds."""
    missing: dict[str, list[str]] = field(default_factory=dict)
    sealed: set[str] = field(default_factory=set)


def _take(step: Step, on: set[tuple[str, str]], run: _Run) -> set[tuple[str, str]]:
    """Enter a step; return the tips that are on after it."""
    apply(step, run.tally, run.kinds)
    for source, _, _ in flows(step, run.kinds):
        run.lowest[source] = min(run.lowest.get(source, run.tally.least[source]), run.tally.least[source])
    run.tally.dry(plate_of(step), lost_nl(step, rates_of(run.ledger.care), run.sealed))
    follow_seal(step, run.sealed)
    tip = getattr(step, "tip_rack", ""), getattr(step, "tip_well", "")
    if not tip[0] or tip in on:
        return on
    if tip[1] in run.free.get(tip[0], set()):
        run.free[tip[0]].discard(tip[1])
    else:
        run.missing.setdefault(tip[0], []).append(tip[1])
    return on | {tip} if getattr(step, "stroke", 0) else {tip}


def _refill(key: WellKey, lowest_nl: int, run: _Run) -> Refill | None:
    kind = LABWARE.get(run.kinds.get(key[0], ""))
    missing_nl = (kind.dead_volume_nl if kind else 0) - lowest_nl
    if missing_nl <= 0:
        return None
    room_nl = max(0, kind.max_volume_nl - run.ledger.volume(*key).high_nl) if kind else 0
    return Refill(*key, run.ledger.contents.get(key, ""), missing_nl, room_nl)


@dataclass(frozen=True, slots=True)
class Have:
    """What has to be in a source well before a protocol runs."""

    plate: str
    well: str
    liquid: str
    volume_nl: int
    """What is drawn, and the dead volume."""

    def __str__(self) -> str:
        return f"{self.volume_nl / 1000:g} ul of {named(self.liquid)} in {self.well} of {named(self.plate)}"


def to_load(protocol: Protocol) -> tuple[Have, ...]:
    """Return what every well that a protocol draws from, and does not fill itself, has to hold at least."""
    kinds = {item.barcode: item.labware for load in protocol.loads for item in load.deck}
    tally, lowest, liquids = Tally(), dict[WellKey, int](), dict[WellKey, str]()
    for step in protocol.steps:
        apply(step, tally, kinds)
        for source, _, _ in flows(step, kinds):
            lowest[source] = min(lowest.get(source, 0), tally.least[source])
            liquids.setdefault(source, getattr(step, "compound_id", "") or getattr(step, "reagent", ""))
    drawn = [(key, -least) for key, least in sorted(lowest.items()) if least < 0]
    return tuple(Have(*key, liquids[key], nl + _dead_nl(kinds.get(key[0], ""))) for key, nl in drawn)


def _dead_nl(load_name: str) -> int:
    return LABWARE[load_name].dead_volume_nl if load_name in LABWARE else 0


@dataclass(frozen=True, slots=True)
class Need:
    """A liquid that a night takes, before anybody has compiled which wells it comes from."""

    liquid: str
    n_transfers: int
    volume_nl: int
    """Of each."""


def dry(needs: Iterable[Need], stock: Sequence[StockWell]) -> Iterator[Refill]:
    """Return for each liquid that does not suffice the well to fill: the one of it with most room."""
    held: dict[str, list[StockWell]] = {}
    for item in stock:
        held.setdefault(item.compound_id, []).append(item)
    for liquid, portions in _by_liquid(needs).items():
        wells = held.get(liquid, [])
        missing_nl = _missing_nl(portions, [usable_nl(item) for item in wells])
        if missing_nl and wells:
            best = max(wells, key=lambda item: labware(item.labware).max_volume_nl - item.volume_nl)
            room_nl = labware(best.labware).max_volume_nl - best.volume_nl
            short_nl = missing_nl + max(0, labware(best.labware).dead_volume_nl - best.volume_nl)
            yield Refill(best.source_plate, best.source_well, liquid, short_nl, room_nl)


def _by_liquid(needs: Iterable[Need]) -> Mapping[str, list[int]]:
    portions: dict[str, list[int]] = {}
    for need in needs:
        portions.setdefault(need.liquid, []).extend([need.volume_nl] * need.n_transfers)
    return portions


def _missing_nl(portions: Sequence[int], room: list[int]) -> int:
    """Return what does not fit into the room, the largest portions first, each from one well."""
    missing_nl = 0
    for volume_nl in sorted(portions, reverse=True):
        best = max(range(len(room)), key=room.__getitem__, default=None)
        if best is None or room[best] < volume_nl:
            missing_nl += volume_nl
        else:
            room[best] -= volume_nl
    return missing_nl
