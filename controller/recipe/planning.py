"""Pick, layout, compile, check, propose: the tasks that plan a plate."""

from typing import Any

from controller.actions import OFFSETS
from controller.recipe.beliefs import deployed_round, met
from controller.recipe.context import Built, Context, responses, seeded
from controller.recipe.order import accepted_rounds
from controller.recipe.wells import n_controls, picking_params


def pick(c: Context) -> Built:
    """Choose compounds by the belief in use."""
    assay = c.plan.section("assay")
    inputs = {"library": "@library", "stock": "@stock", **responses(c)}
    if (deployed := deployed_round(c.state, c.round)) is not None:
        inputs["predictions"] = c.file("calibrate", "predictions.parquet", deployed)
        inputs["fitted"] = c.outcome("fit", deployed).result["folder"]
    params = {
        **seeded(c, "pick"),
        **{k: v for k, v in c.plan.section("picking").items() if k != "budget"},
        **picking_params(c.plan),
        "controls": [assay["negative_control"], assay["positive_control"]],
        "dose_um": assay["dose_um"],
        "transfer_ul": assay["transfer_ul"],
        "well_volume_ul": assay["well_volume_ul"],
        "hit_threshold": assay["hit_threshold"],
        "excluded": sorted(_tested_unseen(c)),
        **_by_volume(c),
    }
    if deployed is not None and (noise := c.outcome("fit", deployed).result["summary"].get("noise")) is not None:
        params["noise"] = noise
    if params.get("goal") == "pareto":
        params["min_viability"] = assay["min_viability"]
    return c.compute({**inputs, **met(c)}, params)


def _tested_unseen(c: Context) -> set[str]:
    """Compounds pipetted in rounds whose plate does not count: not to be picked as if they were new."""
    lost = set(range(c.round)) - set(accepted_rounds(c.state, c.round))
    picked = (c.state.outcome("pick", r) for r in sorted(lost))
    return {compound for o in picked if o for compound in o.result["summary"]["compounds"]}


def layout(c: Context) -> Built:
    """Draw the plate."""
    n_negative, n_positive = n_controls(c.plan)
    params = {
        **seeded(c, "layout"),
        "barcode": c.barcode,
        "wells": c.plan.section("plate")["wells"],
        "n_negative": n_negative,
        "n_positive": n_positive,
        "dose_um": c.plan.section("assay")["dose_um"],
    }
    return c.compute({"picks": c.file("pick", "picks.parquet")}, params)


def compile_layout(c: Context) -> Built:
    """Write the protocol."""
    assay = c.plan.section("assay")
    params = {
        **_by_volume(c),
        "robot": _robot(c),
        **_deck(c),
        "transfer_ul": assay["transfer_ul"],
        "well_volume_ul": assay["well_volume_ul"],
        "negative": assay["negative_control"],
        "positive": assay["positive_control"],
        "labware": c.plan.section("plate")["labware"],
        **_spares(c),
    }
    inputs = {"layout": c.file("layout", "layout.csv"), "stock": "@stock", "tips": "@tips"}
    deck = c.plan.settings.get("deck", {})
    if deck.get("tables"):
        params["tables"] = True
    if deck.get("offsets"):
        inputs["offsets"] = f"{OFFSETS}{deck['offsets']}"
    return c.compute(inputs, params)


def _robot(c: Context) -> str:
    robot: str = next(d for d in c.plan.settings["device"] if d["kind"] == "liquid-handler")["robot"]
    return robot


def _proof(c: Context) -> dict[str, Any]:
    """The interpreter of the robot's line, and how long it may take."""
    section = dict(c.plan.section("proof"))
    lines = section.pop("robots", {})
    return section | {"python": lines.get(_robot(c), section["python"])}


def _deck(c: Context) -> dict[str, Any]:
    """What a step is told of the deck; nothing where the lab says no more than its robot, so that keys stay."""
    said = {k: v for k, v in c.plan.settings.get("deck", {}).items() if k not in _APART}
    if taken := {place.removeprefix("deck/") for place in c.state.strangers if place.startswith("deck/")}:
        said["blocked"] = sorted({*said.get("blocked", ()), *taken})
    return {"deck": said} if said else {}


_APART = ("dilution", "tables", "offsets")
"""Settings of the deck that steps are told apart from what stands on it."""


def _dilution(c: Context) -> str:
    """Load name of the plates for dilutions; "" where nothing is diluted."""
    name: str = c.plan.settings.get("deck", {}).get("dilution", "")
    return name


def _spares(c: Context) -> dict[str, Any]:
    """Plates for dilutions that are empty, where doses are diluted; nothing where they are not, so that keys stay."""
    return {"spares": list(c.state.free_spares(kind))} if (kind := _dilution(c)) else {}


def _by_volume(c: Context) -> dict[str, Any]:
    """What a step is told where doses are made by volume; nothing where they are not, so that keys stay."""
    percent = c.plan.section("assay").get("final_dmso_percent")  # settings of before there was back-fill have none
    if percent is None:
        return {"robot": "echo"} if _robot(c) == "echo" else {}
    return {"final_dmso_percent": percent, "robot": _robot(c)} | ({"dilution": kind} if (kind := _dilution(c)) else {})


def check(c: Context) -> Built:
    """Prove it."""
    inputs = {"protocol": c.outcome("compile").result["folder"], "stock": "@stock", "tips": "@tips"}
    assay, plate = c.plan.section("assay"), c.plan.section("plate")
    params = {
        "labware": plate["labware"],
        "well_volume_ul": assay["well_volume_ul"],
        **_proof(c),
        **_deck(c),
    }
    if used := c.outcome("compile").result["summary"].get("dilution_plates"):
        params["spares"] = {barcode: c.state.spares[barcode] for barcode in used}
    return c.compute(inputs, params)


def propose(c: Context) -> Built:
    """Sum up what the round would do, for the policy or a person to judge."""
    inputs = {
        "picks": c.file("pick", "picks.parquet"),
        "protocol": c.outcome("compile").result["folder"],
        "library": "@library",
        "stock": "@stock",
    }
    before = (r for r in range(c.round) if (o := c.state.outcome("pick", r)) and o.is_done)
    inputs |= {f"picks-{r}": c.file("pick", "picks.parquet", r) for r in before}
    params = {"campaign": c.plan.name, "round": c.round, "rule": c.plan.section("picking")["rule"]}
    return c.compute(inputs, params)
