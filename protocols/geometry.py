"""What stands beside what on a deck, and whether it is in the way there.

Slots lie on a grid whose pitch is the vendor's; labware has the SBS footprint (ANSI SLAS 1-2004) and the height of the
vendor's definition. Two things collide with what stands beside them: a module whose latch opens outward, and the
fingers of the plate mover, where they are thicker than the gap between two plates.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import hypot

from nextplate.errors import DataError
from protocols.labware import LABWARE, Fixture, Hand, RobotDeck
from protocols.model import DeckItem, DeckLoad, DeckRole

FOOTPRINT_MM = (127.76, 85.48)
_PITCH_MM: Mapping[str, tuple[float, float]] = {"flex": (164.0, 107.0), "ot2": (132.5, 90.5)}
_LATCH_MM = 53.0
"""What may stand beside a Heater-Shaker is at most so high, or its latch hits it (opentrons 9.0.0, motion_planning)."""
_NARROW = ("opentrons_96_tiprack_", "opentrons_96_filtertiprack_")
"""The OT-2's racks do not fill their slot where the latch opens (same source)."""
MODULE_SIZES: Mapping[str, tuple[float, float | None]] = {
    "heater-shaker": (82.0, _LATCH_MM),
    "thermocycler": (156.0, None),
    "temperature-module": (84.0, None),
    "magnetic-block": (45.0, None),
    "furniture": (200.0, None),
}
"""Height, and what may stand to the left and right of it at most; heights are rounded up."""
_THERMOCYCLER: Mapping[str, tuple[str, ...]] = {"flex": ("A1", "B1"), "ot2": ("7", "8", "10", "11")}
MODULES = tuple(MODULE_SIZES)


@dataclass(frozen=True, slots=True)
class Beside:
    """Something that stands too near."""

    slot: str
    """Of what is in the way."""
    words: str


def fixture(robot: str, kind: str, slot: str) -> Fixture:
    """Return a module that stands on a robot's deck for good.

    Raises:
        DataError: no such module, or none that stands there.
    """
    if kind not in MODULE_SIZES:
        raise DataError(f"module {kind!r} is not known; known are {', '.join(MODULES)}")
    slots = _THERMOCYCLER[robot] if kind == "thermocycler" else (slot,)
    if slot not in slots:
        raise DataError(f"a thermocycler stands in {', '.join(slots)} of the {robot}, not in {slot}")
    return Fixture(kind, slots, *MODULE_SIZES[kind])


def place(robot: str, slot: str) -> tuple[float, float] | None:
    """Return the left front corner of a slot, mm from that of the left front slot; None where it has no such slot."""
    at = _flex_cell(slot) if robot == "flex" else _ot2_cell(slot) if robot == "ot2" else None
    if at is None:
        return None
    width, depth = _PITCH_MM[robot]
    return at[0] * width, at[1] * depth


def distance_mm(robot: str, one: str, other: str) -> float:
    """Return how far two slots are apart; 0 where one of them has no place."""
    a, b = place(robot, one), place(robot, other)
    return hypot(a[0] - b[0], a[1] - b[1]) if a and b else 0.0


def neighbours(robot: str, slot: str, axis: str) -> tuple[str, ...]:
    """Return the slots beside one: to the left and right (axis x), or behind and in front (axis y)."""
    here = place(robot, slot)
    if here is None:
        return ()
    step = _PITCH_MM[robot]["xy".index(axis)]
    offsets = ((-step, 0.0), (step, 0.0)) if axis == "x" else ((0.0, -step), (0.0, step))
    wanted = {(round(here[0] + dx), round(here[1] + dy)) for dx, dy in offsets}
    return tuple(s for s in _slots(robot) if (at := place(robot, s)) and (round(at[0]), round(at[1])) in wanted)


def in_the_way(load: DeckLoad, deck: RobotDeck, moved: Iterable[str]) -> Iterator[tuple[DeckItem, Beside]]:
    """Return what stands too near to a module, or to a plate that the mover sets or takes.

    Args:
        load: a deck.
        deck: the robot as it stands in the lab.
        moved: barcodes that are carried to this deck or from it.
    """
    heights = {item.slot: _height(item) for item in load.deck} | _fixture_heights(deck.fixtures)
    carried = set(moved)
    for item in load.deck:
        yield from ((item, beside) for beside in _fixture_problems(item, deck))
        if deck.hand is not None and item.barcode in carried:
            yield from ((item, beside) for beside in _hand_problems(item, deck.robot, deck.hand, heights))


def fits_beside(deck: RobotDeck, slot: str, labware: str, standing: Mapping[str, str]) -> bool:
    """Tell whether labware can stand in a slot: nothing is in its way, and it is in nobody's.

    Args:
        deck: the robot as it stands in the lab.
        slot: of it.
        labware: load name.
        standing: load names of what stands there already, by slot.
    """
    items = [DeckItem(s, s, name, DeckRole.SOURCE) for s, name in {**standing, slot: labware}.items()]
    found = in_the_way(DeckLoad(0, tuple(items), ()), deck, [item.barcode for item in items])
    return not any(slot in (item.slot, beside.slot) for item, beside in found)


def moved_here(before: DeckLoad | None, load: DeckLoad, after: DeckLoad | None) -> frozenset[str]:
    """Return what is carried to a deck before its load, or from it after."""
    here = {(item.slot, item.barcode) for item in load.deck}
    others = [{(item.slot, item.barcode) for item in other.deck} if other else set() for other in (before, after)]
    return frozenset(barcode for other in others for _, barcode in here - other)


def _fixture_problems(item: DeckItem, deck: RobotDeck) -> Iterator[Beside]:
    for module in deck.fixtures:
        if item.slot in module.slots:
            yield Beside(item.slot, f"the {module.kind} stands in this slot")
            continue
        limit_mm, height_mm = module.max_beside_mm, _height(item)
        is_beside = any(item.slot in neighbours(deck.robot, slot, "x") for slot in module.slots)
        if limit_mm is None or not is_beside or item.labware.startswith(_NARROW) or height_mm <= limit_mm:
            continue
        yield Beside(
            module.slots[0],
            f"it is {height_mm:g} mm high and stands beside the {module.kind} in {module.slots[0]}, where at most "
            f"{limit_mm:g} mm may stand",
        )


def _hand_problems(item: DeckItem, robot: str, hand: Hand, heights: Mapping[str, float]) -> Iterator[Beside]:
    axis = "xy".index(hand.axis)
    gap_mm = _PITCH_MM[robot][axis] - FOOTPRINT_MM[axis] if robot in _PITCH_MM else 0.0
    if hand.finger_mm <= gap_mm:
        return
    for slot in neighbours(robot, item.slot, hand.axis):
        if heights.get(slot, 0.0) > hand.grip_height_mm:
            yield Beside(
                slot,
                f"the mover's fingers ({hand.finger_mm:g} mm) do not pass between it and slot {slot}, {gap_mm:.1f} mm "
                f"away, where something {heights[slot]:g} mm high stands; they grip {hand.grip_height_mm:g} mm above "
                "the deck",
            )


def _height(item: DeckItem) -> float:
    return LABWARE[item.labware].height_mm if item.labware in LABWARE else 0.0


def _fixture_heights(fixtures: Iterable[Fixture]) -> dict[str, float]:
    return {slot: module.height_mm for module in fixtures for slot in module.slots}


def _slots(robot: str) -> tuple[str, ...]:
    if robot == "flex":
        return tuple(f"{row}{column}" for row in "ABCD" for column in "1234")
    return tuple(str(number) for number in range(1, 13))


def _flex_cell(slot: str) -> tuple[int, int] | None:
    is_slot = len(slot) == 2 and slot[0] in "ABCD" and slot[1] in "1234"
    return (int(slot[1]) - 1, "DCBA".index(slot[0])) if is_slot else None


def _ot2_cell(slot: str) -> tuple[int, int] | None:
    is_slot = slot.isdecimal() and slot.isascii() and 1 <= int(slot) <= 12
    return ((int(slot) - 1) % 3, (int(slot) - 1) // 3) if is_slot else None
