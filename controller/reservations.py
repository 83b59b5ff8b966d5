"""What campaigns have planned to draw and have not drawn yet: so that no two plan on the same liquid or tip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.recipe import Plan, current, is_past
from controller.state import LabState
from protocols.model import Protocol, Transfer


@dataclass(frozen=True, slots=True)
class Reserved:
    """Liquid and tips spoken for."""

    volumes_nl: dict[tuple[str, str], int] = field(default_factory=dict)
    """By source plate and well."""
    tips: frozenset[tuple[str, str]] = frozenset()
    """Rack and well."""


NOTHING = Reserved()
"""Nobody has planned anything."""


def reserved(lab: Path, state: LabState, plans: Sequence[Plan]) -> Reserved:
    """Add up what other campaigns than the one in focus have compiled and not pipetted yet.

    Args:
        lab: its folder.
        state: the lab's.
        plans: of all campaigns that share it.
    """
    others = [(state.focused(plan.name), plan) for plan in plans if plan.name != state.focus]
    transfers = [t for view, plan in others for t in _planned(lab, view, plan)]
    transfers += _under_way(lab, state)
    volumes: dict[tuple[str, str], int] = {}
    for t in transfers:
        well = t.source_plate, t.source_well
        volumes[well] = volumes.get(well, 0) + t.volume_nl
    return Reserved(volumes, frozenset((t.tip_rack, t.tip_well) for t in transfers if t.tip_rack))


def _planned(lab: Path, state: LabState, plan: Plan) -> Iterator[Transfer]:
    place = None if state.campaign is None or state.campaign.is_over else current(state, plan)
    compiled = state.outcome("compile", place[0]) if place else None
    if place is None or compiled is None or not compiled.is_done:
        return
    protocol = Protocol.from_json((lab / compiled.result["folder"] / "protocol.json").read_text(encoding="utf-8"))
    for number, load in enumerate(protocol.loads):
        if not is_past(state, f"run-{number}", place[0]):  # also one that was refused, and may be tried again
            yield from load.transfers


def _under_way(lab: Path, state: LabState) -> Iterator[Transfer]:
    """Yield what a campaign that was ended may still be pipetting."""
    for key, intent in state.in_flight.items():
        command = intent.action.get("command", {})
        if state.is_left(key) and command.get("verb") == "run-load":
            text = (lab / command["protocol"]).read_text(encoding="utf-8")
            yield from Protocol.from_json(text).loads[command["load"]].transfers
