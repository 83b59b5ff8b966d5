"""ImageXpress / MetaXpress plates (Molecular Devices): exported and database layout.

``<plate>/TimePoint_<t>/[ZStep_<z>/]<name>_<A01>[_s<site>][_w<wave>][_thumb][GUID].tif`` and ``<name>.HTD`` beside
it or one level down. With one site or one wave the part is absent. In the database layout a GUID follows with no
separator, so ``_w1D5F8F51A-...`` is wave 1, there is no .HTD, and plates lie in ``<name>/<date>/<number>``.
``ZStep_0``, or an image beside the ZStep folders, is the projection.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DataError
from nextplate.imaging.listing import PROJECTION, Listing, Plane
from nextplate.imaging.readers.files import Entry, has_unfinished, is_inside, scan
from nextplate.imaging.readers.htd import Htd, read_htd
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_IMAGE = re.compile(
    # The well is upper case and the site lower: a site _s12 must not read as well S12. Rows end at AF, so that
    # Yokogawa's SC_.._CH02.tif is no plate image.
    r"^(?P<name>.+)_(?P<well>(?-i:[A-Z]|A[A-F])(?!00)\d{2})(?:_s(?P<site>\d+))?(?:_w(?P<wave>[1-9]))?(?P<thumb>_thumb)?"
    r"(?P<guid>[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12})?\.tiff?$",
    re.IGNORECASE,
)
_TIME_POINT = re.compile(r"^TimePoint_(\d+)$", re.IGNORECASE)
_Z_STEP = re.compile(r"^ZStep_(\d+)$", re.IGNORECASE)
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True)
class _Found:
    """One image file."""

    path: Path
    name: str
    well: str
    site: int
    wave: int
    z: int | None
    t: int | None


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that may hold images."""

    path: Path
    z: int | None
    t: int | None


@dataclass(frozen=True, slots=True)
class ImageXpress:
    """The ImageXpress reader."""

    name: str = "imagexpress"
    looks_for: str = "a TimePoint_1 folder, a .HTD file, or images named PLATE_A01_s1_w1.TIF"

    def detect(self, folder: Path) -> bool:
        """Say whether a TimePoint folder, a .HTD file or an image of this naming is there."""
        return _is_plate(folder) or bool(_database_plates(folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List all time points and steps; `plate` is the number of a plate in a database folder.

        Raises:
            DataError: the .HTD file is broken, or a database folder holds several plates and none is chosen.
        """
        root = folder if _is_plate(folder) else _one_of(_database_plates(folder), plate, folder)
        places = list(_places(root))
        found, refused, is_unfinished = _list_images(folder, root, places)
        htd = _htd_of(root, places)
        waves = dict(htd.waves) if htd else {}
        waves |= {w: f"w{w}" for w in sorted({f.wave for f in found}) if w not in waves}
        return Listing(
            reader=self.name,
            plate=_plate_name(root, htd, found),
            channels=tuple(waves[w] for w in sorted(waves)),
            planes=tuple(Plane(f.well, f.site, waves[f.wave], f.path, f.z, f.t) for f in found),
            refused=refused,
            wells=frozenset(htd.wells) if htd else None,
            fields=htd.fields if htd else None,
            is_complete=htd is not None and htd.is_ended and not is_unfinished,
            is_writing=is_unfinished or (htd is not None and not htd.is_ended),
            is_ended=htd.is_ended if htd else None,
            n_steps=htd.n_steps if htd else None,
            n_times=htd.n_times if htd else None,
        )


def _is_plate(folder: Path) -> bool:
    return any(
        (e.is_folder and bool(_TIME_POINT.match(e.name) or _Z_STEP.match(e.name)))
        or (not e.is_folder and (e.suffix == ".htd" or bool(_IMAGE.match(e.name))))
        for e in scan(folder, folder)
    )


def _database_plates(folder: Path) -> dict[str, Path]:
    """Return plate folders by number below a database folder `<name>/<date>/<number>`."""
    dates = [e.path for e in scan(folder, folder) if e.is_folder and not e.is_outside and _DATE.match(e.name)]
    numbered = (e for date in dates for e in scan(date, folder) if e.is_folder and e.name.isdigit())
    return {e.name: e.path for e in numbered if not e.is_outside and _is_plate(e.path)}


def _one_of(plates: dict[str, Path], wanted: str | None, folder: Path) -> Path:
    if wanted is None and len(plates) == 1:
        return next(iter(plates.values()))
    if wanted in plates:
        return plates[wanted]
    held = ", ".join(sorted(plates)[:5]) or "none"
    raise DataError(f"{folder} holds {len(plates)} plates ({held}); give the folder of one, or its number as plate=")


def _places(root: Path) -> Iterator[_Place]:
    times = [(e.path, int(m[1])) for e in scan(root, root) if e.is_folder and (m := _TIME_POINT.match(e.name))]
    alone: list[tuple[Path, int | None]] = [(root, None)]
    for path, t in times or alone:
        steps = [(e.path, int(m[1])) for e in scan(path, path) if e.is_folder and (m := _Z_STEP.match(e.name))]
        yield _Place(path, PROJECTION if steps else None, t)
        yield from (_Place(step, z, t) for step, z in steps)


def _list_images(folder: Path, root: Path, places: Iterable[_Place]) -> tuple[list[_Found], tuple[Missing, ...], bool]:
    found: list[_Found] = []
    refused: list[Missing] = []
    is_unfinished = has_unfinished(scan(root, root))
    for place in places:
        is_foreign = not is_inside(place.path, folder)
        entries = scan(place.path, folder)
        is_unfinished = is_unfinished or has_unfinished(entries)
        for entry in entries:
            image = _parse(entry, place)
            if image is None:
                continue
            if is_foreign or entry.is_outside:
                reason = f"unreadable: {entry.name}: a link out of the plate's folder"
                refused.append(Missing(image.well, image.site, None, reason))
            else:
                found.append(image)
    return found, tuple(refused), is_unfinished


def _parse(entry: Entry, place: _Place) -> _Found | None:
    match = _IMAGE.match(entry.name)
    if match is None or match["thumb"] or entry.is_folder:
        return None
    well = well_name(*parse_well(match["well"]))
    wave = int(match["wave"] or 1)
    return _Found(entry.path, match["name"], well, int(match["site"] or 1), wave, place.z, place.t)


def _htd_of(root: Path, places: Iterable[_Place]) -> Htd | None:
    for place in (root, *(p.path for p in places)):
        paths = [e.path for e in scan(place, root) if e.suffix == ".htd" and not e.is_outside]
        if paths:
            return read_htd(paths[0])
    return None


def _plate_name(root: Path, htd: Htd | None, found: Iterable[_Found]) -> str:
    if htd:
        return htd.path.stem
    names = Counter(f.name for f in found)
    if names:
        return min(names, key=lambda n: (-names[n], n))
    return root.parent.name if _TIME_POINT.match(root.name) else root.name
