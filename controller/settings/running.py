"""How rounds are let go, proven, and kept going when something fails."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator

from controller.settings.devices import DeviceKind
from controller.settings.section import Section


class ApprovalSection(Section):
    """Who lets a round start: the policy inside its limits, or a person."""

    policy: Literal["auto", "hand"] = "auto"
    max_compounds: Annotated[int, Field(ge=0)] = 400
    """A round with more compounds than this waits for a person even under the auto policy, as one that is beyond any
    of the limits below; what is not known (the cost without prices, hits without a belief) is inside of none."""
    max_new_scaffolds: Annotated[int, Field(ge=0)] | None = None
    """Bemis-Murcko scaffolds that no earlier round picked; None: any number, as for the limits below."""
    max_volume_ul: Annotated[float, Field(ge=0)] | None = None
    """Drawn from all source plates together."""
    max_cost: Annotated[float, Field(ge=0)] | None = None
    """By the prices of [cost]."""
    max_hours: Annotated[float, Field(gt=0)] | None = None
    """From now to the last image, as long as it takes 19 times in 20."""
    latest_finish: datetime | None = None
    """The last image is taken before it, 19 times in 20; with a zone."""
    min_expected_hits: Annotated[float, Field(ge=0)] | None = None

    @field_validator("latest_finish")
    @classmethod
    def _has_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone; write it as 2026-12-01T07:00:00+01:00")
        return value


class CostSection(Section):
    """Prices, for the summary of a round; a lab without this table knows no cost."""

    currency: Annotated[str, Field(pattern="^[A-Za-z]{1,8}$")] = "EUR"
    per_plate: Annotated[float, Field(ge=0)] = 0.0
    per_compound: Annotated[float, Field(ge=0)] = 0.0
    per_well: Annotated[float, Field(ge=0)] = 0.0
    """Of each well of the assay plate that gets anything."""
    per_tip: Annotated[float, Field(ge=0)] = 0.0
    per_stock_ul: Annotated[float, Field(ge=0)] = 0.0
    """Of each microlitre drawn from a source plate."""


class ProofSection(Section):
    """How a protocol is proven before it is dispatched."""

    python: str = ""
    """Interpreter with the opentrons package; empty: the one that runs nextplate."""
    timeout_s: Annotated[int, Field(ge=10)] = 300
    robots: dict[Literal["flex", "ot2"], str] = Field(default_factory=dict)
    """Another interpreter for a line of robots: versions of opentrons that take one refuse the other."""

    def python_for(self, robot: str) -> str:
        """Return the interpreter for a robot; "" for nextplate's own."""
        return next((python for line, python in self.robots.items() if line == robot), self.python)


class FaultsSection(Section):
    """What to do when something goes wrong and nobody is there."""

    partial_load: Literal["ask", "accept"] = "ask"
    """A load that stopped half-way: ask a person, or go on and leave the undosed wells out."""
    failed_plate: Literal["ask", "discard", "use"] = "ask"
    """A plate that fails its quality control."""
    policy: dict[
        Literal["step", DeviceKind],
        Annotated[tuple[Literal["retry", "other-device", "park", "abort", "ask"], ...], Field(strict=False)],
    ] = Field(default_factory=dict)
    """What to answer by itself when a device (or a computing step) fails, one after the other; then a person is asked.
    An answer that the fault does not offer leaves it to a person at once."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    retry_wait_s: Annotated[float, Field(gt=0)] = 30.0
