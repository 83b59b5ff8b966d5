"""normalise: measured wells and the layout -> responses, and a verdict on the plate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import finite, write_json
from nextplate.assay import AssayParams, normalise
from nextplate.design import layout_from_csv

_TOLD = ("plate", "passed", "reasons", "n_flagged", "z_prime", "z_prime_robust", "ssmd", "intervals", "noise_negative")
"""What of the plate's quality goes into the journal, for people who look at the loop."""


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write responses.parquet and plate_qc.json; wells the handler left short carry the flag not-dosed."""
    wells = _with_undosed(pl.read_parquet(inputs["wells"]), params["undosed"])
    settings = {k: params[k] for k in ("hit_threshold", "min_viability", "min_z_prime", "accepts_failed")}
    responses, qc = normalise(wells, layout_from_csv(inputs["layout"]), AssayParams(**settings))
    responses.write_parquet(out / "responses.parquet")
    body = finite(qc.to_json())
    write_json(body, out / "plate_qc.json")
    samples = responses.filter(pl.col("role") == "sample")
    return {
        **{k: body[k] for k in _TOLD},
        "n_compounds": samples["compound_id"].n_unique(),
        "n_hits": samples.filter(pl.col("is_hit"))["compound_id"].n_unique(),
        "n_toxic": samples.filter(pl.col("is_toxic"))["compound_id"].n_unique(),
    }


def _with_undosed(wells: pl.DataFrame, undosed: Mapping[str, str]) -> pl.DataFrame:
    flag = pl.concat_str(pl.col("flags"), pl.lit("not-dosed"), separator=";").str.strip_chars(";")
    is_short = pl.col("well").is_in(sorted(undosed))
    return wells.with_columns(flags=pl.when(is_short).then(flag).otherwise(pl.col("flags")))
