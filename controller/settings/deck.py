"""What the liquid handler's deck is like, beyond its robot's."""

from typing import Annotated, Literal

from pydantic import Field

from controller.settings.section import Section

Length = Annotated[float, Field(gt=0, le=500)]


class DeckSection(Section):
    """Slots that are taken, and how the plate mover grips."""

    modules: dict[str, str] = Field(default_factory=dict)
    """What stands on the deck for good, by slot: a name of protocols.geometry.MODULES."""
    blocked: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Slots that are not to be used."""
    multichannel: str = ""
    """Load name of the 8-channel pipette on the other mount; empty: there is none."""
    dilution: str = ""
    """Load name of the empty plates in which doses too small for the pipette are diluted; empty: none are. The plates
    themselves are registered: nextplate spares add."""
    tables: bool = False
    """An Opentrons robot's steps come as a CSV table, for one protocol file (protocols.render.render_for_csv)."""
    offsets: str = ""
    """JSON file of labware offsets, relative to the lab folder (protocols.offsets.read_offsets): set in the protocol
    file, and handed to the run; empty: none."""
    tip_policy: Literal["fresh", "keep"] = "fresh"
    """fresh: a tip for every transfer; keep: for as long as it meets one liquid (protocols.orders.TipPolicy)."""
    hand_finger_mm: Length | None = None
    """How far beside a plate the mover's fingers reach; left out: nothing is in their way."""
    hand_grip_height_mm: Length = 20.0
    """Of their lower ends above the deck."""
    hand_axis: Literal["x", "y"] = "x"
    """x: they grip left and right of the plate; y: behind it and in front."""
