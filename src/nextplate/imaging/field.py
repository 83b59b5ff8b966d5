"""Measure one field: an image per channel in, objects and quality numbers out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from nextplate.features import measure_features
from nextplate.features import measure_field as measure_whole_field
from nextplate.imaging.cells import LabelImage, find_cells
from nextplate.imaging.channel_look import ChannelLook, look_at
from nextplate.imaging.channels import is_fluorescent
from nextplate.imaging.debris import Debris, find_debris
from nextplate.imaging.flatfield import Image, background_of, binned, corrected, evened
from nextplate.imaging.focus import edge_sharpness, power_slope
from nextplate.imaging.full_resolution import at_full_resolution, cytoplasm, nuclei_and_cells
from nextplate.imaging.nuclei import Nuclei, find_nuclei
from nextplate.imaging.objects import Objects, measure_objects, ring_around, unpadded
from nextplate.imaging.params import MeasureParams
from nextplate.imaging.pixels import Pixels, UnreadableImage, read_image
from nextplate.imaging.survey import FieldImages, Survey, cytoplasm_of


@dataclass(frozen=True, slots=True)
class ChannelQuality:
    """One channel of one field; NaN where a score cannot be had."""

    sharpness: float
    slope: float
    saturated_share: float
    """Share of pixels at the camera's maximum."""
    background: float
    """Counts, mean over the field."""


@dataclass(frozen=True, slots=True)
class FieldNumbers:
    """What one field says."""

    field: int
    objects: Objects
    quality: Mapping[str, ChannelQuality]
    """By channel, of those that could be read."""
    debris: Debris
    looks: Mapping[str, ChannelLook]
    """By channel of fluorescence: how nuclear it looks."""
    features: pl.DataFrame | None
    """One row per object, in label order; None when none were asked for."""
    whole: Mapping[str, float]
    """Features of the whole field; empty when none were asked for."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why a channel of a field was not measured."""

    field: int
    channel: str
    code: str
    """A key of quality.FLAGS."""
    reason: str


@dataclass(frozen=True, slots=True)
class FieldResult:
    """One field: its numbers, None when a needed channel cannot be used, and its problems."""

    numbers: FieldNumbers | None
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True, slots=True)
class _Lit:
    """One channel of one field, read and corrected."""

    raw: Pixels
    signal: Image
    """Binned: counts above background at even illumination."""
    shift: float
    """Background against the plate's, counts."""


def measure_field(field: FieldImages, plate: Survey | None, params: MeasureParams) -> FieldResult:
    """Read and measure one field; a bad image becomes a FieldProblem, never an exception.

    `plate` is None when no field of the plate could be surveyed; then each field says why.
    """
    raws: dict[str, Pixels] = {}
    problems: list[FieldProblem] = []
    for channel in (c for c in params.channels if c in field.images):
        found = _read(field, channel, plate)
        if isinstance(found, FieldProblem):
            problems.append(found)
        else:
            raws[channel] = found
    if plate is None and not problems:
        problems.append(_unreadable(field, params.dna, "no image of the plate can be used"))
    if plate is None or any(channel not in raws for channel in params.needed):
        return FieldResult(None, tuple(problems))
    unknown = [c for c in raws if c not in plate.flats]
    problems += [
        _unreadable(field, c, "no sampled image of this channel can be used: its illumination is unknown")
        for c in unknown
    ]
    lit = {c: _lit(raw, plate, c) for c, raw in raws.items() if c not in unknown}
    return FieldResult(_numbers(field.field, lit, plate, params), tuple(problems))


def _read(field: FieldImages, channel: str, plate: Survey | None) -> Pixels | FieldProblem:
    image = field.images[channel]
    try:
        raw = read_image(image, plate.kind if plate else None)
    except UnreadableImage as error:
        return _unreadable(field, channel, str(error))
    if raw.min() == raw.max():
        reason = f"all-zero: {image.path.name}: every pixel is {raw.flat[0]}"
        return FieldProblem(field.field, channel, "all-zero", reason)
    return raw


def _unreadable(field: FieldImages, channel: str, reason: str) -> FieldProblem:
    return FieldProblem(field.field, channel, "unreadable", f"unreadable: {reason}")


def _lit(raw: Pixels, plate: Survey, channel: str) -> _Lit:
    return _Lit(raw, *corrected(binned(raw, plate.factor), plate.flats[channel]))


def _numbers(field: int, lit: Mapping[str, _Lit], plate: Survey, params: MeasureParams) -> FieldNumbers:
    dna, reporter = lit[params.dna], lit.get(params.reporter or "")
    nuclei = find_nuclei(dna.signal, plate.rule)
    ring = ring_around(nuclei, plate.ring)
    objects = measure_objects(nuclei, ring, dna.signal, reporter.signal if reporter else None, plate.ring)
    seen = unpadded(np.concatenate([nuclei.pixels, ring.gap]), nuclei.padded.shape[1])
    features, whole = _at_full_resolution(nuclei, lit, plate, params)
    return FieldNumbers(
        field=field,
        objects=objects,
        quality={channel: _quality(one, seen, plate, params, channel) for channel, one in lit.items()},
        debris=find_debris(dna.signal, nuclei, plate.rule),
        looks={c: _look(one, plate, c) for c, one in lit.items() if is_fluorescent(c)},
        features=features,
        whole=whole,
    )


def _quality(
    one: _Lit, seen: npt.NDArray[np.int64], plate: Survey, params: MeasureParams, channel: str
) -> ChannelQuality:
    level = params.saturation_level or np.iinfo(one.raw.dtype).max
    return ChannelQuality(
        sharpness=edge_sharpness(one.signal, seen),
        slope=power_slope(one.signal, plate.spectrum),
        saturated_share=float(np.count_nonzero(one.raw >= level)) / one.raw.size,
        background=background_of(plate.flats[channel], one.shift),
    )


def _look(one: _Lit, plate: Survey, channel: str) -> ChannelLook:
    flat = plate.flats[channel]
    return look_at(one.signal, background_of(flat, one.shift), plate.rule.diameter_px, flat.noise)


def _at_full_resolution(
    nuclei: Nuclei, lit: Mapping[str, _Lit], plate: Survey, params: MeasureParams
) -> tuple[pl.DataFrame | None, Mapping[str, float]]:
    if not params.is_full_resolution:
        return None, {}
    images = {c: evened(one.raw, plate.surfaces[c], one.shift) for c, one in lit.items()}
    whole = measure_whole_field(images) if params.has_field_features else {}
    if params.features is None:
        return None, whole
    table = pl.DataFrame({"label": np.arange(1, nuclei.n + 1)})
    for name, labels in _labels(nuclei, lit, plate, params).items():
        found = measure_features(labels, images, params.features, objects=name, whites=plate.whites)
        table = table.join(found, on="label", how="left", maintain_order="left")
    return table.drop("label").cast(pl.Float32).fill_nan(None), whole


def _labels(nuclei: Nuclei, lit: Mapping[str, _Lit], plate: Survey, params: MeasureParams) -> dict[str, LabelImage]:
    """Return the label images of the objects asked for, at full resolution; one label is one cell in all of them."""
    shape = (plate.kind.height, plate.kind.width)
    if plate.cells is None:
        return {"Nuclei": at_full_resolution(nuclei.labels, plate.factor, shape)}
    signals = {c: one.signal for c, one in lit.items()}
    rule = plate.cells
    if not any(c in signals for c in plate.cytoplasm):
        # A field whose cytoplasm channels are all missing, which its flags say.
        rule = replace(rule, has_cytoplasm=False, max_radius_px=rule.max_radius_px / 6)
    ground = cytoplasm_of(signals, plate) if rule.has_cytoplasm else lit[params.dna].signal
    inner, outer = nuclei_and_cells(nuclei.labels, find_cells(nuclei, ground, rule), plate.factor, shape)
    found = {"Nuclei": inner, "Cells": outer, "Cytoplasm": cytoplasm(outer, inner)}
    return {name: found[name] for name in params.objects}
