"""Opera Phenix and Operetta plates (Revvity, PerkinElmer; Harmony, Columbus).

``Images/r01c01f01p01-ch1sk1fk1fl1.tiff`` and the index beside them. Without an index, which Harmony writes last,
the names alone say well, field, plane, channel and time; the plate is then taken to be still written.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import Entry, Shelf, find_folder, has_unfinished, one_plate, scan
from nextplate.imaging.readers.harmony_index import HarmonyImage, HarmonyIndex, read_index
from nextplate.plate import well_name
from nextplate.readout import Missing

_IMAGE = re.compile(
    r"^r(?P<row>\d{2,})c(?P<col>\d{2,})f(?P<field>\d{2,})p(?P<plane>\d{2,})-ch(?P<channel>\d+)"
    r"sk(?P<time>\d+)fk\d+fl\d+\.tiff?$",
    re.IGNORECASE,
)
_INDEXES = ("index.idx.xml", "index.xml")
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Harmony:
    """The Harmony reader."""

    name: str = "harmony"
    looks_for: str = (
        "Images/Index.idx.xml or Images/Index.xml of Harmony, or images named r01c01f01p01-ch1sk1fk1fl1.tiff"
    )

    def detect(self, folder: Path) -> bool:
        """Say whether an index of Harmony or an image of its naming is there."""
        place = _images_folder(folder)
        return bool(_indexes(place, folder)) or any(_IMAGE.match(e.name) for e in scan(place, folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List what the index describes.

        Raises:
            DataError: the index cannot be read or trusted, or there are two of them.
        """
        place = _images_folder(folder)
        entries = scan(place, folder)
        found = _indexes(place, folder)
        if len(found) > 1:
            raise DataError(f"{place} holds {' and '.join(p.name for p in found)}; keep the one that fits the images")
        if not found:
            return _from_names(self.name, one_plate((folder.name,), plate, folder), entries)
        index = read_index(found[0])
        one_plate((index.plate,), plate, folder)
        return _from_index(self.name, index, folder, has_unfinished(entries))


def _images_folder(folder: Path) -> Path:
    return find_folder(folder, "Images") or folder


def _indexes(place: Path, root: Path) -> list[Path]:
    named = [e.path for e in scan(place, root) if e.name.lower() in _INDEXES and not e.is_folder and not e.is_outside]
    return [path for path in named if _is_harmony(path)]


def _is_harmony(path: Path) -> bool:
    # Index.xml is a name others use too; UTF-16 would hide the word behind zero bytes.
    with path.open("rb") as file:
        return b"EvaluationInputData" in file.read(_HEAD_BYTES).replace(b"\0", b"")


def _from_index(name: str, index: HarmonyIndex, folder: Path, is_unfinished: bool) -> Listing:
    shelf = Shelf(folder, index.path.parent)
    channels = _channel_names(index)
    planes: list[Plane] = []
    refused: list[Missing] = []
    for image in index.images:
        plane, reason = _plane(image, index.path, shelf, channels)
        if reason:
            refused.append(Missing(plane.well, plane.field, plane.channel, reason))
        else:
            planes.append(plane)
    is_writing = is_unfinished or not index.is_ended
    return Listing(
        reader=name,
        plate=index.plate,
        channels=tuple(channels.values()),
        planes=tuple(planes),
        refused=tuple(refused),
        wells=frozenset(index.wells),
        is_complete=not is_writing,
        is_writing=is_writing,
        is_ended=index.is_ended,
    )


def _channel_names(index: HarmonyIndex) -> dict[int, str]:
    """Return names by channel number; two channels of one name are told apart by the number."""
    named = {image.whole("ChannelID", index.path): image.get("ChannelName") or "" for image in index.images}
    names: dict[int, str] = {}
    for number in sorted(named):
        name = named[number] or f"ch{number}"
        names[number] = f"{name} (ch{number})" if name in names.values() else name
    return names


def _plane(image: HarmonyImage, index: Path, shelf: Shelf, channels: dict[int, str]) -> tuple[Plane, str]:
    path, reason = shelf.find(image.get("URL") or "")
    state = image.get("State") or "Ok"
    plane = Plane(
        well=image.well(index),
        field=image.whole("FieldID", index),
        channel=channels[image.whole("ChannelID", index)],
        path=path,
        z=image.whole("PlaneID", index, 1),
        t=image.whole("TimepointID", index, 1),
        x_um=image.metres_as_um("PositionX", index),
        y_um=image.metres_as_um("PositionY", index),
        z_um=image.metres_as_um("PositionZ", index),
        pixel_size_um=image.metres_as_um("ImageResolutionX", index),
    )
    return plane, f"microscope-error: the index gives the state {state!r}" if state.lower() != "ok" else reason


def _from_names(name: str, plate: str, entries: Iterable[Entry]) -> Listing:
    planes: list[Plane] = []
    refused: list[Missing] = []
    for entry in entries:
        match = _IMAGE.match(entry.name)
        if match is None:
            continue
        well = well_name(int(match["row"]) - 1, int(match["col"]) - 1)
        field, channel = int(match["field"]), f"ch{match['channel']}"
        if entry.is_outside:
            refused.append(Missing(well, field, channel, f"unreadable: {entry.name}: a link out of the plate's folder"))
        else:
            planes.append(Plane(well, field, channel, entry.path, int(match["plane"]), int(match["time"])))
    channels = sorted({p.channel for p in planes}, key=lambda c: int(c[2:]))
    note = "there is no index, which Harmony writes last: channels are numbers, pixel size and positions unknown"
    return Listing(
        reader=name,
        plate=plate,
        channels=tuple(channels),
        planes=tuple(planes),
        refused=tuple(refused),
        is_complete=False,
        is_writing=True,
        is_ended=False,
        notes=(note,),
    )
