"""Small plates to export, and what every export has to keep."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from yaozarrs import validate_zarr_store

from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.pixels import read_pixels
from nextplate.imaging.reader import list_planes
from nextplate.imaging.selection import Selection, to_readout
from nextplate.readout import Readout

Pixels = npt.NDArray[Any]
Key = tuple[str, int, str, int | None, int | None]


def key(plane: Plane) -> Key:
    return plane.well, plane.field, plane.channel, plane.z, plane.t


def noise(seed: int, shape: tuple[int, int] = (20, 30), dtype: str = "uint16") -> Pixels:
    top = 256 if dtype == "uint8" else 65536
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def written(folder: Path, places: Iterable[Key], pixels: Callable[[int], Pixels] = noise, **more: Any) -> Listing:
    """Write one TIFF per place and list them, as a reader would."""
    folder.mkdir(parents=True, exist_ok=True)
    planes = []
    for n, (well, field, channel, z, t) in enumerate(places):
        path = folder / f"{n}.tif"
        tifffile.imwrite(path, pixels(n), photometric="minisblack")
        planes.append(Plane(well, field, channel, path, z, t, **more))
    channels = tuple(dict.fromkeys(p.channel for p in planes))
    return Listing("pattern", "P1", channels, tuple(planes))


def validate(target: Path) -> None:
    """Have the public validator look at metadata and storage; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validate_zarr_store(str(target))


def assert_kept(source: Listing, folder: Path, target: Path, lost: Mapping[Key, str] | None = None) -> Listing:
    """Check that the export holds every plane of the source, pixel for pixel, but those that are `lost`."""
    validate(target)
    found = list_planes(target)
    assert (found.reader, found.plate, found.channels) == ("ome-zarr", source.plate, source.channels)
    first: dict[Key, Plane] = {}
    for plane in source.planes:
        first.setdefault(key(plane), plane)
    kept = {place: plane for place, plane in first.items() if place not in (lost or {})}
    assert len(found.planes) == len(kept)
    for plane in found.planes:
        before = kept[key(plane)]
        old, new = read_pixels(before.path, page=before.page), read_pixels(plane.path, page=plane.page)
        assert old.dtype == new.dtype
        assert np.array_equal(old, new)
        assert plane.z_um == before.z_um
        if before.x_um is not None:
            assert (plane.x_um, plane.y_um) == (before.x_um, before.y_um)
        if before.pixel_size_um is not None:
            assert plane.pixel_size_um == before.pixel_size_um
    _same_readout(to_readout(source, folder, Selection()), to_readout(found, target, Selection()), bool(lost))
    return found


def _same_readout(before: Readout, after: Readout, is_less: bool) -> None:
    assert (before.channels, before.is_complete, before.notes) == (after.channels, after.is_complete, after.notes)
    if is_less:
        return
    assert [(i.well, i.field, i.channel, i.z, i.t, i.pixel_size_um) for i in before.images] == [
        (i.well, i.field, i.channel, i.z, i.t, i.pixel_size_um) for i in after.images
    ]
    doubles = [m for m in after.missing if m not in before.missing]
    assert all(m.reason.startswith("duplicate-image") for m in doubles)  # of steps and times that were not chosen
    assert set(before.missing) <= set(after.missing)


def state(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
