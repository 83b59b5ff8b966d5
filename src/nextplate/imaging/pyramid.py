"""Levels of a pyramid: every level is the mean over 2 x 2 pixels of the one above, correctly rounded."""

from typing import Any

import numpy as np
import numpy.typing as npt

SMALL_PX = 300
"""Halving ends when the shorter side is no longer than this: 1080 px fields get 540 and 270, 2048 get down to 256."""


def n_levels(shape: tuple[int, int], most: int | None = None) -> int:
    """Count the levels of an image of (height, width), the image itself included; at most `most` of them."""
    count, side = 1, min(shape)
    while side > SMALL_PX and (most is None or count < most):
        count, side = count + 1, -(-side // 2)
    return count


def level_shape(shape: tuple[int, int], level: int) -> tuple[int, int]:
    """Return (height, width) of a level; an odd side is rounded up, so that no pixel is lost."""
    return -(-shape[0] // 2**level), -(-shape[1] // 2**level)


def halved(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the mean over blocks of 2 x 2 pixels, rounded to the nearest, halves to even: no level gets brighter.

    Shape (height, width) of uint8 or uint16 -> (ceil(height / 2), ceil(width / 2)) of the same type. At an odd edge
    the mean is over the pixels there are.
    """
    sums = np.uint16 if plane.dtype.itemsize == 1 else np.uint32
    odd = [n % 2 for n in plane.shape]
    even = np.pad(plane, ((0, odd[0]), (0, odd[1])), mode="edge") if any(odd) else plane
    rows = np.add(even[0::2], even[1::2], dtype=sums)
    total = rows[:, 0::2] + rows[:, 1::2]
    # (total + 2) // 4 would round every half up: an eighth of a count brighter per level.
    total += ((total >> sums(2)) & sums(1)) + sums(1)
    mean: npt.NDArray[Any] = (total >> sums(2)).astype(plane.dtype)
    return mean
