"""Go through the steps of a protocol and find what is wrong with each: wells, tips, volumes, liquid."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.evaporation import follow_seal, lost_nl, rates_of
from protocols.judge_acoustic import acoustic_problems
from protocols.judge_strokes import stroke_problems
from protocols.labware import LABWARE, Labware, Pipette
from protocols.model import DeckItem, DeckLoad, DeckRole
from protocols.problems import Problem, ProblemKind
from protocols.sentences import named, said, well_on
from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash, number_of, plate_of
from protocols.stock import PlateCare
from protocols.volumes import Tally, WellKey, flows, is_count, is_volume, wells_of

_DRAWN = (DeckRole.SOURCE, DeckRole.INTERMEDIATE)
_FILLED = (DeckRole.DESTINATION, DeckRole.INTERMEDIATE)
Found = tuple[ProblemKind, str, WellKey]
"""Kind, words, and the well or tip that they are about."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a tip that is on a pipette."""

    source: WellKey
    """What it drew from, or mixed, last."""
    compound_id: str
    """Of what it drew; empty after a mix: what the well holds."""
    touched: WellKey
    """The well it was in last."""
    picked_up: str = ""
    """What else it met there: liquid of another compound; empty: none that this protocol put in."""


@dataclass(slots=True)
class Books:
    """Running state while a protocol is judged."""

    tally: Tally
    free_tips: dict[str, set[str]]
    labware: Mapping[str, str]
    contents: Mapping[WellKey, str]
    care: Mapping[str, PlateCare]
    sealed: set[str]
    pipette: Pipette | None
    multichannel: Pipette | None
    deck: dict[str, DeckItem] = field(default_factory=dict)
    load: int = 0
    ids: set[int] = field(default_factory=set)
    reported: set[tuple[ProblemKind, WellKey]] = field(default_factory=set)
    """Wells already found overdrawn or overfilled: one message each is enough."""
    held: dict[WellKey, Held] = field(default_factory=dict)
    """Tips that are on: the one or the eight of the motion before."""
    stroke: int = 0
    """Of the step before; 0: it was none."""
    is_stroke_kept: bool = False
    """Whether that stroke began with tips that were on."""
    used: set[WellKey] = field(default_factory=set)
    """Tips this protocol has taken."""
    received: dict[WellKey, set[str]] = field(default_factory=dict)
    """Compounds put into each well by this protocol so far."""
    strokes: dict[int, list[Transfer]] = field(default_factory=dict)
    """Of the load, by number."""

    def enter(self, load: DeckLoad) -> None:
        """Go on to the next load: another deck, no tip on the pipette."""
        self.deck = {item.barcode: item for item in load.deck}
        self.load, self.held, self.stroke = load.index, {}, 0
        self.strokes = {}
        for t in load.transfers:
            if t.stroke:
                self.strokes.setdefault(t.stroke, []).append(t)

    def kind(self, barcode: str) -> Labware | None:
        """Return the labware of a barcode; None where it is not known."""
        on_deck = self.deck[barcode].labware if barcode in self.deck else ""
        return LABWARE.get(self.labware.get(barcode) or on_deck)


def step_problems(step: Step, books: Books) -> Iterator[Problem]:
    """Return what is wrong with one step, and enter it into the books."""
    where = _where(step)
    found: list[Found] = list(_number_problems(step, books))
    match step:
        case Transfer():
            found += _transfer_problems(step, books)
        case Mix():
            found += _mix_problems(step, books)
        case Dispense() | Wash():
            found += _bulk_problems(step, books)
        case Incubate() | PlateMove() | Seal() | Read():
            found += _plate_problems(step, books)
    for kind, words, (plate, well) in found:
        yield Problem(kind, f"{where}: {words}", plate, well, number_of(step), books.load)


def _where(step: Step) -> str:
    if isinstance(step, Transfer):
        return (
            f"transfer {step.transfer_id} ({step.source_well} on {step.source_plate} to "
            f"{step.destination_well} on {step.destination_plate})"
        )
    return f"step {step.step_id} ({said(step)})"


def _number_problems(step: Step, books: Books) -> Iterator[Found]:
    number = number_of(step)
    place = (step.destination_plate, step.destination_well) if isinstance(step, Transfer) else (plate_of(step), "")
    if not is_volume(number):
        yield ProblemKind.STEP, f"the number {number!r} is no whole number above 0", place
    elif number in books.ids:
        yield ProblemKind.STEP, f"the number {number} is used twice", place
    books.ids.add(number)


def _transfer_problems(t: Transfer, books: Books) -> Iterator[Found]:
    source, target = (t.source_plate, t.source_well), (t.destination_plate, t.destination_well)
    is_acoustic = books.pipette is not None and books.pipette.is_acoustic
    tool = books.multichannel if t.stroke and not is_acoustic else books.pipette
    yield from _well_problems(source, _DRAWN, books, tool)
    yield from _well_problems(target, _FILLED, books, tool)
    if source == target:
        yield ProblemKind.WELL, f"{well_on(*source)} is both the source and the destination", target
    yield from _content_problems(t, books)
    yield from stroke_problems(t, books.strokes, books.multichannel, books.kind)
    if tool is not None and tool.is_acoustic:
        yield from acoustic_problems(t, tool, books.kind(t.source_plate), books.tally)
    else:
        yield from _tip_problems(t, tool, books)
    if words := _volume_words(t.volume_nl, tool, books.kind(t.tip_rack)):
        yield ProblemKind.VOLUME, words, target
    else:
        yield from _liquid_problems(t, books)


def _well_problems(key: WellKey, roles: tuple[DeckRole, ...], books: Books, tool: Pipette | None) -> Iterator[Found]:
    plate, well = key
    if plate not in books.labware:
        yield ProblemKind.PLATE, f"plate {plate} of well {well} is not in the ledger", key
    item = books.deck.get(plate)
    if item is None:
        yield ProblemKind.PLATE, f"{roles[0].value} {plate} of well {well} is not on the deck of this load", key
    elif item.role not in roles:
        words = f"{plate} of well {well} is on the deck as {item.role.value}, not as {roles[0].value}"
        yield ProblemKind.PLATE, words, key
    if plate in books.sealed:
        yield ProblemKind.SEAL, f"{plate} of well {well} is sealed", key
    kind = books.kind(plate)
    if kind and not kind.has(well):
        yield ProblemKind.WELL, f"{kind.load_name} {plate} has no well {well!r}", key
    elif kind and tool and kind.n_wells > tool.max_wells:
        words = f"{tool.load_name} cannot reach into {well} of {plate}: {kind.load_name} has {kind.n_wells} wells"
        yield ProblemKind.WELL, f"{words}, and its tips go into plates of at most {tool.max_wells}", key


def _content_problems(t: Transfer, books: Books) -> Iterator[Found]:
    key = t.source_plate, t.source_well
    there = books.contents.get(key)
    if there is not None and there != t.compound_id:
        yield ProblemKind.CONTENT, f"{well_on(*key)} holds {named(there)}, not {named(t.compound_id)}", key


def _tip_problems(t: Transfer, tool: Pipette | None, books: Books) -> Iterator[Found]:
    tip, source, target = (t.tip_rack, t.tip_well), (t.source_plate, t.source_well), _target(t)
    held = books.held.get(tip)
    if held is not None and bool(t.stroke) != bool(books.stroke):
        yield ProblemKind.TIP, f"tip {tip[1]} of {tip[0]} is on the other pipette; take a fresh tip", tip
    is_same_motion = bool(t.stroke) and t.stroke == books.stroke
    if held is not None and (words := _why_fresh(held, source, t.compound_id)):
        yield ProblemKind.TIP, f"tip {t.tip_well} of {t.tip_rack} {words}; take a fresh tip", tip
    if is_same_motion and books.is_stroke_kept != (held is not None):
        yield ProblemKind.STROKE, f"tip {t.tip_well} of {t.tip_rack}: some of the eight are on already", tip
    if not is_same_motion:
        books.stroke, books.is_stroke_kept = t.stroke, held is not None
        if held is None:
            books.held = {}
    if held is None:
        yield from _fresh_tip_problems(tip, tool, books)
    met = sorted(books.received.get(target, set()) - {t.compound_id})
    books.held[tip] = Held(source, t.compound_id, target, ", ".join(met))
    books.received.setdefault(target, set()).add(t.compound_id)


def _target(t: Transfer) -> WellKey:
    return t.destination_plate, t.destination_well


def _why_fresh(held: Held, source: WellKey, compound_id: str) -> str:
    """Say why a tip that is on may not draw again, '' when it may."""
    if held.source != source or held.compound_id not in (compound_id, ""):
        drew = named(held.compound_id) or "liquid"
        return f"drew {drew} from {well_on(*held.source)} and is used again for {named(compound_id)}"
    if held.picked_up and held.touched != source:
        return f"met {named(held.picked_up)} in {well_on(*held.touched)} and goes back into {well_on(*source)}"
    return ""


def _fresh_tip_problems(tip: WellKey, tool: Pipette | None, books: Books) -> Iterator[Found]:
    rack, well = tip
    item = books.deck.get(rack)
    if item is None or item.role is not DeckRole.TIPS:
        yield ProblemKind.TIP, f"tip rack {rack} is not on the deck of this load as tips, so no tip at {well}", tip
    if tool and item and item.labware in LABWARE and item.labware not in tool.tips:
        yield ProblemKind.TIP, f"tips of {rack} ({item.labware}) do not fit {tool.load_name}, so not {well}", tip
    free = books.free_tips.get(rack)
    if free is None:
        yield ProblemKind.TIP, f"tip rack {rack} is not in the ledger, so no tip at {well}", tip
    elif well not in free:
        why = "taken by an earlier step" if tip in books.used else "used, booked or never there"
        yield ProblemKind.TIP, f"no tip at {well} of rack {rack}: {why}; {len(free)} tips left in it", tip
    else:
        free.discard(well)
        books.used.add(tip)


def _volume_words(volume_nl: Any, tool: Pipette | None, tip: Labware | None) -> str:
    if isinstance(volume_nl, bool) or not isinstance(volume_nl, int):
        return f"volume {volume_nl!r} is not a whole number of nanolitres"
    if volume_nl <= 0:
        return f"volume {volume_nl} nl is not above 0"
    if tool is None:
        return ""
    most = min(tool.max_nl, tip.max_volume_nl) if tip and tip.is_tip_rack else tool.max_nl
    if volume_nl < tool.min_nl:
        return f"{volume_nl} nl is under the {tool.min_nl} nl minimum of {tool.load_name}"
    if volume_nl > most:
        return f"{volume_nl} nl is over the {most} nl that {tool.load_name} takes with this tip"
    return ""


def _liquid_problems(step: Step, books: Books) -> Iterator[Found]:
    """Enter what a step moves; name wells that hold too little for it, or would hold too much."""
    for source, target, volume_nl in flows(step, books.labware):
        before = books.tally.least.get(source, 0)
        books.tally.draw(source, volume_nl)
        kind = books.kind(source[0])
        if kind and books.tally.least[source] < kind.dead_volume_nl and _is_new(ProblemKind.OVERDRAW, source, books):
            usable = max(before - kind.dead_volume_nl, 0)
            yield ProblemKind.OVERDRAW, (
                f"overdraw: {source[1]} on {source[0]} holds {before} nl, {kind.dead_volume_nl} of them dead volume, "
                f"so {usable} nl can be drawn and not {volume_nl}"
            ), source  # fmt: skip
        if target is not None:
            books.tally.add(target, volume_nl)
            yield from _overfill(target, books.tally.most[target], books)


def _overfill(key: WellKey, volume_nl: int, books: Books) -> Iterator[Found]:
    kind = books.kind(key[0])
    if kind and volume_nl > kind.max_volume_nl and _is_new(ProblemKind.OVERFILL, key, books):
        words = f"overfill: {key[1]} on {key[0]} would hold {volume_nl} nl, its maximum is {kind.max_volume_nl}"
        yield ProblemKind.OVERFILL, words, key


def _is_new(kind: ProblemKind, key: WellKey, books: Books) -> bool:
    is_new = (kind, key) not in books.reported
    books.reported.add((kind, key))
    return is_new


def _mix_problems(step: Mix, books: Books) -> Iterator[Found]:
    key = step.plate, step.well
    yield from _well_problems(key, (DeckRole.DESTINATION, *_DRAWN), books, books.pipette)
    tip = step.tip_rack, step.tip_well
    held = books.held.get(tip)
    if held is not None and books.stroke:
        yield ProblemKind.TIP, f"tip {tip[1]} of {tip[0]} is on the 8-channel pipette, which mixes no single well", tip
    if held is None:
        yield from _fresh_tip_problems(tip, books.pipette, books)
    elif key not in (held.touched, held.source):
        yield ProblemKind.TIP, f"tip {tip[1]} of {tip[0]} was in {well_on(*held.touched)}; take a fresh tip", tip
    books.held, books.stroke = {tip: Held(key, "", key)}, 0
    if not is_volume(step.cycles):
        yield ProblemKind.STEP, f"it is done {step.cycles!r} times", key
    if words := _volume_words(step.volume_nl, books.pipette, books.kind(step.tip_rack)):
        yield ProblemKind.VOLUME, words, key
    elif step.volume_nl > max(0, books.tally.least.get(key, 0)):
        there = max(0, books.tally.least.get(key, 0))
        yield ProblemKind.OVERDRAW, f"{well_on(*key)} may hold only {there} nl, which cannot be mixed like that", key


def _bulk_problems(step: Dispense | Wash, books: Books) -> Iterator[Found]:
    source, whole = (step.reservoir, step.reservoir_well), (step.plate, step.wells[0] if step.wells else "")
    for barcode, key in ((step.reservoir, source), (step.plate, whole)):
        if barcode not in books.labware:
            yield ProblemKind.PLATE, f"{barcode} is not in the ledger", key
        elif barcode in books.sealed:
            yield ProblemKind.SEAL, f"{barcode} is sealed", key
    yield from _named_wells(step, books)
    there = books.contents.get(source)
    if there is not None and there != step.reagent:
        yield ProblemKind.CONTENT, f"{well_on(*source)} holds {named(there)}, not {named(step.reagent)}", source
    if words := _volume_words(step.volume_nl, None, None):
        yield ProblemKind.VOLUME, words, whole
        return
    if isinstance(step, Wash):
        if not is_volume(step.cycles) or not is_count(step.rest_nl):
            yield ProblemKind.STEP, f"{step.cycles!r} cycles and a rest of {step.rest_nl!r} nl are no wash", whole
            return
        for well in wells_of(step, books.labware):
            yield from _overfill((step.plate, well), step.rest_nl + step.volume_nl, books)
    yield from _liquid_problems(step, books)
    if isinstance(step, Wash):
        for well in wells_of(step, books.labware):
            books.tally.wash((step.plate, well), step)


def _named_wells(step: Dispense | Wash, books: Books) -> Iterator[Found]:
    named = [(step.plate, well) for well in step.wells] + [(step.reservoir, step.reservoir_well)]
    for plate, well in named:
        kind = books.kind(plate)
        if kind and not kind.has(well):
            yield ProblemKind.WELL, f"{kind.load_name} {plate} has no well {well!r}", (plate, well)
    if len(set(step.wells)) < len(step.wells):
        twice = next(well for well in step.wells if step.wells.count(well) > 1)
        yield ProblemKind.WELL, f"{well_on(step.plate, twice)} is listed twice", (step.plate, twice)


def _plate_problems(step: Incubate | PlateMove | Seal | Read, books: Books) -> Iterator[Found]:
    plate = plate_of(step)
    if plate not in books.labware:
        yield ProblemKind.PLATE, f"plate {plate} is not in the ledger", (plate, "")
    match step:
        case Incubate():
            yield from _incubate(step, books)
        case PlateMove() if step.source == step.target or not step.source or not step.target:
            yield ProblemKind.STEP, f"{plate} cannot be carried from {step.source!r} to {step.target!r}", (plate, "")
        case PlateMove():
            books.deck.pop(plate, None)
        case Seal() if step.is_on == (plate in books.sealed):
            yield ProblemKind.SEAL, f"{plate} is {'sealed already' if step.is_on else 'not sealed'}", (plate, "")
        case Seal():
            follow_seal(step, books.sealed)
        case Read() if not step.readout:
            yield ProblemKind.STEP, f"what is to be read of {plate} is not said", (plate, "")


def _incubate(step: Incubate, books: Books) -> Iterator[Found]:
    if not is_volume(step.wait_s) or not is_count(step.shake_rpm):
        words = f"{step.plate} cannot stand for {step.wait_s!r} s, shaken at {step.shake_rpm!r} rpm"
        yield ProblemKind.STEP, words, (step.plate, "")
        return
    if step.temperature_c is not None and not (math.isfinite(step.temperature_c) and -90 <= step.temperature_c <= 110):
        yield ProblemKind.STEP, f"{step.plate} cannot stand at {step.temperature_c!r} C", (step.plate, "")
    books.tally.dry(step.plate, lost_nl(step, rates_of(books.care), books.sealed))
