"""Grow whole cells from nuclei: over the foreground of a cytoplasm image, parted along its valleys.

A pixel goes to the nucleus it is reached from with the least effort. One pixel of way costs 1, and climbing in
log brightness costs extra while going down is free: two cells that touch meet in the valley between them, and where
there is no valley (one flat sheet) half way. This is the regularised geodesic of Jones et al. 2005
(doi 10.1007/11569541_54, CellProfiler's Propagate) with a directed cost: theirs counts steps down as much as up, so
that borders are drawn to any edge, also one inside a cell. Measured beside it (bench/segmentation.py): Voronoi cells
do as well where cells add up without a valley, worse where there is one; flooding (watershed) runs along faint ridges
and loses a tenth of the cells; scipy's dijkstra takes two to fifteen times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nextplate.errors import DataError
from nextplate.imaging.flatfield import Image
from nextplate.imaging.nuclei import Index, Nuclei
from nextplate.imaging.threshold import otsu

LabelImage = npt.NDArray[np.int32]
"""Shape (h, w): 1..n, 0 for background."""
Whole = npt.NDArray[np.int32]

_UNIT, _DIAGONAL = 16, 23
"""Effort of a step to the side and across a corner, as whole numbers: results do not depend on the order of work.
23 / 16 is within 2 % of the root of 2."""
_BUCKET = 24
"""The front moves in steps of this effort; smaller ones mean more rounds, larger ones more corrections."""
_LEVEL = 0.5
"""Cells are thin at the rim: they end at this share of the threshold that parts cells from background."""
_FAINT = 4.0
"""The lowest level, in noise units: fainter is not told from background."""
_MAX_HOLE = 0.03
"""Holes up to this share of the disc of the largest radius are filled: vacuoles, not gaps between cells."""


@dataclass(frozen=True, slots=True)
class CellRule:
    """How far a cell may reach and what it may grow over, on the binned image."""

    max_radius_px: float
    """Effort at which growth ends: how far a cell reaches from its nucleus over even ground. Three nucleus diameters
    suit spread cells, long processes need more. Without a cytoplasm channel: the width of the ring around a nucleus."""
    threshold: float | None
    """Typical threshold of the plate's cytoplasm images (see `cytoplasm_threshold`); a field may deviate from it by
    at most a factor of 2.5 down and 2 up. None: the field's own."""
    has_cytoplasm: bool = True
    """False: there is no cytoplasm channel; cells are nuclei with a ring of fixed width, parted half way."""
    min_ring_px: int = 2
    """Every cell reaches so far, however dark it is there: a cell that has lost its reporter has a cytoplasm too."""
    climb_px: float = 6.0
    """Pixels of way that climbing by a factor e in brightness is worth."""


def cytoplasm_image(signals: Sequence[Image], noises: Sequence[float]) -> Image:
    """Combine corrected channels, shape (h, w) each, into one, in units of noise and linear in brightness.

    Every channel is averaged over 3 x 3 pixels and divided by the noise that leaves; the combination is the power
    mean of exponent 1/2, the scale on which photon noise is even (Anscombe 1948, doi 10.2307/2332343): a channel
    twice as deep counts more, but none drowns the others, and an empty one dims the image and changes nothing else.
    `noises` are standard deviations per binned pixel, counts.

    Raises:
        DataError: no channel, or not one positive noise per channel.
    """
    if not signals or len(signals) != len(noises) or not all(n > 0 for n in noises):
        raise DataError(
            f"a cytoplasm image needs channels and one positive noise for each; got {len(signals)} channels, "
            f"noises {list(noises)}"
        )
    total = np.zeros(signals[0].shape, np.float32)
    for signal, noise in zip(signals, noises, strict=True):
        soft = ndimage.uniform_filter(signal, 3, mode="nearest")
        soft *= np.float32(3.0 / noise)
        total += np.sqrt(np.maximum(soft, 0, out=soft), out=soft)
    total *= np.float32(1 / len(signals))
    return np.square(total, out=total)


def field_threshold(cytoplasm: Image, nuclei: Nuclei) -> float:
    """Return what parts cells from background in one cytoplasm image, shape (h, w): Otsu's on its square root.

    Nuclei are left out: where a reporter has moved into them they would pass for the only foreground.
    """
    outside = cytoplasm[nuclei.labels == 0]
    return max(_FAINT, otsu(np.sqrt(outside)) ** 2) if outside.size else _FAINT


def cytoplasm_threshold(sample: Sequence[tuple[Image, Nuclei]]) -> float | None:
    """Return a plate's threshold from cytoplasm images and nuclei of some fields: the median; None without any."""
    return float(np.median([field_threshold(*field) for field in sample])) if sample else None


def find_cells(nuclei: Nuclei, signal: Image, rule: CellRule) -> LabelImage:
    """Label the cells of one field: cell i holds nucleus i and what belongs to it; shape (h, w).

    `signal`, shape (h, w), is what `cytoplasm_image` returns; it is not looked at where the rule has no cytoplasm.
    """
    if not nuclei.n:
        return np.zeros(nuclei.labels.shape, np.int32)
    if not rule.has_cytoplasm:
        flat = np.zeros(nuclei.padded.size, np.int32)
        return _inside(nuclei, _grown(nuclei, (nuclei.padded == 0).ravel(), flat, rule))
    level = _level(field_threshold(signal, nuclei), rule)
    grown = _grown(nuclei, _ground(nuclei, signal, level, rule), _heights(signal, level, rule.climb_px), rule)
    return _filled(_inside(nuclei, grown), _MAX_HOLE * np.pi * rule.max_radius_px**2)


def _level(threshold: float, rule: CellRule) -> float:
    if rule.threshold is not None:
        threshold = min(max(threshold, 0.4 * rule.threshold), 2.0 * rule.threshold)
    return max(_FAINT, _LEVEL * threshold)


def _ground(nuclei: Nuclei, signal: Image, level: float, rule: CellRule) -> npt.NDArray[np.bool_]:
    """Say where cells may grow: padded and flat."""
    ground = nuclei.padded > 0
    for _ in range(rule.min_ring_px):
        ground[1:] |= ground[:-1]
        ground[:-1] |= ground[1:]
        ground[:, 1:] |= ground[:, :-1]
        ground[:, :-1] |= ground[:, 1:]
    ground[1:-1, 1:-1] |= signal > level
    ground &= nuclei.padded == 0
    return ground.ravel()


def _heights(signal: Image, level: float, climb_px: float) -> Whole:
    """Return log brightness in units of effort, padded and flat."""
    height = np.zeros((signal.shape[0] + 2, signal.shape[1] + 2), np.int32)
    height[1:-1, 1:-1] = np.log(np.maximum(signal * np.float32(1 / level), 1)) * np.float32(climb_px * _UNIT)
    return height.ravel()


def _inside(nuclei: Nuclei, owner: Whole) -> LabelImage:
    return np.ascontiguousarray(owner.reshape(nuclei.padded.shape)[1:-1, 1:-1])


def _grown(nuclei: Nuclei, free: npt.NDArray[np.bool_], height: Whole, rule: CellRule) -> Whole:
    """Give free pixels to the nucleus of least effort; all arrays padded and flat.

    Delta-stepping (Meyer & Sanders 2003, doi 10.1016/S0196-6774(03)00076-2): the front's pixels of least effort are
    relaxed together until none of their bucket improves, then the next bucket is opened.
    """
    limit = round(rule.max_radius_px * _UNIT)
    owner = np.maximum(nuclei.padded.ravel(), 0)
    effort = np.where(free, np.int32(limit + 1), np.int32(-1))
    effort[nuclei.pixels] = 0
    front, waiting, bound = _rim(nuclei, free), np.empty(0, np.intp), _BUCKET
    while front.size:
        reached = _relax(front, owner, effort, height, nuclei.padded.shape[1])
        is_due = effort[reached] < bound
        front, waiting = reached[is_due], np.concatenate([waiting, reached[~is_due]])
        if not front.size:
            waiting = waiting[effort[waiting] >= bound]
            bound = int(effort[waiting].min(initial=limit)) + _BUCKET
            is_due = effort[waiting] < bound
            front, waiting = np.unique(waiting[is_due]), waiting[~is_due]
    return owner


def _rim(nuclei: Nuclei, free: npt.NDArray[np.bool_]) -> Index:
    """Return the nucleus pixels from which something can be reached."""
    width = nuclei.padded.shape[1]
    is_rim = np.zeros(nuclei.pixels.size, bool)
    for offset in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        is_rim |= free[nuclei.pixels + offset]
    return np.asarray(nuclei.pixels[is_rim])


def _relax(front: Index, owner: Whole, effort: Whole, height: Whole, width: int) -> Index:
    """Offer every pixel beside the front its way through it; change owner and effort, return who took the offer."""
    offsets = np.array([-width, width, -1, 1, -width - 1, -width + 1, width - 1, width + 1], np.intp)
    steps = np.repeat(np.array([_UNIT, _DIAGONAL], np.int32), 4)
    to = front[:, None] + offsets
    offer = height[to]
    offer -= height[front][:, None]
    np.maximum(offer, 0, out=offer)
    offer += steps
    offer += effort[front][:, None]
    at = np.flatnonzero(offer < effort[to])
    to, offer, source = to.ravel()[at], offer.ravel()[at], front[at >> 3]
    np.minimum.at(effort, to, offer)
    is_best = offer == effort[to]
    to = to[is_best]
    # Of equal offers the last one written wins: the order of the front, which is the same every time.
    owner[to] = owner[source[is_best]]
    return np.asarray(to)


def _filled(cells: LabelImage, max_area_px: float) -> LabelImage:
    """Give small holes that touch a single cell and not the border of the image to that cell."""
    holes, n = ndimage.label(cells == 0)
    lowest, highest = np.full(n + 1, np.iinfo(np.int32).max, np.int32), np.zeros(n + 1, np.int32)
    for hole, cell in (
        (holes[1:], cells[:-1]),
        (holes[:-1], cells[1:]),
        (holes[:, 1:], cells[:, :-1]),
        (holes[:, :-1], cells[:, 1:]),
    ):
        at = np.flatnonzero((hole > 0) & (cell > 0))
        ids, owners = hole.ravel()[at], cell.ravel()[at]
        np.minimum.at(lowest, ids, owners)
        np.maximum.at(highest, ids, owners)
    is_hole = (lowest == highest) & (np.bincount(holes.ravel(), minlength=n + 1) <= max_area_px)
    for side in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        is_hole[side] = False
    is_hole[0] = False
    return np.where(is_hole[holes], highest[holes], cells)
