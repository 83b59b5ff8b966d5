"""The OME-XML that makes one plate of downloaded images: ``plate.companion.ome`` (OME schema 2016-06). Pure.

The images keep their bytes; this file says which image is which field of which well, and where in which file each
plane lies, as the OME-XML in the image itself says it. `nextplate.imaging.readers.ometiff` reads it.
"""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from xml.sax.saxutils import quoteattr

from drivers.omero_plate import FieldOfView
from drivers.omero_words import Kind
from nextplate.imaging.readers.ome_xml import OmePlane
from nextplate.imaging.shown import shown
from nextplate.plate import parse_well

NAME = "plate.companion.ome"
_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


@dataclass(frozen=True, slots=True)
class Brought:
    """An image that was downloaded."""

    field: FieldOfView
    kind: Kind
    file: str
    n_bytes: int
    sha256: str
    planes: tuple[OmePlane, ...]


def companion(plate_id: int, name: str, images: Iterable[Brought]) -> bytes:
    """Write the document; images of a well stand in the order of their fields."""
    found = list(images)
    wells = (w for _, group in groupby(found, key=lambda b: b.field.well) for w in _well(list(group)))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<OME xmlns="{_NAMESPACE}" Creator="nextplate, from OMERO">',
        f'<Plate ID="Plate:{plate_id}" Name={_quoted(name)}>',
        *wells,
        "</Plate>",
        *(line for each in found for line in _image(each)),
        "</OME>",
    ]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _well(fields: list[Brought]) -> Iterator[str]:
    row, column = parse_well(fields[0].field.well)
    yield f'<Well ID="Well:{fields[0].field.well_id}" Row="{row}" Column="{column}">'
    for n, each in enumerate(fields):
        number = each.field.image.id
        yield f'<WellSample ID="WellSample:{number}" Index="{n}"><ImageRef ID="Image:{number}"/></WellSample>'
    yield "</Well>"


def _image(each: Brought) -> Iterator[str]:
    kind, number = each.kind, each.field.image.id
    size = "" if kind.pixel_um is None else f' PhysicalSizeX="{kind.pixel_um!r}" PhysicalSizeXUnit="µm"'
    yield f'<Image ID="Image:{number}" Name={_quoted(each.field.image.name)}>'
    yield (
        f'<Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" Type="{kind.dtype}" SizeX="{kind.width}" '
        f'SizeY="{kind.height}" SizeZ="{kind.n_z}" SizeC="{len(kind.channels)}" SizeT="{kind.n_t}"{size}>'
    )
    for c, name in enumerate(kind.channels):
        yield f'<Channel ID="Channel:{number}:{c}" Name={_quoted(name)} SamplesPerPixel="1"/>'
    urn = uuid.uuid5(uuid.NAMESPACE_OID, each.sha256).urn
    for p in each.planes:
        yield (
            f'<TiffData FirstZ="{p.z}" FirstC="{p.c}" FirstT="{p.t}" IFD="{p.page}" PlaneCount="1">'
            f"<UUID FileName={_quoted(each.file)}>{urn}</UUID></TiffData>"
        )
    yield from (_plane(p) for p in each.planes if (p.x_um, p.y_um, p.z_um) != (None, None, None))
    yield "</Pixels>"
    yield "</Image>"


def _plane(p: OmePlane) -> str:
    places = zip("XYZ", (p.x_um, p.y_um, p.z_um), strict=True)
    said = "".join(f' Position{axis}="{um!r}" Position{axis}Unit="µm"' for axis, um in places if um is not None)
    return f'<Plane TheZ="{p.z}" TheC="{p.c}" TheT="{p.t}"{said}/>'


def _quoted(text: str) -> str:
    return quoteattr(shown(text))
