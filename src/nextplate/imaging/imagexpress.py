"""ImageXpress / MetaXpress plates (Molecular Devices): exported and database layout.

``<plate>/TimePoint_<t>/[ZStep_<z>/]<name>_<A01>[_s<site>][_w<wave>][_thumb][GUID].tif`` and ``<name>.HTD`` beside
it or one level down. With one site or one wave the part is absent. In the database layout a GUID follows with no
separator, so ``_w1D5F8F51A-...`` is wave 1. ``ZStep_0``, or an image beside the ZStep folders, is the projection.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nextplate.imaging.htd import Htd, read_htd
from nextplate.imaging.pixels import pixel_size_um
from nextplate.plate import parse_well, well_name
from nextplate.readout import FieldImage, Missing, Readout

_IMAGE = re.compile(
    # The well is upper case and the site lower: a site _s12 must not read as well S12.
    r"^(?P<name>.+)_(?P<well>(?-i:[A-Z]{1,2})\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>[1-9]))?(?P<thumb>_thumb)?"
    r"(?P<guid>[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12})?\.tiff?$",
    re.IGNORECASE,
)
_TIME_POINT = re.compile(r"^TimePoint_(\d+)$", re.IGNORECASE)
_Z_STEP = re.compile(r"^ZStep_(\d+)$", re.IGNORECASE)
_PROJECTION = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """One image file; z is the step, 0 for a projection or a plate without z."""

    path: Path
    name: str
    well: str
    site: int
    wave: int
    z: int


@dataclass(frozen=True, slots=True)
class _Listing:
    found: tuple[_Found, ...]
    refused: tuple[Missing, ...]
    is_writing: bool


@dataclass(frozen=True, slots=True)
class ImageXpress:
    """The ImageXpress reader."""

    time_point: int | None = None
    """Which TimePoint folder to read; None: the first."""
    name: str = "imagexpress"
    looks_for: str = "a TimePoint_1 folder, a .HTD file, or images named PLATE_A01_s1_w1.TIF"

    def detect(self, folder: Path) -> bool:
        """Say whether a TimePoint folder, a .HTD file or an image of this naming is there."""
        return any(
            entry.is_dir()
            if _TIME_POINT.match(entry.name)
            else entry.suffix.upper() == ".HTD" or _IMAGE.match(entry.name)
            for entry in folder.iterdir()
        )

    def read(self, folder: Path, expected_wells: frozenset[str] | None) -> Readout:
        """List the images of one time point, and what is missing against .HTD and expected_wells.

        Where several z-steps and no projection exist the middle step is taken and said in `missing`.

        Raises:
            DataError: the .HTD file is broken.
        """
        root = self._time_folder(folder)
        listing = _list_images(folder, root)
        htd = _htd_of(folder, root)
        chosen, doubts = _choose(listing.found)
        waves = dict(htd.waves) if htd else {}
        waves |= {w: f"w{w}" for w in sorted({f.wave for f in chosen}) if w not in waves}
        images = _images(chosen, waves, _plate_name(folder, htd, listing.found))
        return Readout(
            reader=self.name,
            plate=_plate_name(folder, htd, listing.found),
            folder=folder,
            channels=tuple(waves[w] for w in sorted(waves)),
            images=images,
            missing=_missing(images, htd, expected_wells, waves, (*listing.refused, *_named(doubts, waves))),
            is_complete=htd is not None and htd.is_ended and not listing.is_writing,
        )

    def _time_folder(self, folder: Path) -> Path:
        found = {int(m[1]): e for e in folder.iterdir() if (m := _TIME_POINT.match(e.name)) and e.is_dir()}
        if not found:
            return folder
        return found.get(min(found) if self.time_point is None else self.time_point, folder)


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _steps(root: Path) -> Iterator[tuple[Path, int]]:
    yield root, _PROJECTION
    for entry in sorted(root.iterdir()):
        match = _Z_STEP.match(entry.name)
        if match and entry.is_dir():
            yield entry, int(match[1])


def _list_images(folder: Path, root: Path) -> _Listing:
    found: list[_Found] = []
    refused: list[Missing] = []
    is_writing = any(p.suffix.lower() == ".tmp" for p in folder.iterdir())
    for place, z in _steps(root):
        is_foreign = not _is_inside(place, folder)
        for path in sorted(place.iterdir()):
            is_writing = is_writing or path.suffix.lower() == ".tmp"
            image = _parse(path, z)
            if image is None:
                continue
            if is_foreign or (path.is_symlink() and not _is_inside(path, folder)):
                refused.append(
                    Missing(image.well, image.site, None, f"unreadable: {path.name}: a link out of the plate's folder")
                )
            else:
                found.append(image)
    return _Listing(tuple(found), tuple(refused), is_writing)


def _parse(path: Path, z: int) -> _Found | None:
    match = _IMAGE.match(path.name)
    if match is None or match["thumb"]:
        return None
    well = well_name(*parse_well(match["well"]))
    return _Found(path, match["name"], well, int(match["site"] or 1), int(match["wave"] or 1), z)


def _htd_of(folder: Path, root: Path) -> Htd | None:
    for place in (folder, root, *(p for p, _ in _steps(root))):
        paths = sorted(p for p in place.iterdir() if p.suffix.upper() == ".HTD" and _is_inside(p, folder))
        if paths:
            return read_htd(paths[0])
    return None


def _plate_name(folder: Path, htd: Htd | None, found: Iterable[_Found]) -> str:
    if htd:
        return htd.path.stem
    names = Counter(f.name for f in found)
    if names:
        return min(names, key=lambda n: (-names[n], n))
    return folder.parent.name if _TIME_POINT.match(folder.name) else folder.name


def _choose(found: Iterable[_Found]) -> tuple[list[_Found], list[tuple[_Found, str]]]:
    """Take one image per well, site and wave, and say where that took a decision."""
    groups: dict[tuple[str, int, int], dict[int, list[_Found]]] = {}
    for f in found:
        groups.setdefault((f.well, f.site, f.wave), {}).setdefault(f.z, []).append(f)
    chosen: list[_Found] = []
    doubts: list[tuple[_Found, str]] = []
    for steps in groups.values():
        levels = sorted(steps)
        z = _PROJECTION if _PROJECTION in steps else levels[len(levels) // 2]
        taken = steps[z][0]
        chosen.append(taken)
        if z != _PROJECTION and len(levels) > 1:
            doubts.append((taken, f"no-projection: step {z} of {len(levels)} is used"))
        if len(steps[z]) > 1:
            others = ", ".join(f.path.name for f in steps[z][1:])
            doubts.append((taken, f"duplicate-image: {taken.path.name} is used, not {others}"))
    return chosen, doubts


def _named(doubts: Iterable[tuple[_Found, str]], waves: Mapping[int, str]) -> list[Missing]:
    return [Missing(f.well, f.site, waves[f.wave], reason) for f, reason in doubts]


def _images(chosen: list[_Found], waves: Mapping[int, str], plate: str) -> tuple[FieldImage, ...]:
    ordered = sorted(chosen, key=lambda f: (parse_well(f.well), f.site, f.wave))
    # One objective per plate: the first image that says its pixel size speaks for all.
    size = next((s for f in ordered[:8] if (s := pixel_size_um(f.path)) is not None), None)
    return tuple(FieldImage(plate, f.well, f.site, waves[f.wave], f.path, size) for f in ordered)


def _missing(
    images: tuple[FieldImage, ...],
    htd: Htd | None,
    expected_wells: frozenset[str] | None,
    waves: Mapping[int, str],
    known: Iterable[Missing],
) -> tuple[Missing, ...]:
    seen = {i.well for i in images}
    rows = list(known)
    refused = {(m.well, m.field) for m in rows if m.channel is None}
    wells = seen | set(expected_wells if expected_wells is not None else htd.wells if htd else ())
    fields = htd.fields if htd else tuple(sorted({i.field for i in images}))
    have = {(i.well, i.field, i.channel) for i in images}
    channels = [waves[w] for w in sorted(waves)]
    for well in wells - {well for well, _ in refused} - seen:
        rows.append(Missing(well, None, None, "no image of this well"))
    for well, field in itertools.product(wells & seen, fields):
        absent = [c for c in channels if (well, field, c) not in have]
        if len(absent) == len(channels) and (well, field) not in refused:
            rows.append(Missing(well, field, None, "no image of this field"))
        elif (well, field) not in refused:
            rows += [Missing(well, field, c, "no image of this channel") for c in absent]
    return tuple(sorted(rows, key=lambda m: (parse_well(m.well), m.field or 0, m.channel or "", m.reason)))
