"""Convert one field: planes in, one or more image groups out, a plane in memory at a time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.imaging.omezarr_meta import Window, WrittenImage, image_attributes
from nextplate.imaging.omezarr_plan import FLAT_STEPS, Axes, ExportPlan, FieldPlan
from nextplate.imaging.pixels import ImageKind, UnreadableImage, kind_of, read_image, stage_position_um
from nextplate.imaging.pyramid import halved, level_shape, n_levels
from nextplate.imaging.zarr_write import ArraySpec, write_array, write_group, write_plane
from nextplate.readout import FieldImage, Missing


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """What a converted field holds."""

    images: tuple[WrittenImage, ...]
    missing: tuple[Missing, ...]
    """Images that could not be read, with the reason."""
    n_planes: int
    n_bytes: int
    """Written."""


@dataclass(frozen=True, slots=True)
class _Image:
    """One image group to be written: what shares axes, size and depth."""

    written: WrittenImage
    axes: Axes
    kind: ImageKind
    planes: tuple[FieldImage, ...]


def convert_field(plan: ExportPlan, field: FieldPlan, well: Path, windows: Mapping[str, Window]) -> FieldRecord:
    """Read every plane of a field and write its images below the well's folder.

    An image that cannot be read is told in the record and left out.

    Raises:
        OSError: the target cannot be written, or its disk is full.
    """
    kinds, missing = _kinds(field)
    images: list[WrittenImage] = []
    n_planes = n_bytes = 0
    for image in _split(plan, _placed(field, kinds), kinds):
        pages, lost, size = _write_planes(image, well, plan.options.n_levels)
        missing += lost
        there = [page for page in pages if page is not None]
        if not there:
            continue
        size += _write_metadata(image, pages, well, plan.options.n_levels, windows)
        images.append(image.written)
        n_planes, n_bytes = n_planes + len(there), n_bytes + size
    return FieldRecord(tuple(images), tuple(missing), n_planes, n_bytes)


def _kinds(field: FieldPlan) -> tuple[dict[Path, ImageKind], list[Missing]]:
    """Read the size and depth of every file of a field."""
    kinds: dict[Path, ImageKind] = {}
    reasons: dict[Path, str] = {}
    for path in dict.fromkeys(i.path for i in field.images):
        try:
            kinds[path] = kind_of(path)
        except UnreadableImage as error:
            reasons[path] = f"unreadable: {error}"
    return kinds, [_missing(i, reasons[i.path]) for i in field.images if i.path in reasons]


def _missing(image: FieldImage, reason: str) -> Missing:
    return Missing(image.well, image.field, image.channel, reason)


def _placed(field: FieldPlan, readable: Mapping[Path, ImageKind]) -> tuple[FieldImage, ...]:
    """Fill the field's position from an image's own header, as `with_positions` does, where none is known."""
    if not readable or any(i.x_um is not None for i in field.images):
        return field.images
    place = stage_position_um(next(iter(readable)))
    return tuple(replace(i, x_um=place[0], y_um=place[1]) for i in field.images) if place else field.images


def _split(plan: ExportPlan, planes: Iterable[FieldImage], kinds: Mapping[Path, ImageKind]) -> Iterator[_Image]:
    """Part a field's planes by stack or projection, then by size and depth, the commonest first."""
    readable = [p for p in planes if p.path in kinds]
    groups = [(axes, is_flat) for axes, is_flat in ((plan.stacks, False), (plan.flats, True)) if axes is not None]
    for n, (axes, is_flat) in enumerate(groups):
        ours = [p for p in readable if (p.z in FLAT_STEPS) == is_flat]
        counts = Counter(kinds[p.path] for p in ours)
        word = "projection" if is_flat and len(groups) > 1 else ""
        for ordinal, kind in enumerate(sorted(counts, key=lambda k: (-counts[k], -k.height * k.width, k.dtype))):
            members = tuple(p for p in ours if kinds[p.path] == kind)
            path = f"{members[0].field}{word}{f'other{ordinal}' if ordinal else ''}"
            yield _Image(WrittenImage(path, n + ordinal * len(groups)), axes, kind, members)


def _write_planes(image: _Image, well: Path, most: int | None) -> tuple[list[FieldImage | None], list[Missing], int]:
    """Write the chunks of every level; returns the image of every page, what could not be read, and the bytes."""
    lead = tuple(image.axes.lengths.values())
    pages: list[FieldImage | None] = [None] * prod(lead)
    missing: list[Missing] = []
    n_bytes = 0
    specs = _specs(image, most)
    for plane in image.planes:
        try:
            pixels = read_image(plane, image.kind)
        except UnreadableImage as error:
            missing.append(_missing(plane, f"unreadable: {error}"))
            continue
        index = image.axes.index(plane)
        n_bytes += _write_levels(pixels, specs, well / image.written.path, index)
        pages[int(np.ravel_multi_index(index, lead))] = plane
    return pages, missing, n_bytes


def _write_levels(pixels: npt.NDArray[Any], specs: Sequence[ArraySpec], folder: Path, index: tuple[int, ...]) -> int:
    n_bytes = 0
    for level, spec in enumerate(specs):
        pixels = halved(pixels) if level else pixels
        n_bytes += write_plane(folder / str(level), spec, index, pixels)
    return n_bytes


def _specs(image: _Image, most: int | None) -> list[ArraySpec]:
    lengths, shape = image.axes.lengths, (image.kind.height, image.kind.width)
    names = (*lengths, "y", "x")
    return [
        ArraySpec((*lengths.values(), *level_shape(shape, n)), image.kind.dtype, names)
        for n in range(n_levels(shape, most))
    ]


def _write_metadata(
    image: _Image, pages: Sequence[FieldImage | None], well: Path, most: int | None, windows: Mapping[str, Window]
) -> int:
    folder, specs = well / image.written.path, _specs(image, most)
    n_bytes = sum(write_array(folder / str(n), spec) for n, spec in enumerate(specs))
    attributes = image_attributes(image.axes, pages, image.kind, len(specs), windows)
    return n_bytes + write_group(folder, attributes)
