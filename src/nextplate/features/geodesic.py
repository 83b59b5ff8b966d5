"""Distance from a pixel of each object along paths inside the object, all objects at once.

Steps to the 4 neighbours cost 1, to the corners sqrt(2) (source: centrosome.propagate with weight 1, which
CellProfiler uses for the radial distribution). Without obstacles that is the octagonal distance, and nearly every
pixel of a nucleus has it: rings of equal Chebyshev distance are settled one after the other, looking inward only.
The few pixels behind a dent are then relaxed until nothing changes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nextplate.features.regions import CORNERS, CROSS, Index, Regions, Values

_SLANTED = np.sqrt(2.0)
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class _Field:
    """Distances on the padded field, flat."""

    width: int
    owner: npt.NDArray[np.int32]
    distance: Values
    at: Index
    """Shape (k,): flat padded index of every pixel."""


def distance_from(regions: Regions, start: Index) -> Values:
    """Distance of every pixel from its object's start pixel; infinite where no path inside the object leads there.

    `start`, shape (n,), are positions in the order of the regions' pixels.
    """
    width = regions.padded.shape[1]
    at = (regions.y + 1) * width + regions.x + 1
    field = _Field(width, regions.padded.ravel(), np.full(regions.padded.size, np.inf), at)
    field.distance[at[start]] = 0.0
    dy = regions.y - regions.y[start][regions.owner]
    dx = regions.x - regions.x[start][regions.owner]
    _settle_rings(field, dy, dx)
    long, short = np.maximum(np.abs(dy), np.abs(dx)), np.minimum(np.abs(dy), np.abs(dx))
    free = long + (_SLANTED - 1) * short
    _relax(field, at[field.distance[at] > free + 1e-6])
    return np.asarray(field.distance[at])


def _settle_rings(field: _Field, dy: Index, dx: Index) -> None:
    ring = np.maximum(np.abs(dy), np.abs(dx)).astype(np.uint16)
    order = np.argsort(ring, kind="stable")
    at, ring, dy, dx = field.at[order], ring[order], dy[order], dx[order]
    step_y, step_x = np.sign(dy), np.sign(dx)
    slanted = at - step_y * field.width - step_x
    is_wide, is_slanted = np.abs(dx) > np.abs(dy), (dy != 0) & (dx != 0)
    straight = np.where(is_wide, at - step_x, at - step_y * field.width)
    straight = np.where(np.abs(dx) == np.abs(dy), slanted, straight)
    cost = np.where(np.abs(dx) == np.abs(dy), _SLANTED, 1.0)
    slanted = np.where(is_slanted, slanted, straight)
    slanted_cost = np.where(is_slanted, _SLANTED, 1.0)
    is_same = field.owner[straight] == field.owner[at]
    cost[~is_same] = np.inf
    slanted_cost[field.owner[slanted] != field.owner[at]] = np.inf
    bounds = np.searchsorted(ring, np.arange(1, int(ring.max(initial=0)) + 2))
    for low, high in pairwise(bounds):
        part = slice(low, high)
        by_straight = field.distance[straight[part]] + cost[part]
        field.distance[at[part]] = np.minimum(by_straight, field.distance[slanted[part]] + slanted_cost[part])


def _relax(field: _Field, at: Index) -> None:
    """Shorten the distances at these pixels by way of any neighbour until none gets shorter."""
    steps = [(dy * field.width + dx, 1.0) for dy, dx in CROSS]
    steps += [(dy * field.width + dx, _SLANTED) for dy, dx in CORNERS]
    costs = [
        np.where(field.owner[at + offset] == field.owner[at], cost, np.inf).astype(np.float64) for offset, cost in steps
    ]
    while len(at):
        now = field.distance[at]
        best = now
        for (offset, _), cost in zip(steps, costs, strict=True):
            best = np.minimum(best, field.distance[at + offset] + cost)
        if not (best < now - _TOLERANCE).any():
            return
        field.distance[at] = best
