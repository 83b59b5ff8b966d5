"""fit: responses so far -> a belief, its cross-validated predictions, its predictions for the whole library."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.data import integer_seed, tested_responses
from nextplate.chem.library import load_features
from nextplate.models import fit_and_cross, kind_of, predict_library


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write belief/, oof.parquet (out-of-fold, one row per labelled compound) and raw.parquet (all compounds)."""
    features = load_features(inputs["library"])
    labels = _labels(inputs, features.compound_ids)
    rows, y = labels["row"].to_numpy().astype(np.intp), labels["label"].to_numpy()
    weight, seed = labels["n_wells"].to_numpy().astype(np.float64), integer_seed(params)
    kind = kind_of(params["kind"])
    belief, mean, spread = fit_and_cross(kind, features, rows, y, weight, seed)
    labels.drop("row").with_columns(mean=mean, spread=spread).write_parquet(out / "oof.parquet")
    rmse, rmse_error = root_mean_square((mean - y) ** 2)
    kind.save(belief, out / "belief", metrics={"rmse": rmse})
    all_mean, all_spread = predict_library(kind, belief, features)
    columns = {"compound_id": list(features.compound_ids), "mean": all_mean, "spread": all_spread}
    pl.DataFrame(columns).write_parquet(out / "raw.parquet")
    return {
        "n_compounds": len(labels),
        "n_hits": int(labels["is_hit"].sum()),
        "rmse": rmse if np.isfinite(rmse) else None,
        "rmse_error": rmse_error if np.isfinite(rmse_error) else None,
        "notes": list(getattr(belief, "notes", ())),
    }


def root_mean_square(squares: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the root of the mean and its standard error, sd(squares) / (2 root sqrt(n)) by the delta method."""
    root = float(np.sqrt(squares.mean()))
    if len(squares) < 2 or not root > 0:
        return root, float("nan")
    return root, float(squares.std(ddof=1)) / (2 * root * np.sqrt(len(squares)))


def _labels(inputs: Mapping[str, Path], compound_ids: tuple[str, ...]) -> pl.DataFrame:
    """Average the labels of each compound's wells, in library order."""
    used = tested_responses(inputs).filter(pl.col("label").is_not_null())
    rows = pl.DataFrame({"compound_id": list(compound_ids), "row": np.arange(len(compound_ids))})
    means = used.group_by("compound_id").agg(
        label=pl.col("label").mean(), n_wells=pl.len(), is_hit=pl.col("is_hit").any()
    )
    return rows.join(means, on="compound_id").sort("row")
