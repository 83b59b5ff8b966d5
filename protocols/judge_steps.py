"""Go through the steps of a protocol and find what is wrong with each: wells, tips, volumes, liquid."""

from collections.abc import Iterator
from typing import Any

from protocols.judge_acoustic import acoustic_problems
from protocols.judge_books import Books, Found
from protocols.judge_plates import plate_problems
from protocols.judge_strokes import stroke_problems
from protocols.labware import LABWARE, Labware, Pipette
from protocols.model import DeckRole
from protocols.problems import Problem, ProblemKind
from protocols.sentences import named, said, well_on
from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash, number_of, plate_of
from protocols.tip_past import Liquid, Past, why_fresh
from protocols.volumes import WellKey, flows, is_count, is_volume, wells_of

MAX_CYCLES = 1_000
"""Most that a well is mixed or washed: more is a mistake."""
_DRAWN = (DeckRole.SOURCE, DeckRole.INTERMEDIATE)
_FILLED = (DeckRole.DESTINATION, DeckRole.INTERMEDIATE)


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
            found += plate_problems(step, books)
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
        return
    if number in books.ids:
        yield ProblemKind.STEP, f"the number {number} is used twice", place
    elif isinstance(step, Transfer) and number < books.last_id:
        words = f"the number {number} comes after {books.last_id}: transfers are numbered in the order they are done"
        yield ProblemKind.STEP, words, place
    books.ids.add(number)
    if isinstance(step, Transfer):
        books.last_id = max(books.last_id, number)


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
    is_told = plate in books.deck and books.deck[plate].labware not in LABWARE
    if plate not in books.labware and not is_told:
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
    put = books.received.get(key, set()) | books.reagents.get(key, set()) if there is None else set()
    if put and t.compound_id not in put:
        words = f"{well_on(*key)} holds {' and '.join(map(named, sorted(put)))}, not {named(t.compound_id)}"
        yield ProblemKind.CONTENT, words, key


def _tip_problems(t: Transfer, tool: Pipette | None, books: Books) -> Iterator[Found]:
    tip, source, target = (t.tip_rack, t.tip_well), (t.source_plate, t.source_well), _target(t)
    held = books.held.get(tip)
    if held is not None and bool(t.stroke) != bool(books.stroke):
        yield ProblemKind.TIP, f"tip {tip[1]} of {tip[0]} is on the other pipette; take a fresh tip", tip
    is_same_motion = bool(t.stroke) and t.stroke == books.stroke
    there = _there(source, t.compound_id)
    if held is not None and (words := why_fresh(held, source, there, named(t.compound_id))):
        yield ProblemKind.TIP, f"tip {t.tip_well} of {t.tip_rack} {words}; take a fresh tip", tip
    if is_same_motion and books.is_stroke_kept != (held is not None):
        yield ProblemKind.STROKE, f"tip {t.tip_well} of {t.tip_rack}: some of the eight are on already", tip
    if not is_same_motion:
        books.stroke, books.is_stroke_kept = t.stroke, held is not None
        if held is None:
            books.held = {}
    if held is None:
        yield from _fresh_tip_problems(tip, tool, books)
    met = frozenset(Liquid(name, name) for name in books.received.get(target, set()) - {t.compound_id})
    books.held[tip] = Past(source, frozenset({Liquid((source, t.compound_id), t.compound_id)}), target, met)
    books.received.setdefault(target, set()).add(t.compound_id)


def _target(t: Transfer) -> WellKey:
    return t.destination_plate, t.destination_well


def _there(key: WellKey, compound_id: str) -> frozenset[Liquid]:
    """Return what a step takes a well to hold: its compound, and whatever a tip that mixed there drew."""
    return frozenset({Liquid((key, compound_id), compound_id), Liquid((key, ""))})


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
    elif words := why_fresh(held, key, held.drew):
        yield ProblemKind.TIP, f"tip {tip[1]} of {tip[0]} {words}; take a fresh tip", tip
    books.held, books.stroke = {tip: Past(key, frozenset({Liquid((key, ""))}), key)}, 0
    if not is_volume(step.cycles) or step.cycles > MAX_CYCLES:
        yield ProblemKind.STEP, f"it is done {step.cycles!r} times, and at most {MAX_CYCLES} are meant", key
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
        if (kind := books.kind(barcode)) is not None and kind.is_tip_rack:
            yield ProblemKind.PLATE, f"{barcode} is a tip rack, and holds no liquid", key
    if source in {(step.plate, well) for well in wells_of(step, books.labware)}:
        yield ProblemKind.WELL, f"{well_on(*source)} is both the source and the destination", source
    yield from _named_wells(step, books)
    there = books.contents.get(source)
    if there is not None and there != step.reagent:
        yield ProblemKind.CONTENT, f"{well_on(*source)} holds {named(there)}, not {named(step.reagent)}", source
    if words := _volume_words(step.volume_nl, None, None):
        yield ProblemKind.VOLUME, words, whole
        return
    if isinstance(step, Wash):
        if not is_volume(step.cycles) or step.cycles > MAX_CYCLES or not is_count(step.rest_nl):
            yield ProblemKind.STEP, f"{step.cycles!r} cycles and a rest of {step.rest_nl!r} nl are no wash", whole
            return
        for well in wells_of(step, books.labware):
            yield from _overfill((step.plate, well), step.rest_nl + step.volume_nl, books)
    yield from _liquid_problems(step, books)
    for well in wells_of(step, books.labware):
        if isinstance(step, Wash):
            books.tally.wash((step.plate, well), step)
        books.reagents.setdefault((step.plate, well), set()).add(step.reagent)


def _named_wells(step: Dispense | Wash, books: Books) -> Iterator[Found]:
    named = [(step.plate, well) for well in step.wells] + [(step.reservoir, step.reservoir_well)]
    for plate, well in named:
        kind = books.kind(plate)
        if kind and not kind.has(well):
            yield ProblemKind.WELL, f"{kind.load_name} {plate} has no well {well!r}", (plate, well)
    if len(set(step.wells)) < len(step.wells):
        twice = next(well for well in step.wells if step.wells.count(well) > 1)
        yield ProblemKind.WELL, f"{well_on(step.plate, twice)} is listed twice", (step.plate, twice)
