"""Wells for compounds measured before: hits once more, and hits at every dose of a series."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from controller.steps.stocked import give_every
from nextplate.prediction import Pick
from protocols.stock import DOSE_TOLERANCE

_NAN = float("nan")


def series(tested: pl.DataFrame, stock: Path, params: Mapping[str, Any]) -> tuple[tuple[Pick, ...], tuple[str, ...]]:
    """Give the best hits without a series every dose of one: those seen in several wells first.

    Args:
        tested: sample wells of all doses.
        stock: the snapshot; a compound needs a well that gives each dose.
        params: of the step pick; budget tells the wells and the doses.

    Returns:
        Picks, and what became of wells that they do not take.
    """
    budget = params.get("budget") or {}
    doses = tuple(budget.get("doses_um", ()))
    n_wells = budget.get("wells", {}).get("dose-response", 0)
    if not n_wells:
        return (), ()
    each = _hits(tested, params).filter(~pl.col("compound_id").is_in(_with_series(tested, params)))
    given = give_every(stock, params, doses)
    is_given = [compound in given for compound in each["compound_id"]]
    fit = each.filter(pl.Series(is_given, dtype=pl.Boolean))
    best = fit.sort(pl.col("n") > 1, "activity", "compound_id", descending=[True, True, False])
    picks = tuple(_again(row, "dose-response", doses) for row in best.head(n_wells // len(doses)).to_dicts())
    return picks, _told(n_wells, len(picks), doses, len(each) - len(fit))


def _told(n_wells: int, n_picks: int, doses: Sequence[float], n_not_given: int) -> tuple[str, ...]:
    free = n_wells - n_picks * len(doses)
    if free <= 0:
        return ()
    strong = f"; of {n_not_given} hits no stock wells give every dose" if n_not_given else ""
    series = "series" if n_picks == 1 else "series each"
    what = f"dose-response: {n_picks} compounds got a {series}" if n_picks else "dose-response: no hit can get a series"
    return (f"{what}{strong}; its other {free} wells go to new compounds",)


def confirm(
    tested: pl.DataFrame, stock: Mapping[str, int], params: Mapping[str, Any], excluded: Sequence[str] = ()
) -> tuple[Pick, ...]:
    """Test the best hits that had a single well once more: a hit seen twice is worth more than two seen once."""
    if tested.is_empty() or not params["n_confirm"]:
        return ()
    can = pl.col("compound_id").is_in(sorted({*stock} - {*excluded}))
    once = _hits(tested, params).filter((pl.col("n") == 1) & can)
    best = once.sort("activity", "compound_id", descending=[True, False]).head(params["n_confirm"])
    return tuple(_again(row, "confirm", ()) for row in best.to_dicts())


def _again(row: Mapping[str, Any], reason: str, doses: tuple[float, ...]) -> Pick:
    known = row["activity"]
    return Pick(row["compound_id"], reason, known, known, _NAN, _NAN, _NAN, _NAN, 1.0, len(doses) or 1, doses)


def _hits(tested: pl.DataFrame, params: Mapping[str, Any]) -> pl.DataFrame:
    """Sum up the hits at the plate's dose: compound_id, n (wells), activity."""
    if tested.is_empty():
        return pl.DataFrame(schema={"compound_id": pl.String, "n": pl.UInt32, "activity": pl.Float64})
    used = tested.filter(pl.col("is_used") & ~_is_other_dose(tested, params))
    each = used.group_by("compound_id").agg(n=pl.len(), activity=pl.col("activity").mean(), hit=pl.col("is_hit").any())
    return each.filter("hit").drop("hit")


def _with_series(tested: pl.DataFrame, params: Mapping[str, Any]) -> list[str]:
    if tested.is_empty():
        return []
    return tested.filter(_is_other_dose(tested, params))["compound_id"].unique().to_list()


def _is_other_dose(tested: pl.DataFrame, params: Mapping[str, Any]) -> pl.Expr:
    """Tell the wells of a series apart from those at the dose of the plate."""
    if "dose_um" not in tested.columns:
        return pl.lit(value=False)
    is_other = (pl.col("dose_um") / float(params["dose_um"]) - 1).abs() > DOSE_TOLERANCE
    return is_other.fill_null(value=False)
