"""What a compilation is asked for: liquids in wells of plates, and the rules they are pipetted by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocols.carry_over import CarryOver
from protocols.model import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """A plate to be filled."""

    barcode: str
    labware: str
    fill_nl: int = 0
    """In every well before: medium and cells."""


@dataclass(frozen=True, slots=True)
class Order:
    """One liquid wanted in one well."""

    plate: str
    well: str
    compound_id: str
    """A control's name for control liquids."""
    volume_nl: int | None = None
    """None: whatever makes the dose."""
    dose_um: float | None = None
    """Final concentration; None: none is asked for. With a volume, too: that volume, of a strength that makes it."""
    is_control: bool = False
    """Controls are drawn evenly from all their wells; a compound from its fullest."""


class TipPolicy(StrEnum):
    """When a tip is changed."""

    FRESH = "fresh"
    """For every transfer: nothing can be carried over."""
    KEEP = "keep"
    """With the source well, and whenever a tip met another liquid: only what stood in the wells before can be."""


@dataclass(frozen=True, slots=True)
class Spare:
    """An empty plate for dilutions."""

    barcode: str
    labware: str


@dataclass(frozen=True, slots=True)
class Rules:
    """How liquids are pipetted."""

    final_dmso_percent: float | None = None
    """Volume of solvent per volume of the whole well, in per cent, the same in every well that is filled: doses are
    made by volume, and what is missing is filled up with solvent. None: each dose from stock of its strength, and
    nothing is filled up."""
    solvent: str = "DMSO"
    """Name in the stock of what fills up and dilutes."""
    tip_policy: TipPolicy = TipPolicy.FRESH
    spares: tuple[Spare, ...] = ()
    """Plates for the dilutions that doses too small for the pipette need."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A protocol, and what to know of it."""

    protocol: Protocol
    carry_over: tuple[CarryOver, ...]
    """Where a tip goes back into a source after it was in another liquid; empty under TipPolicy.FRESH."""
    dilutions: Mapping[str, str] = field(default_factory=dict)
    """Load name of each spare plate that is used, by barcode."""
    made_um: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Final concentration in each well that a dose was ordered for, as whole nanolitres make it."""
