"""Distance from a pixel of each object along paths inside the object, all objects at once.

Steps to the 4 neighbours cost 1, to the corners sqrt(2) (source: centrosome.propagate with weight 1, which
CellProfiler uses for the radial distribution). Without obstacles that is the octagonal distance, and nearly every
pixel of a nucleus has it: rings of equal Chebyshev distance are settled one after the other, looking inward only.
The few pixels behind a dent are then relaxed until nothing changes.
"""

from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from nextplate.features.montage import Montage
from nextplate.features.regions import CORNERS, CROSS, Index, Regions, Values

_SLANTED = np.sqrt(2.0)
_TOLERANCE = 1e-9
_MAX_ROUNDS = 64


def distance_from(regions: Regions, start: Index) -> Values:
    """Distance of every pixel from its object's start pixel; infinite where no path inside the object leads there.

    `start`, shape (n,), are positions in the order of the regions' pixels.
    """
    montage = regions.montage
    # Between the objects of the montage the distance stays infinite, so no path leaves an object.
    distance = np.full(len(montage.inside), np.inf)
    distance[montage.at[start]] = 0.0
    dy = regions.y - regions.y[start][regions.owner]
    dx = regions.x - regions.x[start][regions.owner]
    _settle_rings(distance, montage.at, montage.shape[1], dy, dx)
    rows, columns = np.abs(dy), np.abs(dx)
    free = np.maximum(rows, columns) + (_SLANTED - 1) * np.minimum(rows, columns)
    if not _relax(distance, montage.at[distance[montage.at] > free + 1e-6], montage.shape[1]):
        return _shortest_paths(montage, montage.at[start])
    return np.asarray(distance[montage.at])


def _settle_rings(distance: Values, at: Index, width: int, dy: Index, dx: Index) -> None:
    """Reach every pixel from the two before it on the octagonal way to the start."""
    ring = np.maximum(np.abs(dy), np.abs(dx)).astype(np.uint16)
    down, right = np.sign(dy) * width, np.sign(dx)
    order = np.argsort(ring, kind="stable")
    straight = (at - np.where(np.abs(dx) > np.abs(dy), right, down))[order]
    slanted = (at - down - right)[order]
    at = at[order]
    bounds = np.searchsorted(ring[order], np.arange(1, int(ring.max(initial=0)) + 2))
    for low, high in pairwise(bounds):
        part = slice(low, high)
        distance[at[part]] = np.minimum(distance[straight[part]] + 1.0, distance[slanted[part]] + _SLANTED)


def _relax(distance: Values, at: Index, width: int) -> bool:
    """Shorten the distances at these pixels by way of any neighbour until none gets shorter.

    False: there was no end within some rounds, as in a labyrinth.
    """
    steps = [(dy * width + dx, 1.0) for dy, dx in CROSS] + [(dy * width + dx, _SLANTED) for dy, dx in CORNERS]
    for _ in range(_MAX_ROUNDS):
        now = distance[at]
        best = now
        for offset, cost in steps:
            best = np.minimum(best, distance[at + offset] + cost)
        if not (best < now - _TOLERANCE).any():
            return True
        distance[at] = best
    return False


def _shortest_paths(montage: Montage, start: Index) -> Values:
    """Dijkstra's distances from the nearest start pixel on the graph of the objects' pixels; never slow."""
    width, size = montage.shape[1], len(montage.inside)
    ends, costs = [], []
    for step, cost in ((1, 1.0), (width, 1.0), (width - 1, _SLANTED), (width + 1, _SLANTED)):
        near = montage.at[montage.inside[montage.at + step]]
        ends.append(np.stack([near, near + step]))
        costs.append(np.full(len(near), cost))
    graph = sparse.csr_matrix((np.concatenate(costs), np.concatenate(ends, axis=1)), (size, size))
    found: Values = csgraph.dijkstra(graph, directed=False, indices=start, min_only=True)[montage.at]
    return found
