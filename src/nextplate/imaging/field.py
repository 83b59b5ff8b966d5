"""Measure one field: two images in, objects and quality numbers out."""

from dataclasses import dataclass

import numpy as np

from nextplate.imaging.flatfield import binned, corrected
from nextplate.imaging.focus import edge_sharpness, power_slope
from nextplate.imaging.nuclei import find_nuclei
from nextplate.imaging.objects import Objects, measure_objects, ring_around, unpadded
from nextplate.imaging.pixels import Pixels, UnreadableImage, read_image
from nextplate.imaging.survey import FieldPair, Survey


@dataclass(frozen=True, slots=True)
class FieldNumbers:
    """What one field says; NaN where a score cannot be had."""

    field: int
    objects: Objects
    sharpness_dna: float
    slope_dna: float
    sharpness_reporter: float
    slope_reporter: float
    saturated_share: float
    """Larger of the two channels' shares of pixels at the maximum."""
    background_dna: float
    """Counts, mean over the field."""
    background_reporter: float


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why one field was not measured."""

    field: int
    code: str
    """A key of quality.FLAGS."""
    reason: str


def measure_field(pair: FieldPair, plate: Survey | None, saturation_level: int) -> FieldNumbers | FieldProblem:
    """Read and measure one field; a bad image becomes a FieldProblem, never an exception.

    `plate` is None when no field of the plate could be surveyed; then each field says why.
    """
    try:
        kind = plate.kind if plate else None
        dna_raw, reporter_raw = read_image(pair.dna, kind), read_image(pair.reporter, kind)
    except UnreadableImage as error:
        return FieldProblem(pair.field, "unreadable", f"unreadable: {error}")
    for image, raw in ((pair.dna, dna_raw), (pair.reporter, reporter_raw)):
        if raw.min() == raw.max():
            return FieldProblem(pair.field, "all-zero", f"all-zero: {image.path.name}: every pixel is {raw.flat[0]}")
    if plate is None:
        return FieldProblem(pair.field, "unreadable", "unreadable: no image of the plate can be used")
    saturated = max(_share_at(dna_raw, saturation_level), _share_at(reporter_raw, saturation_level))
    return _numbers(pair.field, dna_raw, reporter_raw, plate, saturated)


def _numbers(field: int, dna_raw: Pixels, reporter_raw: Pixels, plate: Survey, saturated: float) -> FieldNumbers:
    dna, background_dna = corrected(binned(dna_raw, plate.factor), plate.dna)
    reporter, background_reporter = corrected(binned(reporter_raw, plate.factor), plate.reporter)
    nuclei = find_nuclei(dna, plate.rule)
    ring = ring_around(nuclei, plate.ring)
    seen = unpadded(np.concatenate([nuclei.pixels, ring.gap]), nuclei.padded.shape[1])
    return FieldNumbers(
        field=field,
        objects=measure_objects(nuclei, ring, dna, reporter, plate.ring),
        sharpness_dna=edge_sharpness(dna, seen),
        slope_dna=power_slope(dna, plate.spectrum),
        sharpness_reporter=edge_sharpness(reporter, seen),
        slope_reporter=power_slope(reporter, plate.spectrum),
        saturated_share=saturated,
        background_dna=background_dna,
        background_reporter=background_reporter,
    )


def _share_at(raw: Pixels, level: int) -> float:
    return float(np.count_nonzero(raw >= level)) / raw.size
