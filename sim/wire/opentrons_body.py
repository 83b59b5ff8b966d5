"""What physically happens in an emulated Opentrons: its mechanics with their faults, and the log that tests believe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LabAct:
    """Something that physically happened on the deck."""

    run_id: str
    what: str
    """aspirate, dispense, pick-up-tip, drop-tip, move-labware, play."""
    labware: str = ""
    """Load name; "" for what concerns no labware."""
    slot: str = ""
    well: str = ""
    volume_ul: float = 0.0


@dataclass(slots=True)
class LabLog:
    """The truth that drivers are held against; outlives the robot's own memory."""

    acts: list[LabAct] = field(default_factory=list)
    """In the order in which they happened."""

    def wells(self) -> dict[tuple[str, str], list[float]]:
        """Return, by slot and well, the volumes in uL dispensed into it, in order."""
        wells: dict[tuple[str, str], list[float]] = {}
        for act in self.acts:
            if act.what == "dispense":
                wells.setdefault((act.slot, act.well), []).append(act.volume_ul)
        return wells

    def tips(self) -> list[tuple[str, str]]:
        """Return slot and well of each tip that was picked up, in order."""
        return [(act.slot, act.well) for act in self.acts if act.what == "pick-up-tip"]

    def n_plays(self) -> int:
        """Return how many runs were really begun."""
        return sum(act.what == "play" for act in self.acts)


@dataclass(slots=True)
class Mechanics:
    """What the robot's body does that the engine cannot know."""

    command_s: float = 0.0
    """So long each command runs, of the wall's clock."""
    tips_to_miss: set[int] = field(default_factory=set)
    """Which pick-ups of tips fail, counted over all runs from 1."""
    is_door_open: bool = False
    n_pick_ups: int = 0
    mounted: Callable[[], Mapping[str, str]] | None = None
    """Names of pipettes by mount; None: whatever a protocol asks for."""
