"""The deck of a robot as a lab describes it: modules, blocked slots, the plate mover's hand."""

from collections.abc import Mapping
from typing import Any

from protocols.geometry import fixture
from protocols.labware import Hand, RobotDeck, robot_deck


def described_deck(robot: str, said: Mapping[str, Any]) -> RobotDeck:
    """Return a robot's deck as a lab says it is.

    Args:
        robot: flex or ot2.
        said: ``modules`` by slot, ``blocked`` slots, ``multichannel`` (a pipette on the
            other mount), ``hand_finger_mm`` (None: nothing is in the hand's way),
            ``hand_grip_height_mm``, ``hand_axis``; what is not said is as the robot comes.

    Raises:
        DataError: no such robot, slot or module.
        PlanError: too few slots are left.
    """
    modules = said.get("modules", {})
    fixtures = tuple({fixture(robot, kind, slot): None for slot, kind in sorted(modules.items())})
    finger_mm = said.get("hand_finger_mm")
    hand = Hand(finger_mm, said["hand_grip_height_mm"], said["hand_axis"]) if finger_mm else None
    return robot_deck(
        robot,
        multichannel=said.get("multichannel", ""),
        blocked=tuple(said.get("blocked", ())),
        fixtures=fixtures,
        hand=hand,
    )
