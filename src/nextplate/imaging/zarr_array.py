"""Read one plane of a Zarr array of format 2 or 3 (zarr-specs.readthedocs.io), without the zarr library.

Chunks raw, or packed by gzip, zlib, zstd, lz4 or blosc. Sharded, filtered or transposed arrays are refused with a
sentence, never read wrongly. A chunk that is not there holds the fill value, as both formats say.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

_DTYPES = {"uint8": "u1", "uint16": "u2", "int8": "i1", "int16": "i2", "uint32": "u4", "float32": "f4"}
_MAX_CHUNK_BYTES = 1 << 31
_MAX_PLANE_BYTES = 1 << 31
_MAX_PAGES = 1_000_000


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """What the metadata says; axes before the last two are counted together as pages."""

    path: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    """With the byte order of the chunks."""
    codec: str
    """'' for raw chunks."""
    fill: float
    prefix: str
    separator: str

    @property
    def n_pages(self) -> int:
        """Count the planes over all leading axes."""
        return prod(self.shape[:-2])

    def chunk_path(self, index: tuple[int, ...]) -> Path:
        """Return the file of a chunk."""
        return self.path / (self.prefix + self.separator.join(map(str, index)))


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        DataError: not JSON, or no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: a JSON object is needed, found {type(found).__name__}")
    return found


def open_array(path: Path) -> ZarrArray:
    """Read an array's metadata.

    Raises:
        DataError: no array, or one stored in a way that is not read.
    """
    try:
        if (path / "zarr.json").is_file():
            return _version_3(path, read_json(path / "zarr.json"))
        if (path / ".zarray").is_file():
            return _version_2(path, read_json(path / ".zarray"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: the array's metadata are not as Zarr needs them ({error!r})") from error
    raise DataError(f"{path}: no Zarr array, neither zarr.json nor .zarray is there")


def _version_3(path: Path, said: dict[str, Any]) -> ZarrArray:
    grid, keys = said["chunk_grid"], said["chunk_key_encoding"]
    if said.get("node_type") != "array" or grid["name"] != "regular":
        raise DataError(
            f"{path}: {said.get('node_type')} with a {grid['name']} grid, an array with a regular one is needed"
        )
    order, codec = "<", ""
    for entry in said["codecs"]:
        if entry["name"] == "bytes":
            order = ">" if entry.get("configuration", {}).get("endian") == "big" else "<"
        elif entry["name"] in ("gzip", "zstd", "blosc") and not codec:
            codec = entry["name"]
        else:
            raise DataError(f"{path}: the codec {entry['name']} is not read")
    separator = keys.get("configuration", {}).get("separator", "/" if keys["name"] == "default" else ".")
    prefix = f"c{separator}" if keys["name"] == "default" else ""
    return _array(
        path,
        said,
        grid["configuration"]["chunk_shape"],
        order + _plain(said["data_type"], path),
        codec,
        prefix,
        separator,
    )


def _version_2(path: Path, said: dict[str, Any]) -> ZarrArray:
    if said.get("order", "C") != "C" or said.get("filters"):
        raise DataError(f"{path}: order {said.get('order')} and filters {said.get('filters')} are not read")
    codec = (said.get("compressor") or {}).get("id", "")
    if codec not in ("", "gzip", "zlib", "zstd", "lz4", "blosc"):
        raise DataError(f"{path}: the compressor {codec} is not read")
    return _array(path, said, said["chunks"], said["dtype"], codec, "", said.get("dimension_separator", "."))


def _array(
    path: Path, said: dict[str, Any], chunks: list[int], dtype: str, codec: str, prefix: str, separator: str
) -> ZarrArray:
    shape = tuple(int(n) for n in said["shape"])
    sizes = tuple(int(n) for n in chunks)
    kind = np.dtype(dtype)
    if len(shape) < 2 or len(shape) != len(sizes) or min((*shape, *sizes)) < 1:
        raise DataError(f"{path}: shape {shape} in chunks of {sizes}; at least y and x are needed")
    if prod(sizes) * kind.itemsize > _MAX_CHUNK_BYTES or separator not in ("/", "."):
        raise DataError(f"{path}: chunks of {sizes} {kind} with separator {separator!r} are not read")
    if prod(shape[-2:]) * kind.itemsize > _MAX_PLANE_BYTES or prod(shape[:-2]) > _MAX_PAGES:
        raise DataError(f"{path}: shape {shape} {kind} is larger than any plate's field; not read")
    fill = said.get("fill_value")
    return ZarrArray(path, shape, sizes, kind, codec, float(fill or 0), prefix, separator)


def _plain(data_type: Any, path: Path) -> str:
    if data_type not in _DTYPES:
        raise DataError(f"{path}: the data type {data_type} is not read; known are {', '.join(_DTYPES)}")
    return _DTYPES[data_type]


def read_plane(array: ZarrArray, page: int) -> npt.NDArray[Any]:
    """Read one plane, shape (height, width), in the machine's byte order.

    Raises:
        DataError: no such page, or a chunk that cannot be unpacked.
    """
    if not 0 <= page < array.n_pages:
        raise DataError(f"{array.path}: has no page {page}, it has {array.n_pages}")
    lead = tuple(int(i) for i in np.unravel_index(page, array.shape[:-2])) if len(array.shape) > 2 else ()
    first = tuple(i // n for i, n in zip(lead, array.chunks, strict=False))
    inside = tuple(i % n for i, n in zip(lead, array.chunks, strict=False))
    height, width = array.shape[-2:]
    plane = np.full((height, width), array.fill, array.dtype.newbyteorder("="))
    for row, column, rows, columns in _tiles(array):
        chunk = _chunk(array, (*first, row, column))
        if chunk is not None:
            tile = chunk[inside]
            plane[rows, columns] = tile[: rows.stop - rows.start, : columns.stop - columns.start]
    return plane


def _tiles(array: ZarrArray) -> Iterator[tuple[int, int, slice, slice]]:
    (height, width), (tall, wide) = array.shape[-2:], array.chunks[-2:]
    for row, column in itertools.product(range(-(-height // tall)), range(-(-width // wide))):
        rows = slice(row * tall, min(height, (row + 1) * tall))
        yield row, column, rows, slice(column * wide, min(width, (column + 1) * wide))


def _chunk(array: ZarrArray, index: tuple[int, ...]) -> npt.NDArray[Any] | None:
    path = array.chunk_path(index)
    if not path.exists():
        return None
    n_bytes = prod(array.chunks) * array.dtype.itemsize
    try:
        data = _unpacker(array.codec)(path.read_bytes(), n_bytes)
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(f"{path}: the chunk is damaged or cut short ({error})") from error
    if len(data) != n_bytes:
        raise DataError(f"{path}: the chunk holds {len(data)} bytes, {n_bytes} are needed")
    return np.frombuffer(data, array.dtype).reshape(array.chunks)


def _unpacker(codec: str) -> Callable[[bytes, int], bytes]:
    import imagecodecs

    unpackers: dict[str, Callable[[bytes, int], bytes]] = {
        "": lambda data, _: data,
        "gzip": lambda data, n: bytes(imagecodecs.gzip_decode(data, out=n)),
        "zlib": lambda data, n: bytes(imagecodecs.zlib_decode(data, out=n)),
        "zstd": lambda data, n: bytes(imagecodecs.zstd_decode(data, out=n)),
        "lz4": lambda data, n: bytes(imagecodecs.lz4_decode(data, out=n, header=True)),
        "blosc": lambda data, _: bytes(imagecodecs.blosc_decode(data)),
    }
    return unpackers[codec]
