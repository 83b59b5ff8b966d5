"""What stands beside a belief that sees images: its chemistry alone, its images alone, and the count of cells alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.steps.labels import Gathered
from nextplate.compound import Features
from nextplate.models import cross_predict, kind_of, predict_library
from nextplate.models.kinds import CELL_COUNT, FUSED_CHEMISTRY
from nextplate.models.profiles import has_profile
from nextplate.models.scoring import roc_auc, score
from nextplate.profiles import Profiles

FloatArray = npt.NDArray[np.float64]

FILE = "beside.parquet"
"""compound_id, has_profile, and the mean of the whole library by each of WAYS that there is."""
WAYS: Mapping[str, str] = {"chemistry": FUSED_CHEMISTRY, "profiles": "profiles", "cell_count": CELL_COUNT}
"""Column -> kind of belief."""


def write_beside(
    features: Features, profiles: Profiles, labels: Gathered, unseen: FloatArray, seed: int, out: Path
) -> dict[str, Any]:
    """Fit what stands beside the belief, write FILE, and compare all on the labelled compounds with a profile.

    Args:
        features: of the library, with the profiles.
        profiles: those of the features.
        labels: of the belief.
        unseen: shape (n,): the belief's own left-out means; the others are left out by the same folds.
        seed: of the belief.
        out: folder.

    Returns:
        As ``compared`` gives it.
    """
    ways = {way: kind for way, kind in WAYS.items() if way != "cell_count" or profiles.count_names}
    means: dict[str, FloatArray] = {}
    left_out = {"belief": unseen}
    for way, name in ways.items():
        kind = kind_of(name)
        left_out[way] = cross_predict(kind, features, labels.rows, labels.y, labels.weight, seed)[0]
        belief = kind.fit(features, labels.rows, labels.y, labels.weight, seed)
        means[way] = predict_library(kind, belief, features)[0]
    has = has_profile(profiles.of(tuple(features.compound_ids)))
    body = {"compound_id": list(features.compound_ids), "has_profile": has, **means}
    pl.DataFrame(body).write_parquet(out / FILE)
    seen = has[labels.rows]
    by_compound = labels.compounds.unique("row")
    hits = dict(zip(by_compound["row"].to_list(), by_compound["is_hit"].to_list(), strict=True))
    is_hit = np.array([hits.get(int(row), False) for row in labels.rows], dtype=bool)
    return compared(labels.y[seen], is_hit[seen], {way: mean[seen] for way, mean in left_out.items()})


def compared(y: FloatArray, is_hit: npt.NDArray[np.bool_], means: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Say of each way how far it was off, and how well it ranked the hits.

    Args:
        y: shape (n,), labels of compounds that have a profile.
        is_hit: shape (n,).
        means: by way, each shape (n,); compounds that one of them could not predict are left out.

    Returns:
        n, n_hits, rmse and auc by way; None where there is no compound, or not both hits and others.
    """
    known = np.isfinite(np.stack([y, *means.values()])).all(axis=0)
    hit = is_hit[known].astype(np.float64)
    rmse = {w: score(y[known], m[known], is_binary=False) if known.any() else np.nan for w, m in means.items()}
    auc = {w: roc_auc(hit, m[known]) for w, m in means.items()}
    found = {name: {w: _told(v) for w, v in by.items()} for name, by in (("rmse", rmse), ("auc", auc))}
    return {"n": int(known.sum()), "n_hits": int(hit.sum()), **found}


def _told(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def met_beside(path: Path, met: pl.DataFrame) -> dict[str, Any]:
    """Compare the ways on a plate: what each had predicted before, and what was measured.

    Args:
        path: FILE of the fit that chose the plate.
        met: compound_id, mean (of the belief), label and is_hit.
    """
    table = pl.read_parquet(path).filter("has_profile")
    both = met.select("compound_id", "label", "is_hit", belief="mean").join(table, on="compound_id", how="inner")
    ways = ["belief", *(way for way in WAYS if way in table.columns)]
    is_hit = both["is_hit"].fill_null(value=False).to_numpy().astype(bool)
    return compared(both["label"].to_numpy(), is_hit, {way: both[way].to_numpy() for way in ways})


def beside_text(told: Mapping[str, Any], where: str) -> str:
    """Say in a line how the ways compare."""
    if not told["n"]:
        return f"images {where}: no compound with a profile, so nothing can be compared"
    parts = []
    for way in (way for way in _NAMES if way in told["rmse"]):
        rmse, auc = told["rmse"][way], told["auc"][way]
        parts.append(f"{_NAMES[way]} {rmse:.3f}" + ("" if auc is None else f" (AUC {auc:.2f})"))
    lack = "" if "cell_count" in told["rmse"] else "; no cell-count baseline: no column is known to be a cell count"
    return f"images {where}: RMSE of {told['n']} compounds with a profile: {', '.join(parts)}{lack}"


_NAMES: Mapping[str, str] = {
    "belief": "belief",
    "chemistry": "chemistry alone",
    "profiles": "images alone",
    "cell_count": "cell count alone",
}
