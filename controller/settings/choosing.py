"""How plates are chosen: the belief, and the rule that picks by it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from controller.settings.section import Section, Share
from nextplate.acquisition.rules import RULES
from nextplate.acquisition.rules.rule import BETA
from nextplate.models.kinds import KINDS, OF_IMAGES

Response = Annotated[float, Field(ge=-1, le=2)]
"""On the response scale: 0 negative control, 1 positive control. Beyond -1 to 2 responses are cut off anyway."""


def named_shares(given: Mapping[str, float | None]) -> dict[str, float]:
    """Return the shares of [picking.budget] by purpose, as nextplate.acquisition.budget names them; unused ones out."""
    named = {name.replace("_", "-"): share for name, share in given.items() if share is not None}
    return {name: share for name, share in named.items() if share > 0 or name == "controls"}


class BudgetSection(Section):
    """Shares of the plate's wells, 1 together; instead of picking.exploration_share and plate.n_confirm."""

    exploit: Share = 0.0
    """Best scores."""
    explore: Share = 0.0
    """New compounds by lot."""
    confirm: Share = 0.0
    """Hits seen in one well only, once more."""
    dose_response: Share = 0.0
    """Hits at every dose of assay.dose_series_um."""
    controls: Share | None = None
    """Shared out as plate.n_negative to plate.n_positive; left out: those wells stay, and the others are divided."""

    @model_validator(mode="after")
    def _is_whole(self) -> "BudgetSection":
        total = sum(self.shares().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:g}; they must add up to 1")
        return self

    def shares(self) -> dict[str, float]:
        """Return the shares by purpose, as nextplate.acquisition.budget names them."""
        return named_shares(dict(self))


def _known_rule(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"there is no such rule (allowed: {', '.join(RULES)})")
    return name


class PickingSection(Section):
    """How the next compounds are chosen."""

    rule: Annotated[str, AfterValidator(_known_rule)] = "ucb"
    """A name in nextplate.acquisition.RULES."""
    beta: Annotated[float, Field(ge=0)] = BETA
    exploration_share: Share = 0.1
    diversity_weight: Annotated[float, Field(ge=0)] = 0.3
    diversity: Literal["none", "discount", "penalty", "maxmin", "dpp", "facility"] = "discount"
    """How a batch is kept varied; the ways are told in nextplate.acquisition.choose_batch."""
    cap_per_scaffold: Annotated[int, Field(ge=0)] = 0
    """Most compounds of one Murcko scaffold a plate picks by score; 0: no cap."""
    source_plate_cost: Annotated[float, Field(ge=0)] = 0.0
    """What a pick has to bring more to open another source plate; 1 is from the median score to the best."""
    goal: Literal["constraint", "pareto"] = "constraint"
    """With belief.viability = "endpoint". constraint: scores of the rule, weighed by the probability of viability.
    pareto: instead of the rule, the area that a compound is expected to add under the front of activity and viability
    (nextplate.models.pareto)."""
    budget: BudgetSection | None = None
    """How the plate's wells are divided; left out: plate.n_confirm and exploration_share."""


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there is no such kind of belief (allowed: {', '.join(KINDS)})")
    return name


class BeliefSection(Section):
    """The model and its calibration."""

    kind: Annotated[str, AfterValidator(_known_kind)] = "lightgbm"
    """A name in nextplate.models.KINDS."""
    profiles: Annotated[str, Field(min_length=1)] | None = None
    """File of image profiles, relative to the lab folder, for the kinds that learn from images: as nextplate profiles
    writes it, or a CSV with a column compound_id and columns of numbers."""
    cell_count: Annotated[str, Field(min_length=1)] | None = None
    """The profiles' column that is the cell count; left out: one with a usual name."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    viability: Literal["gate", "endpoint"] = "gate"
    """gate: a toxic well counts as inactive. endpoint: viability is believed on its own, and a pick's score weighed by
    the probability that the compound leaves enough cells alive."""
    replicates: Literal["count", "noise"] = "count"
    """How labels are weighed. count: by wells. noise: by the noise between wells of one structure and the variance
    between structures, duplicates in the library merged (nextplate.models.replicates)."""
    censored_above: Response | None = None
    """A label at or above it is only known to be at least that (the detector saturates); left out: all are values."""
    censored_below: Response | None = None
    """Likewise at or below it."""
    n_passed: Annotated[int, Field(ge=1)] | None = None
    """Compounds of a larger library that a dear belief is asked about, the best by a cheap one
    (nextplate.models.funnel); left out: 100,000."""
    n_lot: Annotated[int, Field(ge=1)] | None = None
    """Compounds drawn by lot that it is asked about as well: picks by lot come from them; left out: 2,000."""

    @model_validator(mode="after")
    def _images_have_profiles(self) -> "BeliefSection":
        if self.kind in OF_IMAGES and self.profiles is None:
            raise ValueError(
                f"kind = {self.kind!r} learns from image profiles, and none are named; add profiles = "
                '"profiles.parquet" (nextplate profiles writes it), or choose another kind'
            )
        if self.kind not in OF_IMAGES and (self.profiles is not None or self.cell_count is not None):
            what = "profiles" if self.profiles is not None else "cell_count"
            kinds = ", ".join(map(repr, OF_IMAGES))
            raise ValueError(f"kind = {self.kind!r} does not look at {what}; set kind to one of {kinds}, or remove it")
        return self

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "BeliefSection":
        low, high = self.censored_below, self.censored_above
        if low is not None and high is not None and not low < high:
            raise ValueError(f"censored_below = {low:g} is not below censored_above = {high:g}")
        return self
