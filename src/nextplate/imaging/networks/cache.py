"""Every field decoded once: pixels of all fields in one memory-mapped array on disk.

A folder of three files: ``cache.json`` says of which fields, channels and binning; ``pixels.npy`` has shape
(fields, channels, height, width), uint8 or uint16; ``state.npy`` one byte per field: 0 not read yet, 1 read, 2 cannot
be read (its reason is in ``problems.json``). Rows are marked after their pixels are on the disk, so that a filling
which was stopped goes on where it was. Room is reserved before the first row: a full disk is an error, not a crash.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError, DiskFull
from nextplate.imaging.flatfield import binned
from nextplate.imaging.networks.fields import Field, Fields, data_digest
from nextplate.imaging.pixels import ImageKind, Pixels, UnreadableImage, majority_kind, read_image

FORMAT = "nextplate-field-cache-1"
WAITING, READ, FAILED = 0, 1, 2
_BLOCK = 64
"""Fields between two marks on the disk."""
_N_PROBES = 64
_FINE = 256
"""A mean of 8 bit pixels is kept with this many steps per grey level."""

Progress = Callable[[int, int], None]


class BlankImage(UnreadableImage):
    """Every pixel of an image is the same."""


@dataclass(frozen=True, slots=True)
class FieldCache:
    """Decoded fields."""

    pixels: npt.NDArray[Any]
    """Shape (fields, channels, height, width), uint8 or uint16, memory-mapped read-only."""
    usable: npt.NDArray[np.int64]
    """Rows that could be read."""
    problems: tuple[tuple[int, str], ...]
    """(row, reason) of the others."""
    binning: int


def fill_cache(
    folder: Path,
    fields: Fields,
    *,
    binning: int = 1,
    max_gib: float = 64.0,
    n_threads: int = 2,
    progress: Progress | None = None,
) -> FieldCache:
    """Decode what is not decoded yet and open the cache.

    Args:
        folder: is made; a cache of other fields or another binning in it is an error, never overwritten.
        fields: rows of the cache, in order. All must have the size and depth most of them have.
        binning: side of the square of pixels that are averaged, 1 or more.
        max_gib: a larger cache is refused.
        n_threads: that decode.
        progress: called with (fields done, fields in all).

    Raises:
        DataError: the cache would be too large, belongs to other fields, or no field can be read.
        DiskFull: no room for it; nothing is left behind.
    """
    if binning < 1:
        raise DataError(f"binning is {binning}; it is 1 or more")
    kind = majority_kind(i.path for f in _some(fields.fields) for i in f.images)
    if kind is None:
        raise DataError(f"none of the {len(fields.fields)} fields can be read; first {fields.fields[0].images[0].path}")
    card = _card(fields, kind, binning)
    _prepare(folder, card, max_gib)
    pixels = np.load(folder / "pixels.npy", mmap_mode="r+")
    state = np.load(folder / "state.npy", mmap_mode="r+")
    problems = _read_problems(folder)
    _fill(folder, fields, kind, binning, pixels, state, problems, n_threads, progress or _silent)
    usable = np.flatnonzero(np.asarray(state) == READ)
    if len(usable) == 0:
        raise DataError(f"none of the {len(fields.fields)} fields can be read; first: {problems.get(0, '')}")
    opened = np.load(folder / "pixels.npy", mmap_mode="r")
    return FieldCache(opened, usable, tuple(sorted(problems.items())), binning)


def binned_pixels(raw: Pixels, binning: int) -> npt.NDArray[Any]:
    """Average squares of pixels; uint8 becomes uint16 in steps of 1/256, so that the mean keeps what it gains."""
    if binning == 1:
        return raw
    mean = binned(raw, binning)
    return np.rint(mean * _FINE if raw.dtype == np.uint8 else mean).astype(np.uint16)


def read_field(field: Field, kind: ImageKind, binning: int) -> npt.NDArray[Any]:
    """Decode one field, shape (channels, height, width).

    Raises:
        UnreadableImage: a channel is damaged, or of another size or depth.
        BlankImage: one single value all over.
    """
    planes: list[npt.NDArray[Any]] = []
    for image in field.images:
        raw = read_image(image, kind)
        if raw.min() == raw.max():
            raise BlankImage(f"{image.path.name}: every pixel is {raw.flat[0]}")
        planes.append(binned_pixels(raw, binning))
    return np.stack(planes)


def _silent(_done: int, _total: int) -> None:
    """Show no progress."""


def _some(fields: Sequence[Field]) -> list[Field]:
    n = min(len(fields), _N_PROBES)
    return [fields[i * len(fields) // n] for i in range(n)]


def _card(fields: Fields, kind: ImageKind, binning: int) -> dict[str, Any]:
    shape = [len(fields.fields), len(fields.channels), kind.height // binning, kind.width // binning]
    dtype = kind.dtype if binning == 1 else "uint16"
    return {"format": FORMAT, "shape": shape, "dtype": dtype, "binning": binning, "digest": data_digest(fields)}


def _prepare(folder: Path, card: dict[str, Any], max_gib: float) -> None:
    """Make the folder whole or not at all, or check the one that is there."""
    path = folder / "cache.json"
    if path.exists():
        _agree(path, card)
        return
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds other things; give an empty or a new folder for the decoded fields")
    n_bytes = int(np.prod(card["shape"])) * np.dtype(card["dtype"]).itemsize
    if n_bytes > max_gib * 2**30:
        raise DataError(
            f"decoded fields take {n_bytes / 2**30:.1f} GiB, {max_gib:g} are allowed; bin more pixels or allow more"
        )
    scratch = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        _reserve(scratch / "pixels.npy", tuple(card["shape"]), card["dtype"])
        _reserve(scratch / "state.npy", (card["shape"][0],), "uint8")
        (scratch / "cache.json").write_text(json.dumps(card, sort_keys=True) + "\n")
        if folder.exists():
            folder.rmdir()
        scratch.replace(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{folder}: no room for {n_bytes / 2**30:.1f} GiB of decoded fields") from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _reserve(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)  # type: ignore[no-untyped-call]
    del array
    with path.open("r+b") as handle:
        os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)


def _agree(path: Path, card: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); remove the folder") from error
    differing = [key for key in card if found.get(key) != card[key]]
    if differing:
        what = ", ".join(differing)
        raise DataError(f"{path}: was made of other images or settings ({what}); give another folder or remove it")


def _read_problems(folder: Path) -> dict[int, str]:
    path = folder / "problems.json"
    return {int(row): str(why) for row, why in json.loads(path.read_text()).items()} if path.exists() else {}


def _fill(
    folder: Path,
    fields: Fields,
    kind: ImageKind,
    binning: int,
    pixels: Any,
    state: Any,
    problems: dict[int, str],
    n_threads: int,
    progress: Progress,
) -> None:
    waiting = np.flatnonzero(np.asarray(state) == WAITING).tolist()
    done = len(state) - len(waiting)
    with ThreadPoolExecutor(n_threads) as pool:
        for start in range(0, len(waiting), _BLOCK):
            block = waiting[start : start + _BLOCK]
            marks = list(pool.map(lambda row: _read_row(fields.fields[row], kind, binning, pixels, row), block))
            for row, reason in zip(block, marks, strict=True):
                if reason is not None:
                    problems[row] = reason
            _mark(folder, block, problems, pixels, state)
            done += len(block)
            progress(done, len(state))


def _read_row(field: Field, kind: ImageKind, binning: int, pixels: Any, row: int) -> str | None:
    """Write one row; return why it could not be read, or None."""
    try:
        pixels[row] = read_field(field, kind, binning)
    except BlankImage as error:
        return f"all-zero: {error}"
    except UnreadableImage as error:
        return f"unreadable: {error}"
    return None


def _mark(folder: Path, rows: Sequence[int], problems: dict[int, str], pixels: Any, state: Any) -> None:
    pixels.flush()
    scratch = folder / ".problems.json"
    scratch.write_text(json.dumps(problems, sort_keys=True))
    scratch.replace(folder / "problems.json")
    state[rows] = [FAILED if row in problems else READ for row in rows]
    state.flush()


def blocks(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cut rows into blocks of at most `size`."""
    for start in range(0, len(rows), size):
        yield [int(r) for r in rows[start : start + size]]
