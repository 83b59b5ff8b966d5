"""The objects of one label image as pixels sorted by object: every feature is a sum, extreme or sort over segments.

Sorting once makes each object a contiguous segment, so `ufunc.reduceat` gives all objects' sums, minima and maxima
in one pass, exactly and without a loop over objects.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.features.montage import Montage, edge_distance, montage

Index = npt.NDArray[np.intp]
Labels = npt.NDArray[np.integer[Any]]
Values = npt.NDArray[np.float64]
"""Shape (n_objects,) or (n_pixels,)."""
Mask = npt.NDArray[np.bool_]

_MAX_FIELDS = 8
"""Objects side by side may take this many times the field: far more than cells need, and little memory."""

CROSS = ((-1, 0), (0, -1), (0, 1), (1, 0))
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class Regions:
    """The n objects of a field; object i has the i-th smallest label."""

    shape: tuple[int, int]
    """Height and width of the field, pixels."""
    ids: npt.NDArray[np.int64]
    """Shape (n,): the labels as given, ascending; gaps allowed."""
    owner: npt.NDArray[np.int32]
    """Shape (k,): object of each pixel, 0..n-1, ascending."""
    y: Index
    """Shape (k,): row of each pixel; within an object pixels are in reading order."""
    x: Index
    starts: Index
    """Shape (n,): first pixel of each object."""

    @property
    def n(self) -> int:
        """Return how many objects there are."""
        return len(self.ids)

    @cached_property
    def area(self) -> Values:
        """Pixels per object."""
        return np.diff(np.append(self.starts, len(self.owner))).astype(np.float64)

    @cached_property
    def row_starts(self) -> Index:
        """First pixel of every row of every object."""
        return np.flatnonzero(changes(self.owner) | changes(self.y))

    @cached_property
    def flat(self) -> Index:
        """Flat index into the field of every pixel."""
        return self.y * self.shape[1] + self.x

    @cached_property
    def centre(self) -> tuple[Values, Values]:
        """Mean row and column of each object."""
        return self.mean(self.y), self.mean(self.x)

    @cached_property
    def box(self) -> tuple[Index, Index, Index, Index]:
        """Lowest row and column, and one past the highest row and column."""
        low_x, high_x = np.minimum.reduceat(self.x, self.starts), np.maximum.reduceat(self.x, self.starts) + 1
        low_y, high_y = np.minimum.reduceat(self.y, self.starts), np.maximum.reduceat(self.y, self.starts) + 1
        return low_y, low_x, high_y, high_x

    @cached_property
    def montage(self) -> Montage:
        """The objects side by side.

        Raises:
            DataError: the boxes around the objects overlap so much that together they are many fields.
        """
        self._check_boxes()
        return montage(self.owner, self.y, self.x, self.box)

    @cached_property
    def edge_distance(self) -> Values:
        """Euclidean distance, pixels, of every pixel to the nearest one outside its object, shape (k,).

        Touching objects are outside of each other, and so is everything beyond the border of the field.
        """
        return edge_distance(self.montage)

    def leaves(self, dy: int, dx: int) -> Mask:
        """Say of each pixel whether a step from it leaves its object."""
        return np.asarray(~self.montage.inside[self.montage.at + (dy * self.montage.shape[1] + dx)])

    @cached_property
    def _borders(self) -> tuple[Mask, Mask]:
        """Whether one of a pixel's four neighbours is outside its object: anywhere, and within the field."""
        up, left, right, down = (self.leaves(*step) for step in CROSS)
        height, width = self.shape
        within = (up & (self.y > 0)) | (left & (self.x > 0))
        within |= (right & (self.x < width - 1)) | (down & (self.y < height - 1))
        return up | left | right | down, within

    @property
    def is_edge(self) -> Mask:
        """Whether one of a pixel's four neighbours is outside its object, the outside of the field included."""
        return self._borders[0]

    @property
    def is_inner_boundary(self) -> Mask:
        """Whether one of a pixel's four neighbours within the field is outside its object."""
        return self._borders[1]

    @cached_property
    def is_outline(self) -> Mask:
        """Whether one of a pixel's eight neighbours is outside its object, the outside of the field included."""
        found = self.is_edge.copy()
        for step in CORNERS:
            found |= self.leaves(*step)
        return found

    def _check_boxes(self) -> None:
        top, left, bottom, right = self.box
        box = (bottom - top) * (right - left)
        if box.sum() > _MAX_FIELDS * self.shape[0] * self.shape[1]:
            widest = ", ".join(str(label) for label in self.ids[np.argsort(-box, kind="stable")[:3]])
            raise DataError(
                f"the boxes around the {self.n} objects cover more than {_MAX_FIELDS} times the field: labels are "
                f"scattered over it (the widest: {widest}); give every separate object a label of its own"
            )

    def sum(self, values: npt.NDArray[np.generic]) -> Values:
        """Sum per object of values per pixel, shape (k,)."""
        return np.add.reduceat(values.astype(np.float64, copy=False), self.starts)

    def mean(self, values: npt.NDArray[np.generic]) -> Values:
        """Mean per object of values per pixel, shape (k,)."""
        return self.sum(values) / self.area

    def max(self, values: Values) -> Values:
        """Maximum per object of values per pixel, shape (k,)."""
        return np.asarray(np.maximum.reduceat(values, self.starts))

    def min(self, values: Values) -> Values:
        """Minimum per object of values per pixel, shape (k,)."""
        return np.asarray(np.minimum.reduceat(values, self.starts))

    def of(self, image: npt.NDArray[np.generic]) -> Values:
        """Read an image of the field's shape at every pixel."""
        return image.ravel()[self.flat].astype(np.float64)


def find_regions(labels: Labels) -> Regions:
    """Sort the pixels of a label image, shape (h, w), 0 for background, by label.

    Raises:
        DataError: labels is not a two-dimensional image of integers from 0 up.
    """
    _check(labels)
    at = np.flatnonzero(labels)
    raw = labels.ravel()[at].astype(np.int64)
    ids, number = _numbered(raw)
    order = np.argsort(number, kind="stable")
    at, owner = at[order], number[order].astype(np.int32)
    y, x = np.divmod(at, labels.shape[1])
    return Regions((labels.shape[0], labels.shape[1]), ids, owner, y, x, np.flatnonzero(changes(owner)))


def changes(values: npt.NDArray[np.generic]) -> Mask:
    """Say of each value whether it differs from the one before; the first does."""
    changed = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed


def _numbered(raw: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.unsignedinteger[Any]]]:
    """Return the labels found and the number 0..n-1 of each pixel's, in the smallest type (sorted by radix)."""
    top = int(raw.max(initial=0))
    if top <= 8 * len(raw) + 1024:
        is_used = np.zeros(top + 1, np.bool_)
        is_used[raw] = True
        ids = np.flatnonzero(is_used).astype(np.int64)
        number = (np.cumsum(is_used) - 1)[raw]
    else:
        ids, number = np.unique(raw, return_inverse=True)
    return ids, number.astype(np.uint16 if len(ids) <= 65536 else np.uint32)


def _check(labels: Labels) -> None:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise DataError(f"a label image has shape (h, w) and integers, not {labels.shape} {labels.dtype}")
    if labels.size and labels.min() < 0:
        raise DataError(f"a label image has no label below 0 (background); found {int(labels.min())}")
