"""Which number of a well is its response, and on what scale it lives."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from nextplate.assay.monotone import Direction
from nextplate.assay.statistics import Values


class Scale(StrEnum):
    """What signal to background and the coefficient of variation mean for a number."""

    LOG2 = "log2"
    """They are those of 2 to the power of the number."""
    LINEAR = "linear"
    """Counts, areas, intensities: a true zero, nothing below it."""
    NO_ZERO = "no-zero"
    """Correlations, textures, scores: the zero is a convention and ratios to it mean nothing; they are not given."""


class Method(StrEnum):
    """How a well is put on the scale of the plate's own controls."""

    CONTROLS = "controls"
    """activity = (x - median negative) / (median positive - median negative): percent of control over 100."""
    ROBUST_Z = "robust-z"
    """activity = (x - median negative) / (1.4826 MAD of the negatives): needs no positive control."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One response of the assay."""

    column: str
    """Of the table of wells."""
    scale: Scale
    method: Method = Method.CONTROLS
    direction: Direction | None = None
    """Where an effect moves the number. None: towards the positive controls, or up where there are none."""

    def linear(self, values: Values) -> Values:
        """Return values on the linear scale; empty when there is none, or a value lies below its zero."""
        if self.scale is Scale.LOG2:
            return np.asarray(2.0**values)
        if self.scale is Scale.LINEAR and bool((values >= 0).all()):
            return values
        return values[:0]

    @property
    def unit(self) -> str:
        """Return what stands behind a difference of this number in a message; '' without a unit."""
        return "log2" if self.scale is Scale.LOG2 else ""


NC_RATIO = Endpoint("nc_ratio", Scale.LOG2)
"""log2 of the reporter in the nucleus over that in the ring around it: the loop's own."""
_LOG2 = ("nc_ratio", "log2_")
_LINEAR_START = ("n_", "nuclear_area", "nuclear_dna", "reporter_nucleus", "reporter_ring", "background_", "responders")
_LINEAR_PART = ("_AreaShape_Area", "_AreaShape_Perimeter", "_Intensity_", "_Count_")


def endpoint_of(column: str, method: Method = Method.CONTROLS, direction: Direction | None = None) -> Endpoint:
    """Tell a column's scale by its name; a name that tells nothing has no zero, so that no wrong ratio is printed."""
    return Endpoint(column, _scale(column), method, direction)


def _scale(column: str) -> Scale:
    if column.startswith(_LOG2) or column.endswith("_log2"):
        return Scale.LOG2
    is_linear = column.startswith(_LINEAR_START) or any(part in column for part in _LINEAR_PART)
    return Scale.LINEAR if is_linear else Scale.NO_ZERO
