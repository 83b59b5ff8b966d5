"""Views of a field that mean the same: mirrored, turned by 90 degrees, cropped."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may be done to a field while training."""

    flips: bool = True
    turns: bool = True
    """By 90 degrees; on a view that is not square, by 180 alone."""
    crop_px: int | None = None
    """Side of a square cut out at random, in binned pixels; None: the whole field."""

    def __post_init__(self) -> None:
        """Refuse a crop too small for the network."""
        if self.crop_px is not None and self.crop_px < 64:
            raise DataError(f"crop_px is {self.crop_px}; the network needs at least 64 pixels")

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of views of fields of a size.

        Raises:
            DataError: the crop is larger than the field.
        """
        if self.crop_px is None:
            return height, width
        if self.crop_px > min(height, width):
            raise DataError(f"crop_px is {self.crop_px}, fields are {height} x {width} pixels")
        return self.crop_px, self.crop_px


NOTHING = Augmentation(flips=False, turns=False)


def augmented(field: npt.NDArray[Any], augmentation: Augmentation, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return a view (no copy) of a field, shape (channels, h, w); every draw is made whatever is switched on."""
    h, w = augmentation.size(*field.shape[1:])
    y, x = rng.integers(field.shape[1] - h + 1), rng.integers(field.shape[2] - w + 1)
    view = field[:, y : y + h, x : x + w]
    quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
    if augmentation.turns:
        view = np.rot90(view, quarter if h == w else 2 * (quarter // 2), axes=(1, 2))
    return view[:, :, ::-1] if augmentation.flips and mirror else view
