"""Fit, calibrate, evaluate: the tasks of the belief, and which belief is in use."""

from typing import Any

from controller.actions import PROFILES
from controller.recipe.context import Built, Context, responses, seeded
from controller.recipe.order import accepted_rounds, judged_task
from controller.recipe.wells import n_new
from controller.state import LabState
from nextplate.acquisition.rules import rule_named

BESIDE = "beside.parquet"
"""What the fit of a belief that sees images writes of chemistry, images and cell counts alone."""


def fit(c: Context) -> Built:
    """Fit a belief to the plates that count."""
    belief = {k: v for k, v in c.plan.section("belief").items() if k != "profiles"}
    params = {**seeded(c, "fit"), **belief, **_told_to_fit(c)}
    return c.compute({"library": "@library", **_profiles(c), **responses(c)}, params)


def _profiles(c: Context) -> dict[str, str]:
    """Name the image profiles, where the belief learns from them."""
    path = c.plan.section("belief").get("profiles")
    return {} if path is None else {"profiles": f"{PROFILES}{path}"}


def _told_to_fit(c: Context) -> dict[str, Any]:
    """What the fit is told of the assay and the rule, where it needs it; nothing else, so that keys stay."""
    assay, picking, belief = (c.plan.section(name) for name in ("assay", "picking", "belief"))
    told: dict[str, Any] = {}
    if belief.get("viability", "gate") == "endpoint":
        told |= {"hit_threshold": assay["hit_threshold"], "min_viability": assay["min_viability"]}
    if rule_named(picking["rule"]).wants_draws:
        told |= {"hit_threshold": assay["hit_threshold"], "draws_for": picking["rule"]}
    return told


def deployed_round(state: LabState, up_to: int) -> int | None:
    """Return the round whose belief is in use in a round: the last that passed its gates and was not rolled back.

    Where none has passed, the last one all the same: some belief has to choose, and its gates tell what it lacks.
    None while nothing is calibrated.
    """
    known = [r for r in range(up_to + 1) if r not in state.withdrawn and is_calibrated(state, r)]
    return max([r for r in known if has_passed(state, r)] or known, default=None)


def has_passed(state: LabState, round_number: int) -> bool:
    """Tell whether a calibrated belief passed its gates; those of before there were gates did."""
    outcome = state.outcome("calibrate", round_number)
    return outcome is not None and bool(outcome.result["summary"].get("is_deployed", True))


def is_calibrated(state: LabState, round_number: int) -> bool:
    """Tell whether a round has a calibrated belief."""
    outcome = state.outcome("calibrate", round_number)
    return outcome is not None and outcome.is_done


def calibrate(c: Context) -> Built:
    """Calibrate it, and judge it beside the one in use."""
    inputs = {"library": "@library", "fitted": c.outcome("fit").result["folder"]}
    if (deployed := deployed_round(c.state, c.round - 1)) is not None:
        inputs["deployed"] = c.outcome("fit", deployed).result["folder"]
    params = {
        "confidence": c.plan.section("belief")["confidence"],
        "threshold": c.plan.section("assay")["hit_threshold"],
        "n_picks": max(1, n_new(c.plan)),
        "beta": c.plan.section("picking")["beta"],
    }
    return c.compute({**inputs, **met(c)}, params)


def met(c: Context) -> dict[str, str]:
    """What was predicted before earlier plates that count, and measured on them."""
    judged = {r: c.state.outcome("evaluate", r) for r in accepted_rounds(c.state, c.round)}
    return {f"met-{r}": o.result["folder"] for r, o in judged.items() if o is not None and o.is_done}


def evaluate(c: Context) -> Built:
    """Compare what was predicted of this plate with what was measured."""
    inputs = {
        "responses": c.file(judged_task(c.state, c.round), "responses.parquet"),
        "picks": c.file("pick", "picks.parquet"),
    }
    if (deployed := _picked_by(c)) is not None:
        inputs["predictions"] = c.file("calibrate", "predictions.parquet", deployed)
        inputs["calibration"] = c.file("calibrate", "calibration.json", deployed)
        inputs["promise"] = c.outcome("calibrate", deployed).result["folder"]
        if BESIDE in c.outcome("fit", deployed).result.get("outputs", {}):
            inputs["beside"] = c.file("fit", BESIDE, deployed)
    params = {**seeded(c, "evaluate"), "confidence": c.plan.section("belief")["confidence"]}
    return c.compute({**inputs, **met(c)}, params)


def _picked_by(c: Context) -> int | None:
    """Return the round whose belief chose this round's picks; another may have been rolled back to since."""
    chosen = c.state.intents[c.state.latest_key("pick", c.round)].action["inputs"].get("predictions")
    rounds = (r for r in range(c.round + 1) if is_calibrated(c.state, r))
    return next((r for r in rounds if c.file("calibrate", "predictions.parquet", r) == chosen), None)
