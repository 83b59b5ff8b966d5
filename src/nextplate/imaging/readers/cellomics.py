"""Cellomics names (Thermo ArrayScan, CellInsight): ``<plate>_<A01>f<00>d<0>.tif``; fields count from 0 in the names.

The instrument's own .C01 and .DIB files are listed as unreadable: they are to be exported as TIFF.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import Entry, has_unfinished, one_plate, scan
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_IMAGE = re.compile(
    r"^(?P<plate>.+)_(?P<well>(?-i:[A-Z]|A[A-F])(?!00)\d{2})f(?P<field>\d{2,})d(?P<channel>\d+)\.(?P<kind>tiff?|c01|dib)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Cellomics:
    """The reader of Cellomics names."""

    name: str = "cellomics"
    looks_for: str = "images named PLATE_A01f00d0.tif"

    def detect(self, folder: Path) -> bool:
        """Say whether an image of this naming is there."""
        return any(_IMAGE.match(e.name) for e in scan(folder, folder))

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List the images; channels are d0, d1 ..

        Raises:
            DataError: several plates and none chosen.
        """
        entries = scan(folder, folder)
        matches = [(e, m) for e in entries if not e.is_folder and (m := _IMAGE.match(e.name))]
        chosen = one_plate((m["plate"] for _, m in matches), plate, folder)
        ours = [(e, m) for e, m in matches if m["plate"] == chosen]
        rows = [(_plane(e, m), _reason(e, m)) for e, m in ours]
        numbers = sorted({int(m["channel"]) for _, m in ours})
        is_writing = has_unfinished(entries)
        return Listing(
            reader=self.name,
            plate=chosen,
            channels=tuple(f"d{n}" for n in numbers),
            planes=tuple(p for p, reason in rows if not reason),
            refused=tuple(Missing(p.well, p.field, p.channel, reason) for p, reason in rows if reason),
            is_complete=not is_writing,
            is_writing=is_writing,
        )


def _plane(entry: Entry, match: re.Match[str]) -> Plane:
    well = well_name(*parse_well(match["well"]))
    return Plane(well, int(match["field"]) + 1, f"d{int(match['channel'])}", entry.path)


def _reason(entry: Entry, match: re.Match[str]) -> str:
    if entry.is_outside:
        return f"unreadable: {entry.name}: a link out of the plate's folder"
    if match["kind"].lower() in ("c01", "dib"):
        return f"unreadable: {entry.name}: .{match['kind']} is the instrument's own format; export as TIFF"
    return ""
