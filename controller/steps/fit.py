"""fit: responses so far -> a belief, its cross-validated predictions, its predictions for the whole library."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.data import integer_seed, tested_responses
from nextplate.chem.kernel import max_tanimoto, tanimoto
from nextplate.chem.library import load_features
from nextplate.chem.pages import release_pages
from nextplate.compound import Features
from nextplate.models import fit_and_cross, kind_of
from nextplate.models.funnel import N_LOT, N_PASSED, Funnelled, predict_all

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

NOTHING_KNOWN = (0.0, 1.0)
"""Mean and spread before any label: like the negative control, give or take the distance to the positive one."""
_BLOCK = 1_024
# Of a library that lies on disk, so that it is never in memory as a whole.
_ROWS = 100_000


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write belief/, oof.parquet (out-of-fold, one row per labelled compound) and raw.parquet (all compounds).

    Both tables tell the similarity (Tanimoto, ECFP4) to the nearest labelled compound other than itself, NaN where
    there is none. A large library is predicted in two stages where the kind is dear (``models.funnel``): raw.parquet
    says which compounds were predicted in full and which of them were drawn by lot. Without a single usable label
    there is no belief/, and every compound is believed to be like the negative control; the notes say so.
    """
    features = load_features(inputs["library"])
    labels, notes = _labels(inputs, features.compound_ids)
    rows, y = labels["row"].to_numpy().astype(np.intp), labels["label"].to_numpy()
    unseen, everywhere, told = _believed(features, labels, params, out)
    notes += (*told, *everywhere.notes)
    own, near = similarities(features, rows)
    oof = {"mean": unseen[0], "spread": unseen[1], "similarity": own}
    labels.drop("row").with_columns(**{k: pl.Series(v) for k, v in oof.items()}).write_parquet(out / "oof.parquet")
    said = {name: getattr(everywhere, name) for name in ("mean", "spread", "in_full", "by_lot")}
    raw = {"compound_id": list(features.compound_ids), **said, "similarity": near}
    pl.DataFrame(raw).write_parquet(out / "raw.parquet")
    rmse, rmse_error = root_mean_square((unseen[0] - y) ** 2)
    return {
        "n_compounds": len(labels),
        "n_hits": int(labels["is_hit"].sum()),
        "rmse": rmse if np.isfinite(rmse) else None,
        "rmse_error": rmse_error if np.isfinite(rmse_error) else None,
        "notes": list(notes),
    }


def _believed(
    features: Features, labels: pl.DataFrame, params: Mapping[str, Any], out: Path
) -> tuple[tuple[FloatArray, FloatArray], Funnelled, tuple[str, ...]]:
    """Fit and save a belief; left-out predictions of the labelled, predictions of all, and the belief's notes."""
    if labels.is_empty():
        n = len(features.compound_ids)
        nothing, (mean, spread) = np.empty(0), NOTHING_KNOWN
        note = "no belief: no well has a usable response; every compound is believed to be like the negative control"
        everyone = np.ones(n, dtype=bool)
        return (nothing, nothing), Funnelled(np.full(n, mean), np.full(n, spread), everyone, everyone, ()), (note,)
    rows, y = labels["row"].to_numpy().astype(np.intp), labels["label"].to_numpy()
    weight = labels["n_wells"].to_numpy().astype(np.float64)
    kind, seed = kind_of(params["kind"]), integer_seed(params)
    belief, unseen_mean, unseen_spread = fit_and_cross(kind, features, rows, y, weight, seed)
    rmse, _ = root_mean_square((unseen_mean - y) ** 2)
    kind.save(belief, out / "belief", metrics={"rmse": rmse})
    everywhere = predict_all(
        kind,
        belief,
        features,
        lambda screen: screen.fit(features, rows, y, weight, seed),
        seed=seed,
        n_passed=params.get("n_passed", N_PASSED),
        n_lot=params.get("n_lot", N_LOT),
    )
    return (unseen_mean, unseen_spread), everywhere, tuple(getattr(belief, "notes", ()))


def similarities(features: Features, rows: Index) -> tuple[FloatArray, FloatArray]:
    """Tell how like compounds are to what is labelled.

    Args:
        features: of the library.
        rows: shape (n,), labelled, each once.

    Returns:
        Of each labelled compound to the nearest other labelled one, shape (n,), and of every compound of the library
        to the nearest labelled one but itself, shape (m,); NaN where there is none.
    """
    known = np.ascontiguousarray(features.fingerprints[rows])
    own = np.full(len(rows), np.nan)
    for start in range(0, len(rows) if len(rows) > 1 else 0, _BLOCK):
        block = tanimoto(known[start : start + _BLOCK], known)
        block[np.arange(len(block)), start + np.arange(len(block))] = -1.0
        own[start : start + _BLOCK] = block.max(axis=1)
    everywhere = np.empty(len(features.compound_ids))
    for start in range(0, len(everywhere), _ROWS):
        part = slice(start, start + _ROWS)
        everywhere[part] = max_tanimoto(features.fingerprints[part], known)[0]
        release_pages(features)
    everywhere[rows] = own
    return own, everywhere


def root_mean_square(squares: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the root of the mean and its standard error, sd(squares) / (2 root sqrt(n)) by the delta method.

    Both are NaN of no squares, the error also of one.
    """
    if not len(squares):
        return float("nan"), float("nan")
    root = float(np.sqrt(squares.mean()))
    if len(squares) < 2 or not root > 0:
        return root, float("nan")
    return root, float(squares.std(ddof=1)) / (2 * root * np.sqrt(len(squares)))


def _labels(inputs: Mapping[str, Path], compound_ids: Sequence[str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Average the labels of each compound's wells, in library order; also what was left out."""
    tested = tested_responses(inputs)
    used = tested.filter(pl.col("label").is_not_null())
    rows = pl.DataFrame({"compound_id": list(compound_ids), "row": np.arange(len(compound_ids))})
    means = used.group_by("compound_id").agg(
        label=pl.col("label").mean(), n_wells=pl.len(), is_hit=pl.col("is_hit").any()
    )
    n_infinite = int(tested["activity"].is_infinite().sum()) if "activity" in tested.columns else 0
    notes = (f"{n_infinite} wells with an infinite response were left out",) if n_infinite else ()
    return rows.join(means, on="compound_id").sort("row"), notes
