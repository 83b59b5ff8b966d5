"""The dose series of a measured plate: their curves, and whether doses stand in the order of rows or columns."""

import numpy as np
import polars as pl

from nextplate.assay.dose_response import Axis, dose_responses
from nextplate.assay.measured_layout import INDEX, MeasuredLayout
from nextplate.assay.statistics import Values
from nextplate.plate import Role, parse_well

_ORDERED = 0.8
"""Share of the doses' variance explained by row or column from which the two cannot be told apart."""
_FEWEST = 12


def plate_dose_responses(rows: pl.DataFrame, layout: MeasuredLayout, response: str) -> pl.DataFrame:
    """Fit every series of a plate.

    A series is the good samples of a compound, and at dose 0 its own negative controls, or those of the plate where
    they belong to no series. Positive controls are never part of a curve: they may hold another compound.

    Args:
        rows: with well, role, is_good and the response.
        layout: who sits where; compounds without any dose are left out.
        response: the column to fit.

    Returns:
        As `dose_responses`, its first columns being compound_id, dose_unit and axis.
    """
    doses = layout.table().select("well", "compound_id", "dose", "dose_unit")
    good = rows.filter(pl.col("is_good")).select("well", "role", response).join(doses, on="well")
    samples = good.filter((pl.col("role") == str(Role.SAMPLE)) & pl.col("dose").is_not_null())
    units = dict(samples.filter(pl.col("dose") > 0).group_by("compound_id").agg(pl.col("dose_unit").first()).rows())
    parts = [_of_axis(samples, good, axis, {c: u for c, u in units.items() if c and _axis(u) is axis}, response)
             for axis in Axis]  # fmt: skip
    return pl.concat(parts).sort("compound_id")


def _axis(unit: str) -> Axis:
    return Axis.INDEX if unit == INDEX else Axis.CONCENTRATION


def _of_axis(
    samples: pl.DataFrame, good: pl.DataFrame, axis: Axis, units: dict[str, str], response: str
) -> pl.DataFrame:
    columns = ("compound_id", "dose", response)
    wells = [samples.filter(pl.col("compound_id") == c).select(columns) for c in units]
    none = [_without_compound(good, c).with_columns(compound_id=pl.lit(c)).select(columns) for c in units]
    table = pl.concat([*wells, *none]) if units else samples.clear().select(columns)
    found = dose_responses(table, series="compound_id", dose="dose", response=response, axis=axis)
    unit = pl.Series("dose_unit", [units[c] for c in found["compound_id"]], pl.String)
    return found.select("compound_id", unit, pl.lit(str(axis)).alias("axis"), pl.exclude("compound_id"))


def _without_compound(good: pl.DataFrame, compound: str) -> pl.DataFrame:
    """Return the negatives of a series at dose 0; those of no series where it has none of its own."""
    negative = good.filter((pl.col("role") == str(Role.NEGATIVE)) & (pl.col("dose").fill_null(0.0) == 0))
    own = negative.filter(pl.col("compound_id") == compound)
    shared = negative.filter(pl.col("compound_id").is_null())
    return (shared if own.is_empty() else own).with_columns(dose=pl.lit(0.0))


def dose_order(layout: MeasuredLayout) -> str | None:
    """Say 'row' or 'column' where the doses follow it, so that its effect and theirs cannot be told apart; else None.

    They do when four fifths of the variance of log dose (of an index: of the index) lie between the lines.
    """
    wells = [w for w in layout.wells if w.role is Role.SAMPLE and w.dose]
    if len(wells) < _FEWEST or len({w.dose for w in wells}) < 3:
        return None
    x = np.array([w.dose if w.dose_unit == INDEX else np.log10(w.dose_um or w.dose or 1) for w in wells])
    places = np.array([parse_well(w.well) for w in wells])
    shares = {"row": _between(x, places[:, 0]), "column": _between(x, places[:, 1])}
    line = max(shares, key=lambda name: shares[name])
    return line if shares[line] >= _ORDERED else None


def _between(x: Values, line: Values) -> float:
    code = np.unique(line, return_inverse=True)[1]
    count = np.bincount(code)
    if len(count) == len(x) or float(np.var(x)) == 0:
        return 0.0
    means = np.bincount(code, x) / count
    return float((count * (means - x.mean()) ** 2).sum() / ((x - x.mean()) ** 2).sum())
