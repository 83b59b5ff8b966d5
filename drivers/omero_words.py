"""What OMERO's JSON API says, in words that are checked. Pure.

Sources: omero-documentation, ``developers/json-api.rst`` (API v0; plates, wells, images, paging, login), and for
key-value annotations, which that page lacks, the answer of omero-web's own ``webclient/api/annotations/``. Read there,
and never tried on a real OMERO: names of things beside the documented ones are not relied on. A field that is null is
left out of the JSON; everything else that is not as documented is `Garbled`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.wire import Garbled
from nextplate.errors import NeedsOperator
from nextplate.imaging.shown import shown

MAX_NAME = 1000
"""Characters of a name that are kept."""
_MAX_ID = 2**63 - 1
_MAX_SIDE, _MAX_STEPS = 100_000, 10_000
_GRID = {"Row": 31, "Column": 47}
"""Last ones of the largest plate there is, 1536."""
_UM = {"MICROMETER": 1.0, "NANOMETER": 1e-3, "MILLIMETER": 1e3}


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list."""

    items: tuple[Mapping[str, Any], ...]
    offset: int
    total: int
    """How many the whole list holds."""


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate, or a screen or group, which have the same two fields."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of a well, in the well's order."""

    image: int
    run: int | None
    """Id of its PlateAcquisition; None where the plate has none."""


@dataclass(frozen=True, slots=True)
class Well:
    """A well with its fields; row and column from 0."""

    id: int
    row: int
    column: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What every image of a plate shares."""

    width: int
    height: int
    n_z: int
    n_t: int
    dtype: str
    """As OMERO calls it: uint8, uint16, float .."""
    channels: tuple[str, ...]
    """Names; C0, C1 .. where one has none."""
    pixel_um: float | None
    """None: not said, or in a unit that is no length."""

    @property
    def n_planes(self) -> int:
        """Return how many planes an image holds."""
        return self.n_z * self.n_t * len(self.channels)


@dataclass(frozen=True, slots=True)
class Image:
    """One image."""

    id: int
    name: str
    acquired_ms: int | None
    """Since 1970, as the microscope's software wrote it; None: not said."""
    kind: Kind | None
    """None: it has no pixels yet."""
    sha1: str
    """omero:sha1, kept for the record; what it is the digest of is documented nowhere, so it is not checked."""


@dataclass(frozen=True, slots=True)
class Notes:
    """One key-value annotation on one thing."""

    link: int
    annotation: int
    on: str
    """'plate', 'well' or 'image'."""
    on_id: int
    namespace: str
    date: str
    values: tuple[tuple[str, str], ...]


def listed(body: Any, asked: str) -> Listed:
    """Read a page of a list.

    Raises:
        Garbled: it is none.
    """
    items, meta = _dict(body, asked).get("data"), _dict(body, asked).get("meta")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Garbled(f"{asked}: OMERO's list has data {items!a:.80}")
    meta = _dict(meta, f"{asked}: meta")
    return Listed(tuple(items), _whole(meta, "offset", asked), _whole(meta, "totalCount", asked))


def plate(body: Any, asked: str) -> Plate:
    """Read a plate, screen or group; raises as `listed`. A name may be missing, and is "" then."""
    said = _dict(body, asked)
    return Plate(_whole(said, "@id", asked, 1), _text(said.get("Name", ""), asked))


def well(body: Any, asked: str) -> Well:
    """Read a well with its fields; raises as `listed`."""
    said = _dict(body, asked)
    samples = said.get("WellSamples", [])
    if not isinstance(samples, list):
        raise Garbled(f"{asked}: a well has samples {samples!a:.80}")
    place = [_whole(said, name, asked, 0, last) for name, last in _GRID.items()]
    found = [_sample(_dict(each, asked), asked) for each in samples]
    return Well(_whole(said, "@id", asked, 1), place[0], place[1], tuple(s for s in found if s is not None))


def _sample(said: Mapping[str, Any], asked: str) -> Sample | None:
    if "Image" not in said:
        return None  # a field whose image is not there yet
    run = said.get("PlateAcquisition")
    image = _whole(_dict(said["Image"], asked), "@id", asked, 1)
    return Sample(image, None if run is None else _whole(_dict(run, asked), "@id", asked, 1))


def image(body: Any, asked: str) -> Image:
    """Read ``{"data": image}`` with its pixels and channels; raises as `listed`."""
    said = _dict(_dict(body, asked).get("data"), asked)
    pixels, date = said.get("Pixels"), said.get("AcquisitionDate")
    if date is not None and (isinstance(date, bool) or not isinstance(date, int) or abs(date) > 10**14):
        raise Garbled(f"{asked}: an image has the date {date!a:.80}")
    is_partial = said.get("omero:partial", False) is True
    return Image(
        id=_whole(said, "@id", asked, 1),
        name=_text(said.get("Name", ""), asked),
        acquired_ms=date,
        kind=None if pixels is None or is_partial else _kind(_dict(pixels, asked), asked),
        sha1=_text(pixels.get("omero:sha1", "") if isinstance(pixels, dict) else "", asked),
    )


def _kind(said: Mapping[str, Any], asked: str) -> Kind | None:
    channels = said.get("Channels")
    if not isinstance(channels, list):
        return None
    n = _whole(said, "SizeC", asked, 1, _MAX_STEPS)
    if len(channels) != n:
        raise Garbled(f"{asked}: {len(channels)} channels are described, SizeC is {n}")
    width, height = (_whole(said, f"Size{axis}", asked, 1, _MAX_SIDE) for axis in "XY")
    n_z, n_t = (_whole(said, f"Size{axis}", asked, 1, _MAX_STEPS) for axis in "ZT")
    dtype = _dict(said.get("Type"), asked).get("value")
    if not isinstance(dtype, str):
        raise Garbled(f"{asked}: the type of pixels is {dtype!a:.80}")
    names = tuple(_channels(channels, asked))
    return Kind(width, height, n_z, n_t, dtype[:40], names, _um(said.get("PhysicalSizeX"), asked))


def _channels(channels: Sequence[Any], asked: str) -> Iterator[str]:
    seen: set[str] = set()
    for n, each in enumerate(channels):
        name = _text(_dict(each, asked).get("Name", ""), asked)[:200] or f"C{n}"
        name = f"{name} (C{n})" if name in seen else name
        seen.add(name)
        yield name


def _um(said: Any, asked: str) -> float | None:
    if said is None:
        return None
    length = _dict(said, asked)
    value, factor = length.get("Value"), _UM.get(str(length.get("Unit")))
    if factor is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value * factor < 1e6:
        raise Garbled(f"{asked}: the size of a pixel is {value!a:.80}")
    return float(value) * factor


def notes(body: Any, asked: str) -> tuple[Notes, ...]:
    """Read the answer to webclient/api/annotations/?type=map; raises as `listed`."""
    found = _dict(body, asked).get("annotations")
    if not isinstance(found, list):
        raise Garbled(f"{asked}: OMERO's list of annotations is {found!a:.80}")
    return tuple(_notes(_dict(each, asked), asked) for each in found)


def _notes(said: Mapping[str, Any], asked: str) -> Notes:
    link = _dict(said.get("link"), asked)
    parent = _dict(link.get("parent"), asked)
    pairs = said.get("values")
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(text, str) for text in p) for p in pairs
    ):
        raise Garbled(f"{asked}: the key-values of an annotation are {pairs!a:.80}")
    kind = _text(parent.get("class", ""), asked)
    return Notes(
        link=_whole(link, "id", asked, 1),
        annotation=_whole(said, "id", asked, 1),
        on=kind.removesuffix("I").lower(),
        on_id=_whole(parent, "id", asked, 1),
        namespace=_text(said.get("ns") or "", asked),
        date=_text(said.get("date") or "", asked),
        values=tuple((key, value) for key, value in pairs),
    )


def token(body: Any, asked: str) -> str:
    """Read the CSRF token; raises as `listed`."""
    said = _dict(body, asked).get("data")
    if not isinstance(said, str) or not said.isascii() or not said.isalnum() or len(said) > 200:
        raise Garbled(f"{asked}: the CSRF token is {said!a:.40}")
    return said


def server_id(body: Any, wanted: str, asked: str) -> int:
    """Choose an OMERO server of those that this web server knows; "" for the only one.

    Raises:
        Garbled: it is no list of servers.
        NeedsOperator: there is none of that name, or several and none is named.
    """
    found = _dict(body, asked).get("data")
    if not isinstance(found, list):
        raise Garbled(f"{asked}: OMERO's list of servers is {found!a:.80}")
    ids = {}
    for each in found:
        said = _dict(each, asked)
        ids[_text(said.get("server", said.get("host", "")), asked)] = _whole(said, "id", asked)
    if wanted in ids:
        return ids[wanted]
    if not wanted and len(ids) == 1:
        return next(iter(ids.values()))
    raise NeedsOperator(f"option server is {wanted!a}; this OMERO.web knows {', '.join(map(repr, ids)) or 'none'}")


def is_logged_in(body: Any, asked: str) -> bool:
    """Say whether a login succeeded; raises as `listed`."""
    return _dict(body, asked).get("success") is True


def refusal(body: Any) -> str:
    """Return the message of an answer that refuses; "" where it has none."""
    said = body.get("message", "") if isinstance(body, dict) else ""
    return shown(said[:300]) if isinstance(said, str) else ""


def _dict(value: Any, asked: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Garbled(f"{asked}: OMERO says {value!a:.80} where an object belongs")
    return value


def _whole(said: Mapping[str, Any], name: str, asked: str, low: int = 0, high: int = _MAX_ID) -> int:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Garbled(f"{asked}: {name} is {value!a:.80}, a whole number from {low} on is needed")
    return value


def _text(value: Any, asked: str) -> str:
    if not isinstance(value, str):
        raise Garbled(f"{asked}: {value!a:.80} stands where a text belongs")
    return value[:MAX_NAME]
