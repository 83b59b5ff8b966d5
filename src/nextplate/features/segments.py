"""Sorting within objects: quantiles and ranks of all objects from one sort."""

import numpy as np
import numpy.typing as npt

from nextplate.features.regions import Regions, Values, changes

Keys = npt.NDArray[np.uint64]


def sorted_within(regions: Regions, values: Values) -> Values:
    """Sort values per pixel, shape (k,), within each object; they are rounded to float32 (1 part in 10 million).

    Object and value make one 64-bit whole number, whose sort is an order of magnitude faster than an indirect one.
    """
    keys = np.sort(_keys(regions, values))
    bits = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return _from_bits(bits).astype(np.float64)


def quantile(regions: Regions, in_order: Values, share: float) -> Values:
    """Interpolate a quantile of each object from values sorted within objects.

    Linear between order statistics at (n - 1) * share, as numpy.percentile; CellProfiler itself takes n * share.
    """
    position = (regions.area - 1) * share
    low = np.floor(position).astype(np.intp)
    part = position - low
    high = np.minimum(low + 1, regions.area.astype(np.intp) - 1)
    return np.asarray(in_order[regions.starts + low] * (1 - part) + in_order[regions.starts + high] * part)


def median(regions: Regions, values: Values) -> Values:
    """Median per object."""
    return quantile(regions, sorted_within(regions, values), 0.5)


def dense_rank(regions: Regions, values: Values) -> Values:
    """Rank every pixel within its object, from 0; equal values (as float32) share a rank and leave no gap."""
    keys = _keys(regions, values)
    order = np.argsort(keys)
    step = np.cumsum(changes(keys[order]))
    rank = np.empty(len(values))
    rank[order] = step
    return rank - step[regions.starts][regions.owner]


def _keys(regions: Regions, values: Values) -> Keys:
    bits = _to_bits(values.astype(np.float32))
    return (regions.owner.astype(np.uint64) << np.uint64(32)) | bits.astype(np.uint64)


def _to_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Map floats to whole numbers of the same order: the sign bit flipped, all bits of negative ones."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.asarray(bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000)))


def _from_bits(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    flipped: npt.NDArray[np.uint32] = bits ^ np.where(bits >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    return flipped.view(np.float32)
