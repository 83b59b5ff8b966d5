"""Granular spectrum of every object (CellProfiler MeasureGranularity): how much brightness each size of grain holds.

The image is thinned to every `step`-th pixel, its background (an opening at 1 / step of that again) taken off. Then it
is eroded once more for each size and reconstructed: what does not come back are the grains of that size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

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
    corner = (low_y * shape[1] + low_x).astype(np.int32)
    at = corner[:, None] + np.array([0, 1, shape[1], shape[1] + 1], np.int32)
    share = (1 / regions.area).astype(np.float32)[regions.owner]
    upper, lower = (1 - part_y) * share, part_y * share
    weight = np.empty(at.shape, np.float32)
    for column, (side, part) in enumerate(((upper, 1 - part_x), (upper, part_x), (lower, 1 - part_x), (lower, part_x))):
        np.multiply(side, part, out=weight[:, column])
    ends = 4 * np.append(regions.starts, len(regions.owner))
    weights = sparse.csr_matrix((weight.ravel(), at.ravel(), ends), (regions.n, shape[0] * shape[1]))
    return Sampler(shape, weights)


def _between(position: Index, length: int, short: int) -> tuple[Index, Thin]:
    """Return the thinned pixel before each position and how far beyond it the position lies."""
    at = np.arange(length) * ((short - 1) / max(length - 1, 1))
    low = np.minimum(at.astype(np.intp), short - 2)
    return low[position], (at - low).astype(np.float32)[position]


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
    opened = _over_disc(_over_disc(again, rule.radius_px, np.minimum), rule.radius_px, np.maximum)
    return _stretched(_stretched(opened, thin.shape[0], rule.step).T, thin.shape[1], rule.step).T


def _over_disc(image: Thin, radius: int, pick: np.ufunc) -> Thin:
    """Extreme over a disc around every pixel, the image mirrored at its borders.

    A disc is a bundle of rows: the extreme over rows grows with their length, one pixel to each side at a time.
    """
    height, width = image.shape
    wide = np.pad(image, radius, mode="symmetric")
    half_width = [math.isqrt(radius**2 - dy**2) for dy in range(radius + 1)]
    found = image
    row = wide[:, radius : radius + width]
    for reach in range(radius + 1):
        row = pick(pick(row, wide[:, radius - reach : radius - reach + width]), wide[:, radius + reach :][:, :width])
        for dy in (dy for dy in range(radius + 1) if half_width[dy] == reach):
            for top in (radius - dy, radius + dy):
                found = pick(found, row[top : top + height])
    return found


def _stretched(image: Thin, length: int, step: int) -> Thin:
    """Interpolate rows to `length` of them; the end lies at length / step - 1, a fraction, as in CellProfiler."""
    at = np.arange(length) * ((length / step - 1) / max(length - 1, 1))
    low = np.minimum(at.astype(np.intp), max(len(image) - 2, 0))
    part = (at - low).astype(np.float32)[:, None]
    return np.asarray(image[low] * (1 - part) + image[np.minimum(low + 1, len(image) - 1)] * part)


def _eroded(flat: Thin, n_sizes: int) -> Stack:
    """Erode by a cross of radius 1 again and again; shape (h, w, n_sizes)."""
    stack = np.empty((n_sizes, *flat.shape), np.float32)
    eroded = flat
    for less in stack:
        np.minimum(eroded[1:], eroded[:-1], out=less[1:])
        less[0] = eroded[0]
        np.minimum(less[:-1], eroded[1:], out=less[:-1])
        np.minimum(less[:, 1:], eroded[:, :-1], out=less[:, 1:])
        np.minimum(less[:, :-1], eroded[:, 1:], out=less[:, :-1])
        eroded = less
    return np.ascontiguousarray(np.moveaxis(stack, 0, 2))
