"""measure: a plate folder of the microscope -> wells and cells in numbers, with image quality flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import write_json
from nextplate.features import parse_features
from nextplate.imaging import MeasureParams, measure, open_readout
from nextplate.imaging.watch import check_taken
from nextplate.plate import FORMATS


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, progress: Progress) -> dict[str, Any]:
    """Write wells.parquet, cells.parquet and problems.json."""
    folder = inputs["readout"]
    check_taken(folder)
    opening = {k: v for k, v in params.get("readout", {}).items() if k != "features"}
    readout = open_readout(folder, expected_wells=tuple(FORMATS[params["wells"]].wells()), **opening)
    measured = measure(readout, _measuring(params, readout.channels), progress)
    check_taken(folder)  # what came while it was measured may be in the numbers or not
    measured.wells.write_parquet(out / "wells.parquet")
    measured.cells.write_parquet(out / "cells.parquet")
    problems = [{"well": p.well, "field": p.field, "channel": p.channel, "reason": p.reason} for p in measured.problems]
    write_json(problems, out / "problems.json")
    return {
        "plate": readout.plate,
        "reader": readout.reader,
        "n_images": len(readout.images),
        "n_wells": len(measured.wells),
        "n_cells": len(measured.cells),
        "n_flagged": int(measured.wells.select(pl.col("flags").ne("").sum()).item()),
        "n_problems": len(problems),
        **({"notes": list(measured.notes)} if measured.notes else {}),
    }


def _measuring(params: Mapping[str, Any], channels: tuple[str, ...]) -> MeasureParams:
    """Take the two channels of the assay; with features, every channel of the plate."""
    dna, reporter = params["dna"], params["reporter"]
    choice, has_field = parse_features(params.get("readout", {}).get("features", "none"))
    if choice is None and not has_field:
        return MeasureParams(dna, reporter)
    others = tuple(c for c in channels if c not in (dna, reporter))
    return MeasureParams(dna, reporter, others, features=choice, has_field_features=has_field)
