"""All objects side by side in one small image, each in a frame of background: distances within objects in one pass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Index = npt.NDArray[np.intp]
Box = tuple[Index, Index, Index, Index]
"""Lowest row and column, one past the highest row and column, each of shape (n,)."""


@dataclass(frozen=True, slots=True)
class Montage:
    """The small image: a step away from a pixel lies a pixel of the same object or none."""

    shape: tuple[int, int]
    at: Index
    """Shape (k,): flat index of every pixel of the objects."""
    inside: npt.NDArray[np.bool_]
    """Flat: whether an object is there."""


def montage(owner: npt.NDArray[np.int32], y: Index, x: Index, box: Box) -> Montage:
    """Move every object's pixels, shape (k,), to its place in the small image."""
    offset_y, offset_x, shape = lay_out(box)
    at = (y + (offset_y - box[0])[owner]) * shape[1] + x + (offset_x - box[1])[owner]
    inside = np.zeros(shape[0] * shape[1], np.bool_)
    inside[at] = True
    return Montage(shape, at, inside)


def edge_distance(montage: Montage) -> npt.NDArray[np.float64]:
    """Euclidean distance of every pixel to the nearest one outside its object, shape (k,).

    Source: CellProfiler, centrosome.distance_to_edge; unlike there, the outside of the field is outside of an object.
    """
    distance: npt.NDArray[np.float64] = ndimage.distance_transform_edt(montage.inside.reshape(montage.shape))
    return distance.ravel()[montage.at]


def lay_out(box: Box) -> tuple[Index, Index, tuple[int, int]]:
    """Put the boxes on shelves, tallest first; between two lies at least one row or column of background.

    Returns row and column of each box's corner, and the shape of the image.
    """
    top, left, bottom, right = box
    tall, wide = bottom - top + 1, right - left + 1
    order = np.argsort(-tall, kind="stable")
    end = np.cumsum(wide[order])
    shelf_width = max(int(np.sqrt((tall * wide).sum())), int(wide.max(initial=1)))
    shelf = (end - 1) // shelf_width
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = shelf[1:] != shelf[:-1]
    first, number = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    shelf_height = tall[order][first]
    begin = end - wide[order]
    offset_y, offset_x = np.empty_like(tall), np.empty_like(wide)
    offset_y[order] = (np.cumsum(shelf_height) - shelf_height)[number] + 1
    offset_x[order] = begin - begin[first][number] + 1
    return offset_y, offset_x, (int(shelf_height.sum()) + 1, int((offset_x + wide).max(initial=1)))
