"""Where the slots of a robot lie, seen from the front: for pictures of a deck."""

from collections.abc import Mapping
from types import MappingProxyType

from protocols.labware import ROBOTS, RobotDeck

OT2_ROWS = (("10", "11", "12"), ("7", "8", "9"), ("4", "5", "6"), ("1", "2", "3"))
"""From the back to the front; the trash is fixed in 12."""
FLEX_ROWS = tuple(tuple(f"{row}{column}" for column in (1, 2, 3, 4)) for row in "ABCD")
"""From the back to the front; column 4 is for staging."""
ECHO_ROWS = (("destination",), ("source",))
"""The plate that is filled hangs upside down over the one that is drawn from."""

_ROWS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {"flex": FLEX_ROWS, "ot2": OT2_ROWS, "echo": ECHO_ROWS}
)


def slot_places(robot: str) -> Mapping[str, tuple[int, int]]:
    """Return (row from the back, column from the left), 0-based, of every slot; empty for an unknown robot."""
    rows = _ROWS.get(robot, ())
    return {slot: (r, c) for r, row in enumerate(rows) for c, slot in enumerate(row)}


def fixed_in(slot: str, deck: RobotDeck) -> str:
    """Say what stands in a slot for good: the trash, a module, nothing but the gripper's reach, or '' for labware."""
    if slot == deck.trash_slot or (deck.trash_slot is None and slot == "12"):
        return "trash"
    if module := next((fixture.kind for fixture in deck.fixtures if slot in fixture.slots), ""):
        return module
    if slot in ROBOTS[deck.robot].slots and slot not in deck.slots:
        return "blocked"
    return "staging" if slot in deck.staging else ""


def taken_slots(deck: RobotDeck) -> dict[str, str]:
    """Return the slots of a lab's robot in which something stands for good, each with what."""
    return {slot: what for slot in slot_places(deck.robot) if (what := fixed_in(slot, deck)) and what != "staging"}
