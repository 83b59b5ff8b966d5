"""Measure, normalise: the tasks that turn images into responses."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.actions import Compute
from controller.recipe.context import Built, Context
from controller.recipe.order import late_min
from controller.recipe.plan import Plan


def measure(c: Context) -> Built:
    """Measure the images."""
    assay = c.plan.section("assay")
    # where a person said that the plate was imaged, the images are expected under its barcode
    inputs = {"readout": c.outcome("acquire").result.get("folder", f"readouts/{c.barcode}")}
    params = {
        "dna": assay["dna_channel"],
        "reporter": assay["reporter_channel"],
        "wells": c.plan.section("plate")["wells"],
        **reading(c.plan),
    }
    return c.compute(inputs, params)


def reading(plan: Plan) -> dict[str, Any]:
    """Return how plates are to be opened where lab.toml says it; nothing where it does not, so that keys stay."""
    table: Mapping[str, Any] = plan.settings.get("readout", {})  # campaigns of before this table have none
    said = {key: value for key, value in table.items() if value is not None}
    return {"readout": said} if said else {}


def normalise(c: Context) -> Built:
    """Turn measurements into responses, and judge the plate."""
    assay = c.plan.section("assay")
    keys = ("hit_threshold", "min_viability", "min_z_prime")
    inputs = {"wells": c.file("measure", "wells.parquet"), "layout": c.file("layout", "layout.csv")}
    params = {**{k: assay[k] for k in keys}, "undosed": _undosed(c), "accepts_failed": c.task == "admit"}
    params |= _labelling(c.plan)
    if (late := late_min(c.state, c.plan, c.round)) is not None:
        params["late_min"] = late
    return Compute(c.key, c.task, c.round, "normalise", inputs, params)


def _labelling(plan: Plan) -> dict[str, Any]:
    """What is learned from a well, where lab.toml says other than by default: so that keys stay."""
    assay, told = plan.section("assay"), dict[str, Any]()
    if plan.section("belief").get("viability", "gate") == "endpoint":
        told["viability"] = "endpoint"
    if assay.get("dose_series_um"):
        told["dose_um"] = assay["dose_um"]
    return told


def _undosed(c: Context) -> dict[str, str]:
    """Wells that did not get their liquid, by the handler's own report, with the reason."""
    wells: dict[str, str] = {}
    wrong: dict[tuple[str, str], str] = {}
    for k in range(len(c.outcome("compile").result["summary"]["loads"])):
        run = c.outcome(f"run-{k}")
        for well, moved, planned in run.result.get("short", ()):
            wells[well] = f"{moved} of {planned} nl"
        for row in run.result.get("diluted", ()):
            _follow(row, c.barcode, wells, wrong)
    return wells


def _follow(row: Sequence[Any], assay_plate: str, wells: dict[str, str], wrong: dict[tuple[str, str], str]) -> None:
    """Follow a transfer into or out of a dilution: one that got too little of anything spoils what is drawn from it.

    Args:
        row: as controller.projections writes it, in order of execution.
        assay_plate: whose wells are asked for.
        wells: of the assay plate, with the reason; added to.
        wrong: likewise of the plates for dilutions.
    """
    source_plate, source_well, plate, well, moved, planned = row
    why = wrong.get((source_plate, source_well), "")
    if not why and moved < planned and plate != assay_plate:
        why = f"its dilution in {well} of {plate} got {moved} of {planned} nl"
    if why and plate == assay_plate:
        wells.setdefault(well, why)
    elif why:
        wrong.setdefault((plate, well), why)
