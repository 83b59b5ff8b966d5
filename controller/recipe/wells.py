"""How the wells of a plate are divided, by the settings of a campaign."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.recipe.plan import Plan

if TYPE_CHECKING:
    from nextplate.acquisition.budget import PlateWells


def n_controls(plan: Plan) -> tuple[int, int]:
    """Return the wells of the negative and of the positive control."""
    if (divided := _divided(plan)) is not None:
        return divided.n_negative, divided.n_positive
    plate = plan.section("plate")
    return plate["n_negative"], plate["n_positive"]


def n_samples(plan: Plan) -> int:
    """Return how many wells hold compounds, or stay empty where there are too few."""
    return int(plan.section("plate")["wells"]) - sum(n_controls(plan))


def n_new(plan: Plan) -> int:
    """Return how many compounds a plate can test that were not tested before.

    With a budget those of its wells to exploit and to explore; without one all but the wells that confirm.
    """
    if (divided := _divided(plan)) is not None:
        return divided.samples.get("exploit", 0) + divided.samples.get("explore", 0)
    return n_samples(plan) - int(plan.section("plate")["n_confirm"])


def picking_params(plan: Plan) -> dict[str, Any]:
    """Return what the step pick is told of the wells; a budget only where lab.toml gives one, so that keys stay."""
    told = {"n_wells": n_samples(plan), "n_confirm": plan.section("plate")["n_confirm"]}
    divided = _divided(plan)
    if divided is None:
        return told
    confirm = divided.samples.get("confirm", 0)
    budget = {"wells": dict(divided.samples), "doses_um": list(_doses(plan))}
    return {**told, "n_confirm": confirm, "budget": budget}


def _doses(plan: Plan) -> tuple[float, ...]:
    # settings of before there were series have none
    return tuple(plan.section("assay").get("dose_series_um", ()))


def _divided(plan: Plan) -> "PlateWells | None":
    given: Mapping[str, float | None] | None = plan.section("picking").get("budget")
    if given is None:
        return None
    # Loaded only where it is needed: some commands must answer at once.
    from controller.settings.choosing import named_shares
    from nextplate.acquisition.budget import divide_plate

    plate = plan.section("plate")
    shares, n_doses = named_shares(given), max(1, len(_doses(plan)))
    return divide_plate(plate["wells"], plate["n_negative"], plate["n_positive"], shares, n_doses)
