"""How rounds are let go, proven, and kept going when something fails."""

from typing import Annotated, Literal

from pydantic import Field

from controller.settings.devices import DeviceKind
from controller.settings.section import Section


class ApprovalSection(Section):
    """Who lets a round start: the policy inside its limits, or a person."""

    policy: Literal["auto", "hand"] = "auto"
    max_compounds: Annotated[int, Field(ge=0)] = 400
    """A round with more compounds than this waits for a person even under the auto policy."""


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
        Annotated[tuple[Literal["retry", "park", "abort", "ask"], ...], Field(strict=False)],
    ] = Field(default_factory=dict)
    """What to answer by itself when a device (or a computing step) fails, one after the other; then a person is asked.
    An answer that the fault does not offer leaves it to a person at once."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    retry_wait_s: Annotated[float, Field(gt=0)] = 30.0
