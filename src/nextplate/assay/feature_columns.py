"""Which columns of a table of wells describe cells, and which the microscope, places, or a verdict."""

import fnmatch
from collections.abc import Sequence

import polars as pl

_TECHNICAL = (
    "n_images", "n_fields", "focus_*", "*_focus_*", "saturated_share", "background_*", "debris_share",
    "nuclear_likeness", "responders_low", "responders_high", "*_Location_*", "*_LocationMaxIntensity_*", "*_Center_*",
    "*_CenterMassIntensity_*", "*BoundingBoxM*", "*_Orientation*", "*Number_Object*", "*ObjectNumber*",
    "*ImageNumber*", "x_px", "y_px", "x_um", "y_um", "z_um",
)  # fmt: skip
"""Columns that tell of the microscope, of places, or of another column's error, not of cells."""


def feature_columns(wells: pl.DataFrame, patterns: Sequence[str] = ("*",)) -> list[str]:
    """List the numeric columns that measure cells and match a pattern, in table order."""
    numeric = [name for name, kind in wells.schema.items() if kind.is_numeric()]
    return [name for name in numeric if _is_any(name, patterns) and not _is_any(name, _TECHNICAL)]


def _is_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
