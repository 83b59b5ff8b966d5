"""Write Zarr 3 groups and arrays (zarr-specs.readthedocs.io, core 3.0), without the zarr library.

Chunks hold one plane, or an even part of a large one, packed by Blosc: bits shuffled, then zstd of level 1. What is
left, and Mpx/s packed by one core, measured on the real samples:

                                    zstd 1      zstd 3      zstd 5      bits shuffled, zstd 1
Opera Phenix, 16 bit              69 % 318    62 % 100    60 %  57    63 % 297
NF1 Cell Painting, 16 bit         40 % 214    30 % 147    28 %  70    26 % 267
ImageXpress, 16 bit               71 % 523    70 % 199    70 %  61    69 % 403
BBBC013, 8 bit                    47 % 381    44 % 242    43 % 120    46 % 471
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_CHUNK_PX = 1536
"""Longest side of a chunk: 1080 px fields stay whole, 2160 px fields become four."""
_LEVEL = 1
_BITSHUFFLE = 2


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape and type of an array whose last two axes are y and x."""

    shape: tuple[int, ...]
    dtype: str
    """'uint8' or 'uint16'."""
    axes: tuple[str, ...]
    """One name per axis."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Return the chunks' shape: one plane, or an even part of it."""
        return (*(1 for _ in self.shape[:-2]), *(_even_part(n) for n in self.shape[-2:]))


def _even_part(n: int) -> int:
    n_parts = -(-n // MAX_CHUNK_PX)
    return -(-n // n_parts)


def write_group(path: Path, attributes: Mapping[str, Any]) -> int:
    """Write a group's metadata; returns the bytes written.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    return _write_json(path, {"zarr_format": 3, "node_type": "group", "attributes": attributes})


def write_array(path: Path, spec: ArraySpec) -> int:
    """Write an array's metadata; planes that are never written hold 0. Returns the bytes written.

    Raises:
        OSError: as `write_group`.
    """
    blosc = {"cname": "zstd", "clevel": _LEVEL, "shuffle": "bitshuffle", "blocksize": 0}
    n_bytes = np.dtype(spec.dtype).itemsize
    return _write_json(
        path,
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": spec.shape,
            "data_type": spec.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": spec.chunks}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "blosc", "configuration": blosc | {"typesize": n_bytes}},
            ],
            "dimension_names": spec.axes,
            "attributes": {},
        },
    )


def write_plane(path: Path, spec: ArraySpec, lead: Sequence[int], plane: npt.NDArray[Any]) -> int:
    """Write the chunks of one plane, shape (height, width), at the index `lead` of the axes before y and x.

    Returns:
        The bytes written.

    Raises:
        OSError: as `write_group`.
        ValueError: the plane has not the shape and type of the array.
    """
    if plane.shape != spec.shape[-2:] or plane.dtype != np.dtype(spec.dtype):
        raise ValueError(f"{path}: a plane of {plane.shape} {plane.dtype} for an array of {spec.shape} {spec.dtype}")
    folder = path.joinpath("c", *map(str, lead))
    tall, wide = spec.chunks[-2:]
    n_bytes = 0
    for row in range(-(-plane.shape[0] // tall)):
        place = folder / str(row)
        place.mkdir(parents=True, exist_ok=True)
        for column in range(-(-plane.shape[1] // wide)):
            tile = plane[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
            n_bytes += (place / str(column)).write_bytes(_packed(_filled(tile, (tall, wide))))
    return n_bytes


def _filled(tile: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a chunk of full size: at the edge the array ends inside its last chunk."""
    if tile.shape == shape:
        return tile
    chunk = np.zeros(shape, tile.dtype)
    chunk[: tile.shape[0], : tile.shape[1]] = tile
    return chunk


def _packed(chunk: npt.NDArray[Any]) -> bytes:
    import imagecodecs

    little = np.ascontiguousarray(chunk, chunk.dtype.newbyteorder("<"))
    return bytes(
        imagecodecs.blosc_encode(
            little.tobytes(),
            level=_LEVEL,
            compressor="zstd",
            shuffle=_BITSHUFFLE,
            typesize=little.itemsize,
            numthreads=1,
        )
    )


def _write_json(path: Path, said: Mapping[str, Any]) -> int:
    path.mkdir(parents=True, exist_ok=True)
    text = json.dumps(said, ensure_ascii=False, allow_nan=False)
    # Names of files that are no UTF-8 reach Python as lone surrogates, which no other JSON reader takes.
    return (path / "zarr.json").write_bytes(text.encode(errors="replace"))
