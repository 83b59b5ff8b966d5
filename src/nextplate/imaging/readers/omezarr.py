"""OME-Zarr HCS plates (NGFF 0.4 in Zarr 2, 0.5 in Zarr 3): plate, wells, fields, and the full-resolution array.

``plate.wells[].path`` is ROW/COLUMN, ``well.images[].path`` a field; fields are numbered from 1 in their order. The
page of an image counts the planes over the array's axes before y and x.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.readers.files import is_inside, one_plate, scan
from nextplate.imaging.zarr_array import ZarrArray, open_array, read_json
from nextplate.plate import well_name
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
        said = _ome(root)["plate"]
        planes: list[Plane] = []
        refused: list[Missing] = []
        wells: list[str] = []
        try:
            for entry in said["wells"]:
                well = well_name(int(entry["rowIndex"]), int(entry["columnIndex"]))
                wells.append(well)
                found, reason = _well_planes(root, str(entry["path"]), well)
                planes += found
                refused += [Missing(well, None, None, reason)] if reason else []
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(f"{root}: the metadata are not as OME-Zarr needs them ({error!r})") from error
        return Listing(
            reader=self.name,
            plate=one_plate((str(said.get("name") or root.name.removesuffix(".zarr")),), plate, folder),
            channels=tuple(dict.fromkeys(p.channel for p in planes)),
            planes=tuple(planes),
            refused=tuple(refused),
            wells=frozenset(wells),
        )


def _root(folder: Path) -> Path | None:
    if "plate" in _ome(folder):
        return folder
    inner = [e.path for e in scan(folder, folder) if e.is_folder and not e.is_outside and e.suffix == ".zarr"]
    having = [path for path in inner if "plate" in _ome(path)]
    return having[0] if len(having) == 1 else None


def _ome(group: Path) -> Mapping[str, Any]:
    """Return a group's OME metadata; empty when it is no group or has none."""
    if (group / "zarr.json").is_file():
        found = read_json(group / "zarr.json").get("attributes", {}).get("ome", {})
        return found if isinstance(found, dict) else {}
    return read_json(group / ".zattrs") if (group / ".zattrs").is_file() else {}


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
    for field, entry in enumerate(_ome(place)["well"]["images"], 1):
        image = _below(place, str(entry["path"]))
        if image is None:
            return planes, f"no image of a field: {entry['path']!r} is in the well's metadata and not in its folder"
        planes += _field_planes(image, well, field)
    return planes, ""


def _field_planes(image: Path, well: str, field: int) -> Iterator[Plane]:
    said = _ome(image)
    scales = said["multiscales"][0]
    first = scales["datasets"][0]
    path = _below(image, str(first["path"]))
    if path is None:
        raise DataError(f"{image}: the array {first['path']!r} of the largest resolution is not in its folder")
    array = open_array(path)
    axes = [str(axis["name"]) for axis in scales["axes"]]
    if axes[-2:] != ["y", "x"] or len(axes) != len(array.shape) or not set(axes[:-2]) <= set("tcz"):
        raise DataError(f"{image}: axes {axes} over shape {array.shape}; some of t, c, z and then y, x are needed")
    size = _pixel_um(scales["axes"][-1], first)
    names = _channel_names(said, axes, array)
    for page, at in enumerate(itertools.product(*(range(n) for n in array.shape[:-2]))):
        place = dict(zip(axes[:-2], at, strict=True))
        yield Plane(
            well=well,
            field=field,
            channel=names[place.get("c", 0)],
            path=path,
            z=_number(axes, array, place, "z"),
            t=_number(axes, array, place, "t"),
            page=page,
            pixel_size_um=size,
        )


def _number(axes: Sequence[str], array: ZarrArray, place: Mapping[str, int], axis: str) -> int | None:
    is_long = axis in axes and array.shape[list(axes).index(axis)] > 1
    return place[axis] + 1 if is_long else None


def _channel_names(said: Mapping[str, Any], axes: Sequence[str], array: ZarrArray) -> list[str]:
    n = array.shape[list(axes).index("c")] if "c" in axes else 1
    labels = [str(c.get("label") or "") for c in said.get("omero", {}).get("channels", [])]
    names: list[str] = []
    for c in range(n):
        name = (labels[c] if c < len(labels) else "") or f"C{c}"
        names.append(f"{name} (C{c})" if name in names else name)
    return names


def _pixel_um(axis: Mapping[str, Any], dataset: Mapping[str, Any]) -> float | None:
    unit = _UM.get(str(axis.get("unit")))
    scale = next((t["scale"] for t in dataset["coordinateTransformations"] if t["type"] == "scale"), None)
    return None if unit is None or scale is None else float(scale[-1]) * unit
