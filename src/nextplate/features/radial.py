"""How brightness is spread from middle to edge of each object (CellProfiler MeasureObjectIntensityDistribution).

The middle is the pixel farthest from the edge. A pixel's place is d / (d + e + 0.001): d along paths inside the
object from the middle, e to the edge; rings are equal parts of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.features.geodesic import distance_from
from nextplate.features.regions import Index, Regions, Values, changes

_WEDGES = 8


@dataclass(frozen=True, slots=True)
class Rings:
    """The ring and wedge of every pixel; the same for all channels."""

    n: int
    pixels: Index
    """Pixels that can be reached from the middle, in the regions' order."""
    ring: Index
    """object * n + ring of each of them."""
    wedge: Index
    """(object * n + ring) * 8 + wedge of each of them."""


def rings(regions: Regions, n: int) -> Rings:
    """Divide every object into n rings and eight wedges."""
    to_edge = regions.edge_distance
    deepest = np.flatnonzero(to_edge == regions.max(to_edge)[regions.owner])
    middle = deepest[changes(regions.owner[deepest])]
    from_middle = distance_from(regions, middle)
    pixels = np.flatnonzero(np.isfinite(from_middle))
    owner = regions.owner[pixels].astype(np.intp)
    place = from_middle[pixels] / (from_middle[pixels] + to_edge[pixels] + 0.001)
    ring = owner * n + np.minimum((place * n).astype(np.intp), n - 1)
    dy = regions.y[pixels] - regions.y[middle][owner]
    dx = regions.x[pixels] - regions.x[middle][owner]
    wedge = (dy > 0) + 2 * (dx > 0) + 4 * (np.abs(dy) > np.abs(dx))
    return Rings(n, pixels, ring, ring * _WEDGES + wedge)


def radial(regions: Regions, rings: Rings, values: Values) -> Mapping[str, Values]:
    """Return per ring the share of all brightness (FracAtD), that share over the share of pixels (MeanFrac), and
    the coefficient of variation of the wedges' means (RadialCV; 0 in a ring without pixels)."""
    inside = values[rings.pixels]
    total = np.bincount(rings.ring, inside, regions.n * rings.n).reshape(regions.n, rings.n)
    count = np.bincount(rings.ring, minlength=regions.n * rings.n).reshape(regions.n, rings.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = total / total.sum(axis=1, keepdims=True)
    of_pixels = count / count.sum(axis=1, keepdims=True)
    mean_share = share / (of_pixels + np.finfo(np.float64).eps)
    spread = _wedge_cv(regions.n, rings, inside)
    found: dict[str, Values] = {}
    for i in range(rings.n):
        ring = f"{i + 1}of{rings.n}"
        found |= {
            f"FracAtD_{ring}": share[:, i],
            f"MeanFrac_{ring}": mean_share[:, i],
            f"RadialCV_{ring}": spread[:, i],
        }
    return found


def _wedge_cv(n: int, rings: Rings, inside: Values) -> npt.NDArray[np.float64]:
    shape = (n, rings.n, _WEDGES)
    count = np.bincount(rings.wedge, minlength=n * rings.n * _WEDGES).reshape(shape)
    total = np.bincount(rings.wedge, inside, n * rings.n * _WEDGES).reshape(shape)
    n_wedges = np.maximum((count > 0).sum(axis=2), 1)
    means = total / np.maximum(count, 1)
    mean = means.sum(axis=2) / n_wedges
    square = np.where(count > 0, (means - mean[:, :, None]) ** 2, 0.0).sum(axis=2) / n_wedges
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count.sum(axis=2) > 0, np.sqrt(square) / mean, 0.0)
