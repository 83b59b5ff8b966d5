"""Grey levels to numbers a network likes: per plate and channel, or per image as in the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.imaging.networks.cache import PixelCache

Scaling = Literal["plate", "image"]
SCALINGS: tuple[Scaling, ...] = ("plate", "image")
Levels = npt.NDArray[np.float32]
_LOW, _HIGH = 1.0, 99.9
_SAMPLE_FIELDS, _SAMPLE_PIXELS = 64, 20_000


@dataclass(frozen=True, slots=True)
class PixelScale:
    """What is taken off each field's counts, and by what the rest is multiplied."""

    offset: Levels
    """Shape (fields, channels), in the cache's counts."""
    gain: Levels
    """Shape (fields, channels); 0 for a channel without contrast."""


def pixel_scale(cache: PixelCache, scaling: Scaling) -> PixelScale:
    """Learn the scale of every field.

    'plate' makes a plate's channel of mean 0 and deviation 1 over a sample spread over its fields, cut at the 1st and
    99.9th percentile so that debris and dead pixels do not count: differences between wells stay, those between plates
    go. 'image' makes each image of mean 0 and deviation 1, as
    Godinez et al. do: differences in brightness between wells go too.

    Raises:
        DataError: a scaling that does not exist.
    """
    if scaling == "plate":
        return _by_plate(cache)
    if scaling == "image":
        return _by_image(cache)
    raise DataError(f"there is no scaling {scaling!r}; there are {', '.join(SCALINGS)}")


def _by_plate(cache: PixelCache) -> PixelScale:
    shape = (len(cache.fields), len(cache.channels))
    offset, gain = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for plate, rows in rows_by_plate(cache).items():
        sample = _sample(cache.pixels, rows)
        cut = np.clip(sample, *np.percentile(sample, (_LOW, _HIGH), axis=0))
        members = [i for i, f in enumerate(cache.fields) if f.plate == plate]
        offset[members], gain[members] = cut.mean(axis=0), _inverse(cut.std(axis=0))
    return PixelScale(offset, gain)


def rows_by_plate(cache: PixelCache) -> Mapping[str, Sequence[int]]:
    """Group the usable rows by plate."""
    found: dict[str, list[int]] = {}
    for row in cache.usable.tolist():
        found.setdefault(cache.fields[row].plate, []).append(row)
    return found


def _sample(pixels: npt.NDArray[Any], rows: Sequence[int]) -> npt.NDArray[Any]:
    """Take pixels of fields spread evenly over the rows, shape (pixels, channels)."""
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE_FIELDS)).round().astype(int)]
    step = max(1, pixels.shape[1] * pixels.shape[2] // _SAMPLE_PIXELS)
    return np.concatenate([pixels[row].reshape(-1, pixels.shape[3])[::step] for row in chosen])


def _by_image(cache: PixelCache) -> PixelScale:
    shape = (len(cache.fields), len(cache.channels))
    offset, gain = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for row in cache.usable.tolist():
        values = cache.pixels[row].reshape(-1, shape[1])
        offset[row] = values.mean(axis=0, dtype=np.float64)
        gain[row] = _inverse(values.std(axis=0, dtype=np.float64))
    return PixelScale(offset, gain)


def _inverse(spread: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
