"""OME-TIFF plates: ``*.companion.ome`` with its files, or ``*.ome.tif`` files that describe themselves.

Where the OME-XML has a Plate, wells and fields are those. Otherwise the well is read from the file's or image's name
(``A01``, set off by ``_``, ``-``, ``.`` or a space) and the field from ``_s2``, ``_f2`` or the order in the file.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nextplate.errors import DataError
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.pixels import description_of
from nextplate.imaging.readers.files import Shelf, has_unfinished, one_plate, scan
from nextplate.imaging.readers.ome_xml import Ome, OmeField, OmeImage, OmePlane, read_ome
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

_COMPANION = ".companion.ome"
_TIFF = (".ome.tif", ".ome.tiff")
_WELL = re.compile(r"(?:^|[_\-. ])((?:[A-Z]|A[A-F])(?!00?(?!\d))\d{1,2})(?=$|[_\-. ])")
_FIELD = re.compile(r"[_\-][sf](?:ield|ite)?_?(\d+)(?=$|[_\-. ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Document:
    path: Path
    ome: Ome


@dataclass(frozen=True, slots=True)
class _Row:
    plate: str
    plane: Plane
    reason: str


@dataclass(frozen=True, slots=True)
class OmeTiff:
    """The OME-TIFF reader."""

    name: str = "ome-tiff"
    looks_for: str = "*.companion.ome or *.ome.tif"

    def detect(self, folder: Path) -> bool:
        """Say whether a companion file or an OME-TIFF is there."""
        return any(e.name.lower().endswith((_COMPANION, *_TIFF)) for e in scan(folder, folder) if not e.is_folder)

    def read(self, folder: Path, plate: str | None = None) -> Listing:
        """List the planes of every image, page by page.

        Raises:
            DataError: OME-XML that cannot be read, an image that belongs to no well, several plates and none chosen.
        """
        entries = scan(folder, folder)
        documents, damaged = _documents([e.path for e in entries if not e.is_folder and not e.is_outside], folder)
        shelf = Shelf(folder, folder)
        rows = list(_unique(row for d in documents for row in _rows(d, shelf, folder)))
        chosen = one_plate((r.plate for r in rows), plate, folder)
        ours = [r for r in rows if r.plate == chosen]
        is_writing = has_unfinished(entries)
        lost = {(r.plane.well, r.plane.field, r.plane.channel): r.reason for r in ours if r.reason}
        return Listing(
            reader=self.name,
            plate=chosen,
            channels=tuple(dict.fromkeys(r.plane.channel for r in ours)),
            planes=tuple(r.plane for r in ours if not r.reason),
            refused=(*(Missing(*key, reason) for key, reason in lost.items()), *_damaged(damaged)),
            is_complete=not is_writing,
            is_writing=is_writing,
            notes=tuple(reason for path, reason in damaged if len(_wells_in(_stem(path))) != 1),
        )


def _documents(paths: Iterable[Path], folder: Path) -> tuple[list[_Document], list[tuple[Path, str]]]:
    """Read every companion, then every OME-TIFF that no document read before has named.

    Returns the documents, and (path, reason) of what cannot be read.
    """
    ordered = sorted(paths, key=lambda p: (not p.name.lower().endswith(_COMPANION), p.name))
    documents: list[_Document] = []
    damaged: list[tuple[Path, str]] = []
    named: set[str] = set()
    for path in ordered:
        is_companion = path.name.lower().endswith(_COMPANION)
        if path.name in named or not (is_companion or path.name.lower().endswith(_TIFF)):
            continue
        try:
            # A reason told at a well names no folder: the same plate elsewhere must give the same words.
            ome = read_ome(path.read_bytes(), str(path)) if is_companion else read_ome(description_of(path), path.name)
        except DataError as error:
            if is_companion:
                raise  # it describes the whole plate, one TIFF only its own planes
            damaged.append((path, f"unreadable: {error}"))
            continue
        if ome.metadata_file is not None and not (folder / Path(ome.metadata_file).name).exists():
            damaged.append((path, f"unreadable: {path.name}: is described by {ome.metadata_file}, which is not there"))
        documents.append(_Document(path, ome))
        named |= {p.file for image in ome.images for p in image.planes if p.file is not None}
    return documents, damaged


def _rows(document: _Document, shelf: Shelf, folder: Path) -> Iterator[_Row]:
    for n, image in enumerate(document.ome.images, 1):
        place = document.ome.places.get(image.id) or _place(document.path, image, n, folder)
        for plane in image.planes:
            path, reason = shelf.find(plane.file) if plane.file is not None else (document.path, "")
            yield _Row(place.plate, _plane(place, image, plane, path), reason)


def _plane(place: OmeField, image: OmeImage, plane: OmePlane, path: Path) -> Plane:
    n_z, _, n_t = image.sizes
    return Plane(
        well=place.well,
        field=place.field,
        channel=image.channels[plane.c],
        path=path,
        z=plane.z + 1 if n_z > 1 else None,
        t=plane.t + 1 if n_t > 1 else None,
        page=plane.page,
        x_um=plane.x_um,
        y_um=plane.y_um,
        z_um=plane.z_um,
        pixel_size_um=image.pixel_size_um,
    )


def _place(path: Path, image: OmeImage, n: int, folder: Path) -> OmeField:
    for name in (_stem(path), image.name):
        wells = _wells_in(name)
        if len(wells) > 1:
            raise DataError(f"{path}: {name!r} could mean the wells {', '.join(wells)}; read it with a pattern")
        if wells:
            field = _FIELD.search(name)
            return OmeField(folder.name, wells[0], int(field[1]) if field else n)
    raise DataError(
        f"{path}: image {image.name or image.id!r} belongs to no well: the OME-XML has no Plate and no name holds a "
        "well as in plate_A01.ome.tif"
    )


def _stem(path: Path) -> str:
    return path.name[: len(path.name.lower().partition(".ome")[0])]


def _damaged(found: Iterable[tuple[Path, str]]) -> Iterator[Missing]:
    """Tell a damaged file at its well, where its name gives one; the others are remarks on the plate."""
    for path, reason in found:
        wells = _wells_in(_stem(path))
        if len(wells) == 1:
            field = _FIELD.search(_stem(path))
            yield Missing(wells[0], int(field[1]) if field else None, None, reason)


def _wells_in(name: str) -> list[str]:
    """Return the wells that a name may mean; A01 is believed before P1, which is often a plate's name."""
    found = _WELL.findall(name)
    padded = [well for well in found if well[-2].isdigit()]
    return sorted({well_name(*parse_well(well)) for well in padded or found})


def _unique(rows: Iterable[_Row]) -> Iterator[_Row]:
    """Drop what two documents of a set say alike; each file of a set may carry the whole set's XML."""
    seen: set[tuple[Path, int, str, int, str, int | None, int | None]] = set()
    for row in rows:
        p = row.plane
        key = (p.path, p.page, p.well, p.field, p.channel, p.z, p.t)
        if key not in seen:
            seen.add(key)
            yield row
