"""Read the pixels of one TIFF, or say in words why not."""

import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from nextplate.errors import DataError
from nextplate.imaging.readers.safe_xml import attributes, children, parse_xml
from nextplate.imaging.shown import shown
from nextplate.imaging.zarr_array import ZarrArray, open_array, read_plane
from nextplate.readout import FieldImage

Pixels = npt.NDArray[Any]
"""Shape (height, width), unsigned 8 or 16 bit."""

_BROKEN = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    MemoryError,
    AssertionError,
    struct.error,
    zlib.error,
    tifffile.TiffFileError,
)
"""What tifffile and its codecs raise on a damaged file."""


_MAX_PIXEL_UM = 1000.0
_NEGATIVE, _PALETTE = 0, 3
"""TIFF 6.0, PhotometricInterpretation."""
_MAX_IMAGE_BYTES = 1 << 31
_SAFE_BYTES = 1 << 26
_MAX_RATIO = 5000
"""An image above _SAFE_BYTES that unpacks to more than this multiple of its file is no image but a trap."""


class UnreadableImage(DataError):
    """One image cannot be used; the text is the reason, file name first."""

    def __init__(self, reason: str) -> None:
        super().__init__(shown(reason))


@dataclass(frozen=True, slots=True)
class ImageKind:
    """What every image of a plate shares."""

    height: int
    width: int
    dtype: str
    """'uint8' or 'uint16'."""

    def __str__(self) -> str:
        return f"{self.width} x {self.height} {self.dtype}"


def kind_of(path: Path) -> ImageKind:
    """Read size and depth from the header alone.

    Raises:
        UnreadableImage: not a grey 8 or 16 bit TIFF.
    """
    if path.is_dir():
        array = _zarr(path)
        return _kind_of_shape(array.shape[-2:], array.dtype.name, path)
    with _opened(path) as tiff:
        return _kind(_page(tiff, 0, path), path)


def majority_kind(paths: Iterable[Path]) -> ImageKind | None:
    """Return the kind most of the images have; None when none can be read."""
    counts: Counter[ImageKind] = Counter()
    for path in paths:
        try:
            counts[kind_of(path)] += 1
        except UnreadableImage:
            continue  # measured later, where the reason is kept
    return min(counts, key=lambda k: (-counts[k], str(k))) if counts else None


def read_pixels(path: Path, expected: ImageKind | None = None, page: int = 0) -> Pixels:
    """Read one image, shape (height, width); `page` counts from 0.

    Raises:
        UnreadableImage: absent, empty, cut short, or another size or depth than the plate's other images.
    """
    if path.is_dir():
        return _read_zarr(path, expected, page)
    with _opened(path) as tiff:
        found = _page(tiff, page, path)
        kind = _kind(found, path)
        _agree(kind, expected, path)
        _check_stored(tiff, found, path)
        try:
            pixels = np.asarray(found.asarray())
        except _BROKEN as error:
            raise UnreadableImage(f"{path.name}: damaged or cut short ({_words(error)})") from error
    if pixels.shape != (kind.height, kind.width) or pixels.dtype.name != kind.dtype:
        raise UnreadableImage(f"{path.name}: unpacks to {pixels.shape} {pixels.dtype}, its header says {kind}")
    return pixels


def damage_of(path: Path, page: int = 0) -> str:
    """Say why an image cannot be read, or not yet, as far as its header shows; '' when it seems whole.

    Only the header is looked at: of a TIFF, whether all strips lie inside the file; of a Zarr array, its metadata.
    """
    try:
        if path.is_dir():
            _zarr(path)
        else:
            with _opened(path) as tiff:
                found = _page(tiff, page, path)
                _kind(found, path)
                _check_stored(tiff, found, path)
    except UnreadableImage as error:
        return str(error)
    return ""


def _check_stored(tiff: Any, page: Any, path: Path) -> None:
    """Refuse what would read as zeros, as something else, or as gigabytes.

    Raises:
        UnreadableImage: pixel data absent, beyond the end of the file, or far larger than the file can hold; a
            palette that is not grey; a negative.
    """
    try:
        n_held, n_due = int(tiff.filehandle.size), int(page.nbytes)
        # Some software gives a plain image's only strip more bytes than the image has; nobody reads those.
        ends = [o + min(n, n_due) for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
        is_absent = not ends or min(page.dataoffsets) <= 0 or min(page.databytecounts) <= 0
        colours, photometric = page.colormap, page.photometric
    except _BROKEN as error:
        raise UnreadableImage(f"{path.name}: damaged header ({_words(error)})") from error
    if is_absent:
        raise UnreadableImage(f"{path.name}: holds no pixel data, or not all of it")
    if max(ends) > n_held or (page.compression == 1 and sum(page.databytecounts) < n_due):
        raise UnreadableImage(f"{path.name}: damaged or cut short: its pixels end after the file's {n_held} bytes")
    if n_due > _MAX_IMAGE_BYTES or (n_due > _SAFE_BYTES and n_due > _MAX_RATIO * n_held):
        raise UnreadableImage(f"{path.name}: claims {n_due} bytes of pixels in a file of {n_held} bytes; not read")
    if photometric == _NEGATIVE:
        raise UnreadableImage(f"{path.name}: is stored as a negative (photometric MINISWHITE); export it as it is")
    if photometric == _PALETTE and not _is_grey(colours):
        raise UnreadableImage(f"{path.name}: its colours are a palette that is not evenly grey; export it as grey")


def _is_grey(colours: Any) -> bool:
    """Say whether a colour map, shape (3, n), gives every value its own grey: 257 * i, or 256 * i as some write it."""
    if colours is None or np.ndim(colours) != 2:
        return False
    n = colours.shape[1]
    even = np.arange(n, dtype=np.int64) * 65535 // max(n - 1, 1)
    return bool((np.abs(colours.astype(np.int64) - even) <= 65536 // n).all())


def _agree(kind: ImageKind, expected: ImageKind | None, path: Path) -> None:
    if expected is not None and kind != expected:
        raise UnreadableImage(f"{path.name}: {kind}, the plate's images are {expected}")


def _read_zarr(path: Path, expected: ImageKind | None, page: int) -> Pixels:
    array = _zarr(path)
    _agree(_kind_of_shape(array.shape[-2:], array.dtype.name, path), expected, path)
    try:
        return read_plane(array, page)
    except (DataError, OSError) as error:
        raise UnreadableImage(_without_folder(error, path)) from error


def _zarr(path: Path) -> ZarrArray:
    try:
        return open_array(path)
    except (DataError, OSError) as error:
        raise UnreadableImage(_without_folder(error, path)) from error


def _without_folder(error: Exception, path: Path) -> str:
    # Reasons go into a step's output, which may not depend on where the plate lies.
    return str(error).replace(f"{path.parent}/", "")


def read_image(image: FieldImage, expected: ImageKind | None = None) -> Pixels:
    """Read the image of a field, shape (height, width): its page, or the maximum over its stack.

    Raises:
        UnreadableImage: as `read_pixels`, for any step of a stack.
    """
    if not image.stack:
        return read_pixels(image.path, expected, image.page)
    highest: Pixels | None = None
    for path, page in image.stack:
        step = read_pixels(path, expected, page)
        if highest is not None and (step.shape, step.dtype) != (highest.shape, highest.dtype):
            raise UnreadableImage(f"{path.name}: {step.shape} {step.dtype}, the steps before are not")
        highest = step if highest is None else np.maximum(highest, step)
    assert highest is not None
    return highest


def description_of(path: Path) -> bytes:
    """Return the ImageDescription of a TIFF's first page as bytes, b'' when there is none.

    Raises:
        UnreadableImage: not a TIFF.
    """
    with _opened(path) as tiff:
        try:
            return str(tiff.pages[0].description).encode("utf-8", "replace")
        except _BROKEN as error:
            raise UnreadableImage(f"{path.name}: damaged header ({_words(error)})") from error


def pixel_size_um(path: Path) -> float | None:
    """Return the pixel size that MetaSeries XML or the TIFF resolution gives; None when neither says."""
    try:
        with _opened(path) as tiff:
            page = tiff.pages[0]
            return _metaseries_size(page) or _resolution_size(page)
    except (DataError, *_BROKEN):
        return None


def stage_position_um(path: Path) -> tuple[float, float] | None:
    """Return the stage's (x, y) from MetaSeries XML; None when the file does not say it or cannot be read."""
    try:
        with _opened(path) as tiff:
            plane = _metaseries(tiff.pages[0])
            x, y = (float(plane.get(f"stage-position-{axis}", "nan")) for axis in "xy")
            return (x, y) if isfinite(x) and isfinite(y) else None
    except (DataError, *_BROKEN):
        return None


def _opened(path: Path) -> Any:
    try:
        if path.stat().st_size == 0:
            raise UnreadableImage(f"{path.name}: the file is empty (0 bytes)")
        return tifffile.TiffFile(path)
    except _BROKEN as error:
        raise UnreadableImage(f"{path.name}: not a readable TIFF ({_words(error)})") from error


def _page(tiff: Any, page: int, path: Path) -> Any:
    try:
        return tiff.pages[page]
    except _BROKEN as error:
        raise UnreadableImage(f"{path.name}: has no page {page} ({_words(error)})") from error


def _kind(page: Any, path: Path) -> ImageKind:
    try:
        shape, dtype = page.shape, str(page.dtype)
    except _BROKEN as error:
        raise UnreadableImage(f"{path.name}: damaged header ({_words(error)})") from error
    return _kind_of_shape(shape, dtype, path)


def _kind_of_shape(shape: tuple[int, ...], dtype: str, path: Path) -> ImageKind:
    if not shape or 0 in shape:
        raise UnreadableImage(f"{path.name}: damaged header (it says no size)")
    if len(shape) != 2 or dtype not in ("uint8", "uint16"):
        raise UnreadableImage(f"{path.name}: shape {shape} {dtype}; a grey 8 or 16 bit image is needed")
    return ImageKind(shape[0], shape[1], dtype)


def _metaseries(page: Any) -> dict[str, str]:
    """Return the properties of PlaneInfo in a MetaSeries description by id; empty when it is none.

    Raises:
        DataError: XML that cannot be read or trusted.
    """
    text = str(page.description).strip()
    if not text.startswith("<MetaData>"):
        return {}
    # tifffile's own parser would believe a document type.
    root = parse_xml(text.encode("utf-8", "replace"), "the image's description")
    props = [attributes(prop) for info in children(root, "PlaneInfo") for prop in children(info, "prop")]
    return {prop.get("id", ""): prop.get("value", "") for prop in props}


def _metaseries_size(page: Any) -> float | None:
    plane = _metaseries(page)
    is_calibrated = plane.get("spatial-calibration-state", "").lower() in ("on", "true", "1")
    if not is_calibrated or plane.get("spatial-calibration-units") not in ("um", "µm"):
        return None
    return _sensible(float(plane["spatial-calibration-x"]))


def _sensible(size_um: float) -> float | None:
    return size_um if 0 < size_um < _MAX_PIXEL_UM else None


def _resolution_size(page: Any) -> float | None:
    # ResolutionUnit 1 (none) and 2 (inch: 72 dpi screens) say nothing about a specimen; only 3 (cm) is trusted.
    tags = page.tags
    if "XResolution" not in tags or "ResolutionUnit" not in tags or int(tags["ResolutionUnit"].value) != 3:
        return None
    numerator, denominator = tags["XResolution"].value
    return _sensible(10_000.0 * denominator / numerator) if numerator and denominator else None


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:120]
