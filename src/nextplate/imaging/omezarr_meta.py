"""The metadata of an OME-Zarr plate (NGFF 0.5), as data: ngff.openmicroscopy.org/0.5.

What NGFF has no word for stands beside ``ome`` in the attribute ``nextplate``, which other readers pass over:

plate   channels (also those never written), wells and fields that were to be imaged, what is missing and why
image   field (its number), t and z (the numbers along those axes), absent (pages that are not there, counted over the
        axes before y and x), x_um, y_um, z_um, pixel_size_um (one number, or one per page where they differ)

NGFF's y grows downwards like the rows of an image, a field's y_um upwards: a field centred at (x, y) has its first
pixel at x - (width - 1) / 2 and -y - (height - 1) / 2 pixels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nextplate.imaging.omezarr_plan import Axes, ExportPlan, planned_wells
from nextplate.imaging.pixels import ImageKind
from nextplate.imaging.readers.ngff_notes import FORMAT
from nextplate.plate import parse_well, row_letters
from nextplate.readout import FieldImage, Missing

_PALETTE = ("00FFFF", "FF00FF", "FFFF00", "FF8000", "00FF80", "8000FF")
_COLORS = (
    ("0000FF", ("dapi", "hoechst", "dna", "405", "nucle")),
    ("00FF00", ("fitc", "gfp", "488", "alexa 488")),
    ("FF8000", ("cy3", "tritc", "555", "561", "568")),
    ("FF0000", ("texas", "rfp", "mcherry", "594")),
    ("FF00FF", ("cy5", "640", "647")),
    ("FFFFFF", ("bright", "phase", "dic", "trans", "bf")),
)


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """One image group of a field, as written."""

    path: str
    """Its name below the well."""
    acquisition: int


@dataclass(frozen=True, slots=True)
class Window:
    """The grey levels a channel is shown between."""

    start: int
    end: int


def color_of(channel: str, index: int) -> str:
    """Return a channel's display colour as RRGGBB: by the dye in its name, else by its place in the plate."""
    low = channel.lower()
    return next((c for c, words in _COLORS if any(w in low for w in words)), _PALETTE[index % len(_PALETTE)])


def image_attributes(
    axes: Axes, images: Sequence[FieldImage | None], kind: ImageKind, n_levels: int, windows: Mapping[str, Window]
) -> dict[str, Any]:
    """Return an image group's attributes; `images` holds one entry per page, None where none is there."""
    place = _Place.of(axes, images, kind)
    return {
        "ome": {
            "version": "0.5",
            "multiscales": [
                {
                    "axes": place.axes(),
                    "datasets": [
                        {"path": str(n), "coordinateTransformations": place.transformations(n)} for n in range(n_levels)
                    ],
                    "type": "mean",
                    "metadata": {"description": "mean of 2 x 2 pixels of the level above, halves rounded to even"},
                }
            ],
            "omero": {"channels": [_omero(c, n, windows, kind) for n, c in enumerate(axes.c)]},
        },
        "nextplate": _notes(axes, images),
    }


def _omero(channel: str, index: int, windows: Mapping[str, Window], kind: ImageKind) -> dict[str, Any]:
    top = 255 if kind.dtype == "uint8" else 65535
    window = windows.get(channel, Window(0, top))
    return {
        "label": channel,
        "color": color_of(channel, index),
        "active": True,
        "window": {"min": 0, "max": top, "start": min(window.start, top - 1), "end": min(window.end, top)},
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image lies: scale and first pixel along every axis that is written."""

    names: tuple[str, ...]
    units: Mapping[str, str]
    scale: Mapping[str, float]
    start: Mapping[str, float]

    @staticmethod
    def of(axes: Axes, images: Iterable[FieldImage | None], kind: ImageKind) -> "_Place":
        there = [i for i in images if i is not None]
        size = next((i.pixel_size_um for i in there if i.pixel_size_um), None)
        centre = next(((i.x_um, i.y_um) for i in there if i.x_um is not None and i.y_um is not None), None)
        spacing = _spacing(axes, there)
        scale = {"y": size or 1.0, "x": size or 1.0} | ({"z": spacing[1]} if spacing else {})
        start = {"z": spacing[0]} if spacing else {}
        if size and centre:
            start["x"] = centre[0] - size * (kind.width - 1) / 2
            start["y"] = -centre[1] - size * (kind.height - 1) / 2
        known = (*("yx" if size else ""), *("z" if spacing else ""))
        return _Place((*axes.lengths, "y", "x"), dict.fromkeys(known, "micrometer"), scale, start)

    def axes(self) -> list[dict[str, str]]:
        types = {"t": "time", "c": "channel"}
        return [
            {"name": n, "type": types.get(n, "space")} | ({"unit": self.units[n]} if n in self.units else {})
            for n in self.names
        ]

    def transformations(self, level: int) -> list[dict[str, Any]]:
        # The first pixel of a level is the mean over 2**level pixels, so its centre lies further in.
        factor = {n: 2.0**level if n in "yx" else 1.0 for n in self.names}
        scale = [self.scale.get(n, 1.0) * factor[n] for n in self.names]
        start = [self.start.get(n, 0.0) + self.scale.get(n, 1.0) * (factor[n] - 1) / 2 for n in self.names]
        found: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        return [*found, {"type": "translation", "translation": start}] if any(start) or self.start else found


def _spacing(axes: Axes, images: Iterable[FieldImage]) -> tuple[float, float] | None:
    """Return (first, step) in um of a z axis whose steps are equal and go up; else None."""
    heights: dict[str, dict[int | None, float]] = {}
    for i in images:
        if i.z_um is not None:
            heights.setdefault(i.channel, {}).setdefault(i.z, i.z_um)
    found = next(([h[z] for z in axes.z] for h in heights.values() if len(axes.z) > 1 and set(axes.z) <= set(h)), None)
    if found is None:
        return None
    steps = [b - a for a, b in pairwise(found)]
    is_even = all(math.isclose(s, steps[0], rel_tol=1e-3) for s in steps)
    return (found[0], (found[-1] - found[0]) / len(steps)) if is_even and steps[0] > 0 else None


def _notes(axes: Axes, images: Sequence[FieldImage | None]) -> dict[str, Any]:
    first = next(i for i in images if i is not None)
    return {
        "format": FORMAT,
        "field": first.field,
        "t": list(axes.t),
        "z": list(axes.z),
        "absent": [page for page, image in enumerate(images) if image is None],
        "x_um": _compact([i.x_um if i else None for i in images], images),
        "y_um": _compact([i.y_um if i else None for i in images], images),
        "z_um": _compact([i.z_um if i else None for i in images], images),
        "pixel_size_um": _compact([i.pixel_size_um if i else None for i in images], images),
    }


def _compact(numbers: list[float | None], images: Sequence[FieldImage | None]) -> float | list[float | None] | None:
    there = {n for n, image in zip(numbers, images, strict=True) if image is not None}
    return there.pop() if len(there) == 1 else numbers


def well_attributes(images: Iterable[WrittenImage], has_acquisitions: bool) -> dict[str, Any]:
    """Return a well group's attributes."""
    rows = [{"path": i.path} | ({"acquisition": i.acquisition} if has_acquisitions else {}) for i in images]
    return {"ome": {"version": "0.5", "well": {"version": "0.5", "images": rows}}}


def plate_attributes(
    plan: ExportPlan, wells: Mapping[str, Sequence[WrittenImage]], unreadable: Sequence[Missing], digest: str
) -> dict[str, Any]:
    """Return the plate group's attributes; `wells` are those that hold images, in plate order."""
    planned = planned_wells(plan)
    places = [parse_well(well) for well in planned]
    n_rows, n_columns = max(r for r, _ in places) + 1, max(c for _, c in places) + 1
    plate: dict[str, Any] = {
        "version": "0.5",
        "name": plan.listing.plate,
        "columns": [{"name": str(c + 1)} for c in range(n_columns)],
        "rows": [{"name": row_letters(r)} for r in range(n_rows)],
        "wells": [_well_entry(well) for well in wells],
        "field_count": max(len(images) for images in wells.values()),
    }
    if has_acquisitions(wells):
        plate["acquisitions"] = _acquisitions(plan, wells)
    return {"ome": {"version": "0.5", "plate": plate}, "nextplate": _plate_notes(plan, planned, unreadable, digest)}


def _well_entry(well: str) -> dict[str, Any]:
    row, column = parse_well(well)
    return {"path": well_path(well), "rowIndex": row, "columnIndex": column}


def well_path(well: str) -> str:
    """Return a well's path below the plate: B02 is B/2."""
    row, column = parse_well(well)
    return f"{row_letters(row)}/{column + 1}"


def has_acquisitions(wells: Mapping[str, Sequence[WrittenImage]]) -> bool:
    """Say whether images of a plate have to be told apart by acquisition."""
    return len({image.acquisition for images in wells.values() for image in images}) > 1


def _acquisitions(plan: ExportPlan, wells: Mapping[str, Sequence[WrittenImage]]) -> list[dict[str, Any]]:
    used = sorted({image.acquisition for images in wells.values() for image in images})
    most = {a: max(sum(i.acquisition == a for i in images) for images in wells.values()) for a in used}
    return [{"id": a, "name": _acquisition_name(a, plan), "maximumfieldcount": most[a]} for a in used]


def _acquisition_name(acquisition: int, plan: ExportPlan) -> str:
    n_kinds = 1 if plan.stacks is None or plan.flats is None else 2
    ordinal, kind = divmod(acquisition, n_kinds)
    name = ("stacks", "projections")[kind] if n_kinds == 2 else "images"
    return f"{name} of another size or depth, {ordinal}" if ordinal else name


def _plate_notes(
    plan: ExportPlan, planned: Sequence[str], unreadable: Sequence[Missing], digest: str
) -> dict[str, Any]:
    listing = plan.listing
    return {
        "format": FORMAT,
        "digest": digest,
        "reader": listing.reader,
        "channels": list(listing.channels),
        "wells": list(planned),
        "fields": None if listing.fields is None else list(listing.fields),
        "is_complete": plan.is_complete,
        "notes": list(listing.notes),
        "missing": [_row(m) for m in (*plan.told, *unreadable)],
        "absent": [_row(m) for m in plan.absent],
    }


def _row(m: Missing) -> dict[str, Any]:
    return {"well": m.well, "field": m.field, "channel": m.channel, "reason": m.reason}
