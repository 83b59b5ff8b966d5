"""The occupied wells of a plate as arrays, and the scale its own controls give."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl

from nextplate.assay import statistics
from nextplate.assay.endpoint import NC_RATIO, Endpoint, Method
from nextplate.assay.monotone import Direction
from nextplate.assay.params import AssayParams
from nextplate.assay.spatial import Bools, SpatialEffect, edge_wells, inactive, spatial_effect
from nextplate.assay.statistics import Values
from nextplate.errors import DataError
from nextplate.imaging.quality import excludes
from nextplate.plate import Layout, LayoutWell, Role

_NEEDED = ("plate", "well", "n_fields", "n_cells", "flags")
_VALUE = "\0value"
"""The endpoint's column among the needed ones, under a name that no table has."""
_NO_CORRECTION = "none"


@dataclass(frozen=True, slots=True)
class Occupied:
    """The wells of a plate that hold something, as arrays of shape (n,), in layout order."""

    layout: Layout
    wells: tuple[LayoutWell, ...]
    raw: Values
    """The endpoint's numbers; NaN where a well has none or must not be trusted."""
    measured: Values
    """The same before trust; NaN only where there is none."""
    cells: Values
    """Cells per measured field; NaN with no field."""
    flags: tuple[str, ...]
    is_good: Bools
    """Trusted, with a number."""
    is_counted: Bools
    """The number of cells can be trusted; an empty field counts, that is what total kill looks like."""
    endpoint: Endpoint = NC_RATIO

    def role(self, role: Role) -> Bools:
        """Say of each well whether it has this role."""
        return np.array([w.role is role for w in self.wells], dtype=np.bool_)

    def names(self) -> list[str]:
        """Return the well names."""
        return [w.well for w in self.wells]


@dataclass(frozen=True, slots=True)
class ControlScale:
    """The plate's own controls; None where they do not give it."""

    negative: Values
    """Good wells, raw scale after correction."""
    positive: Values
    negative_median: float | None
    positive_median: float | None
    negative_sd: float | None
    cells: float | None
    failures: tuple[str, ...]
    """Why there is no activity."""
    is_scarce: bool
    """True when a control has too few good wells."""
    endpoint: Endpoint = NC_RATIO

    @property
    def window(self) -> float | None:
        """positive_median - negative_median; None when there is no activity scale or no good positive control."""
        if self.failures or self.negative_median is None or self.positive_median is None:
            return None
        return self.positive_median - self.negative_median

    @property
    def unit(self) -> float | None:
        """What one unit of activity is on the raw scale, with its sign; None when there is no activity scale."""
        if self.endpoint.method is Method.CONTROLS:
            return self.window
        return self.sign * self.negative_sd if self.negative_sd and not self.failures else None

    @property
    def sign(self) -> float:
        """+1 where an effect raises the raw number, -1 where it lowers it."""
        if self.endpoint.direction is not None:
            return 1.0 if self.endpoint.direction is Direction.UP else -1.0
        return float(np.sign(self.window)) if self.window else 1.0


def assemble(wells: pl.DataFrame, layout: Layout, endpoint: Endpoint = NC_RATIO) -> Occupied:
    """Bring measurements into layout order.

    Raises:
        DataError: a column is missing, a well occurs twice, or the wells are another plate's.
    """
    _check(wells, layout, endpoint.column)
    needed = wells.select(*_NEEDED, pl.col(endpoint.column).cast(pl.Float64).alias(_VALUE))
    known = {str(row["well"]): row for row in needed.iter_rows(named=True)}
    absent = {"n_fields": 0, "n_cells": 0, _VALUE: None, "flags": "no-image"}
    occupied = tuple(w for w in layout.wells if w.role is not Role.EMPTY)
    found = [known.get(w.well, absent) for w in occupied]
    measured = np.array([np.nan if r[_VALUE] is None else r[_VALUE] for r in found], dtype=np.float64)
    fields = np.array([r["n_fields"] for r in found], dtype=np.float64)
    cells = np.array([r["n_cells"] or 0 for r in found], dtype=np.float64)
    is_trusted = np.array([not excludes(str(r["flags"]), int(r["n_fields"])) for r in found], dtype=np.bool_)
    is_counted = np.array([not excludes(_not_empty(str(r["flags"])), int(r["n_fields"])) for r in found], np.bool_)
    is_good = is_trusted & np.isfinite(measured)
    code = "no-ratio" if endpoint.column == NC_RATIO.column else "no-value"
    is_blank = is_trusted & ~is_good
    flags = tuple(joined(str(r["flags"]), code if no else "") for r, no in zip(found, is_blank, strict=True))
    per_field = np.where(fields > 0, cells / np.maximum(fields, 1), np.nan)
    raw = np.where(is_good, measured, np.nan)
    return Occupied(layout, occupied, raw, measured, per_field, flags, is_good, is_counted, endpoint)


def _check(wells: pl.DataFrame, layout: Layout, column: str) -> None:
    absent = [c for c in (*_NEEDED, column) if c not in wells.columns]
    if absent:
        raise DataError(f"the measured wells of plate {layout.barcode} lack the columns {', '.join(absent)}")
    names = wells["well"].to_list()
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise DataError(f"plate {layout.barcode}: wells measured twice: {', '.join(twice[:5])}")
    others = sorted({str(p) for p in wells["plate"].to_list()} - {layout.barcode})
    if others:
        raise DataError(
            f"these wells are of plate {', '.join(others)}, the layout is that of plate {layout.barcode}; "
            "give the layout of the plate that was imaged"
        )


def _not_empty(flags: str) -> str:
    return ";".join(code for code in flags.split(";") if code != "empty-field")


def joined(flags: str, code: str) -> str:
    """Append a reason code to ';'-joined flags; '' adds nothing."""
    return ";".join(c for c in (flags, code) if c)


def position_effect(plate: Occupied) -> SpatialEffect:
    """Measure position effects on negatives and on samples that do nothing."""
    candidates = plate.is_good & (plate.role(Role.NEGATIVE) | plate.role(Role.SAMPLE))
    chosen = inactive(plate.raw, candidates)
    return spatial_effect(plate.raw, plate.names(), chosen, plate.layout.plate_format)


def corrected(plate: Occupied, effect: SpatialEffect, params: AssayParams) -> tuple[Values, str]:
    """Shift the outer ring to the interior where an edge effect was found."""
    shift, unit = effect.edge_shift, plate.endpoint.unit
    if shift is None or effect.edge_z is None or abs(effect.edge_z) < params.edge_z_limit:
        return plate.measured, _NO_CORRECTION
    if not params.corrects_edge:
        return plate.measured, _spaced(
            f"{_NO_CORRECTION}: an edge effect of {shift:+.3f}", unit, "was found and left in"
        )
    is_edge = edge_wells(plate.names(), plate.layout.plate_format)
    found = f"(z {effect.edge_z:+.1f}, {effect.n_edge} edge and {effect.n_inner} inner inactive wells)"
    words = _spaced(f"edge ring shifted by {-shift:+.3f}", unit, found)
    return plate.measured - np.where(is_edge, shift, 0.0), words


def _spaced(*words: str) -> str:
    return " ".join(word for word in words if word)


def control_scale(plate: Occupied, values: Values, params: AssayParams) -> ControlScale:
    """Take the scale from the good control wells; `values` are the corrected raw values, shape (n,)."""
    endpoint = plate.endpoint
    negative = values[plate.is_good & plate.role(Role.NEGATIVE)]
    positive = values[plate.is_good & plate.role(Role.POSITIVE)]
    needed = [(Role.NEGATIVE, negative), (Role.POSITIVE, positive)]
    scarce = [
        f"{len(good)} good {role} control wells, {params.min_controls} are needed: no activity can be computed"
        for role, good in (needed if endpoint.method is Method.CONTROLS else needed[:1])
        if len(good) < params.min_controls
    ]
    low, high = _median(negative), _median(positive)
    sd = statistics.robust_sd(negative)
    failures = scarce or _no_unit(endpoint, low, high, sd)
    cells = _median(plate.cells[plate.is_good & plate.role(Role.NEGATIVE)])
    return ControlScale(negative, positive, low, high, sd, cells, tuple(failures), bool(scarce), endpoint)


def _no_unit(endpoint: Endpoint, low: float | None, high: float | None, sd: float | None) -> list[str]:
    """Say why controls that are enough give no scale all the same."""
    if endpoint.method is Method.ROBUST_Z:
        return [] if sd else ["the negative controls have no spread: no robust z can be computed"]
    if low is None or high is None or abs(high - low) > 1e-9 * max(abs(low), abs(high), 1):
        return []
    height = _spaced(f"{high:.3f}", endpoint.unit)
    return [f"positive and negative controls have the same median, {height}: there is no window"]


def _median(values: Values) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None
