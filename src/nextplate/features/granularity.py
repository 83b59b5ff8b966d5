"""Granular spectrum of every object (CellProfiler MeasureGranularity): how much brightness each size of grain holds.

The image is thinned to every `step`-th pixel, its background (an opening at 1 / step of that again) taken off. Then it
is eroded once more for each size and reconstructed: what does not come back are the grains of that size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from nextplate.features.check import Image
from nextplate.features.reconstruct import Stack, reconstruct
from nextplate.features.regions import Index, Regions, Values

Thin = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class GrainRule:
    """The sizes to look for; the defaults are CellProfiler's."""

    step: int = 4
    """One pixel of this many is kept, in rows and columns; the background is thinned by the same again."""
    radius_px: int = 10
    """Radius, on the twice thinned image, of the disc that opens the background."""
    n_sizes: int = 16


@dataclass(frozen=True, slots=True)
class Sampler:
    """Reads thinned images at the objects' pixels; the same for all channels."""

    shape: tuple[int, int]
    """Of the thinned image."""
    weights: sparse.csr_matrix
    """Shape (n, thinned pixels): each row the mean over an object of bilinear interpolation."""


def sampler(regions: Regions, rule: GrainRule) -> Sampler | None:
    """Prepare the way back from the thinned image; None where the field is too small to be thinned."""
    height, width = regions.shape
    shape = (height // rule.step, width // rule.step)
    if min(shape) < 2:
        return None
    low_y, part_y = _between(regions.y, height, shape[0])
    low_x, part_x = _between(regions.x, width, shape[1])
    corner = low_y * shape[1] + low_x
    at = np.stack([corner, corner + 1, corner + shape[1], corner + shape[1] + 1], axis=1)
    weight = np.stack(
        [(1 - part_y) * (1 - part_x), (1 - part_y) * part_x, part_y * (1 - part_x), part_y * part_x], axis=1
    )
    weight /= regions.area[regions.owner][:, None]
    ends = 4 * np.append(regions.starts, len(regions.owner))
    weights = sparse.csr_matrix(
        (weight.ravel().astype(np.float32), at.ravel().astype(np.int32), ends), (regions.n, shape[0] * shape[1])
    )
    return Sampler(shape, weights)


def _between(position: Index, length: int, short: int) -> tuple[Index, Values]:
    """Return the thinned pixel before each position and how far beyond it the position lies."""
    at = np.arange(length) * ((short - 1) / max(length - 1, 1))
    low = np.minimum(at.astype(np.intp), short - 2)
    return low[position], (at - low)[position]


def granularity(regions: Regions, image: Image, sampler: Sampler | None, rule: GrainRule) -> Mapping[str, Values]:
    """Return, for each size from 1, the share of an object's mean brightness, percent, which leaves at that size.

    NaN where the field is too small. Serra, Image Analysis and Mathematical Morphology (1989); the reconstruction
    instead of an opening is CellProfiler's.
    """
    names = [f"Granularity_{size}" for size in range(1, rule.n_sizes + 1)]
    if sampler is None:
        return {name: np.full(regions.n, np.nan) for name in names}
    first = regions.mean(regions.of(image))
    thin = image[:: rule.step, :: rule.step][: sampler.shape[0], : sampler.shape[1]].astype(np.float32)
    flat = np.maximum(thin - background(thin, rule), np.float32(0))
    grown = reconstruct(_eroded(flat, rule.n_sizes), flat).reshape(-1, rule.n_sizes)
    means = np.column_stack([first, sampler.weights @ grown]).astype(np.float64)
    lost = (means[:, :-1] - means[:, 1:]) * 100 / np.maximum(first, np.finfo(np.float64).eps)[:, None]
    return {name: lost[:, i] for i, name in enumerate(names)}


def background(thin: Thin, rule: GrainRule) -> Thin:
    """Open the image, thinned once more, by a disc; interpolate it back."""
    again = thin[:: rule.step, :: rule.step]
    reach = np.arange(-rule.radius_px, rule.radius_px + 1)
    disc = reach[:, None] ** 2 + reach[None, :] ** 2 <= rule.radius_px**2
    opened = ndimage.grey_dilation(ndimage.grey_erosion(again, footprint=disc), footprint=disc)
    return _stretched(_stretched(opened, thin.shape[0], rule.step).T, thin.shape[1], rule.step).T


def _stretched(image: Thin, length: int, step: int) -> Thin:
    """Interpolate rows to `length` of them; the end lies at length / step - 1, a fraction, as in CellProfiler."""
    at = np.arange(length) * ((length / step - 1) / max(length - 1, 1))
    low = np.minimum(at.astype(np.intp), max(len(image) - 2, 0))
    part = (at - low).astype(np.float32)[:, None]
    return np.asarray(image[low] * (1 - part) + image[np.minimum(low + 1, len(image) - 1)] * part)


def _eroded(flat: Thin, n_sizes: int) -> Stack:
    """Erode by a cross of radius 1 again and again; shape (h, w, n_sizes)."""
    stack = np.empty((*flat.shape, n_sizes), np.float32)
    eroded = flat
    for size in range(n_sizes):
        less = eroded.copy()
        np.minimum(less[1:], eroded[:-1], out=less[1:])
        np.minimum(less[:-1], eroded[1:], out=less[:-1])
        np.minimum(less[:, 1:], eroded[:, :-1], out=less[:, 1:])
        np.minimum(less[:, :-1], eroded[:, 1:], out=less[:, :-1])
        stack[:, :, size] = eroded = less
    return stack
