"""How long a vendor's file written by hand takes, from its commands; the ways between wells are taken as one mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from protocols.duration import GANTRIES, Estimate, own
from protocols.labware import ROBOTS

_WAY_MM = 200.0
"""Between two wells on two plates, on the whole."""
_FLOW_UL_S = 35.0
"""Where a command does not say how fast it draws."""
_DRAWS = ("aspirate", "dispense", "blowout", "airGap", "blowOut")


def time_of(commands: Sequence[Mapping[str, Any]], robot_type: str) -> Estimate:
    """Estimate the motions of a file, and add the waits that it says.

    Args:
        commands: of an analysis, in order.
        robot_type: as the vendor calls it; one that is not known counts as a Flex.
    """
    robot = next((deck.robot for deck in ROBOTS.values() if robot_type in (deck.robot_type, deck.engine_type)), "flex")
    motions_s = waits_s = 0.0
    for command in commands:
        kind, params = str(command.get("commandType")), command.get("params")
        if not isinstance(params, Mapping) or command.get("status") == "failed":
            continue
        if kind == "waitForDuration":
            waits_s += _number(params.get("seconds"))
        motions_s += _motion_s(kind, params, robot)
    return own(motions_s).plus(Estimate(waits_s, waits_s, waits_s))


def _motion_s(kind: str, params: Mapping[str, Any], robot: str) -> float:
    gantry = GANTRIES.get(robot, GANTRIES["flex"])
    way_s = _WAY_MM / gantry.speed_mm_s + 2 * gantry.lift_mm / gantry.z_speed_mm_s
    there_s = way_s if "wellName" in params else 0.0
    if kind == "pickUpTip":
        return way_s + gantry.pick_up_s
    if kind in ("dropTip", "dropTipInPlace"):
        return way_s + gantry.drop_s
    if kind == "moveLabware":
        return gantry.carry_s
    if kind.startswith(_DRAWS):
        flow = _number(params.get("flowRate")) or _FLOW_UL_S
        return there_s + _number(params.get("volume")) / flow + gantry.settle_s
    return there_s


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 0.0
