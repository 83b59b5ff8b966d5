"""nextplate measure: a plate folder of any microscope to numbers on disk, well by well, with quality flags.

::

    OUT/
      measure.json      what was asked for; another plate's folder is never written into
      parts/ cells/     finished wells (controller.parts); cells/*.parquet together are the single cells of the plate
      fields.parquet    every image that was found, with its place
      wells.parquet     a row per well: counts, medians, spread, image QC with reason codes
      problems.csv      what was missing or unusable, and why
      layout.csv ...    with a layout: responses, plate quality, curves (controller.analysis)
      summary.json      what `--json` prints
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from controller.analysis import drop_analysis, write_table
from controller.files import full_disk_named, write_text
from controller.lock import lab_lock
from controller.parts import digest, finished, stamp, well_key, write_part
from controller.step import code_digest
from controller.steps.data import finite
from nextplate.errors import DataError
from nextplate.imaging import (
    MeasureParams,
    PlateWork,
    Progress,
    WellMeasure,
    field_table,
    is_unusable,
    judge_plate,
    measure_wells,
    missing_table,
    open_readout,
    prepare,
    well_table,
)
from nextplate.imaging.channels import renamed
from nextplate.imaging.selection import ZChoice
from nextplate.imaging.survey import Survey
from nextplate.imaging.whole_plate import code_of
from nextplate.readout import Readout

_SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class ReadoutRequest:
    """Which images to read."""

    folder: Path
    reader: str | None = None
    """None: detected."""
    pattern: str | None = None
    """For names of no known microscope."""
    plate: str | None = None
    """Where the folder holds several."""
    z: ZChoice = "projection"
    t: int | None = None
    """None: the first time point."""
    names: Mapping[str, str] = field(default_factory=dict)
    """New names of channels."""


def find_readout(request: ReadoutRequest) -> Readout:
    """List the images asked for.

    Raises:
        DataError: as nextplate.imaging.open_readout and channels.renamed.
    """
    r = request
    if r.reader is not None and r.pattern is not None:
        raise DataError("a pattern is used instead of any reader; leave out --reader or --pattern")
    found = open_readout(r.folder, z=r.z, t=r.t, reader=r.reader, pattern=r.pattern, plate=r.plate)
    if not found.channels:
        why = f": {found.missing[0].reason}" if found.missing else ""
        raise DataError(
            f"{r.folder} ({found.reader}) names no image{why}; is it still being written, or its index cut short?"
        )
    return renamed(found, r.names)


def measure_folder(
    readout: Readout,
    params: MeasureParams,
    out: Path,
    progress: Progress,
    n_threads: int = 2,
    negatives: Collection[str] | None = None,
) -> dict[str, Any]:
    """Measure a plate into a folder; wells that were finished before are kept.

    `negatives` are the wells of the negative controls, by which cell counts and debris are judged; None: not known.

    Returns:
        The counts of `summary.json`: wells, images, cells, flags, and how much was measured anew.

    Raises:
        DataError: the folder holds something else, the readout lacks a channel, or its drive is gone.
        LabBusy: another process measures into it.
        DiskFull: no room; finished wells stay.
    """
    started = time.perf_counter()
    _claim(out, readout)
    with lab_lock(out, "nextplate measure"), ThreadPoolExecutor(n_threads) as executor:
        work = prepare(readout, params, executor)
        keys = _keys(work, readout)
        kept = finished(out, keys)
        with full_disk_named(out):
            fresh = _measure(work, keys, set(kept), out, progress, executor, n_threads)
            wells = [(kept | fresh)[plan.well] for plan in work.plans]
            _drop_strangers(out, keys)
            # What was concluded from the numbers of before may not stand beside those of now.
            (out / _SUMMARY).unlink(missing_ok=True)
            drop_analysis(out)
            judged = judge_plate(wells, params, negatives)
            table = well_table(readout.plate, wells, judged, params.dna)
            _write_tables(readout, table, wells, out)
    body = _summary(readout, table, wells, (*readout.notes, *work.notes, *judged.notes), len(fresh))
    return body | {"out": str(out), "seconds": round(time.perf_counter() - started, 3)}


def _claim(out: Path, readout: Readout) -> None:
    """Make the folder, or check that it is this plate's."""
    note = out / "measure.json"
    mine = {"folder": str(readout.folder.resolve()), "plate": readout.plate}
    if note.exists():
        try:
            theirs = json.loads(note.read_bytes())
        except ValueError:
            theirs = {}
        if {k: theirs.get(k) for k in mine} != mine:
            held = f"plate {theirs.get('plate')} of {theirs.get('folder')}"
            raise DataError(f"{out} holds the measurements of {held}; name another folder: --out")
    elif out.exists() and (not out.is_dir() or any(e.name != ".lock" for e in out.iterdir())):
        raise DataError(f"{out} is there and holds no measurements; name another folder: --out")
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(mine, indent=1, sort_keys=True))


def _keys(work: PlateWork, readout: Readout) -> dict[str, str]:
    """Digest what decides each well: illumination and thresholds come from the whole plate, so all images count."""
    sample = [stamp(image) for image in readout.images]
    base = digest(
        {"params": asdict(work.params), "code": code_digest(), "sample": sample, "survey": _surveyed(work.survey)}
    )
    return {plan.well: well_key(plan, base) for plan in work.plans}


def _surveyed(survey: Survey | None) -> list[Any]:
    """Tell what the look at the plate found: a drive that was gone for a moment then changes every well's numbers."""
    if survey is None:
        return []
    told = [survey.nucleus_px, *(n for f in survey.flats.values() for n in (f.n_fields, f.noise, f.threshold or 0))]
    cells = None if survey.cells is None else survey.cells.threshold
    # Rounded, as another processor's last digit is no reason to measure anew.
    return [str(survey.kind), survey.factor, list(survey.flats), *(f"{n:.5g}" for n in (*told, cells or 0))]


def _measure(
    work: PlateWork,
    keys: Mapping[str, str],
    kept: set[str],
    out: Path,
    progress: Progress,
    executor: Executor,
    n_threads: int,
) -> dict[str, WellMeasure]:
    fresh: dict[str, WellMeasure] = {}
    n = len(work.plans)
    if kept:
        progress(len(kept), n)
    for well, cells in measure_wells(work, executor, n_threads, done=kept):
        if "unreadable" in well.codes and not work.folder.is_dir():
            done = len(kept) + len(fresh)
            raise DataError(
                f"{work.folder} is gone while its plate is measured; {done} of {n} wells are finished and stay. "
                "Bring the drive back and run the same command again"
            )
        write_part(out, keys[well.well], well, cells)
        fresh[well.well] = well
        progress(len(kept) + len(fresh), n)
    return fresh


def _drop_strangers(out: Path, keys: Mapping[str, str]) -> None:
    """Remove wells that the plate no longer has."""
    for path in (*(out / "parts").glob("*.json"), *(out / "cells").glob("*.parquet")):
        if path.stem not in keys:
            path.unlink()
    for path in (*(out / "parts").glob(".*.tmp"), *(out / "cells").glob(".*.tmp")):
        path.unlink()  # left by a process that was killed


def _write_tables(readout: Readout, table: pl.DataFrame, wells: list[WellMeasure], out: Path) -> None:
    write_table(field_table(readout), out / "fields.parquet")
    write_table(table, out / "wells.parquet")
    told = [m for w in wells for m in w.problems]
    codes = pl.Series("code", [code_of(m.reason) for m in told], dtype=pl.String)
    write_table(missing_table(readout.plate, told).insert_column(4, codes), out / "problems.csv")


def cells_of(out: Path, columns: list[str]) -> pl.DataFrame:
    """Read some columns of a measured folder's single cells."""
    files = sorted((out / "cells").glob("*.parquet"))
    return pl.concat([pl.read_parquet(f, columns=columns) for f in files]) if files else pl.DataFrame(schema=columns)


def _summary(
    readout: Readout, table: pl.DataFrame, wells: list[WellMeasure], notes: Sequence[str], n_fresh: int
) -> dict[str, Any]:
    flags = [str(f) for f in table["flags"]]
    codes = [code for f in flags for code in f.split(";") if code]
    unusable = table.filter(is_unusable(table))["well"].to_list()
    body = {
        "reader": readout.reader,
        "plate": readout.plate,
        "is_complete": readout.is_complete,
        "notes": list(notes),
        "channels": list(readout.channels),
        "wells": len(table),
        "fields": int(table["n_fields"].sum()),
        "images": len(readout.images),
        "images_measured": int(table["n_images"].sum()),
        "cells": int(table["n_cells"].sum()),
        "cells_expressing": int(table["n_expressing"].sum()),
        "missing": sum(len(w.problems) for w in wells),
        "flagged": sum(bool(f) for f in flags),
        "flags": {code: codes.count(code) for code in sorted(set(codes))},
        "unusable_wells": unusable,
        "wells_measured_now": n_fresh,
    }
    found: dict[str, Any] = finite(body)
    return found


def finish_summary(out: Path, body: Mapping[str, Any], name: str = _SUMMARY) -> Mapping[str, Any]:
    """Write the summary, last of all: where it is, the folder is whole."""
    write_text(out / name, json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return body


def measured_text(body: Mapping[str, Any]) -> str:
    """Say what was measured, for people."""
    flags = ", ".join(f"{code} {n}" for code, n in body["flags"].items()) or "none"
    kept = body["wells"] - body["wells_measured_now"]
    lines = [
        f"plate {body['plate']} ({body['reader']}): {body['wells']} wells, {body['fields']} fields, "
        f"{body['images_measured']} of {body['images']} images, {body['cells']} cells",
        f"channels: {', '.join(body['channels'])}",
        f"flagged wells: {flags}",
        f"missing or unusable: {body['missing']} (problems.csv)" if body["missing"] else "nothing is missing",
        f"measured now: {body['wells_measured_now']} wells, kept from before: {kept}",
        *(f"note: {note}" for note in body["notes"]),
        *([] if body["is_complete"] else ["the plate is not known to be complete"]),
        f"{body['seconds']:.1f} s, written to {body['out']}",
    ]
    return "\n".join(lines)
