"""Squid plates (Cephla): one folder per time point with ``<region>_<fov>_<z>_<channel>.tiff``.

``acquisition parameters.json`` lies above the time points ``0``, ``1`` .. and holds the optics and the number of time
points; ``coordinates.csv`` in each holds the stage position of every field (Cephla-Lab/Squid@30a193e,
multi_point_worker). Region, field, z and time count from 0 in the names, but field, z and time from 1 here.
"""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import Entry, find_file, has_unfinished, one_plate, scan
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_PARAMETERS = "acquisition parameters.json"
_IMAGE = re.compile(r"^(?P<region>[A-Za-z0-9]+)_(?P<fov>\d+)_(?P<z>\d+)_(?P<channel>.+)\.(?P<kind>tiff?|bmp)$")
_STACK = re.compile(r"^(?P<region>[A-Za-z0-9]+)_(?P<fov>\d+)_stack\.tiff?$")
_Position = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class _TimePoint:
    number: int
    """1-based."""
    entries: tuple[Entry, ...]
    positions: Mapping[tuple[str, int, int], _Position]
    """Stage x, y and z in micrometres by region, 0-based field and 0-based z."""
    is_ended: bool
    """The table of positions is written when the time point is done."""


@dataclass(frozen=True, slots=True)
class Squid:
    """The Squid reader."""

    name: str = "squid"
    looks_for: str = "'acquisition parameters.json' above folders 0, 1 .. of time points"

    def detect(self, folder: Path) -> bool:
        """Say whether the acquisition parameters are there."""
        return find_file(folder, folder, _PARAMETERS) is not None

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List the images of all time points.

        Raises:
            DataError: acquisition parameters or coordinates cannot be read.
        """
        parameters = _parameters(folder)
        times = [_time_point(e, folder) for e in scan(folder, folder) if e.is_folder and e.name.isdigit()]
        rows = [row for time in sorted(times, key=lambda t: t.number) for row in _rows(time, _pixel_um(parameters))]
        strange = sorted({name for time in times for name in _strange(time)})
        n_due = parameters.get("Nt")
        is_due = isinstance(n_due, int) and len(times) < n_due
        is_writing = is_due or not all(t.is_ended for t in times) or any(has_unfinished(t.entries) for t in times)
        return Listing(
            reader=self.name,
            plate=one_plate((folder.name,), plate, folder),
            channels=tuple(dict.fromkeys(p.channel for p, _ in rows)),
            planes=tuple(p for p, reason in rows if not reason),
            refused=tuple(Missing(p.well, p.field, p.channel, reason) for p, reason in rows if reason),
            is_complete=not is_writing,
            is_writing=is_writing,
            n_times=n_due if isinstance(n_due, int) else None,
            is_ended=not is_writing if isinstance(n_due, int) else None,
            notes=tuple(strange),
        )


def _parameters(folder: Path) -> Mapping[str, Any]:
    path = find_file(folder, folder, _PARAMETERS)
    if path is None:
        raise DataError(f"{folder} holds no {_PARAMETERS!r}")
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: an object with the acquisition's settings is needed, found {type(found).__name__}")
    return found


def _pixel_um(parameters: Mapping[str, Any]) -> float | None:
    """Return sensor pixel / (magnification * tube lens / the objective's own tube lens); None when not all are said."""
    objective = parameters.get("objective")
    optics = objective if isinstance(objective, dict) else {}
    values = [
        parameters.get("sensor_pixel_size_um"),
        optics.get("magnification"),
        parameters.get("tube_lens_mm"),
        optics.get("tube_lens_f_mm"),
    ]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool) and v > 0]
    if len(numbers) < len(values):
        return None
    sensor, magnification, tube, tube_of_objective = numbers
    return sensor / (magnification * tube / tube_of_objective)


def _time_point(entry: Entry, root: Path) -> _TimePoint:
    entries = tuple(scan(entry.path, root)) if not entry.is_outside else ()
    table = find_file(entry.path, root, "coordinates.csv") if not entry.is_outside else None
    return _TimePoint(int(entry.name) + 1, entries, _positions(table) if table else {}, table is not None)


def _positions(path: Path) -> dict[tuple[str, int, int], _Position]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[tuple[str, int, int], _Position] = {}
    for line, row in enumerate(rows, 2):
        try:
            key = (row["region"], int(row["fov"]), int(row.get("z_level") or 0))
            found[key] = (_scaled(row, "x (mm)", 1e3), _scaled(row, "y (mm)", 1e3), _scaled(row, "z (um)", 1.0))
        except (KeyError, ValueError) as error:
            raise DataError(f"{path} line {line}: needs region, fov, x (mm), y (mm) as numbers ({error})") from error
    return found


def _scaled(row: Mapping[str, str | None], key: str, factor: float) -> float | None:
    text = row.get(key)
    return float(text) * factor if text else None


def _rows(time: _TimePoint, pixel_um: float | None) -> list[tuple[Plane, str]]:
    """Return (image, reason why it cannot be used) in the order of channels' first names."""
    rows: list[tuple[Plane, str]] = []
    for entry in time.entries:
        match = _IMAGE.match(entry.name)
        well = _well(match["region"]) if match else None
        if match is None or well is None or entry.is_folder:
            continue
        fov, z = int(match["fov"]), int(match["z"])
        x, y, height = time.positions.get((match["region"], fov, z), (None, None, None))
        channel = match["channel"].replace("_", " ")
        plane = Plane(well, fov + 1, channel, entry.path, z + 1, time.number, 0, x, y, height, pixel_um)
        rows.append((plane, _reason(entry, match)))
    return rows


def _reason(entry: Entry, match: re.Match[str]) -> str:
    if entry.is_outside:
        return f"unreadable: {entry.name}: a link out of the plate's folder"
    if match["kind"] == "bmp":
        return f"unreadable: {entry.name}: BMP is not read; save 16 bit, which Squid writes as TIFF"
    return ""


def _well(region: str) -> str | None:
    try:
        return well_name(*parse_well(region))
    except DataError:
        return None  # a region drawn by hand; told in the notes


def _strange(time: _TimePoint) -> list[str]:
    """Say which files of a time point are left out."""
    said: set[str] = set()
    for entry in time.entries:
        match = _IMAGE.match(entry.name)
        if match and _well(match["region"]) is None:
            said.add(f"region {match['region']} is no well; its images are left out")
        if _STACK.match(entry.name):
            said.add("multipage _stack files are left out; save individual images")
    return sorted(said)
