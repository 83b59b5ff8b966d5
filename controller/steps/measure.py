"""measure: a plate folder of the microscope -> wells and cells in numbers, with image quality flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from controller.step import Progress
from controller.steps.data import write_json
from nextplate.imaging import MeasureParams, measure, open_readout
from nextplate.imaging.watch import check_taken
from nextplate.plate import FORMATS


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, progress: Progress) -> dict[str, Any]:
    """Write wells.parquet, cells.parquet and problems.json."""
    folder = inputs["readout"]
    check_taken(folder)
    readout = open_readout(folder, expected_wells=tuple(FORMATS[params["wells"]].wells()), **params.get("readout", {}))
    measured = measure(readout, MeasureParams(dna=params["dna"], reporter=params["reporter"]), progress)
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
    }
