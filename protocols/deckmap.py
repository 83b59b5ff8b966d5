"""Where the slots of a robot lie, seen from the front: for pictures of a deck."""

from collections.abc import Mapping
from types import MappingProxyType

from protocols.labware import RobotDeck

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
    """Say what stands in a slot for good: the trash, nothing but the gripper's reach, or '' for labware."""
    if slot == deck.trash_slot or (deck.trash_slot is None and slot == "12"):
        return "trash"
    return "staging" if slot in deck.staging else ""
