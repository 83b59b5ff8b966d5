"""Sartorius Incucyte plates: the archive's folders, or exported images.

Archive: ``[EssenFiles/]ScanData/<YYMM>/<DD>/<HHMM>/<plate number>/<A1>-<field>-<Ph|P|C1|C2>.tif`` (layout as in
Cellular-Imaging-Amsterdam-UMC/biomero-converter). Export: ``<prefix>_<A1>_<field>_<time>.tif``, the time a date
``2020y01m31d_08h00m`` or elapsed ``00d08h00m``. Time points are numbered from 1 in the order of their times; one
that is absent in a well is normal and told as missing when it is asked for.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import Entry, find_folder, has_unfinished, one_plate, scan
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_ARCHIVED = re.compile(
    r"^(?P<well>(?-i:[A-Z]|A[A-F])(?!00?(?!\d))\d{1,2})-(?P<field>\d+)-(?P<channel>Ph|P|C\d)\.tiff?$"
)
_EXPORTED = re.compile(
    r"^(?P<prefix>.+)_(?P<well>(?-i:[A-Z]|A[A-F])(?!00?(?!\d))\d{1,2})_(?P<field>\d+)_"
    r"(?P<time>\d{4}y\d{2}m\d{2}d_\d{2}h\d{2}m|\d{2,}d\d{2}h\d{2}m)\.tiff?$"
)
_VESSEL = re.compile(r"^(?:(?P<label>.+?)_)?(?P<vessel>VID\d+)(?:_(?P<after>.+))?$")
_LEVELS = (re.compile(r"^\d{4}$"), re.compile(r"^\d{1,2}$"), re.compile(r"^\d{4}$"), re.compile(r"^\d+$"))


@dataclass(frozen=True, slots=True)
class _Found:
    entry: Entry
    plate: str
    well: str
    field: int
    channel: str
    time: str
    """Sorts as time does."""


@dataclass(frozen=True, slots=True)
class Incucyte:
    """The Incucyte reader."""

    name: str = "incucyte"
    looks_for: str = "an EssenFiles or ScanData folder, or images named PREFIX_A1_1_00d00h00m.tif"

    def detect(self, folder: Path) -> bool:
        """Say whether an archive or exported images are there."""
        return _scan_data(folder) is not None or any(_EXPORTED.match(e.name) for e in scan(folder, folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List all time points of one plate.

        Raises:
            DataError: the archive holds several plates and none is chosen.
        """
        archive = _scan_data(folder)
        found = list(_archived(archive, folder) if archive else _exported(folder))
        chosen = one_plate((f.plate for f in found), plate, folder)
        ours = [f for f in found if f.plate == chosen]
        times = {time: n for n, time in enumerate(sorted({f.time for f in ours}), 1)}
        inside = [f for f in ours if not f.entry.is_outside]
        is_writing = has_unfinished(scan(folder, folder))
        return Listing(
            reader=self.name,
            plate=chosen,
            channels=tuple(sorted({f.channel for f in ours})),
            planes=tuple(Plane(f.well, f.field, f.channel, f.entry.path, t=times[f.time]) for f in inside),
            refused=tuple(_refused(ours)),
            is_complete=not is_writing,
            is_writing=is_writing,
            notes=tuple(f"time point {n} is {time}" for time, n in times.items()),
        )


def _scan_data(folder: Path) -> Path | None:
    if folder.name.lower() == "scandata":
        return folder
    essen = find_folder(folder, "EssenFiles")
    return find_folder(essen or folder, "ScanData")


def _archived(archive: Path, root: Path) -> Iterator[_Found]:
    for place, parts in _plates(archive, root, ()):
        for entry in scan(place, root):
            match = _ARCHIVED.match(entry.name)
            if match and not entry.is_folder:
                well = well_name(*parse_well(match["well"]))
                yield _Found(entry, parts[3], well, int(match["field"]), match["channel"], _time(parts))


def _time(parts: tuple[str, ...]) -> str:
    return f"20{parts[0][:2]}-{parts[0][2:]}-{int(parts[1]):02d} {parts[2][:2]}:{parts[2][2:]}"


def _plates(place: Path, root: Path, parts: tuple[str, ...]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Walk the four levels of an archive: month, day, time, plate."""
    if len(parts) == len(_LEVELS):
        yield place, parts
        return
    for entry in scan(place, root):
        if entry.is_folder and not entry.is_outside and _LEVELS[len(parts)].match(entry.name):
            yield from _plates(entry.path, root, (*parts, entry.name))


def _exported(folder: Path) -> Iterator[_Found]:
    for entry in scan(folder, folder):
        match = _EXPORTED.match(entry.name)
        if match is None or entry.is_folder:
            continue
        vessel = _VESSEL.match(match["prefix"])
        plate = vessel["vessel"] if vessel else folder.name
        label = (vessel["label"] or vessel["after"] or "image") if vessel else match["prefix"]
        time = match["time"] if "y" in match["time"] else match["time"].zfill(12)
        yield _Found(entry, plate, well_name(*parse_well(match["well"])), int(match["field"]), label, time)


def _refused(found: Iterable[_Found]) -> Iterator[Missing]:
    for f in found:
        if f.entry.is_outside:
            reason = f"unreadable: {f.entry.name}: a link out of the plate's folder"
            yield Missing(f.well, f.field, f.channel, reason)
