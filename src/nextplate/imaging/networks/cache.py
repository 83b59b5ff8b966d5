"""Fields decoded once, into one memory-mapped array that threads can read from at the speed of memory.

::

    CACHE/
      index.json     what is in it: fields in order, channels, size, downscale, number format
      pixels.npy     shape (fields, height, width, channels), uint8 or uint16
      digests.npy    shape (fields, 32): sha256 of each field's pixels; zeros: not decoded yet
      problems.json  fields that cannot be used, and why; their rows stay zero

A field counts once its digest is there, which is written after its pixels reached the disk: an interrupted build goes
on where it was. Nothing is pickled.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from nextplate.imaging.pixels import ImageKind, UnreadableImage, majority_kind, read_image
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Readout

Progress = Callable[[int, int], None]
FORMAT = "nextplate-pixels-1"
GAIN = 256
"""Stored counts per count of an averaged 8-bit image: the mean keeps 8 bits behind the point."""
_memmap: Callable[..., npt.NDArray[Any]] = np.lib.format.open_memmap
"""numpy ships it without types."""
_FLUSH_FIELDS, _KIND_SAMPLE = 64, 24


@dataclass(frozen=True, slots=True)
class CachedField:
    """One row of the array."""

    plate: str
    well: str
    field: int


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field that is not in the array, and why."""

    plate: str
    well: str
    field: int
    reason: str
    """A code of imaging.quality, then what was found."""


@dataclass(frozen=True, slots=True)
class PixelCache:
    """Decoded fields; `fields[i]` tells whose pixels lie in `pixels[i]`."""

    folder: Path
    channels: tuple[str, ...]
    downscale: int
    fields: tuple[CachedField, ...]
    pixels: npt.NDArray[Any]
    """Shape (fields, height, width, channels), memory-mapped."""
    digests: npt.NDArray[np.uint8]
    problems: tuple[FieldProblem, ...]

    @property
    def usable(self) -> npt.NDArray[np.intp]:
        """Return the rows that hold a decoded field."""
        return np.flatnonzero(self.digests.any(axis=1))

    @property
    def size_px(self) -> tuple[int, int]:
        """Return height and width of every field."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def digest(self, rows: npt.NDArray[np.intp]) -> str:
        """Digest the pixels of some fields, with what they are called."""
        found = hashlib.sha256(json.dumps([self.channels, self.downscale]).encode())
        for row in rows.tolist():
            found.update(json.dumps(asdict(self.fields[row])).encode() + self.digests[row].tobytes())
        return found.hexdigest()


def build_cache(
    readouts: Sequence[Readout],
    folder: Path,
    channels: Sequence[str] | None = None,
    downscale: int = 1,
    n_threads: int = 2,
    progress: Progress = lambda _done, _total: None,
) -> PixelCache:
    """Decode the fields of plates into a folder, or take up what an earlier call left there.

    Args:
        readouts: plates of one image size and depth, each name once.
        folder: new, or of an earlier call with the same images.
        channels: in this order; None: those of the first readout. A field that lacks one is a problem, not a gap.
        downscale: average tiles of so many pixels a side; cut tiles at the edge repeat the last pixel. An 8-bit image
            becomes 16-bit counts of 1 / GAIN.
        n_threads: that decode; at most a few hundred decoded fields are held.
        progress: told (fields done, fields).

    Raises:
        DataError: no usable field, plates of different sizes, or a folder of something else.
    """
    names = tuple(channels or (readouts[0].channels if readouts else ()))
    grouped = _grouped(readouts, names)
    kind = _common_kind(readouts, names)
    plan = _plan(grouped, names, downscale, kind)
    _claim(folder, plan)
    arrays = _arrays(folder, plan)
    work = _Work(grouped, names, downscale, kind, arrays)
    problems = _decode_all(work, n_threads, progress)
    _write_json(folder / "problems.json", [asdict(p) for p in problems])
    cache = open_cache(folder)
    if not len(cache.usable):
        raise DataError(f"{folder}: none of {len(grouped)} fields can be used; the first: {problems[0].reason}")
    return cache


def open_cache(folder: Path) -> PixelCache:
    """Open a built cache.

    Raises:
        DataError: it is not there, not whole, or of another format.
    """
    plan = _read_json(folder / "index.json")
    if not isinstance(plan, dict) or plan.get("format") != FORMAT:
        raise DataError(f"{folder / 'index.json'}: is not of the format {FORMAT}; remove the folder and build it again")
    pixels, digests = (_mapped(folder / name, "r") for name in ("pixels.npy", "digests.npy"))
    problems = tuple(FieldProblem(**p) for p in _read_json(folder / "problems.json"))
    fields = tuple(CachedField(str(p), str(w), int(f)) for p, w, f, _ in plan["fields"])
    return PixelCache(folder, tuple(plan["channels"]), int(plan["downscale"]), fields, pixels, digests, problems)


def downscaled(pixels: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Average tiles of factor x factor pixels; (height, width) becomes (ceil(height / factor), ...).

    uint8 becomes uint16 in counts of 1 / GAIN, uint16 is rounded.
    """
    if factor == 1:
        return pixels
    height, width = pixels.shape
    padded = np.pad(pixels, ((0, -height % factor), (0, -width % factor)), mode="edge")
    tiles = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    total = tiles.sum(axis=3, dtype=np.uint32).sum(axis=1, dtype=np.float64)
    gain = GAIN if pixels.dtype == np.uint8 else 1
    return np.asarray(np.rint(total * (gain / (factor * factor))), np.uint16)


_Grouped = list[tuple[CachedField, dict[str, FieldImage]]]


@dataclass(frozen=True, slots=True)
class _Work:
    fields: _Grouped
    channels: tuple[str, ...]
    downscale: int
    kind: ImageKind
    arrays: tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]


def _grouped(readouts: Sequence[Readout], channels: tuple[str, ...]) -> _Grouped:
    plates = [r.plate for r in readouts]
    if twice := sorted({p for p in plates if plates.count(p) > 1}):
        raise DataError(f"two of the folders hold a plate called {twice[0]}; give each plate once")
    for readout in readouts:
        if absent := [c for c in channels if c not in readout.channels]:
            has = ", ".join(readout.channels)
            raise DataError(f"plate {readout.plate} in {readout.folder} has no channel {absent[0]!r}; it has {has}")
    found: dict[CachedField, dict[str, FieldImage]] = {}
    for image in (i for r in readouts for i in r.images):
        found.setdefault(CachedField(image.plate, image.well, image.field), {})[image.channel] = image
    if not found:
        raise DataError("the folders hold no images; name folders of plates")
    return sorted(found.items(), key=lambda item: (item[0].plate, parse_well(item[0].well), item[0].field))


def _common_kind(readouts: Sequence[Readout], channels: tuple[str, ...]) -> ImageKind:
    kinds = {r.plate: _kind_of(r, channels) for r in readouts}
    if len(set(kinds.values())) > 1:
        listed = "; ".join(f"{plate}: {kind}" for plate, kind in sorted(kinds.items()))
        raise DataError(f"the plates differ in image size or depth ({listed}); train on plates that are alike")
    return next(iter(kinds.values()))


def _kind_of(readout: Readout, channels: tuple[str, ...]) -> ImageKind:
    paths = [i.path for i in readout.images if i.channel in channels]
    step = max(1, len(paths) // _KIND_SAMPLE)
    found = majority_kind(paths[::step]) or majority_kind(paths)
    if found is None:
        raise DataError(f"plate {readout.plate} in {readout.folder}: no image can be read")
    return found


def _plan(grouped: _Grouped, channels: tuple[str, ...], downscale: int, kind: ImageKind) -> dict[str, Any]:
    if downscale < 1:
        raise DataError(f"a downscale of {downscale} is none; write 1, 2, 4 ...")
    shape = [len(grouped), -(-kind.height // downscale), -(-kind.width // downscale), len(channels)]
    return {
        "format": FORMAT,
        "channels": list(channels),
        "downscale": downscale,
        "image": str(kind),
        "shape": shape,
        "dtype": kind.dtype if downscale == 1 else "uint16",
        "fields": [[f.plate, f.well, f.field, _stamp(images)] for f, images in grouped],
    }


def _stamp(images: dict[str, FieldImage]) -> str:
    """Identify a field's files without reading them: names, pages, sizes and times."""
    found = hashlib.sha256()
    for channel, image in sorted(images.items()):
        for path, page in image.stack or ((image.path, image.page),):
            found.update(f"{channel}\0{path}\0{page}\0{_size_and_time(path)}\n".encode())
    return found.hexdigest()[:16]


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, -1  # told on reading, as unreadable
    return stat.st_size, stat.st_mtime_ns


def _claim(folder: Path, plan: dict[str, Any]) -> None:
    index = folder / "index.json"
    if not index.exists():
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder} is there and holds no pixel cache; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(index, plan)
    elif _read_json(index) != plan:
        raise DataError(f"{folder} holds other images, or the images have changed; remove it or name another folder")


def _arrays(folder: Path, plan: dict[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    pixels = _created(folder / "pixels.npy", tuple(plan["shape"]), plan["dtype"])
    return pixels, _created(folder / "digests.npy", (plan["shape"][0], 32), "uint8")


def _created(path: Path, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Open an array for writing; a file whose header was cut by a crash is begun again."""
    if path.exists():
        try:
            found = _mapped(path, "r+")
        except DataError:
            found = None
        if found is not None and found.shape == shape and found.dtype == dtype:
            return found
    return _memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)


def _mapped(path: Path, mode: Any) -> npt.NDArray[Any]:
    try:
        return _memmap(path, mode=mode)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened ({error}); remove the folder and build it again") from error


def _decode_all(work: _Work, n_threads: int, progress: Progress) -> list[FieldProblem]:
    pixels, digests = work.arrays
    waiting = [i for i in range(len(work.fields)) if not digests[i].any()]
    problems: list[FieldProblem] = []
    n_total, n_done = len(work.fields), len(work.fields) - len(waiting)
    with ThreadPoolExecutor(n_threads) as executor:
        for start in range(0, len(waiting), _FLUSH_FIELDS):
            rows = waiting[start : start + _FLUSH_FIELDS]
            found = list(executor.map(lambda row: _decoded(work, row), rows))
            _flush(pixels)  # pixels reach the disk before the digests that vouch for them
            for row, digest in zip(rows, found, strict=True):
                if isinstance(digest, FieldProblem):
                    problems.append(digest)
                else:
                    digests[row] = np.frombuffer(digest, np.uint8)
            _flush(digests)
            n_done += len(rows)
            progress(n_done, n_total)
    return problems


def _flush(array: npt.NDArray[Any]) -> None:
    """Force a memory-mapped array to the disk."""
    if isinstance(array, np.memmap):
        array.flush()


def _decoded(work: _Work, row: int) -> bytes | FieldProblem:
    field, images = work.fields[row]
    target = work.arrays[0][row]
    for c, channel in enumerate(work.channels):
        if channel not in images:
            return _problem(field, f"field-missing: no image of channel {channel}")
        try:
            target[:, :, c] = downscaled(read_image(images[channel], work.kind), work.downscale)
        except UnreadableImage as error:
            target[...] = 0
            return _problem(field, f"unreadable: {error}")
    return hashlib.sha256(target.tobytes()).digest()


def _problem(field: CachedField, reason: str) -> FieldProblem:
    return FieldProblem(field.plate, field.well, field.field, reason)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove the folder and build it again") from error


def _write_json(path: Path, body: Any) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    scratch.replace(path)
