"""Look at a sample of a plate's fields before measuring: image kind, scale, illumination, thresholds."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nextplate.imaging.flatfield import FieldSurvey, FlatField, Image, binned, block_lows, fit_flat_field, survey_field
from nextplate.imaging.focus import Spectrum, spectrum_for
from nextplate.imaging.nuclei import SegmentRule
from nextplate.imaging.objects import RingRule
from nextplate.imaging.pixels import ImageKind, UnreadableImage, majority_kind, read_image
from nextplate.imaging.threshold import otsu
from nextplate.readout import FieldImage

_WORK_DIAMETER_PX = 11.0
"""Nuclei are measured at about this size: finer sampling costs time and does not move counts or ratios."""
_RING_SHARE = 0.15
"""Width of the ring as a share of the nucleus diameter."""
_EXPRESSING = 1.0
"""A cell expresses the reporter when it is brighter than this multiple of the plate's reporter threshold."""
_DIAMETER_FIELDS = 12
_MIN_SIDE_PX = 48


@dataclass(frozen=True, slots=True)
class FieldPair:
    """The two images of one field."""

    field: int
    dna: FieldImage
    reporter: FieldImage


@dataclass(frozen=True, slots=True)
class Survey:
    """What holds for every field of a plate."""

    kind: ImageKind
    factor: int
    """Images are binned factor x factor before anything else."""
    pixel_size_um: float | None
    """Of the raw image; None when unknown."""
    nucleus_px: float
    """Nucleus diameter in raw pixels: from the pixel size, or estimated when that is unknown."""
    dna: FlatField
    reporter: FlatField
    rule: SegmentRule
    ring: RingRule
    spectrum: Spectrum


def survey_plate(
    sample: Sequence[FieldPair],
    channels: tuple[str, str],
    pixel_size_um: float | None,
    nucleus_um: float,
    executor: Executor,
) -> Survey | None:
    """Survey a plate from a sample of its fields; None when none of them can be read.

    `channels` are the names of the DNA and the reporter channel.
    """
    kind = majority_kind([i.path for f in sample for i in (f.dna, f.reporter)])
    if kind is None or min(kind.height, kind.width) < _MIN_SIDE_PX:
        return None
    nucleus_px = nucleus_um / pixel_size_um if pixel_size_um else _estimate_diameter(sample, kind, executor)
    factor = max(1, min(round(nucleus_px / _WORK_DIAMETER_PX), min(kind.height, kind.width) // _MIN_SIDE_PX))
    shape = (kind.height // factor, kind.width // factor)
    jobs = [(f.dna, f.reporter) for f in sample]
    pairs = [p for p in executor.map(lambda job: _survey_pair(job, kind, factor), jobs) if p is not None]
    if not pairs:
        return None
    dna = fit_flat_field(channels[0], [p[0] for p in pairs], shape)
    reporter = fit_flat_field(channels[1], [p[1] for p in pairs], shape)
    diameter = nucleus_px / factor
    return Survey(
        kind=kind,
        factor=factor,
        pixel_size_um=pixel_size_um,
        nucleus_px=nucleus_px,
        dna=dna,
        reporter=reporter,
        rule=SegmentRule(diameter, dna.noise, dna.threshold),
        ring=_ring_rule(diameter, reporter),
        spectrum=spectrum_for(shape),
    )


def _ring_rule(diameter_px: float, reporter: FlatField) -> RingRule:
    weakest = max(3.0 * reporter.noise, _EXPRESSING * (reporter.threshold or 0.0))
    return RingRule(1, max(2, round(_RING_SHARE * diameter_px)), reporter.noise, weakest)


def sample_evenly(fields: Sequence[FieldPair], n: int) -> list[FieldPair]:
    """Take at most n fields, evenly spread over the plate."""
    if len(fields) <= n:
        return list(fields)
    return [fields[i * len(fields) // n] for i in range(n)]


def _survey_pair(
    images: tuple[FieldImage, FieldImage], kind: ImageKind, factor: int
) -> tuple[FieldSurvey, FieldSurvey] | None:
    try:
        raw = [read_image(image, kind) for image in images]
    except UnreadableImage:
        return None  # flagged with its reason when the well itself is measured
    if any(pixels.min() == pixels.max() for pixels in raw):
        return None
    return survey_field(binned(raw[0], factor)), survey_field(binned(raw[1], factor))


def _estimate_diameter(sample: Sequence[FieldPair], kind: ImageKind, executor: Executor) -> float:
    """Estimate the nucleus diameter in raw pixels; 20 when no sampled field shows any."""
    jobs = sample_evenly(sample, _DIAMETER_FIELDS)
    found = [d for d in executor.map(lambda f: _field_diameter(f.dna, kind), jobs) if d is not None]
    return float(np.clip(np.median(found), 6.0, 120.0)) if found else 20.0


def _field_diameter(dna: FieldImage, kind: ImageKind) -> float | None:
    """Twice the inner radius of the typical foreground component: touching nuclei do not enlarge it."""
    try:
        image: Image = binned(read_image(dna, kind), 1)
    except UnreadableImage:
        return None
    smooth = ndimage.gaussian_filter(image, 1.0)
    root = np.sqrt(np.maximum(smooth - np.float32(np.median(block_lows(image))), 0))
    depth = ndimage.distance_transform_edt(root > otsu(root))
    labels, n = ndimage.label(depth > 0)
    if n == 0:
        return None
    radius = ndimage.maximum(depth, labels, np.arange(1, n + 1))
    area = np.bincount(labels.ravel())[1:].astype(np.float64)
    order = np.argsort(radius, kind="stable")
    half = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    # The inner radius is that of the minor axis; nuclei are about 1.2 times as long as wide.
    return float(2.2 * radius[order[min(half, n - 1)]])
