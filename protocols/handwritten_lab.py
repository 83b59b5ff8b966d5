"""Hold a protocol file that somebody wrote by hand against a lab: robot and deck, tips, the care of its stock."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from protocols.geometry import MODULE_SIZES, in_the_way
from protocols.handwritten_books import Account
from protocols.labware import LABWARE, ROBOTS, Fixture, RobotDeck, pipette
from protocols.model import DeckItem, DeckLoad, DeckRole
from protocols.problems import Problem, ProblemKind
from protocols.sentences import well_on
from protocols.stock import PlateCare, TipRack


def lab_problems(
    books: Account,
    robot_type: str,
    robot: RobotDeck | None,
    tips: Sequence[TipRack],
    care: Mapping[str, PlateCare],
    today: date | None,
) -> Iterator[Problem]:
    """Return what forbids running the file in this lab; volumes are judged in protocols.handwritten.

    Args:
        books: of the file.
        robot_type: that the file is for, as the vendor calls it.
        robot: as it stands in the lab; None: nothing is known of it.
        tips: racks of the lab; they and plates are known by the labels that the file gives them.
        care: of the lab's plates.
        today: None: nothing is said of expiry.
    """
    if robot is not None:
        yield from _robot_problems(books, robot_type, robot)
        yield from _deck_problems(books, robot)
    elif (own := _own_deck(books, robot_type)) is not None:
        yield from _beside_modules(books, own)
    yield from _tip_problems(books, tips)
    yield from _care_problems(books, care, today)


def not_known(books: Account, tips: Sequence[TipRack]) -> list[str]:
    """Say of which racks the lab knows nothing: their tips are taken as there."""
    racks = sorted({rack for _, (rack, _) in books.tips} - {rack.barcode for rack in tips})
    return [f"nothing is known of the tips in {', '.join(racks)}: taken as full"] if racks and tips else []


def _robot_problems(books: Account, robot_type: str, robot: RobotDeck) -> Iterator[Problem]:
    if robot_type and robot_type not in (robot.robot_type, robot.engine_type):
        yield Problem(ProblemKind.ROBOT, f"the file is for the {robot_type}, the lab has the {robot.robot_type}")
        return
    here = [name for name in (robot.pipette, robot.multichannel) if name]
    for name in sorted(set(books.tools) - {pipette(name).engine_name for name in here}):
        words = f"the file loads the pipette {name}, which is not on the lab's {robot.robot}, which has"
        yield Problem(ProblemKind.ROBOT, f"{words} {' and '.join(here)}")


def _deck_problems(books: Account, robot: RobotDeck) -> Iterator[Problem]:
    usable = (*robot.slots, *robot.staging)
    for placed in books.placed:
        if placed.slot and placed.slot not in usable:
            words = f"{placed.name} stands in slot {placed.slot}, which is blocked or none on the lab's {robot.robot}"
            yield Problem(ProblemKind.DECK, f"command {placed.number}: {words}", placed.name, step=placed.number)
    yield from _beside_modules(books, robot)


_MODULES = {"heaterShaker": "heater-shaker", "thermocycler": "thermocycler", "temperature": "temperature-module"}
"""Ours by the beginning of the vendor's model; a magnetic block is in nobody's way."""


def _own_deck(books: Account, robot_type: str) -> RobotDeck | None:
    """Return the deck that the file itself describes by its modules; None: it is of no robot that is known."""
    name = next((deck.robot for deck in ROBOTS.values() if robot_type in (deck.robot_type, deck.engine_type)), "")
    if not robot_type or not name:
        return None
    found = []
    for model, slot in books.modules:
        kind = next((ours for begin, ours in _MODULES.items() if model.startswith(begin)), "")
        if kind and slot in ROBOTS[name].slots:
            found.append(Fixture(kind, (slot,), *MODULE_SIZES[kind]))
    return replace(ROBOTS[name], fixtures=tuple(found))


def _beside_modules(books: Account, robot: RobotDeck) -> Iterator[Problem]:
    usable = (*robot.slots, *robot.staging)
    items = [DeckItem(p.slot, p.name, p.load_name, _role(p.load_name)) for p in books.placed if p.slot in usable]
    # What is carried, and when, only its author knows: what stands still is looked at.
    for item, beside in in_the_way(DeckLoad(0, tuple(items), ()), robot, ()):
        words = f"slot {item.slot}: {item.barcode} cannot stand here: {beside.words}"
        yield Problem(ProblemKind.DECK, words, item.barcode)


def _role(load_name: str) -> DeckRole:
    kind = LABWARE.get(load_name)
    return DeckRole.TIPS if kind is not None and kind.is_tip_rack else DeckRole.SOURCE


def _tip_problems(books: Account, tips: Sequence[TipRack]) -> Iterator[Problem]:
    free = {rack.barcode: set(rack.free_wells) for rack in tips}
    for number, (rack, well) in books.tips:
        if rack in free and well not in free[rack]:
            words = f"no tip at {well_on(rack, well)}: used, or never there"
            yield Problem(ProblemKind.TIP, f"command {number}: {words}", rack, well, step=number)
        free.get(rack, set()).discard(well)


def _care_problems(books: Account, care: Mapping[str, PlateCare], today: date | None) -> Iterator[Problem]:
    for plate in sorted({plate for plate, _ in books.drawn} & care.keys()):
        if why := care[plate].unusable(today):
            expires = care[plate].expires
            is_old = expires is not None and today is not None and today > expires
            kind = ProblemKind.EXPIRED if is_old else ProblemKind.THAWED
            yield Problem(kind, f"{plate} is drawn from: {why}", plate)
