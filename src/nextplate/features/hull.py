"""Convex hulls of all objects at once.

A point above (or on) the segment between its two neighbours of a chain is no corner of the hull. Dropping all such
points together, again and again until none is left, leaves the hulls of all objects after about ten rounds: no loop
over objects. (A monotone chain, Andrew 1979, does the same one point at a time.)

Coordinates are doubled, so that the middles of pixel edges are whole numbers and every comparison is exact.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.features.regions import Index, Mask, Regions, Values, changes

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chain:
    """One side of the hulls: for each object points of rising y."""

    owner: Index
    y: Whole
    """Twice the row."""
    x: Whole
    """Twice the column."""


@dataclass(frozen=True, slots=True)
class Rows:
    """First and last pixel of each row of each object."""

    owner: Index
    y: Whole
    left: Whole
    right: Whole


def rows_of(regions: Regions) -> Rows:
    """Return the extent of every row of every object."""
    first = regions.row_starts
    last = np.append(first[1:], len(regions.x)) - 1
    x = regions.x.astype(np.int64)
    return Rows(
        regions.owner[first].astype(np.intp), regions.y[first].astype(np.int64), x[first], x[last[: len(first)]]
    )


def convex_area(regions: Regions) -> Values:
    """Count the pixels whose centre lies in or on the hull of the middles of the object's pixel edges.

    Source: scikit-image `regionprops.area_convex` (convex_hull_image with offset_coordinates).
    """
    rows = rows_of(regions)
    left = _side(rows, rows.left, -1)
    right = _side(rows, -rows.right, -1)
    top, _, bottom, _ = regions.box
    height = bottom - top
    owner = np.repeat(np.arange(regions.n), height)
    y = np.arange(len(owner)) - np.repeat(np.cumsum(height) - height, height) + np.repeat(top, height)
    low, high = _at(left, owner, y), -_at(right, owner, y)
    count = np.floor(high / 2 + 1e-9) - np.ceil(low / 2 - 1e-9) + 1
    return np.bincount(owner, count, minlength=regions.n).astype(np.float64)


def _side(rows: Rows, x: Whole, reach: int) -> Chain:
    """Lower chain of the middles of the left edges; `reach` is how far, doubled, the left edge lies from the centre."""
    owner = np.tile(rows.owner, 3)
    y = np.concatenate([2 * rows.y - 1, 2 * rows.y, 2 * rows.y + 1])
    points = np.concatenate([2 * x, 2 * x + reach, 2 * x])
    return _lower(owner, y, points)


def _lower(owner: Index, y: Whole, x: Whole) -> Chain:
    """Keep the corners of smallest x of each object's hull."""
    order = np.lexsort((x, y, owner))
    owner, y, x = owner[order], y[order], x[order]
    is_first = changes(owner) | changes(y)
    owner, y, x = owner[is_first], y[is_first], x[is_first]
    while True:
        keep = _is_corner(owner, y, x)
        if keep.all():
            return Chain(owner, y, x)
        owner, y, x = owner[keep], y[keep], x[keep]


def _is_corner(owner: Index, y: Whole, x: Whole) -> Mask:
    keep = np.ones(len(owner), np.bool_)
    is_between = (owner[:-2] == owner[1:-1]) & (owner[1:-1] == owner[2:])
    turn: Whole = (y[1:-1] - y[:-2]) * (x[2:] - x[:-2]) - (x[1:-1] - x[:-2]) * (y[2:] - y[:-2])
    keep[1:-1] = ~is_between | (turn > 0)
    return keep


def _at(chain: Chain, owner: Index, y: Index) -> Values:
    """Interpolate a chain at rows y; twice the column."""
    if not len(owner):
        return np.empty(0)
    span = 2 * int(chain.y.max()) + 4
    return np.interp(owner * span + 2.0 * y, chain.owner * span + chain.y, chain.x)


def feret(regions: Regions) -> tuple[Values, Values]:
    """Return the smallest and largest width of the hull of each object's pixel centres, pixels.

    The smallest lies across an edge of the hull, the largest between two corners. Source: CellProfiler
    MeasureObjectSizeShape, Min/MaxFeretDiameter (centrosome.feret_diameter).
    """
    if not regions.n:
        return np.empty(0), np.empty(0)
    corner_y, corner_x = _padded_corners(rows_of(regions), regions.n)
    dy = corner_y[:, :, None] - corner_y[:, None, :]
    dx = corner_x[:, :, None] - corner_x[:, None, :]
    widest = np.sqrt((dy * dy + dx * dx).max(axis=(1, 2)))
    return _narrowest(corner_y, corner_x, dy, dx), widest


def _narrowest(y: Values, x: Values, dy: Values, dx: Values) -> Values:
    """Least over the hull's edges of the distance to the farthest corner."""
    edge_y, edge_x = np.roll(y, -1, axis=1) - y, np.roll(x, -1, axis=1) - x
    length = np.hypot(edge_y, edge_x)
    across = np.abs(edge_y[:, :, None] * dx - edge_x[:, :, None] * dy).max(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        width = np.where(length > 0, across / length, np.inf)
    least = width.min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def _padded_corners(rows: Rows, n: int) -> tuple[Values, Values]:
    """Corners of each object's hull in order around it, shape (n, most corners), the last one repeated."""
    left, right = _lower(rows.owner, rows.y, rows.left), _lower(rows.owner, rows.y, -rows.right)
    owner = np.concatenate([left.owner, right.owner])
    y, x = np.concatenate([left.y, right.y]), np.concatenate([left.x, -right.x])
    side = np.repeat([0, 1], [len(left.y), len(right.y)])
    order = np.lexsort((np.where(side == 0, y, -y), side, owner))
    owner, y, x = owner[order], y[order], x[order]
    count = np.bincount(owner, minlength=n)
    slot = np.minimum(np.arange(int(count.max(initial=1))), count[:, None] - 1)
    at = (np.cumsum(count) - count)[:, None] + slot
    return y[at].astype(np.float64), x[at].astype(np.float64)
