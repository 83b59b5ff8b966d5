"""BioTek Cytation plates (Gen5): ``<A1>_<step>_<channel index>_<field>[Z<z>]_<channel name>_<time point>.tif``.

`step` is the slot of the read step, not the magnification. Names of channels may hold spaces. Gen5 also saves
montages (``Stitched[DAPI 377,447]``) and projections (``ZProj[DAPI 377,447]``) under the same scheme; a montage is
taken only in a folder that holds nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nextplate.imaging.listing import PROJECTION, Listing, Plane
from nextplate.imaging.readers.files import Entry, has_unfinished, one_plate, scan
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_IMAGE = re.compile(
    r"^(?P<well>(?-i:[A-Z]|A[A-F])(?!00?(?!\d))\d{1,2})_(?P<step>-?\d{1,2})_(?P<index>\d+)_(?P<field>\d+)(?:Z(?P<z>\d+))?"
    r"_(?P<channel>.+)_(?P<time>\d{3,})\.tiff?$"
)
_MADE = re.compile(r"^(?P<kind>Stitched|ZProj)\[(?P<channel>.+)\]$")


@dataclass(frozen=True, slots=True)
class _Found:
    entry: Entry
    well: str
    slot: tuple[int, int]
    """Step and channel index."""
    field: int
    z: int | None
    label: str
    is_montage: bool
    t: int


@dataclass(frozen=True, slots=True)
class Cytation:
    """The Gen5 reader."""

    name: str = "cytation"
    looks_for: str = "images named A1_01_1_1_DAPI_001.tif"

    def detect(self, folder: Path) -> bool:
        """Say whether an image of this naming is there."""
        return any(_IMAGE.match(e.name) for e in scan(folder, folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List the images; the plate has the folder's name. Steps of z are counted from 1 (Gen5 from 0)."""
        entries = scan(folder, folder)
        found = [f for e in entries if (f := _parse(e)) is not None]
        singles = [f for f in found if not f.is_montage]
        used = singles or found
        names = _channel_names(used)
        inside = [f for f in used if not f.entry.is_outside]
        is_writing = has_unfinished(entries)
        n_left = len(found) - len(used)
        return Listing(
            reader=self.name,
            plate=one_plate((folder.name,), plate, folder),
            channels=tuple(dict.fromkeys(names.values())),
            planes=tuple(Plane(f.well, f.field, names[_key(f)], f.entry.path, f.z, f.t) for f in inside),
            refused=tuple(
                Missing(
                    f.well, f.field, names[_key(f)], f"unreadable: {f.entry.name}: a link out of the plate's folder"
                )
                for f in used
                if f.entry.is_outside
            ),
            is_complete=not is_writing,
            is_writing=is_writing,
            notes=(f"{n_left} stitched montages are left out, their fields are there",) if n_left else (),
        )


def _parse(entry: Entry) -> _Found | None:
    match = _IMAGE.match(entry.name)
    if match is None or entry.is_folder:
        return None
    made = _MADE.match(match["channel"])
    is_projection = made is not None and made["kind"] == "ZProj"
    z = PROJECTION if is_projection else None if match["z"] is None else int(match["z"]) + 1
    return _Found(
        entry=entry,
        well=well_name(*parse_well(match["well"])),
        slot=(abs(int(match["step"])), int(match["index"])),
        field=int(match["field"]),
        z=z,
        label=made["channel"] if made else match["channel"],
        is_montage=made is not None and made["kind"] == "Stitched",
        t=int(match["time"]),
    )


def _key(found: _Found) -> tuple[tuple[int, int], str]:
    # Gen5 numbers a projection's step on its own, so a projection belongs to the channel of its label.
    return ((0, 0) if found.z == PROJECTION else found.slot), found.label


def _channel_names(found: Iterable[_Found]) -> dict[tuple[tuple[int, int], str], str]:
    """Return names by (slot, label); a label taken in two slots is told apart by the slot."""
    keys = sorted({_key(f) for f in found})
    own = [key for key in keys if key[0] != (0, 0)]
    names = {
        key: key[1] if [k[1] for k in own].count(key[1]) == 1 else f"{key[1]} ({key[0][0]}_{key[0][1]})" for key in own
    }
    return names | {key: key[1] for key in keys if key[0] == (0, 0)}
