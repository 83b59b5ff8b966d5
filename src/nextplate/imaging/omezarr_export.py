"""Export a plate to OME-Zarr (NGFF 0.5, HCS), so that it is whole or not there.

The plate grows in a hidden sibling (`omezarr_staging`) and gets its name when its last byte is on the disk. What is
written where stands in `omezarr_plan`, what the metadata say in `omezarr_meta`.
"""

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextplate.errors import DataError, DiskFull
from nextplate.imaging.listing import Listing
from nextplate.imaging.omezarr_field import FieldRecord, convert_field
from nextplate.imaging.omezarr_meta import (
    Window,
    WrittenImage,
    has_acquisitions,
    plate_attributes,
    well_attributes,
    well_path,
)
from nextplate.imaging.omezarr_plan import ExportOptions, ExportPlan, FieldPlan, plan_export
from nextplate.imaging.omezarr_staging import (
    Stamps,
    clear_field,
    field_digest,
    keep_record,
    kept_record,
    prune,
    publish,
    staging,
    stamp,
    stamps_of,
)
from nextplate.imaging.windows import survey_windows
from nextplate.imaging.zarr_array import read_json
from nextplate.imaging.zarr_write import write_group
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

Progress = Callable[[int, int], None]
"""Called with (fields done, fields in all), in the caller's thread."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported plate."""

    folder: Path
    reader: str
    plate: str
    wells: tuple[str, ...]
    """That hold images, in plate order."""
    n_fields: int
    channels: tuple[str, ...]
    n_images: int
    """Planes written: one per field, channel, step and time point."""
    missing: tuple[Missing, ...]
    """What the source lacks or what could not be read; the plate's own metadata say the same."""
    n_kept: int
    """Fields that an earlier run had finished."""
    n_bytes_in: int
    """Of the source's image files."""
    n_bytes_out: int
    """Of the fields' files."""


@dataclass(frozen=True, slots=True)
class _Job:
    plan: ExportPlan
    part: Path
    windows: Mapping[str, Window]
    stamps: Stamps


def export_plate(
    listing: Listing,
    folder: Path,
    target: Path,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    n_threads: int = 2,
) -> Exported:
    """Write a listed plate as OME-Zarr; interrupted, the same call goes on.

    Args:
        listing: of the plate, by `list_planes`.
        folder: the plate's folder.
        target: the folder to become the plate's group; it must not be there, or be this very export.
        options: which part of the plate; None: all of it.
        progress: told after every field.
        n_threads: fields converted at a time; memory grows with it, not with the plate. The bytes do not depend on it.

    Raises:
        DataError: nothing to export; the target is something else, lies in the source, cannot be written, or another
            process writes it; the source vanished meanwhile.
        DiskFull: no room. What was finished is kept for the next run.
    """
    plan = plan_export(listing, folder, options or ExportOptions())
    target = _checked_place(target, folder)
    stamps = stamps_of(plan)
    n_kept = len(plan.fields)
    with _explained(target), ThreadPoolExecutor(n_threads) as executor:
        windows = survey_windows(plan.fields, executor)
        digests = [field_digest(plan, field, windows, stamps) for field in plan.fields]
        digest = hashlib.sha256(repr([digests, plan.told, plan.absent, listing.plate]).encode()).hexdigest()
        attributes = _existing(target, digest)
        if attributes is None:
            with staging(target, plan) as part:
                records, n_kept = _convert(_Job(plan, part, windows, stamps), digests, executor, progress)
                attributes = _finish(plan, part, records, digest)
                publish(part, target)
    return _exported(plan, target, attributes, n_kept, sum(max(size, 0) for size, _ in stamps.values()))


def _checked_place(target: Path, folder: Path) -> Path:
    there, source = target.resolve(), folder.resolve()
    if there.is_relative_to(source) or source.is_relative_to(there):
        raise DataError(f"{target}: the export and the plate's folder {folder} may not lie in each other")
    inside = next((parent for parent in there.parents if (parent / "zarr.json").exists()), None)
    if inside is not None:
        raise DataError(f"{target}: the folder {inside} is a Zarr group of its own; choose a place outside it")
    return there


def _existing(target: Path, digest: str) -> dict[str, Any] | None:
    """Return the plate's attributes when the target is this very export; None when it may be made."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    found: dict[str, Any] = {}
    if (target / "zarr.json").is_file():
        found = read_json(target / "zarr.json").get("attributes") or {}
    notes = found.get("nextplate")
    if not isinstance(notes, dict):
        raise DataError(f"{target} is there already and is no export of this plate; choose another folder")
    if notes.get("digest") != digest:
        raise DataError(
            f"{target} is an export of other images, or with other options, or the images changed since; "
            "remove it and run again, or choose another folder"
        )
    return found


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"{target}: the disk is full; free some space and run the same command again: "
                "fields that are finished are kept"
            ) from error
        raise DataError(f"{target}: cannot be written ({error}); choose a folder that can") from error


def _convert(
    job: _Job, digests: Sequence[str], executor: Executor, progress: Progress | None
) -> tuple[list[FieldRecord], int]:
    """Return the records of all fields, in order, and how many were finished before."""
    records: list[FieldRecord] = []
    kept = [kept_record(job.part, f, d) for f, d in zip(job.plan.fields, digests, strict=True)]
    work = list(zip(job.plan.fields, digests, kept, strict=True))
    futures = [executor.submit(_convert_one, job, *one) for one in work]
    try:
        for future in futures:
            records.append(future.result())
            if progress is not None:
                progress(len(records), len(futures))
    except BaseException:
        _cancel(futures)
        raise
    return records, sum(record is not None for record in kept)


def _cancel(futures: Sequence[Future[FieldRecord]]) -> None:
    """Cancel what has not begun and wait for the rest: the lock may not fall while a thread still writes."""
    for future in futures:
        future.cancel()
    wait(futures)


def _convert_one(job: _Job, field: FieldPlan, digest: str, kept: FieldRecord | None) -> FieldRecord:
    if kept is not None:
        return kept
    clear_field(job.part, field)
    try:
        record = convert_field(job.plan, field, job.part / "plate" / well_path(field.well), job.windows)
        _check_source(job, field, record)
    except BaseException:
        clear_field(job.part, field)
        raise
    keep_record(job.part, field, digest, record)
    return record


def _check_source(job: _Job, field: FieldPlan, record: FieldRecord) -> None:
    """A file that was there when the export began and is gone is no bad image: the source itself vanishes."""
    if not record.missing:
        return
    for path in dict.fromkeys(i.path for i in field.images):
        if job.stamps[path][0] >= 0 and stamp(path)[0] < 0:
            raise DataError(
                f"{path} was there when the export began and is gone; is the drive still there? "
                "The same command goes on from here"
            )


def _finish(plan: ExportPlan, part: Path, records: Sequence[FieldRecord], digest: str) -> dict[str, Any]:
    """Write the metadata of wells, rows and, last, the plate; returns the plate's."""
    plate = part / "plate"
    wells: dict[str, list[WrittenImage]] = {}
    for field, record in zip(plan.fields, records, strict=True):
        if record.images:
            wells.setdefault(field.well, []).extend(record.images)
    if not wells:
        shutil.rmtree(part)  # of such a plate nothing is worth going on from
        first = records[0].missing[0]
        raise DataError(f"{plan.folder}: no image of plate {plan.listing.plate} can be read: {first.reason}")
    prune(plate, (f"{well_path(well)}/{image.path}" for well, images in wells.items() for image in images))
    for well, images in wells.items():
        write_group(plate / well_path(well), well_attributes(images, has_acquisitions(wells)))
        write_group((plate / well_path(well)).parent, {})
    unreadable = [m for record in records for m in record.missing]
    attributes = plate_attributes(plan, wells, unreadable, digest)
    attributes["nextplate"] |= {
        "n_fields": sum(bool(record.images) for record in records),
        "n_images": sum(record.n_planes for record in records),
        "n_bytes": sum(record.n_bytes for record in records),
    }
    write_group(plate, attributes)
    return attributes


def _exported(plan: ExportPlan, target: Path, attributes: dict[str, Any], n_kept: int, n_bytes_in: int) -> Exported:
    notes, plate = attributes["nextplate"], attributes["ome"]["plate"]
    wells = sorted((well["rowIndex"], well["columnIndex"]) for well in plate["wells"])
    missing = [Missing(**row) for row in (*notes["missing"], *notes["absent"])]
    return Exported(
        folder=target,
        reader=plan.listing.reader,
        plate=plan.listing.plate,
        wells=tuple(well_name(*place) for place in wells),
        n_fields=notes["n_fields"],
        channels=plan.listing.channels,
        n_images=notes["n_images"],
        missing=tuple(sorted(missing, key=lambda m: (parse_well(m.well), m.field or 0, m.channel or "", m.reason))),
        n_kept=n_kept,
        n_bytes_in=n_bytes_in,
        n_bytes_out=notes["n_bytes"],
    )
