"""normalise: measured wells and the layout -> responses, and a verdict on the plate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import finite, with_labels, write_json
from nextplate.assay import AssayParams, from_plan, normalise
from nextplate.assay.plate_doses import plate_dose_responses
from nextplate.design import layout_from_csv
from nextplate.plate import Layout

_TOLD = ("plate", "passed", "reasons", "n_flagged", "z_prime", "z_prime_robust", "ssmd", "intervals", "noise_negative")
"""What of the plate's quality goes into the journal, for people who look at the loop."""


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write responses.parquet and plate_qc.json; wells the handler left short carry the flag not-dosed.

    Where the campaign measures dose-response series, dose_response.csv has the curve of each (as
    nextplate.assay.dose_responses).
    """
    wells = _with_undosed(pl.read_parquet(inputs["wells"]), params["undosed"])
    settings = {k: params[k] for k in ("hit_threshold", "min_viability", "min_z_prime", "accepts_failed")}
    layout = layout_from_csv(inputs["layout"])
    responses, qc = normalise(wells, layout, AssayParams(**settings))
    if "viability" in params or "dose_um" in params:
        responses = with_labels(responses, params.get("viability", "gate"), params.get("dose_um"))
    body = finite(qc.to_json())
    if "late_min" in params:
        responses, body = _late(responses, body, params)
    responses.write_parquet(out / "responses.parquet")
    n_curves = _write_curves(responses, layout, params, out)
    write_json(body, out / "plate_qc.json")
    samples = responses.filter(pl.col("role") == "sample")
    return {
        **{k: body[k] for k in _TOLD},
        "n_compounds": samples["compound_id"].n_unique(),
        "n_hits": samples.filter(pl.col("is_hit"))["compound_id"].n_unique(),
        "n_toxic": samples.filter(pl.col("is_toxic"))["compound_id"].n_unique(),
        **({} if n_curves is None else {"n_curves": n_curves}),
    }


def _late(
    responses: pl.DataFrame, body: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Let a plate fail that incubated too long; its responses are used only where somebody says so."""
    reason = f"incubated {params['late_min']:g} min longer than its tolerance allows"
    if not params["accepts_failed"]:
        responses = responses.with_columns(is_used=pl.lit(False))
    return responses, {**body, "passed": False, "reasons": [reason, *body["reasons"]]}


def _write_curves(responses: pl.DataFrame, layout: Layout, params: Mapping[str, Any], out: Path) -> int | None:
    """Write dose_response.csv of the compounds with a series; how many, None in a campaign without any."""
    if "dose_um" not in params:
        return None
    samples = responses.filter(pl.col("role") == "sample")
    doses = samples.group_by("compound_id").agg(pl.col("dose_um").n_unique().alias("n"))
    series = doses.filter(pl.col("n") > 1)["compound_id"].to_list()
    rows = responses.with_columns(is_good="is_used")
    curves = plate_dose_responses(rows, from_plan(layout), "activity").filter(pl.col("compound_id").is_in(series))
    curves.write_csv(out / "dose_response.csv")
    return len(curves)


def _with_undosed(wells: pl.DataFrame, undosed: Mapping[str, str]) -> pl.DataFrame:
    flag = pl.concat_str(pl.col("flags"), pl.lit("not-dosed"), separator=";").str.strip_chars(";")
    is_short = pl.col("well").is_in(sorted(undosed))
    return wells.with_columns(flags=pl.when(is_short).then(flag).otherwise(pl.col("flags")))
