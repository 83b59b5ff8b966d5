"""What OME-XML says about images, their planes and their place on a plate (OME schema 2016-06).

Planes: a TiffData names the first z, c and t it holds, from which page (IFD) of which file on, and how many planes
follow in DimensionOrder; without a TiffData all planes follow in the file itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from nextplate.errors import DataError
from nextplate.imaging.readers.safe_xml import Element, attributes, children, parse_xml, walk
from nextplate.plate import well_name

_UM = {"µm": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6}
_MAX_PLANES = 10_000_000


@dataclass(frozen=True, slots=True)
class OmePlane:
    """One plane; z, c and t from 0."""

    z: int
    c: int
    t: int
    file: str | None
    """File name as written; None: the file that holds the XML."""
    page: int
    x_um: float | None
    y_um: float | None
    z_um: float | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One field."""

    id: str
    name: str
    channels: tuple[str, ...]
    sizes: tuple[int, int, int]
    """Numbers of z-steps, channels and time points."""
    pixel_size_um: float | None
    planes: tuple[OmePlane, ...]


@dataclass(frozen=True, slots=True)
class OmeField:
    """Where an image belongs on a plate."""

    plate: str
    well: str
    field: int
    """1-based."""


@dataclass(frozen=True, slots=True)
class Ome:
    """A document."""

    images: tuple[OmeImage, ...]
    places: dict[str, OmeField]
    """By image id; empty without a Plate element."""
    metadata_file: str | None
    """The companion that holds everything, when this document only points there (BinaryOnly)."""


def read_ome(data: bytes, where: str) -> Ome:
    """Parse OME-XML; `where` is named in errors.

    Raises:
        DataError: not OME-XML, XML that cannot be trusted, or sizes that are no numbers.
    """
    root = parse_xml(data, where)
    pointer = next(walk(root, "BinaryOnly"), None)
    metadata_file = attributes(pointer).get("MetadataFile") if pointer is not None else None
    images = tuple(_image(e, where) for e in children(root, "Image"))
    return Ome(images, _places(root, where), metadata_file)


def _image(element: Element, where: str) -> OmeImage:
    said = attributes(element)
    pixels = next(iter(children(element, "Pixels")), None)
    if pixels is None:
        raise DataError(f"{where}: image {said.get('ID')} has no Pixels")
    values = attributes(pixels)
    sizes = {axis: _whole(values, f"Size{axis}", where) for axis in "ZCT"}
    if prod(sizes.values()) > _MAX_PLANES:
        raise DataError(f"{where}: image {said.get('ID')} claims {prod(sizes.values())} planes")
    return OmeImage(
        id=said.get("ID", ""),
        name=said.get("Name", ""),
        channels=_channels(pixels, sizes["C"]),
        sizes=(sizes["Z"], sizes["C"], sizes["T"]),
        pixel_size_um=_length(values, "PhysicalSizeX", "µm", where),
        planes=tuple(_planes(pixels, sizes, values.get("DimensionOrder", "XYZCT"), where)),
    )


def _channels(pixels: Element, n: int) -> tuple[str, ...]:
    named = [attributes(e).get("Name", "") for e in children(pixels, "Channel")]
    names: list[str] = []
    for c in range(n):
        name = (named[c] if c < len(named) else "") or f"C{c}"
        names.append(f"{name} (C{c})" if name in names else name)
    return tuple(names)


def _planes(pixels: Element, sizes: dict[str, int], order: str, where: str) -> Iterator[OmePlane]:
    axes = [axis for axis in order if axis in sizes]
    if sorted(axes) != ["C", "T", "Z"]:
        raise DataError(f"{where}: DimensionOrder is {order!r}, as in XYZCT is needed")
    positions = {
        (_at(v, "TheZ"), _at(v, "TheC"), _at(v, "TheT")): v for v in map(attributes, children(pixels, "Plane"))
    }
    n_all = prod(sizes.values())
    told: list[Element | None] = [*children(pixels, "TiffData")]
    for data in told or [None]:
        values = attributes(data) if data is not None else {}
        first = _rank({axis: _at(values, f"First{axis}") for axis in axes}, axes, sizes)
        n = _at(values, "PlaneCount", 1 if "IFD" in values else n_all - first)
        for k in range(min(n, n_all - first)):
            at = _unrank(first + k, axes, sizes)
            place = positions.get((at["Z"], at["C"], at["T"]), {})
            x, y, z = (_length(place, f"Position{axis}", "", where) for axis in "XYZ")
            yield OmePlane(at["Z"], at["C"], at["T"], _file(data), _at(values, "IFD") + k, x, y, z)


def _rank(at: dict[str, int], axes: list[str], sizes: dict[str, int]) -> int:
    rank = 0
    for axis in reversed(axes):
        rank = rank * sizes[axis] + at[axis]
    return rank


def _unrank(rank: int, axes: list[str], sizes: dict[str, int]) -> dict[str, int]:
    at: dict[str, int] = {}
    for axis in axes:
        rank, at[axis] = divmod(rank, sizes[axis])
    return at


def _file(data: Element | None) -> str | None:
    named = [attributes(e).get("FileName") for e in children(data, "UUID")] if data is not None else []
    return named[0] if named else None


def _places(root: Element, where: str) -> dict[str, OmeField]:
    places: dict[str, OmeField] = {}
    for plate in walk(root, "Plate"):
        said = attributes(plate)
        name = said.get("Name") or said.get("ID") or "plate"
        for well in children(plate, "Well"):
            values = attributes(well)
            row, column = _whole(values, "Row", where), _whole(values, "Column", where)
            for n, sample in enumerate(children(well, "WellSample"), 1):
                for ref in children(sample, "ImageRef"):
                    places[attributes(ref).get("ID", "")] = OmeField(name, well_name(row, column), n)
    return places


def _at(values: dict[str, str], key: str, default: int = 0) -> int:
    text = values.get(key, "")
    return int(text) if text.isdecimal() else default


def _whole(values: dict[str, str], key: str, where: str) -> int:
    text = values.get(key, "")
    if not text.isdecimal():
        raise DataError(f"{where}: {key} is {text!r}, a whole number is needed")
    return int(text)


def _length(values: dict[str, str], key: str, default_unit: str, where: str) -> float | None:
    """Return micrometres; None when not said, or in a unit (as 'reference frame') that is no length."""
    text = values.get(key)
    unit = _UM.get(values.get(f"{key}Unit", default_unit))
    if not text or unit is None:
        return None
    try:
        return float(text) * unit
    except ValueError as error:
        raise DataError(f"{where}: {key} is {text!r}, a number is needed") from error
