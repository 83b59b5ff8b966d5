"""Judge what is done with a whole plate: it stands, is carried, sealed or read."""

import math
from collections.abc import Iterator

from protocols.evaporation import follow_seal, lost_nl, rates_of
from protocols.judge_books import Books, Found
from protocols.model import DeckItem
from protocols.problems import ProblemKind
from protocols.steps import Incubate, PlateMove, Read, Seal, plate_of
from protocols.volumes import is_count, is_volume

MAX_WAIT_S = 365 * 24 * 3600
"""Longest that a plate stands: a year."""
MAX_SHAKE_RPM = 3_000
"""Fastest that a shaker of plates turns."""
_MANY = ("waste", "stack/new", "stack/done")
"""Places that hold more than one plate (drivers.ports.Move)."""
_WORDS = {Incubate: "incubated", Seal: "sealed", Read: "read"}


def plate_problems(step: Incubate | PlateMove | Seal | Read, books: Books) -> Iterator[Found]:
    """Return what is wrong with a step, and enter it into the books."""
    plate = plate_of(step)
    if plate not in books.labware:
        yield ProblemKind.PLATE, f"plate {plate} is not in the ledger", (plate, "")
    kind = books.kind(plate)
    if kind is not None and kind.is_tip_rack and not isinstance(step, PlateMove):
        yield ProblemKind.PLATE, f"{plate} is a tip rack, and is not {_WORDS[type(step)]}", (plate, "")
    match step:
        case Incubate():
            yield from _incubate(step, books)
        case PlateMove():
            yield from _carried(step, books)
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
    if step.wait_s > MAX_WAIT_S:
        yield ProblemKind.STEP, f"{step.plate} cannot stand for {step.wait_s} s: at most {MAX_WAIT_S}", (step.plate, "")
    if step.shake_rpm > MAX_SHAKE_RPM:
        words = f"{step.plate} cannot be shaken at {step.shake_rpm} rpm: at most {MAX_SHAKE_RPM}"
        yield ProblemKind.STEP, words, (step.plate, "")
    if step.temperature_c is not None and not (math.isfinite(step.temperature_c) and -90 <= step.temperature_c <= 110):
        yield ProblemKind.STEP, f"{step.plate} cannot stand at {step.temperature_c!r} C", (step.plate, "")
    books.tally.dry(step.plate, lost_nl(step, rates_of(books.care), books.sealed))


def _carried(step: PlateMove, books: Books) -> Iterator[Found]:
    plate = step.barcode
    if step.source == step.target or not step.source or not step.target:
        yield ProblemKind.STEP, f"{plate} cannot be carried from {step.source!r} to {step.target!r}", (plate, "")
        return
    if words := _why_not_there(step, books) or _why_no_place(step, books):
        yield ProblemKind.STEP, f"{plate} cannot be carried from {step.source} to {step.target}: {words}", (plate, "")
    item = books.deck.pop(plate, None) or books.away.pop(plate, None)
    books.places[plate] = step.target
    if item is None:
        return
    slot = step.target.removeprefix("deck/")
    is_in_reach = slot != step.target and (books.robot is None or slot in books.robot.slots)
    (books.deck if is_in_reach else books.away)[plate] = DeckItem(slot, plate, item.labware, item.role)


def _why_not_there(step: PlateMove, books: Books) -> str:
    """Say why the plate is not where it is to be taken from; empty: it is, or may be."""
    here = books.places.get(step.barcode)
    if here is not None and here != step.source:
        return f"it is at {here}"
    return "it is not on the deck of this load" if here is None and step.source.startswith("deck/") else ""


def _why_no_place(step: PlateMove, books: Books) -> str:
    """Say why nothing can be set where the plate is to go; empty: it can."""
    there = next((b for b, place in books.places.items() if place == step.target and b != step.barcode), None)
    if there is not None and step.target not in _MANY:
        return f"{there} is there"
    area, _, slot = step.target.partition("/")
    robot = books.robot
    if area != "deck" or robot is None or slot in (*robot.slots, *robot.staging):
        return ""
    if slot == robot.trash_slot:
        return "the trash stands there"
    return f"the slot is blocked, or the {robot.robot} has none of that name; free are {', '.join(robot.slots)}"
