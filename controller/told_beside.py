"""How what stands beside a belief that sees images is told: in notes, in the status and in the report."""

from collections.abc import Mapping
from typing import Any

FILE = "beside.parquet"
"""Where the fit of such a belief keeps it (controller.steps.beside)."""
NAMES: Mapping[str, str] = {
    "belief": "belief",
    "chemistry": "chemistry alone",
    "profiles": "images alone",
    "cell_count": "cell count alone",
}
"""By way, in the order told."""


def beside_text(told: Mapping[str, Any], where: str) -> str:
    """Say in a line how the ways compare.

    Args:
        told: as ``controller.steps.beside.compared`` gives it.
        where: e.g. 'on the plate'.
    """
    if not told["n"]:
        return f"images {where}: no compound with a profile, so nothing can be compared"
    parts = []
    for way in (way for way in NAMES if way in told["rmse"]):
        rmse, auc = told["rmse"][way], told["auc"][way]
        parts.append(f"{NAMES[way]} {rmse:.3f}" + ("" if auc is None else f" (AUC {auc:.2f})"))
    lack = "" if "cell_count" in told["rmse"] else "; no cell-count baseline: no column is known to be a cell count"
    return f"images {where}: RMSE of {told['n']} compounds with a profile: {', '.join(parts)}{lack}"
