"""Bring a plate out of OMERO into the lab: whole, checked and with its origin, or not there at all.

Pixels come as OMERO's own OME-TIFF export of each image (``webgateway/render_ome_tiff/i/<id>/``), which holds them as
they are; the JSON API has no pixels, ``render_image`` gives pictures for people (8 bit, windowed), and the original
files are not given for plates unless a server's ``omero.policy.binary_access`` holds ``+plate``, and then as one zip of
at most 1 GiB for the whole plate. So an image that OMERO keeps as a pyramid (by default, above 3192 x 3192 pixels) is
not exported, and a plate of such images is not taken. All of this is read in OMERO's public sources and documentation,
and was never tried on a real OMERO.

::

    readouts/P1/plate.companion.ome      which file is which well and field (drivers.omero_companion)
    readouts/P1/A01_s1_i2942.ome.tif     one image as it came; names hold nothing that the server chose
    readouts/P1/omero.json               origin: server, ids, addresses, times, digests, key-value annotations

The folder is made under a hidden name and renamed. What a killed process had downloaded and checked is kept for the
next one.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from drivers import omero_companion
from drivers.deadline import Deadline
from drivers.http_wire import Refused
from drivers.key_files import write_whole
from drivers.omero_companion import Brought
from drivers.omero_line import API, OmeroLine
from drivers.omero_plate import Asked, Content, Eye, FieldOfView, date_of
from drivers.omero_words import Kind
from drivers.watched_take import SourceChanged, plain_name
from drivers.wire import Garbled
from nextplate.errors import DataError, NeedsOperator
from nextplate.imaging.pixels import ImageKind, description_of, read_pixels
from nextplate.imaging.readers.ome_xml import OmePlane, read_ome
from nextplate.imaging.watch import TAKEN, take_inventory

ORIGIN = "omero.json"
_HEAD = 4_000_000
"""Bytes that an OME-TIFF may be longer than its pixels."""
_LOOK_S = 5.0
"""Between two looks at a plate that rests."""
_SPARE = 100_000_000
"""Bytes that stay free on the disk."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A readout that lies in the lab."""

    folder: str
    """Relative to the lab."""
    images: int


class Carrier:
    """Brings plates of one OMERO into one lab."""

    def __init__(self, line: OmeroLine, eye: Eye, lab: Path, max_image_bytes: int) -> None:
        self._line, self._eye, self._lab, self._max_bytes = line, eye, lab, max_image_bytes

    def taken(self, barcode: str, run: str) -> Taken | None:
        """Return the readout that this request has brought already; None when none.

        Raises:
            NeedsOperator: it cannot be read.
        """
        for folder in self._folders(barcode):
            if not os.path.lexists(folder):
                return None
            try:
                said = json.loads((folder / ORIGIN).read_bytes())
                if said["run"] == run:
                    self._record(folder)
                    return Taken(folder.relative_to(self._lab).as_posix(), int(said["planes"]))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise NeedsOperator(f"{folder / ORIGIN} cannot be read ({error!r}); move {folder} away") from error
        return None

    def bring(
        self,
        content: Content,
        asked: Asked,
        run: str,
        until: Deadline,
        *,
        rest_s: float = 0.0,
        lacks: Sequence[str] = (),
    ) -> Taken:
        """Download a plate, check it, and put it into the lab; done twice it is there once.

        Args:
            content: to be brought.
            asked: what it is brought for.
            run: of the request.
            until: deadline.
            rest_s: so long nothing may change there before it is put into the lab.
            lacks: what the plate has not, which is noted with its origin; then more may come while it is brought.

        Raises:
            SourceChanged: OMERO holds something else than was judged.
            DeviceError: OMERO does not answer or refuses, or there is no room.
        """
        if found := self.taken(asked.barcode, run):
            return found
        rested = until.within(rest_s)
        scratch = self._lab / "readouts" / f".{plain_name(asked.barcode)}.omero-{content.plate.id}.part"
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            self._make_room(content, scratch)
            images = [self._image(field, scratch, until) for field in content.fields]
            origin = {**self._origin(content, images, asked, run, until), "missing": [*lacks]}
            self._stands(content, until, is_part=bool(lacks))
            while not rested.is_over:
                rested.pause(_LOOK_S)
                self._stands(content, until, is_part=bool(lacks))
            return self._put(scratch, content, images, origin, asked)
        except OSError as error:
            raise NeedsOperator(f"{scratch} cannot be written: {error}") from error

    def _stands(self, content: Content, until: Deadline, *, is_part: bool) -> None:
        """See that OMERO holds still what was judged.

        Raises:
            SourceChanged: it does not.
        """
        now = self._eye.content(content.plate, until)
        if not (set(content.fields) <= set(now.fields) if is_part else now.digest == content.digest):
            raise SourceChanged(f"plate {content.plate.id} changed while it was brought")

    def _folders(self, barcode: str) -> Iterator[Path]:
        plain, n = plain_name(barcode), 1
        while True:
            yield self._lab / "readouts" / (plain if n == 1 else f"{plain}_{n}")
            n += 1

    def _make_room(self, content: Content, scratch: Path) -> None:
        """Throw away what does not belong there, and see that the rest has room."""
        names = {_name(field) for field in content.fields}
        for path in scratch.iterdir():
            if path.name not in names:
                path.unlink()
        needed = sum(_size(_kind(f)) for f in content.fields if not (scratch / _name(f)).exists())
        free = shutil.disk_usage(scratch).free
        if needed + _SPARE > free:
            raise NeedsOperator(f"plate {content.plate.id} needs {needed} bytes in {self._lab}, {free} are free")

    def _image(self, field: FieldOfView, scratch: Path, until: Deadline) -> Brought:
        kind, path = _kind(field), scratch / _name(field)
        if path.exists():
            return _checked(path, path.name, field, kind)
        if _size(kind) > self._max_bytes:
            raise NeedsOperator(f"image {field.image.id} holds {_size(kind)} bytes; option max_image_mb allows fewer")
        arriving = _Arriving(path.with_name(f".{path.name}.tmp"))

        def check() -> Brought:
            arriving.close()
            return _checked(arriving.path, path.name, field, kind)

        try:
            target = f"/webgateway/render_ome_tiff/i/{field.image.id}/"
            brought = self._line.fetch(target, arriving.afresh, check, _size(kind) + _HEAD, until)
        except Refused as error:
            why = f"{error}; is image {field.image.id} too large for an export, or may {self._line.user!r} not export?"
            raise NeedsOperator(why) from error
        finally:
            arriving.close()
        arriving.path.replace(path)
        return brought

    def _origin(
        self, content: Content, images: list[Brought], asked: Asked, run: str, until: Deadline
    ) -> Mapping[str, Any]:
        url = self._line.wire.url
        wells = {f.well_id: f.well for f in content.fields}
        notes = [
            *self._line.notes("plate", [content.plate.id], until),
            *self._line.notes("well", sorted(wells), until),
            *self._line.notes("image", [f.image.id for f in content.fields], until),
        ]
        return {
            "origin": "OMERO",
            "server": url,
            "user": self._line.user,
            "run": run,
            "barcode": asked.barcode,
            "asked_at": asked.at.isoformat(),
            "taken_at": datetime.now(UTC).isoformat(),
            "plate": {
                "id": content.plate.id,
                "name": content.plate.name,
                "url": f"{url}{API}/m/plates/{content.plate.id}/",
                "runs": content.runs,
            },
            "planes": sum(each.kind.n_planes for each in images),
            "images": [_told(each, url) for each in images],
            "annotations": [
                {**asdict(note), "well": wells.get(note.on_id) if note.on == "well" else None} for note in notes
            ],
        }

    def _put(
        self, scratch: Path, content: Content, images: list[Brought], origin: Mapping[str, Any], asked: Asked
    ) -> Taken:
        write_whole(scratch / omero_companion.NAME, omero_companion.companion(content.plate.id, asked.barcode, images))
        write_whole(scratch / ORIGIN, json.dumps(origin, indent=1).encode())
        target = next(folder for folder in self._folders(asked.barcode) if not os.path.lexists(folder))
        scratch.rename(target)
        self._record(target)
        return Taken(target.relative_to(self._lab).as_posix(), int(origin["planes"]))

    def _record(self, folder: Path) -> None:
        """Write down how it was when it came, so that a later change is seen (nextplate.imaging.watch.check_taken)."""
        record = folder.with_name(folder.name + TAKEN)
        if not record.exists():
            said = {"source": self._line.wire.url, "inventory": asdict(take_inventory(folder))}
            write_whole(record, json.dumps(said, indent=1).encode())


class _Arriving:
    """A file that is being downloaded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def afresh(self) -> "_Arriving":
        """Begin from the start."""
        self.close()
        self._file = self.path.open("wb")
        return self

    def write(self, data: bytes) -> None:
        """Take a piece.

        Raises:
            NeedsOperator: it cannot be written, which is no fault of the wire.
        """
        if self._file is None:
            raise NeedsOperator(f"{self.path} is not open")
        try:
            self._file.write(data)
        except OSError as error:
            raise NeedsOperator(f"{self.path} cannot be written: {error}") from error

    def close(self) -> None:
        """End it, on the disk."""
        if self._file is not None:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            self._file = None


def _kind(field: FieldOfView) -> Kind:
    if field.image.kind is None:
        raise SourceChanged(f"image {field.image.id} has no pixels")
    return field.image.kind


def _size(kind: Kind) -> int:
    """Return the bytes of an image's pixels."""
    return kind.width * kind.height * kind.n_planes * (1 if kind.dtype == "uint8" else 2)


def _name(field: FieldOfView) -> str:
    return f"{field.well}_s{field.number}_i{field.image.id}.ome.tif"


def _checked(path: Path, name: str, field: FieldOfView, kind: Kind) -> Brought:
    """Return an image all of whose planes can be read and are as OMERO described them.

    Raises:
        Garbled: it is not.
    """
    where = f"image {field.image.id} ({field.well} field {field.number})"
    try:
        planes = _planes(path, kind, where)
        for plane in planes:
            read_pixels(path, ImageKind(kind.height, kind.width, kind.dtype), plane.page)
    except DataError as error:
        raise Garbled(f"{where}: what OMERO exports is no OME-TIFF of it: {error!s:.200}") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Brought(field, kind, name, path.stat().st_size, digest, planes)


def _planes(path: Path, kind: Kind, where: str) -> tuple[OmePlane, ...]:
    images = read_ome(description_of(path), where).images
    if len(images) != 1 or images[0].sizes != (kind.n_z, len(kind.channels), kind.n_t):
        told = [image.sizes for image in images]
        raise Garbled(f"{where}: the export holds {told!a:.80} planes (z, c, t)")
    planes = {
        (p.z, p.c, p.t): replace(p, file=None) for p in images[0].planes if p.file in (None, *_own(images[0].planes))
    }
    if len(planes) != kind.n_planes or len({p.page for p in planes.values()}) != kind.n_planes:
        raise Garbled(f"{where}: the export describes {len(planes)} of {kind.n_planes} planes")
    return tuple(planes[at] for at in sorted(planes))


def _own(planes: tuple[OmePlane, ...]) -> set[str | None]:
    """Return the one name by which an export may call itself."""
    names = {plane.file for plane in planes}
    return names if len(names) == 1 else set()


def _told(each: Brought, url: str) -> Mapping[str, Any]:
    image = each.field.image
    return {
        "well": each.field.well,
        "field": each.field.number,
        "image": image.id,
        "name": image.name,
        "url": f"{url}{API}/m/images/{image.id}/",
        "pixels": f"{url}/webgateway/render_ome_tiff/i/{image.id}/",
        "acquired": None if image.acquired_ms is None else date_of(image.acquired_ms),
        "file": each.file,
        "bytes": each.n_bytes,
        "sha256": each.sha256,
        "omero_sha1": image.sha1,
    }
