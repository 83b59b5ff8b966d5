"""How plates are chosen: the belief, and the rule that picks by it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.settings.section import Section, Share
from nextplate.models.kinds import KINDS


class PickingSection(Section):
    """How the next compounds are chosen."""

    rule: Literal[
        "random", "greedy", "ucb", "uncertainty", "ei", "pi", "modal-ucb", "thompson", "top-k", "entropy", "margin",
        "bald", "set-size", "hits-at-fdr",
    ] = "ucb"  # fmt: skip
    beta: Annotated[float, Field(ge=0)] = 0.5
    exploration_share: Share = 0.1
    diversity_weight: Annotated[float, Field(ge=0)] = 0.1
    diversity: Literal["none", "penalty", "maxmin", "dpp", "facility"] = "penalty"
    """How a batch is kept varied; the ways are told in nextplate.acquisition.choose."""
    cap_per_scaffold: Annotated[int, Field(ge=0)] = 0
    """Most compounds of one Murcko scaffold a plate picks by score; 0: no cap."""
    source_plate_cost: Annotated[float, Field(ge=0)] = 0.0
    """What a pick has to bring more to open another source plate; 1 is from the median score to the best."""


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there is no such kind of belief (allowed: {', '.join(KINDS)})")
    return name


class BeliefSection(Section):
    """The model and its calibration."""

    kind: Annotated[str, AfterValidator(_known_kind)] = "lightgbm"
    """A name in nextplate.models.KINDS."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
