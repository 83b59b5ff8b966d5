"""Position effects: does the outer ring, a row or a column read otherwise than the rest of the plate?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.assay.statistics import MAD_TO_SD, Values
from nextplate.plate import PlateFormat, parse_well

Bools = npt.NDArray[np.bool_]

_MIN_EDGE, _MIN_INNER = 8, 16
_INACTIVE_SD = 3.0


@dataclass(frozen=True, slots=True)
class SpatialEffect:
    """Position effects among the wells that should all read alike."""

    edge_shift: float | None
    """Median of the outer ring minus median of the interior, raw scale; None with too few wells of either."""
    edge_z: float | None
    """edge_shift over its standard error; None as above or without any spread."""
    row_effect: float | None
    """Share of variance explained by the row, 0 to 1, corrected for chance; None with too few wells."""
    column_effect: float | None
    n_edge: int
    n_inner: int


def edge_wells(wells: Sequence[str], plate_format: PlateFormat) -> Bools:
    """Say of each well whether it lies in the outermost ring, shape (n,)."""
    places = [parse_well(w) for w in wells]
    rows, columns = plate_format.n_rows - 1, plate_format.n_columns - 1
    return np.array([r in (0, rows) or c in (0, columns) for r, c in places], dtype=np.bool_)


def inactive(values: Values, is_candidate: Bools) -> Bools:
    """Select the candidates within 3 robust standard deviations of their median: most compounds do nothing.

    `values` has shape (n,) and may hold NaN.
    """
    is_finite = is_candidate & np.isfinite(values)
    if not is_finite.any():
        return np.zeros(values.shape, np.bool_)
    distance = np.abs(values - np.median(values[is_finite]))
    spread = MAD_TO_SD * float(np.median(distance[is_finite]))
    return np.asarray(is_finite & (distance <= max(_INACTIVE_SD * spread, 1e-12)))


def spatial_effect(
    values: Values, wells: Sequence[str], is_inactive: Bools, plate_format: PlateFormat
) -> SpatialEffect:
    """Measure position effects on the raw values, shape (n,), of inactive wells.

    The z of the edge is (median_e - median_i) / (sd sqrt(pi / 2 (1 / n_e + 1 / n_i))), sd = 1.4826 MAD about each
    group's own median; sqrt(pi / 2) is the price of a median. Row and column effects are epsilon squared of a
    one-way analysis of variance (Kelley 1935, doi 10.1073/pnas.21.9.554).
    """
    is_edge = edge_wells(wells, plate_format)
    edge, inner = values[is_inactive & is_edge], values[is_inactive & ~is_edge]
    places = np.array([parse_well(w) for w in wells], dtype=np.int64).reshape(-1, 2)[is_inactive]
    shift = z = None
    if len(edge) >= _MIN_EDGE and len(inner) >= _MIN_INNER:
        shift = float(np.median(edge) - np.median(inner))
        spread = MAD_TO_SD * float(
            np.median(np.abs(np.concatenate([edge - np.median(edge), inner - np.median(inner)])))
        )
        error = spread * math.sqrt(math.pi / 2 * (1 / len(edge) + 1 / len(inner)))
        z = shift / error if error > 0 else None
    return SpatialEffect(
        edge_shift=shift,
        edge_z=z,
        row_effect=_explained(values[is_inactive], places[:, 0]),
        column_effect=_explained(values[is_inactive], places[:, 1]),
        n_edge=len(edge),
        n_inner=len(inner),
    )


def _explained(values: Values, group: npt.NDArray[np.int64]) -> float | None:
    n = len(values)
    codes = np.unique(group, return_inverse=True)[1]
    k = int(codes.max(initial=-1)) + 1
    if n < _MIN_INNER or k < 2 or n - k < 2:
        return None
    total = float(((values - values.mean()) ** 2).sum())
    if total <= 0:
        return None
    means = np.bincount(codes, values) / np.bincount(codes)
    within = float(((values - means[codes]) ** 2).sum())
    between = total - within
    return max(0.0, (between - (k - 1) * within / (n - k)) / total)
