"""fit: responses so far -> a belief, its cross-validated predictions, its predictions for the whole library."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from controller.step import Progress
from controller.steps.beside import beside_text, write_beside
from controller.steps.data import integer_seed, open_library, tested_responses
from controller.steps.drawing import write_draws
from controller.steps.labels import Gathered, gather
from controller.steps.second import write_endpoints
from nextplate.chem.kernel import max_tanimoto
from nextplate.chem.pages import release_pages
from nextplate.chem.similarity import nearest_other
from nextplate.compound import Features
from nextplate.models import fit_and_cross, kind_of
from nextplate.models.funnel import N_LOT, N_PASSED, Funnelled, predict_all
from nextplate.models.profile_file import read_profiles, told_overlap

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Pair = tuple[FloatArray, FloatArray]

NOTHING_KNOWN = (0.0, 1.0)
"""Mean and spread before any label: like the negative control, give or take the distance to the positive one."""
# Of a library that lies on disk, so that it is never in memory as a whole.
_ROWS = 100_000


def run(inputs: Mapping[str, Path], params: Mapping[str, Any], out: Path, _progress: Progress) -> dict[str, Any]:
    """Write belief/, oof.parquet (out-of-fold, one row per labelled compound) and raw.parquet (all compounds).

    Both tables tell the similarity (Tanimoto, ECFP4) to the nearest labelled compound other than itself, NaN where
    there is none. A large library is predicted in two stages where the kind is dear (``models.funnel``): raw.parquet
    says which compounds were predicted in full and which of them were drawn by lot. Without a single usable label
    there is no belief/, and every compound is believed to be like the negative control; the notes say so. Where the
    settings ask for it, endpoints.parquet tells of viability beside activity (controller.steps.second), and draws.npy
    holds joint draws (controller.steps.drawing). With an input ``profiles``, a file of image profiles, beside.parquet
    tells what chemistry, images and cell counts alone say (controller.steps.beside).
    """
    library, tested = open_library(inputs["library"]), tested_responses(inputs)
    features, pictured = with_profiles(library, inputs, params)
    seed = integer_seed(params)
    labels = gather(tested, features, params, seed)
    known = labels.compounds
    belief, unseen, everywhere, told = _believed(features, labels, params, seed, out)
    own, near = similarities(features, known["row"].to_numpy().astype(np.intp))
    mean, spread = (values[labels.at] for values in unseen)
    oof = {"mean": mean, "spread": spread, "similarity": own}
    known.drop("row").with_columns(**{k: pl.Series(v) for k, v in oof.items()}).write_parquet(out / "oof.parquet")
    rmse, rmse_error = root_mean_square((mean - known["label"].to_numpy()) ** 2)
    further, everywhere = _further(tested, features, labels, (belief, everywhere, unseen), params, out)
    said = {name: getattr(everywhere, name) for name in ("mean", "spread", "in_full", "by_lot")}
    raw = {"compound_id": list(features.compound_ids), **said, "similarity": near}
    pl.DataFrame(raw).write_parquet(out / "raw.parquet")
    beside = None
    if belief is not None and features.profiles is not None:
        beside = write_beside(features, features.profiles, labels, unseen[0], seed, out)
        pictured = (*pictured, beside_text(beside, "in cross-validation"))
    return {
        "n_compounds": len(known),
        "n_hits": int(known["is_hit"].sum()),
        "rmse": rmse if np.isfinite(rmse) else None,
        "rmse_error": rmse_error if np.isfinite(rmse_error) else None,
        **further,
        **({} if beside is None else {"beside": beside}),
        "notes": [*pictured, *labels.notes, *told, *further.get("notes", ())],
    }


def with_profiles(
    features: Features, inputs: Mapping[str, Path], params: Mapping[str, Any]
) -> tuple[Features, tuple[str, ...]]:
    """Give the library its image profiles, if there are any, and say how many compounds have one.

    Raises:
        DataError: the file cannot be used, or no compound of the library is in it.
    """
    if "profiles" not in inputs:
        return features, ()
    path = inputs["profiles"]
    found = read_profiles(path, count_column=params.get("cell_count"))
    told = told_overlap(path, found.profiles, tuple(features.compound_ids), "the library")
    return replace(features, profiles=found.profiles), (*found.notes, told)


def _further(
    tested: pl.DataFrame,
    features: Features,
    labels: Gathered,
    believed: tuple[Any, Funnelled, Pair],
    params: Mapping[str, Any],
    out: Path,
) -> tuple[dict[str, Any], Funnelled]:
    """Do what only some settings ask for: a second endpoint, joint draws, the noise of a well.

    The predictions come back as they went in, but for what a second endpoint could not be predicted in full of.
    """
    told: dict[str, Any] = {} if np.isnan(labels.noise) else {"noise": labels.noise}
    notes: list[str] = []
    belief, everywhere, _ = believed
    if belief is not None and params.get("viability", "gate") == "endpoint":
        second, everywhere = write_endpoints(tested, features, labels, believed, params, integer_seed(params), out)
        notes += second.pop("notes")
        told["viability"] = second
    if belief is not None and "draws_for" in params:
        notes += write_draws(belief, features, labels.compounds, everywhere, params, out)
    return ({**told, "notes": notes} if told or notes else {}), everywhere


def _believed(
    features: Features, labels: Gathered, params: Mapping[str, Any], seed: int, out: Path
) -> tuple[Any, Pair, Funnelled, tuple[str, ...]]:
    """Fit and save a belief; the belief, left-out predictions of the labels, predictions of all, and notes."""
    if len(labels.y) == 0:
        n = len(features.compound_ids)
        nothing, (mean, spread) = np.empty(0), NOTHING_KNOWN
        note = "no belief: no well has a usable response; every compound is believed to be like the negative control"
        everyone = np.ones(n, dtype=bool)
        everywhere = Funnelled(np.full(n, mean), np.full(n, spread), everyone, everyone, ())
        return None, (nothing, nothing), everywhere, (note,)
    kind = kind_of(params["kind"])
    belief, *unseen = fit_and_cross(kind, features, labels.rows, labels.y, labels.weight, seed)
    rmse, _ = root_mean_square((unseen[0] - labels.y) ** 2)
    kind.save(belief, out / "belief", metrics={"rmse": rmse})
    everywhere = predict_all(
        kind,
        belief,
        features,
        lambda screen: screen.fit(features, labels.rows, labels.y, labels.weight, seed),
        seed=seed,
        n_passed=params.get("n_passed", N_PASSED),
        n_lot=params.get("n_lot", N_LOT),
    )
    notes = (*getattr(belief, "notes", ()), *everywhere.notes)
    return belief, (unseen[0], unseen[1]), everywhere, notes


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
    own = nearest_other(known).astype(np.float64)
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
