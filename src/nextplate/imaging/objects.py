"""Numbers per nucleus: areas, intensities, and the ring of cytoplasm around it; every sum is one bincount."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.flatfield import Image
from nextplate.imaging.nuclei import Index, Nuclei

Values = npt.NDArray[np.float64]
"""Shape (n_objects,)."""

_MIN_RING_PX = 4


@dataclass(frozen=True, slots=True)
class RingRule:
    """The ring that stands for the cytoplasm, on the binned image, and when a cell says anything."""

    gap_px: int
    """Left out between nucleus and ring: the blurred border belongs to neither."""
    width_px: int
    noise: float
    """Standard deviation of the reporter's pixel noise, counts; ratios are taken of values not below it."""
    min_reporter: float
    """Mean of nucleus and ring, counts, below which a cell does not express the reporter: no ratio."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The rings of all nuclei of a field."""

    pixels: Index
    """Flat indices into the padded field."""
    label: npt.NDArray[np.int32]
    gap: Index
    """The pixels left out between nuclei and rings."""


@dataclass(frozen=True, slots=True)
class Objects:
    """The nuclei of one field, element i belonging to label i + 1."""

    y_px: Values
    """Centre, in binned pixels."""
    x_px: Values
    area_px: Values
    """In binned pixels."""
    dna: Values
    """Mean above background."""
    reporter_nucleus: Values
    """Mean of the inner nucleus."""
    reporter_ring: Values
    """Mean of the ring; NaN where neighbours leave no ring."""
    nc_ratio: Values
    """log2(reporter_nucleus / reporter_ring), both at least the pixel noise; NaN without a ring, and in cells
    that do not express the reporter (background over background is noise)."""


def measure_objects(nuclei: Nuclei, ring: Ring, dna: Image, reporter: Image | None, rule: RingRule) -> Objects:
    """Measure every nucleus of a field; dna and reporter have shape (h, w), reporter None gives NaN."""
    width = nuclei.padded.shape[1]
    y, x = nuclei.pixels // width - 1, nuclei.pixels % width - 1
    inside = y * (width - 2) + x
    area = _count(nuclei.label, nuclei.n)
    nucleus = around = np.full(nuclei.n, np.nan)
    if reporter is not None:
        nucleus = _inner_mean(nuclei, reporter.ravel()[inside])
        around = _mean(ring.label, reporter.ravel()[unpadded(ring.pixels, width)], nuclei.n, _MIN_RING_PX)
    return Objects(
        y_px=_sum(nuclei.label, y, nuclei.n) / area,
        x_px=_sum(nuclei.label, x, nuclei.n) / area,
        area_px=area,
        dna=_sum(nuclei.label, dna.ravel()[inside], nuclei.n) / area,
        reporter_nucleus=nucleus,
        reporter_ring=around,
        nc_ratio=_ratio(nucleus, around, rule),
    )


def ring_around(nuclei: Nuclei, rule: RingRule) -> Ring:
    """Grow all nuclei at once into the background; a ring never enters a nucleus, a gap or another ring.

    Steps alternate between 4 and 8 neighbours, which makes an octagon. Where two rings meet in one step the
    order of the directions decides, the same every time.
    """
    field = nuclei.padded.ravel().copy()
    width = nuclei.padded.shape[1]
    frontier = nuclei.pixels[~_is_inner(nuclei)]
    grown: list[Index] = []
    for step in range(rule.gap_px + rule.width_px):
        frontier = _grow(field, frontier, width, has_corners=step % 2 == 1)
        grown.append(frontier)
    pixels = np.concatenate([*grown[rule.gap_px :], np.empty(0, np.intp)])
    return Ring(pixels, field[pixels], np.concatenate([*grown[: rule.gap_px], np.empty(0, np.intp)]))


def unpadded(pixels: Index, width: int) -> Index:
    """Turn flat indices of a field padded to rows of `width` into those of the field itself."""
    return (pixels // width - 1) * (width - 2) + pixels % width - 1


def _grow(field: npt.NDArray[np.int32], frontier: Index, width: int, *, has_corners: bool) -> Index:
    corners = (-width - 1, -width + 1, width - 1, width + 1) if has_corners else ()
    taken: list[Index] = []
    for offset in (-width, width, -1, 1, *corners):
        to = frontier + offset
        is_free = field[to] == 0
        to = to[is_free]
        field[to] = field[frontier[is_free]]
        taken.append(to)
    return np.concatenate(taken)


def _is_inner(nuclei: Nuclei) -> npt.NDArray[np.bool_]:
    """Say of each nucleus pixel whether its four neighbours are of the same nucleus."""
    field, width = nuclei.padded.ravel(), nuclei.padded.shape[1]
    is_inner = field[nuclei.pixels - width] == nuclei.label
    for offset in (width, -1, 1):
        is_inner &= field[nuclei.pixels + offset] == nuclei.label
    return np.asarray(is_inner)


def _inner_mean(nuclei: Nuclei, values: npt.NDArray[np.float32]) -> Values:
    """Mean over the inner pixels of each nucleus; over the whole nucleus where none is inner."""
    is_inner = _is_inner(nuclei)
    inner = _mean(nuclei.label[is_inner], values[is_inner], nuclei.n, 1)
    return np.where(np.isnan(inner), _mean(nuclei.label, values, nuclei.n, 1), inner)


def _ratio(nucleus: Values, ring: Values, rule: RingRule) -> Values:
    ratio = np.log2(np.maximum(nucleus, rule.noise) / np.maximum(ring, rule.noise))
    return np.where((nucleus + ring) / 2 >= rule.min_reporter, ratio, np.nan)


def _mean(label: npt.NDArray[np.int32], values: npt.NDArray[np.float32], n: int, min_px: int) -> Values:
    count = _count(label, n)
    return np.where(count >= min_px, _sum(label, values, n) / np.maximum(count, 1), np.nan)


def _count(label: npt.NDArray[np.int32], n: int) -> Values:
    return np.bincount(label, minlength=n + 1)[1:].astype(np.float64)


def _sum(label: npt.NDArray[np.int32], weight: npt.NDArray[np.generic], n: int) -> Values:
    return np.asarray(np.bincount(label, weight, minlength=n + 1)[1:])
