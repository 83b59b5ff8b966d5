"""How nuclear a channel looks: what `find_nuclei` makes of it when it is taken for the DNA stain.

A nuclear stain gives compact objects that stand apart and is dark around them; a cytoplasm taken for it falls into
ragged pieces that border on one another and on more cytoplasm. A few milliseconds per field on the binned image.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.flatfield import Image, binned_mean
from nextplate.imaging.nuclei import Nuclei, SegmentRule, find_nuclei
from nextplate.imaging.objects import RingRule, ring_around, unpadded

_Values = npt.NDArray[np.float64]

_DIAMETER_PX = 6.0
"""Nuclei are looked at about so large: a quarter of the cost of 11 px, and two more of 144 swapped wells are missed."""
_GAP_SHARE, _RING_SHARE = 0.3, 0.2
"""Gap and width of the ring as shares of the diameter: beyond the blur, where a cytoplasm still shines."""
_COMPACT, _COMPACT_STEP = 0.96, 0.01
_CONTRAST, _CONTRAST_STEP = 3.6, 0.4
_FREE, _FREE_STEP = 0.93, 0.03
_CLIP = 3.0


@dataclass(frozen=True, slots=True)
class ChannelLook:
    """One field (or the mean of several) of one channel; NaN where nothing was found."""

    n_objects: float
    compactness: float
    """Median over objects of area over that of the ellipse of equal second moments: 1 for an ellipse, 0.98 for
    nuclei of 11 px, 0.8 to 0.95 for pieces of cytoplasm."""
    contrast: float
    """Median log2 of the mean inside over the mean of a ring a third of a diameter away, both at least the noise."""
    free_share: float
    """Share of the objects' outlines that borders on background, not on another object."""
    log_area: float
    """log2 of the median area, binned pixels."""
    log_brightness: float
    """log2 of the median mean above background, counts."""
    log_background: float
    """log2 of the field's background, counts."""

    @property
    def likeness(self) -> float:
        """How nuclear the channel looks, from -3 to 3: the mean of three clipped scores, each 0 on the watershed.

        The watersheds lie between the nuclear and the other channels of all real plates at hand (BBBC013, NF1 and
        JUMP Cell Painting): compactness 0.96, contrast 3.6 (12 times as bright), free share 0.93. NaN without objects.
        """
        return (
            _score(self.compactness, _COMPACT, _COMPACT_STEP)
            + _score(self.contrast, _CONTRAST, _CONTRAST_STEP)
            + _score(self.free_share, _FREE, _FREE_STEP)
        ) / 3


def look_at(signal: Image, background: float, diameter_px: float, noise: float) -> ChannelLook:
    """Look at one corrected channel, shape (h, w), as if it were the DNA stain.

    The plate's threshold is left out on purpose: files that were swapped must look the same in either place.
    """
    step = max(1, round(diameter_px / _DIAMETER_PX))
    if step > 1:
        signal, diameter_px, noise = binned_mean(signal, step), diameter_px / step, noise / step
    nuclei = find_nuclei(signal, SegmentRule(diameter_px, noise, None))
    shade = float(np.log2(max(background, 1.0)))
    if nuclei.n == 0:
        return ChannelLook(0.0, np.nan, np.nan, np.nan, np.nan, np.nan, shade)
    area, compactness = _forms(nuclei)
    inside, around = _levels(nuclei, signal, diameter_px)
    return ChannelLook(
        n_objects=float(nuclei.n),
        compactness=float(np.median(compactness)),
        contrast=float(np.nanmedian(np.log2(np.maximum(inside, noise) / np.maximum(around, noise)))),
        free_share=_free_share(nuclei),
        log_area=float(np.log2(np.median(area))),
        log_brightness=float(np.log2(np.median(np.maximum(inside, noise)))),
        log_background=shade,
    )


def mean_look(looks: Sequence[ChannelLook]) -> ChannelLook:
    """Average the fields of a well; a value counts where it is known."""
    values = np.array([astuple(look) for look in looks], np.float64).reshape(-1, 7)
    is_known = np.isfinite(values)
    count = is_known.sum(axis=0)
    total = np.where(is_known, values, 0).sum(axis=0)
    n, compactness, contrast, free, area, brightness, background = np.where(
        count > 0, total / np.maximum(count, 1), np.nan
    ).tolist()
    return ChannelLook(n, compactness, contrast, free, area, brightness, background)


def _score(value: float, watershed: float, step: float) -> float:
    return float(np.clip((value - watershed) / step, -_CLIP, _CLIP))


def _forms(nuclei: Nuclei) -> tuple[_Values, _Values]:
    """Return area and compactness of each object, shape (n,) both."""
    width, n, label = nuclei.padded.shape[1], nuclei.n, nuclei.label
    y, x = nuclei.pixels // width, nuclei.pixels % width
    area = np.bincount(label, minlength=n + 1)[1:].astype(np.float64)
    my, mx = (np.bincount(label, v, n + 1)[1:] / area for v in (y, x))
    # 1/12: a pixel is a square, not a point.
    vy, vx = (np.bincount(label, v * v, n + 1)[1:] / area - m * m + 1 / 12 for v, m in ((y, my), (x, mx)))
    cov = np.bincount(label, y * x, n + 1)[1:] / area - my * mx
    return area, area / (4 * np.pi * np.sqrt(np.maximum(vy * vx - cov * cov, 1e-9)))


def _levels(nuclei: Nuclei, signal: Image, diameter_px: float) -> tuple[_Values, _Values]:
    """Return the mean of each object and of the ring around it, NaN without a ring; shape (n,) both."""
    gap, wide = max(1, round(_GAP_SHARE * diameter_px)), max(2, round(_RING_SHARE * diameter_px))
    ring = ring_around(nuclei, RingRule(gap, wide, 1.0, 0.0))
    width, flat = nuclei.padded.shape[1], signal.ravel()
    inside = _mean(nuclei.label, flat[unpadded(nuclei.pixels, width)], nuclei.n)
    return inside, _mean(ring.label, flat[unpadded(ring.pixels, width)], nuclei.n)


def _mean(label: npt.NDArray[np.int32], value: npt.NDArray[np.float32], n: int) -> _Values:
    count = np.bincount(label, minlength=n + 1)[1:]
    return np.where(count > 0, np.bincount(label, value, n + 1)[1:] / np.maximum(count, 1), np.nan)


def _free_share(nuclei: Nuclei) -> float:
    field, width, n_free, n_bordering = nuclei.padded.ravel(), nuclei.padded.shape[1], 0, 0
    for offset in (-width, width, -1, 1):
        neighbour = field[nuclei.pixels + offset]
        n_free += int(np.count_nonzero(neighbour == 0))
        n_bordering += int(np.count_nonzero((neighbour > 0) & (neighbour != nuclei.label)))
    return n_free / max(n_free + n_bordering, 1)
