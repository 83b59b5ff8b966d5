"""What an OME-Zarr export writes where, decided before any pixel is read.

A field becomes one image of axes t, c, z, y, x; an axis of length one is left out, c never. The axes are those of the
whole plate, so that all images have one shape: a plane that is not there is a chunk that is not written.

Projections (z = 0) beside stacks have no place on a z axis. They become images of their own in the same well, and of
an acquisition of their own, as do channels whose size or depth differs from the rest of their field.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nextplate.errors import DataError
from nextplate.imaging.listing import PROJECTION, Listing, Plane
from nextplate.imaging.selection import Selection, ZChoice, duplicate_reason, to_readout
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Missing, Readout

FLAT_STEPS = (None, PROJECTION)
"""The z of images that are no step of a stack."""
_NOT_THERE = "no image of "


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Which part of a plate to export."""

    z: ZChoice | Literal["all"] = "all"
    """'all': every step, and the projections beside them; else one image per channel, as for `open_readout`."""
    t: int | Literal["all"] = "all"
    n_levels: int | None = None
    """Most levels of the pyramid, the image itself included; None: until the shorter side is about 256 pixels."""


@dataclass(frozen=True, slots=True)
class Axes:
    """The leading axes of one kind of image: the numbers and names the plate's planes have."""

    t: tuple[int | None, ...]
    c: tuple[str, ...]
    z: tuple[int | None, ...]

    @property
    def lengths(self) -> dict[str, int]:
        """Return the length of every leading axis that is written, in order."""
        n = {"t": len(self.t), "c": len(self.c), "z": len(self.z)}
        return {name: length for name, length in n.items() if length > 1 or name == "c"}

    def index(self, image: FieldImage) -> tuple[int, ...]:
        """Return the place of an image along the axes that are written."""
        at = {"t": self.t.index(image.t), "c": self.c.index(image.channel), "z": self.z.index(image.z)}
        return tuple(at[name] for name in self.lengths)


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """The images of one field, of all channels, steps and time points."""

    well: str
    field: int
    images: tuple[FieldImage, ...]


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """An export before it starts."""

    listing: Listing
    folder: Path
    options: ExportOptions
    fields: tuple[FieldPlan, ...]
    """In plate order."""
    stacks: Axes | None
    """Of the images of stacks; None: the plate has none."""
    flats: Axes | None
    """Of projections and of images without a stack; None: the plate has none."""
    told: tuple[Missing, ...]
    """What is lost and the exported files do not show; images that cannot be read come later."""
    absent: tuple[Missing, ...]
    """What the source does not hold, as the export will not."""
    is_complete: bool


def plan_export(listing: Listing, folder: Path, options: ExportOptions) -> ExportPlan:
    """Decide what to export of a listed plate; of a plate still being written, the whole wells.

    Raises:
        DataError: the plate has no such step or time point, or no image at all.
    """
    readouts = _readouts(listing, folder, options)
    chosen = _all_planes(listing, readouts[0], readouts, options) if options.z == "all" else _chosen(readouts)
    waiting = {m.well for r in readouts for m in r.missing if m.reason.startswith("being-written")}
    images, doubles = _without_doubles([i for i in chosen if i.well not in waiting])
    if not images:
        raise DataError(f"{folder}: plate {listing.plate} has no image to export{_why(readouts)}")
    told = _told(listing, readouts, doubles)
    return ExportPlan(
        listing=listing,
        folder=folder,
        options=options,
        fields=_fields(images, listing),
        stacks=_axes([i for i in images if i.z not in FLAT_STEPS], listing),
        flats=_axes([i for i in images if i.z in FLAT_STEPS], listing),
        told=told,
        absent=_absent(told, readouts, images, options),
        is_complete=all(r.is_complete for r in readouts),
    )


def _readouts(listing: Listing, folder: Path, options: ExportOptions) -> list[Readout]:
    times: Sequence[int | None] = sorted({p.t for p in listing.planes if p.t is not None}) or [None]
    if options.t != "all":
        times = [options.t]
    z: ZChoice = "projection" if options.z == "all" else options.z
    return [to_readout(listing, folder, Selection(z, t)) for t in times]


def _chosen(readouts: Iterable[Readout]) -> list[FieldImage]:
    # A plane without a time point belongs to every readout of a time series, and is exported once.
    return list(dict.fromkeys(image for readout in readouts for image in readout.images))


def _all_planes(
    listing: Listing, first: Readout, readouts: Iterable[Readout], options: ExportOptions
) -> list[FieldImage]:
    wells = {image.well for readout in readouts for image in readout.images}
    # Listing opens no images; where no plane says its pixel size, the readout has asked the files.
    is_unsaid = all(p.pixel_size_um is None for p in listing.planes)
    size = first.images[0].pixel_size_um if is_unsaid and first.images else None
    return [
        _image(listing.plate, p, size)
        for p in listing.planes
        if p.well in wells and (options.t == "all" or p.t in (None, options.t))
    ]


def _image(plate: str, p: Plane, size: float | None) -> FieldImage:
    return FieldImage(
        plate=plate,
        well=p.well,
        field=p.field,
        channel=p.channel,
        path=p.path,
        pixel_size_um=p.pixel_size_um if p.pixel_size_um is not None else size,
        z=p.z,
        t=p.t,
        x_um=p.x_um,
        y_um=p.y_um,
        z_um=p.z_um,
        page=p.page,
    )


def _without_doubles(images: Iterable[FieldImage]) -> tuple[list[FieldImage], list[Missing]]:
    """Return the first image of every place, and what is left out."""
    places: dict[tuple[str, int, str, int | None, int | None], list[FieldImage]] = {}
    for i in images:
        places.setdefault((i.well, i.field, i.channel, i.z, i.t), []).append(i)
    doubles = [
        Missing(*key[:3], duplicate_reason([Plane(i.well, i.field, i.channel, i.path, page=i.page) for i in found]))
        for key, found in places.items()
        if len(found) > 1
    ]
    return [found[0] for found in places.values()], doubles


def _fields(images: Iterable[FieldImage], listing: Listing) -> tuple[FieldPlan, ...]:
    order = {name: n for n, name in enumerate(listing.channels)}
    fields: dict[tuple[str, int], list[FieldImage]] = {}
    for image in images:
        fields.setdefault((image.well, image.field), []).append(image)
    return tuple(
        FieldPlan(well, field, tuple(sorted(fields[well, field], key=lambda i: _rank(i, order))))
        for well, field in sorted(fields, key=lambda key: (parse_well(key[0]), key[1]))
    )


def _rank(image: FieldImage, order: dict[str, int]) -> tuple[tuple[bool, int], int, tuple[bool, int]]:
    return _none_first(image.t), order[image.channel], _none_first(image.z)


def _none_first(number: int | None) -> tuple[bool, int]:
    return number is not None, number or 0


def _axes(images: Sequence[FieldImage], listing: Listing) -> Axes | None:
    if not images:
        return None
    seen = {i.channel for i in images}
    return Axes(
        t=tuple(sorted({i.t for i in images}, key=_none_first)),
        c=tuple(dict.fromkeys(c for c in listing.channels if c in seen)),
        z=tuple(sorted({i.z for i in images}, key=_none_first)),
    )


def _told(listing: Listing, readouts: Iterable[Readout], doubles: Iterable[Missing]) -> tuple[Missing, ...]:
    """Return what the files do not show: a reader of the export has to be told it."""
    rows = [m for r in readouts for m in r.missing if not m.reason.startswith(("no-projection", "duplicate-image"))]
    said = [m for m in rows if m in listing.refused or not m.reason.startswith(_NOT_THERE)]
    return _in_order([*said, *doubles])


def _absent(
    told: tuple[Missing, ...], readouts: Iterable[Readout], images: Sequence[FieldImage], options: ExportOptions
) -> tuple[Missing, ...]:
    """Return what is not there, as a reader of the export will find by itself."""
    rows = [m for r in readouts for m in r.missing if m.reason.startswith(_NOT_THERE) and m not in told]
    if options.z != "all":
        return _in_order(rows)
    # What is there at another time point is told plane by plane.
    have = {(i.well, *rest) for i in images for rest in ((None, None), (i.field, None), (i.field, i.channel))}
    return _in_order([*(m for m in rows if (m.well, m.field, m.channel) not in have), *_holes(images)])


def _in_order(rows: Iterable[Missing]) -> tuple[Missing, ...]:
    return tuple(
        sorted(dict.fromkeys(rows), key=lambda m: (parse_well(m.well), m.field or 0, m.channel or "", m.reason))
    )


def _holes(images: Sequence[FieldImage]) -> list[Missing]:
    """Tell where a channel of a field lacks steps or time points that the plate has."""
    due: dict[str, dict[tuple[int | None, int | None], None]] = {}
    have: dict[tuple[str, int, str], set[tuple[int | None, int | None]]] = {}
    for i in sorted(images, key=lambda i: (_none_first(i.t), _none_first(i.z))):
        due.setdefault(i.channel, {})[i.t, i.z] = None
        have.setdefault((i.well, i.field, i.channel), set()).add((i.t, i.z))
    rows: list[Missing] = []
    for key, found in have.items():
        lacking = [place for place in due[key[2]] if place not in found]
        if lacking:
            rows.append(Missing(*key, f"no image of {len(lacking)} of {len(due[key[2]])} planes{_first(lacking[0])}"))
    return rows


def _first(place: tuple[int | None, int | None]) -> str:
    said = [f"{name} {n}" for name, n in zip(("time point", "step"), place, strict=True) if n is not None]
    return f", the first at {', '.join(said)}" if said else ""


def _why(readouts: Iterable[Readout]) -> str:
    reasons = [m for r in readouts for m in r.missing]
    return f": {reasons[0].well}: {reasons[0].reason}" if reasons else ""


def planned_wells(plan: ExportPlan) -> tuple[str, ...]:
    """Return the wells that were to be imaged or were, in plate order."""
    seen = {f.well for f in plan.fields} | {m.well for m in (*plan.told, *plan.absent)} | set(plan.listing.wells or ())
    return tuple(sorted(seen, key=parse_well))


def relative(plan: ExportPlan, image: FieldImage) -> FieldImage:
    """Return an image whose paths do not depend on where the plate's folder lies."""

    def below(path: Path) -> Path:
        return path.relative_to(plan.folder) if path.is_relative_to(plan.folder) else path

    return replace(image, path=below(image.path), stack=tuple((below(path), page) for path, page in image.stack))
