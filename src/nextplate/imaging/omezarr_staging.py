"""The hidden folder an export grows in, and how a later run knows what of it is finished.

.NAME.part/lock       held while an export runs
.NAME.part/job.json   what is exported there
.NAME.part/done/      one record per finished field, written after the field's last chunk
.NAME.part/plate/     the plate as it will be; the plate's own metadata are written last

A record fits when the field's sources (path, size, time of change), the options and this code's format are the same,
and as many bytes are on the disk as were written: a power cut can keep a record and lose a chunk.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from nextplate.errors import DataError
from nextplate.imaging.omezarr_field import FieldRecord
from nextplate.imaging.omezarr_meta import Window, WrittenImage, well_path
from nextplate.imaging.omezarr_plan import ExportPlan, FieldPlan, relative
from nextplate.imaging.readers.ngff_notes import FORMAT
from nextplate.imaging.zarr_array import read_json
from nextplate.readout import Missing

Stamps = Mapping[Path, tuple[int, int]]
"""(bytes, time of change in ns) of source files; (-1, -1) for one that is not there."""


@contextmanager
def staging(target: Path, plan: ExportPlan) -> Iterator[Path]:
    """Make or find the hidden folder of an export, and hold its lock.

    Raises:
        DataError: another process holds it, or it holds something else.
    """
    part = target.with_name(f".{target.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{target}: another process is writing this export") from error
        _check_job(part, target, plan)
        for name in ("done", "plate"):
            (part / name).mkdir(exist_ok=True)
        yield part


def _check_job(part: Path, target: Path, plan: ExportPlan) -> None:
    job = {"plate": plan.listing.plate, "reader": plan.listing.reader, "folder": str(plan.folder.resolve())}
    path = part / "job.json"
    if path.exists():
        found = read_json(path)
        if found != job:
            raise DataError(
                f"{part} holds an unfinished export of plate {found.get('plate')} from {found.get('folder')}; "
                f"remove it, or choose another target than {target}"
            )
        return
    if others := sorted(p.name for p in part.iterdir() if p.name != "lock"):
        raise DataError(f"{part} is in the way: it holds {others[0]} and no job.json; remove it")
    write_whole(path, job)


def write_whole(path: Path, said: Mapping[str, Any]) -> None:
    """Write a JSON file that is whole or not there."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps(said), encoding="utf-8")
    scratch.replace(path)


def stamps_of(plan: ExportPlan) -> Stamps:
    """Return size and time of change of every source file."""
    images = [i for field in plan.fields for i in field.images]
    paths = dict.fromkeys(path for i in images for path in (i.path, *(p for p, _ in i.stack)))
    return {path: stamp(path) for path in paths}


def stamp(path: Path) -> tuple[int, int]:
    """Return (bytes, time of change in ns) of a file, of a folder's files together; (-1, -1) when not there."""
    try:
        status = path.stat()
        if path.is_dir():
            found = [p.stat() for p in path.rglob("*") if p.is_file()]
            return sum(s.st_size for s in found), max((s.st_mtime_ns for s in found), default=0)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def field_digest(plan: ExportPlan, field: FieldPlan, windows: Mapping[str, Window], stamps: Stamps) -> str:
    """Return a digest of everything a field's bytes depend on."""
    axes = [None if a is None else astuple(a) for a in (plan.stacks, plan.flats)]
    images = [[repr(relative(plan, i)), [stamps[p] for p in (i.path, *(p for p, _ in i.stack))]] for i in field.images]
    shown = {channel: astuple(window) for channel, window in sorted(windows.items())}
    said = [FORMAT, plan.options.n_levels, axes, shown, images]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _record_path(part: Path, field: FieldPlan) -> Path:
    return part / "done" / f"{field.well}.{field.field}.json"


def keep_record(part: Path, field: FieldPlan, digest: str, record: FieldRecord) -> None:
    """Write that a field is finished."""
    write_whole(_record_path(part, field), {"digest": digest} | asdict(record))


def kept_record(part: Path, field: FieldPlan, digest: str) -> FieldRecord | None:
    """Return the record of a field that an earlier run finished; None when it is to be converted."""
    try:
        said = read_json(_record_path(part, field))
        if said["digest"] != digest:
            return None
        record = FieldRecord(
            images=tuple(WrittenImage(**image) for image in said["images"]),
            missing=tuple(Missing(**row) for row in said["missing"]),
            n_planes=said["n_planes"],
            n_bytes=said["n_bytes"],
        )
    except (OSError, DataError, KeyError, TypeError):
        return None  # cut short with the power, or never written
    folder = part / "plate" / well_path(field.well)
    sizes = (p.stat().st_size for image in record.images for p in (folder / image.path).rglob("*") if p.is_file())
    return record if sum(sizes) == record.n_bytes else None


def clear_field(part: Path, field: FieldPlan) -> None:
    """Remove whatever an earlier run left of a field."""
    _record_path(part, field).unlink(missing_ok=True)
    ours = re.compile(rf"{field.field}(projection)?(other\d+)?")
    folder = part / "plate" / well_path(field.well)
    for path in folder.iterdir() if folder.is_dir() else ():
        if ours.fullmatch(path.name):
            shutil.rmtree(path)


def prune(plate: Path, images: Iterable[str]) -> None:
    """Remove images, given as paths below the plate, that belong to no field of the plan any more."""
    wanted = set(images)
    for path in plate.glob("*/*/*"):
        if path.is_dir() and path.relative_to(plate).as_posix() not in wanted:
            shutil.rmtree(path)
    for pattern in ("*/*", "*"):
        for path in plate.glob(pattern):
            if path.is_dir() and not any(p.is_dir() for p in path.iterdir()):
                shutil.rmtree(path)


def publish(part: Path, target: Path) -> None:
    """Rename the finished plate to its place once it is on the disk."""
    os.sync()
    (part / "plate").replace(target)
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    shutil.rmtree(part)
