"""Bring pixels of every plate and channel to one scale before a network sees them.

Per plate and channel: (x - low) / (high - low), low and high percentiles over a sample of the plate's own fields, so
that lamps and cameras cancel and what differs among wells of a plate stays. Per image, as Godinez 2017 does: mean 0,
standard deviation 1 of each image and channel; brightness of a well is lost.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

Scope = Literal["plate", "image"]
Values = npt.NDArray[np.float32]
_N_VALUES = 1_000_000
"""Pixels per channel that speak for a plate, about."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How pixels are scaled."""

    scope: Scope = "plate"
    low_percent: float = 1.0
    high_percent: float = 99.5
    n_sampled: int = 48
    """Fields of a plate that speak for it, spread evenly."""
    limit: float = 4.0
    """Scaled values are clipped to +- this; 'image': in standard deviations times 2."""

    def __post_init__(self) -> None:
        """Refuse a scale that cannot be."""
        if self.scope not in ("plate", "image"):
            raise DataError(f"normalisation is by {self.scope!r}; it can be plate or image")
        if not 0 <= self.low_percent < self.high_percent <= 100:
            raise DataError(f"percentiles {self.low_percent} and {self.high_percent}: 0 <= low < high <= 100 is needed")


@dataclass(frozen=True, slots=True)
class Scale:
    """normalised = (pixel - offset) * factor, clipped."""

    offset: Values
    """Shape (rows, channels)."""
    factor: Values
    """Shape (rows, channels)."""


def plate_scale(pixels: npt.NDArray[Any], normalisation: Normalisation) -> tuple[Values, Values]:
    """Return (offset, factor), shape (channels,), of sampled fields (fields, channels, h, w) of one plate.

    A channel without contrast gets factor 0: it says nothing.
    """
    step = max(1, int((pixels[:, 0].size / _N_VALUES) ** 0.5))
    percents = (normalisation.low_percent, normalisation.high_percent)
    low, high = np.percentile(pixels[:, :, ::step, ::step], percents, axis=(0, 2, 3))
    return _offset_factor(low, high - low)


def image_scale(pixels: npt.NDArray[Any]) -> tuple[Values, Values]:
    """Return (offset, factor), shape (channels,), of one field (channels, h, w)."""
    return _offset_factor(pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2)))


def scale_of(
    pixels: npt.NDArray[Any],
    plates: npt.NDArray[np.str_],
    usable: npt.NDArray[np.int64],
    normalisation: Normalisation,
) -> Scale:
    """Return the scale of every row of a cache; rows that are not usable get factor 0.

    Args:
        pixels: shape (rows, channels, h, w).
        plates: of each row.
        usable: rows that may be looked at.
        normalisation: how.
    """
    offset = np.zeros(pixels.shape[:2], np.float32)
    factor = np.zeros(pixels.shape[:2], np.float32)
    if normalisation.scope == "image":
        for row in usable.tolist():
            offset[row], factor[row] = image_scale(np.asarray(pixels[row]))
        return Scale(offset, factor)
    for plate in np.unique(plates[usable]):
        rows = usable[plates[usable] == plate]
        n = min(len(rows), normalisation.n_sampled)
        sample = rows[np.arange(n) * len(rows) // n]
        offset[rows], factor[rows] = plate_scale(np.asarray(pixels[sample]), normalisation)
    return Scale(offset, factor)


def _offset_factor(offset: npt.NDArray[Any], width: npt.NDArray[Any]) -> tuple[Values, Values]:
    factor = np.divide(1.0, width, out=np.zeros_like(width, dtype=np.float64), where=width > 0)
    return offset.astype(np.float32), factor.astype(np.float32)
