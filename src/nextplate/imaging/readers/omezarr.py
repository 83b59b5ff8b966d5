"""OME-Zarr HCS plates (NGFF 0.4 in Zarr 2, 0.5 in Zarr 3): plate, wells, fields, and the full-resolution array.

``plate.wells[].path`` is ROW/COLUMN, ``well.images[].path`` a field; fields are numbered from 1 in their order, steps
and time points from 1 along their axes, and a field lies where its translation puts it. Plates that nextplate exported
also say their own numbers, and which pages were never written. The page of an image counts the planes over the array's
axes before y and x.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import is_inside, one_plate, scan
from nextplate.imaging.readers.ngff_notes import ImageNotes, PlateNotes, image_notes, plate_notes
from nextplate.imaging.zarr_array import ZarrArray, open_array, read_json
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_UM = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "meter": 1e6}


@dataclass(frozen=True, slots=True)
class OmeZarr:
    """The OME-Zarr reader."""

    name: str = "ome-zarr"
    looks_for: str = "a Zarr group with a plate (NGFF 0.4 or 0.5), here or in the only folder *.zarr"

    def detect(self, folder: Path) -> bool:
        """Say whether a group with plate metadata is there."""
        return _root(folder) is not None

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List every plane of every field's largest resolution.

        Raises:
            DataError: metadata that are not as the specification needs them.
        """
        root = _root(folder)
        if root is None:
            raise DataError(f"{folder} holds no OME-Zarr plate")
        attributes = _attributes(root)
        said = _ome(attributes)["plate"]
        planes: list[Plane] = []
        refused: list[Missing] = []
        wells: list[str] = []
        try:
            notes = plate_notes(attributes, root)
            for entry in said["wells"]:
                well = _well(said, entry)
                wells.append(well)
                found, reason = _well_planes(root, str(entry["path"]), well)
                planes += found
                refused += [Missing(well, None, None, reason)] if reason else []
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(f"{root}: the metadata are not as OME-Zarr needs them ({error!r})") from error
        name = one_plate((str(said.get("name") or root.name.removesuffix(".zarr")),), plate, folder)
        return _listing(self.name, name, planes, refused, wells, notes)


def _listing(
    reader: str,
    plate: str,
    planes: Sequence[Plane],
    refused: Sequence[Missing],
    wells: Sequence[str],
    notes: PlateNotes | None,
) -> Listing:
    seen = [p.channel for p in planes]
    return Listing(
        reader=reader,
        plate=plate,
        channels=tuple(dict.fromkeys([*(notes.channels if notes else ()), *seen])),
        planes=tuple(planes),
        refused=(*(notes.missing if notes else ()), *refused),
        wells=frozenset([*(notes.wells if notes else ()), *wells]),
        fields=notes.fields if notes else None,
        is_complete=notes.is_complete if notes else True,
        notes=notes.notes if notes else (),
    )


def _well(plate: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Name a well: its indexes count the rows and columns the plate lists, which need not begin at A and 1."""
    row, column = int(entry["rowIndex"]), int(entry["columnIndex"])
    if row < 0 or column < 0:
        raise ValueError(f"the well {entry['path']!r} has the row {row} and column {column}")
    rows, columns = plate.get("rows") or (), plate.get("columns") or ()
    try:
        return well_name(*parse_well(f"{rows[row]['name']}{columns[column]['name']}"))
    except (DataError, IndexError):
        return well_name(row, column)  # no list, or rows that are not named by letters


def _root(folder: Path) -> Path | None:
    if "plate" in _ome(_attributes(folder)):
        return folder
    inner = [e.path for e in scan(folder, folder) if e.is_folder and not e.is_outside and e.suffix == ".zarr"]
    having = [path for path in inner if "plate" in _ome(_attributes(path))]
    return having[0] if len(having) == 1 else None


def _attributes(group: Path) -> Mapping[str, Any]:
    """Return a group's attributes; empty when it is no group or has none."""
    if (group / "zarr.json").is_file():
        found = read_json(group / "zarr.json").get("attributes", {})
        return found if isinstance(found, dict) else {}
    return read_json(group / ".zattrs") if (group / ".zattrs").is_file() else {}


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the OME metadata of 0.5, or of 0.4, where they lie open."""
    found = attributes.get("ome", attributes)
    return found if isinstance(found, dict) else {}


def _below(root: Path, *names: str) -> Path | None:
    """Return a folder below; None when a name leads elsewhere or it is not there."""
    parts = [part for name in names for part in PurePosixPath(name).parts]
    if any(part in ("..", "/") or "\\" in part or ":" in part for part in parts) or not parts:
        return None
    path = root.joinpath(*parts)
    return path if path.is_dir() and is_inside(path, root) else None


def _well_planes(root: Path, name: str, well: str) -> tuple[list[Plane], str]:
    place = _below(root, name)
    if place is None:
        return [], f"no image of this well: {name!r} is in the plate's metadata and not in its folder"
    planes: list[Plane] = []
    for field, entry in enumerate(_ome(_attributes(place))["well"]["images"], 1):
        image = _below(place, str(entry["path"]))
        if image is None:
            return planes, f"no image of a field: {entry['path']!r} is in the well's metadata and not in its folder"
        planes += _field_planes(image, well, field)
    return planes, ""


def _field_planes(image: Path, well: str, field: int) -> Iterator[Plane]:
    attributes = _attributes(image)
    scales = _ome(attributes)["multiscales"][0]
    first = scales["datasets"][0]
    path = _below(image, str(first["path"]))
    if path is None:
        raise DataError(f"{image}: the array {first['path']!r} of the largest resolution is not in its folder")
    array = open_array(path)
    axes = [str(axis["name"]) for axis in scales["axes"]]
    if axes[-2:] != ["y", "x"] or len(axes) != len(array.shape) or not set(axes[:-2]) <= set("tcz"):
        raise DataError(f"{image}: axes {axes} over shape {array.shape}; some of t, c, z and then y, x are needed")
    lengths = dict(zip(axes, array.shape, strict=True))
    notes = image_notes(attributes, lengths.get("t", 1), lengths.get("z", 1), array.n_pages, image)
    if notes is None:
        notes = _as_ngff_says(scales, array, field)
    yield from _planes(path, well, lengths, _channel_names(_ome(attributes), axes, array), notes)


def _planes(
    path: Path, well: str, lengths: Mapping[str, int], names: Sequence[str], notes: ImageNotes
) -> Iterator[Plane]:
    leading = list(lengths)[:-2]
    for page, at in enumerate(itertools.product(*(range(lengths[axis]) for axis in leading))):
        if page in notes.absent:
            continue
        place = dict(zip(leading, at, strict=True))
        yield Plane(
            well=well,
            field=notes.field,
            channel=names[place.get("c", 0)],
            path=path,
            z=notes.z[place.get("z", 0)],
            t=notes.t[place.get("t", 0)],
            page=page,
            x_um=notes.x_um[page],
            y_um=notes.y_um[page],
            z_um=notes.z_um[page],
            pixel_size_um=notes.pixel_size_um[page],
        )


def _as_ngff_says(scales: Mapping[str, Any], array: ZarrArray, field: int) -> ImageNotes:
    """Number a field of another writer: steps and time points from 1, None along an axis of length 1."""
    axes = [str(axis["name"]) for axis in scales["axes"]]
    n = array.n_pages
    x, y = _centre_um(scales, array)
    return ImageNotes(
        field=field,
        t=_numbers(axes, array, "t"),
        z=_numbers(axes, array, "z"),
        absent=frozenset(),
        x_um=(x,) * n,
        y_um=(y,) * n,
        z_um=(None,) * n,
        pixel_size_um=(_scale_um(scales, -1),) * n,
    )


def _numbers(axes: Sequence[str], array: ZarrArray, axis: str) -> tuple[int | None, ...]:
    length = array.shape[list(axes).index(axis)] if axis in axes else 1
    return tuple(range(1, length + 1)) if length > 1 else (None,)


def _centre_um(scales: Mapping[str, Any], array: ZarrArray) -> tuple[float | None, float | None]:
    """Return a field's centre from its translation; (None, None) without one, or with one of zero.

    NGFF's y grows with the rows, a field's upwards.
    """
    size_x, size_y = _scale_um(scales, -1), _scale_um(scales, -2)
    start_x, start_y = _start_um(scales, -1), _start_um(scales, -2)
    if size_x is None or size_y is None or not (start_x or start_y):
        return None, None
    height, width = array.shape[-2:]
    return start_x + size_x * (width - 1) / 2, -(start_y + size_y * (height - 1) / 2)


def _start_um(scales: Mapping[str, Any], axis: int) -> float:
    """Return where the first pixel lies along an axis, 0 where nothing says it."""
    level, whole = (_transformation(said, "translation") for said in (scales["datasets"][0], scales))
    factor = _transformation(scales, "scale")
    start = 0.0 if level is None else float(level[axis]) * (1.0 if factor is None else float(factor[axis]))
    return (start + (0.0 if whole is None else float(whole[axis]))) * _unit_um(scales, axis)


def _scale_um(scales: Mapping[str, Any], axis: int) -> float | None:
    level, whole = (_transformation(said, "scale") for said in (scales["datasets"][0], scales))
    unit = _unit_um(scales, axis)
    if level is None or not unit:
        return None
    return float(level[axis]) * (1.0 if whole is None else float(whole[axis])) * unit


def _unit_um(scales: Mapping[str, Any], axis: int) -> float:
    """Return an axis' unit in um; 0 when it has none that is known."""
    return _UM.get(str(scales["axes"][axis].get("unit")), 0.0)


def _transformation(said: Mapping[str, Any], kind: str) -> Sequence[float] | None:
    """Return a scale or translation of a dataset, or of all of them, which is applied after theirs."""
    return next((t[kind] for t in said.get("coordinateTransformations") or () if t["type"] == kind), None)


def _channel_names(said: Mapping[str, Any], axes: Sequence[str], array: ZarrArray) -> list[str]:
    n = array.shape[list(axes).index("c")] if "c" in axes else 1
    labels = [str(c.get("label") or "") for c in said.get("omero", {}).get("channels", [])]
    names: list[str] = []
    for c in range(n):
        name = (labels[c] if c < len(labels) else "") or f"C{c}"
        names.append(f"{name} (C{c})" if name in names else name)
    return names
