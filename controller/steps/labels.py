"""Wells to labels: one per compound for the calibration, one per structure for the belief, weighed and uncensored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.compound import Features
from nextplate.models import kind_of
from nextplate.models.replicates import first_of_structure, impute_censored, merge_replicates

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_N_NAMED = 3
"""Compounds with conflicting wells that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was measured, and what a belief is fitted to."""

    compounds: pl.DataFrame
    """One row per labelled compound, in library order: compound_id, row, label (mean of its wells as measured),
    n_wells, is_hit."""
    rows: Index
    """Shape (n,): rows of the library that the belief is fitted to."""
    y: FloatArray
    """Shape (n,)."""
    weight: FloatArray
    """Shape (n,)."""
    at: Index
    """Shape (len(compounds),): which of the n each compound is; duplicates of one structure are the same."""
    notes: tuple[str, ...]
    noise: float = float("nan")
    """Standard deviation of a single well; NaN where it was not estimated."""


def gather(tested: pl.DataFrame, features: Features, params: Mapping[str, Any], seed: int) -> Gathered:
    """Make labels of wells.

    A well at or beyond a bound of the detector counts as the bound before wells are averaged. A label is censored where
    all its wells are, on one side; where some wells are values it is the mean of those and the bounds: too near to
    the middle, but no more so than any well beyond the bound is.

    Args:
        tested: sample wells with a column label, null where nothing is learned.
        features: of the library.
        params: replicates (count or noise), censored_above, censored_below, kind; each may be left out but kind.
        seed: of the beliefs that tell what a censored label may be.

    Raises:
        ModelError: as the kind's fit, where labels are censored.
    """
    rows = pl.DataFrame({"compound_id": list(features.compound_ids), "row": np.arange(len(features.compound_ids))})
    used = tested.filter(pl.col("label").is_not_null()).join(rows, on="compound_id", maintain_order="left")
    bounded = pl.col("label").clip(params.get("censored_below"), params.get("censored_above"))
    means = used.group_by("compound_id").agg(
        label=pl.col("label").mean(), y=bounded.mean(), n_wells=pl.len(), is_hit=pl.col("is_hit").any()
    )
    compounds = rows.join(means, on="compound_id").sort("row")
    y, compounds = compounds["y"].to_numpy(), compounds.drop("y")
    n_infinite = int(tested["activity"].is_infinite().sum()) if "activity" in tested.columns else 0
    notes = (f"{n_infinite} wells with an infinite response were left out",) if n_infinite else ()
    labels = _counted(compounds, y, notes)
    if params.get("replicates", "count") == "noise" and len(compounds):
        labels = _by_noise(labels, used.with_columns(bounded), features)
    else:
        labels = replace(labels, notes=(*labels.notes, *_contradictions(compounds, features)))
    return _uncensored(labels, used, features, params, seed)


def _counted(compounds: pl.DataFrame, y: FloatArray, notes: tuple[str, ...]) -> Gathered:
    rows = compounds["row"].to_numpy().astype(np.intp)
    return Gathered(compounds, rows, y, compounds["n_wells"].to_numpy().astype(np.float64), np.arange(len(rows)), notes)


def _contradictions(compounds: pl.DataFrame, features: Features) -> tuple[str, ...]:
    """Name structures that are in the library more than once, and of which one entry is a hit and another is not."""
    smiles = pl.Series("smiles", [features.smiles[row] for row in compounds["row"].to_list()], pl.String)
    told = compounds.with_columns(smiles).group_by("smiles", maintain_order=True).agg("compound_id", "is_hit")
    apart = told.filter(pl.col("is_hit").list.any() & ~pl.col("is_hit").list.all())
    if apart.is_empty():
        return ()
    named = "; ".join(" and ".join(ids) for ids in apart["compound_id"].to_list()[:_N_NAMED])
    return (
        f"{len(apart)} structures are in the library more than once and are a hit in one entry and none in another "
        f"({named}): each entry counts by itself; belief.replicates = 'noise' merges them",
    )


def _by_noise(labels: Gathered, used: pl.DataFrame, features: Features) -> Gathered:
    """Merge the wells of each structure, and weigh them by what they tell."""
    values = used["label"].to_numpy()
    if np.isin(values, (0.0, 1.0)).all():
        return replace(labels, notes=(*labels.notes, "replicates: every label is 0 or 1, so wells are counted"))
    merged = merge_replicates(features, used["row"].to_numpy(), values)
    first = first_of_structure(features)[labels.rows]
    n_more = len(merged.conflicts) - _N_NAMED
    said = [f"conflicting wells: {text}" for text in merged.conflicts[:_N_NAMED]]
    said += [f"conflicting wells of {n_more} more compounds"] if n_more > 0 else []
    if np.isnan(merged.noise):
        said.append("replicates: no structure has two wells, so all labels weigh the same")
    else:
        said.append(f"replicates: a well varies by {merged.noise:.3g} (standard deviation)")
    if n_doubled := len(labels.rows) - len(merged.rows):
        said.append(f"{n_doubled} labelled compounds have the structure of another one, and were merged with it")
    at = np.searchsorted(merged.rows, first)
    notes = (*labels.notes, *said)
    return Gathered(labels.compounds, merged.rows, merged.y, merged.weight, at, notes, merged.noise)


def _uncensored(
    labels: Gathered, used: pl.DataFrame, features: Features, params: Mapping[str, Any], seed: int
) -> Gathered:
    """Replace labels that are bounds by what is expected beyond them, for the belief; what was measured stays."""
    bounds = [(-1, params.get("censored_below")), (1, params.get("censored_above"))]
    side = np.zeros(len(labels.rows), dtype=np.intp)
    structure = dict(zip(labels.compounds["row"].to_list(), labels.at.tolist(), strict=True))
    at = np.array([structure[row] for row in used["row"].to_list()], dtype=np.intp)
    n_wells = np.bincount(at, minlength=len(side))
    for sign, bound in bounds:
        if bound is not None:
            beyond = at[sign * used["label"].to_numpy() >= sign * bound]
            side[np.bincount(beyond, minlength=len(side)) == n_wells] = sign
    if not side.any():
        return labels
    found = impute_censored(kind_of(params["kind"]), features, labels.rows, labels.y, side, labels.weight, seed)
    return replace(labels, y=found.y, notes=(*labels.notes, *found.notes))
