"""Look at a sample of a plate's fields before measuring: image kind, scale, illumination, thresholds."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import ndimage

from nextplate.imaging.cells import CellRule, cytoplasm_image, cytoplasm_threshold
from nextplate.imaging.channels import is_fluorescent
from nextplate.imaging.flatfield import (
    FieldSurvey,
    FlatField,
    Image,
    Surfaces,
    binned,
    block_lows,
    corrected,
    fit_flat_field,
    surfaces_for,
    survey_field,
)
from nextplate.imaging.focus import Spectrum, spectrum_for
from nextplate.imaging.nuclei import Nuclei, SegmentRule, find_nuclei
from nextplate.imaging.objects import RingRule
from nextplate.imaging.params import MeasureParams
from nextplate.imaging.pixels import ImageKind, UnreadableImage, majority_kind, read_image
from nextplate.imaging.threshold import otsu
from nextplate.readout import FieldImage

_T = TypeVar("_T")
_WORK_DIAMETER_PX = 11.0
"""Nuclei are measured at about this size: finer sampling costs time and does not move counts or ratios."""
_RING_SHARE = 0.15
"""Width of the ring as a share of the nucleus diameter."""
_EXPRESSING = 1.0
"""A cell expresses the reporter when it is brighter than this multiple of the plate's reporter threshold."""
_DIAMETER_FIELDS = 12
_CELL_FIELDS = 12
_CELL_REACH = 3.0
"""How far a cell reaches from its nucleus, in nucleus diameters."""
_RING_CELL = 0.5
"""The same where no channel shows the cell."""
_MIN_SIDE_PX = 48


@dataclass(frozen=True, slots=True)
class FieldImages:
    """The images of one field by channel; a channel that was not imaged is absent."""

    field: int
    images: Mapping[str, FieldImage]


@dataclass(frozen=True, slots=True)
class Survey:
    """What holds for every field of a plate."""

    kind: ImageKind
    factor: int
    """Images are binned factor x factor before segmentation and the ratio."""
    pixel_size_um: float | None
    """Of the raw image; None when unknown."""
    nucleus_px: float
    """Nucleus diameter in raw pixels: from the pixel size, or estimated when that is unknown."""
    flats: Mapping[str, FlatField]
    """By channel; a channel without any image that can be used is absent."""
    whites: Mapping[str, float]
    """By channel: typical brightest signal of a field, counts above background; the top grey level of textures."""
    surfaces: Mapping[str, Surfaces]
    """By channel, at the images' own resolution; empty when nothing is measured there."""
    rule: SegmentRule
    ring: RingRule
    spectrum: Spectrum
    cytoplasm: tuple[str, ...]
    """Channels that whole cells are grown over."""
    cells: CellRule | None
    """None when whole cells are not asked for."""


def survey_plate(
    fields: Sequence[FieldImages], params: MeasureParams, pixel_size_um: float | None, executor: Executor
) -> Survey | None:
    """Survey a plate from a sample of its fields; None when no sampled field has its needed channels readable.

    Every channel has a sample of its own, so that one that few wells have is looked at too.
    """
    sample = sample_evenly(fields, params.n_sample_fields)
    kind = majority_kind([i.path for f in sample for i in f.images.values()])
    if kind is None or min(kind.height, kind.width) < _MIN_SIDE_PX:
        return None
    diameters = (f.images[params.dna] for f in sample_evenly(sample, _DIAMETER_FIELDS))
    nucleus_px = (
        params.nucleus_diameter_um / pixel_size_um if pixel_size_um else _estimate_diameter(diameters, kind, executor)
    )
    factor = max(1, min(round(nucleus_px / _WORK_DIAMETER_PX), min(kind.height, kind.width) // _MIN_SIDE_PX))
    shape = (kind.height // factor, kind.width // factor)
    flats, whites = {}, {}
    for channel in params.channels:
        having = [f.images[channel] for f in fields if channel in f.images]
        images = sample_evenly(having, params.n_sample_fields)
        found = [s for s in executor.map(lambda image: _survey_image(image, kind, factor), images) if s is not None]
        if found:
            flats[channel] = fit_flat_field(channel, found, shape)
            whites[channel] = max(float(np.median([s.white for s in found])), 1.0)
    if any(channel not in flats for channel in params.needed):
        return None
    dna, reporter = flats[params.dna], flats.get(params.reporter or "")
    full = (kind.height, kind.width)
    survey = Survey(
        kind=kind,
        factor=factor,
        pixel_size_um=pixel_size_um,
        nucleus_px=nucleus_px,
        flats=flats,
        whites=whites,
        surfaces={c: surfaces_for(f, full) for c, f in flats.items()} if params.is_full_resolution else {},
        rule=SegmentRule(nucleus_px / factor, dna.noise, dna.threshold),
        ring=_ring_rule(nucleus_px / factor, reporter or dna),
        spectrum=spectrum_for(shape),
        cytoplasm=tuple(c for c in flats if c != params.dna and is_fluorescent(c)),
        cells=None,
    )
    return replace(survey, cells=_cell_rule(sample, survey, params, executor)) if params.has_cells else survey


def _cell_rule(sample: Sequence[FieldImages], survey: Survey, params: MeasureParams, executor: Executor) -> CellRule:
    """Learn from some fields what parts cells from background."""
    diameter = survey.rule.diameter_px
    if not survey.cytoplasm:
        return CellRule(_RING_CELL * diameter, None, has_cytoplasm=False)
    jobs = sample_evenly(sample, _CELL_FIELDS)
    found = list(executor.map(lambda field: _cytoplasm_and_nuclei(field, survey, params), jobs))
    return CellRule(_CELL_REACH * diameter, cytoplasm_threshold([f for f in found if f is not None]))


def _cytoplasm_and_nuclei(field: FieldImages, survey: Survey, params: MeasureParams) -> tuple[Image, Nuclei] | None:
    signals = {}
    for channel in (params.dna, *survey.cytoplasm):
        if channel not in field.images:
            return None
        try:
            raw = read_image(field.images[channel], survey.kind)
        except UnreadableImage:
            return None  # flagged with its reason when the well itself is measured
        signals[channel] = corrected(binned(raw, survey.factor), survey.flats[channel])[0]
    return cytoplasm_of(signals, survey), find_nuclei(signals[params.dna], survey.rule)


def cytoplasm_of(signals: Mapping[str, Image], survey: Survey) -> Image:
    """Combine the channels of a field that show cytoplasm; those that could not be read are left out.

    Raises:
        DataError: none of them is there.
    """
    there = [c for c in survey.cytoplasm if c in signals]
    return cytoplasm_image([signals[c] for c in there], [survey.flats[c].noise for c in there])


def _ring_rule(diameter_px: float, reporter: FlatField) -> RingRule:
    weakest = max(3.0 * reporter.noise, _EXPRESSING * (reporter.threshold or 0.0))
    return RingRule(1, max(2, round(_RING_SHARE * diameter_px)), reporter.noise, weakest)


def sample_evenly(items: Sequence[_T], n: int) -> list[_T]:
    """Take at most n of what is in plate order, evenly spread over the plate."""
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def _survey_image(image: FieldImage, kind: ImageKind, factor: int) -> FieldSurvey | None:
    try:
        raw = read_image(image, kind)
    except UnreadableImage:
        return None  # flagged with its reason when the well itself is measured
    return None if raw.min() == raw.max() else survey_field(binned(raw, factor))


def _estimate_diameter(sample: Iterable[FieldImage], kind: ImageKind, executor: Executor) -> float:
    """Estimate the nucleus diameter in raw pixels from DNA images; 20 when none shows any nucleus."""
    found = [d for d in executor.map(lambda image: _field_diameter(image, kind), sample) if d is not None]
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
    radius = np.zeros(n + 1)
    np.maximum.at(radius, labels.ravel(), depth.ravel())
    radius = radius[1:]
    area = np.bincount(labels.ravel())[1:].astype(np.float64)
    order = np.argsort(radius, kind="stable")
    half = np.searchsorted(np.cumsum(area[order]), area.sum() / 2)
    # The inner radius is that of the minor axis; nuclei are about 1.2 times as long as wide.
    return float(2.2 * radius[order[min(half, n - 1)]])
