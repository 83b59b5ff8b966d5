"""layout: picks -> who sits in which well."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.step import Progress
from controller.steps.data import integer_seed, read_picks
from nextplate.design import layout, layout_to_csv
from nextplate.plate import FORMATS


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write layout.csv."""
    picks = read_picks(inputs["picks"])
    shape = FORMATS[params["wells"]]
    controls = params["n_negative"], params["n_positive"]
    plan = layout(params["barcode"], picks, shape, *controls, params["dose_um"], integer_seed(params))
    (out / "layout.csv").write_text(layout_to_csv(plan.layout))
    return {"barcode": params["barcode"], "notes": list(plan.notes)}
