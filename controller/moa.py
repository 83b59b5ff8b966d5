"""nextplate moa: how well do profiles tell mechanisms of action, on a user's own copy of BBBC021.

::

    OUT/
      plates/PLATE/     what `nextplate measure` leaves, one folder a plate; finished wells are not measured again
      profiles.parquet  the wells of all plates as measured
      nsc.csv nscb.csv  a line per scored treatment: its neighbour, right or wrong
      confusion_nsc.png confusion_nscb.png
      moa.json          what `--json` prints, written last
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from controller.analysis import write_table
from controller.files import full_disk_named, write_bytes
from controller.measuring import finish_summary, measure_folder
from controller.moa_report import answer_table, confusion_png, score_body, split_body
from controller.steps.data import finite
from nextplate.assay.moa import score_moa
from nextplate.assay.moa_predictions import score_predictions
from nextplate.assay.moa_profiles import Normalisation, NormalisedWells, normalise_wells, treatments_of
from nextplate.assay.moa_tables import predictions_of, treated_wells
from nextplate.errors import DataError
from nextplate.imaging import MeasureParams, Progress
from nextplate.imaging.bbbc021 import Bbbc021, read_bbbc021, read_tables, well_rows
from nextplate.imaging.bbbc021_tables import MoaRow, treatment_key

if TYPE_CHECKING:
    from controller.moa_training import TrainChoice

_REPORT = "moa.json"
_SEED = 20210211
"""Of the bootstrap: the same profiles give the same interval whenever they are judged."""


@dataclass(frozen=True, slots=True)
class MoaRequest:
    """What to judge."""

    folder: Path
    """Holds the three tables of BBBC021, and the images where they are to be measured."""
    out: Path
    params: MeasureParams
    profiles: Path | None = None
    """A table of wells; None: the images are measured."""
    predictions: Path | None = None
    """A classifier's answers; alone, only they are judged."""
    training: "TrainChoice | None" = None
    """Networks to train under the three splits; alone, only they are judged."""
    normalisation: Normalisation = "robust"
    has_all_wells: bool = False
    n_threads: int = 2


def run_moa(request: MoaRequest, progress: Progress) -> Mapping[str, Any]:
    """Judge profiles by NSC and NSCB, and predictions under their splits; write and return the report.

    Raises:
        DataError: a table is wrong or missing, or OUT holds something else; names file, line, plate or well.
        LabBusy: another process measures into OUT.
        DiskFull: no room; finished wells stay.
    """
    started = time.perf_counter()
    r = request
    body: dict[str, Any] = {"folder": str(r.folder), "out": str(r.out), "notes": []}
    if r.training is not None and (r.profiles is not None or r.predictions is not None):
        raise DataError("--train makes predictions of its own; leave --profiles and --predictions out")
    tables = read_tables(r.folder)  # a wrong table is told before hours of measuring
    wells = well_rows(tables)
    answers = None if r.predictions is None else predictions_of(read_frame(r.predictions), wells, str(r.predictions))
    (r.out / _REPORT).unlink(missing_ok=True)  # of other numbers, or of a run that is about to be cut short
    if r.training is not None:
        from controller.moa_training import train_and_predict  # imports torch

        copy = read_bbbc021(r.folder)
        made, body["training"] = train_and_predict(copy, r.training, r.out, r.n_threads, progress)
        answers = predictions_of(made, wells, str(r.out / "predictions.parquet"))
        body["notes"] = list(copy.notes)
    if r.profiles is not None:
        body |= _judged(r, read_frame(r.profiles), wells, tables.moas.values(), str(r.profiles))
    elif answers is None:
        copy = read_bbbc021(r.folder, has_all_wells=r.has_all_wells)
        table, counts = measure_copy(copy, r, progress)
        body |= counts | _judged(r, table, wells, tables.moas.values(), str(r.out / "profiles.parquet"))
        body["notes"] = [*copy.notes, *body["notes"]]
    if answers is not None:
        scores = score_predictions(answers, np.random.default_rng(_SEED))
        body["splits"] = [split_body(s) for s in scores]
        for s in scores:
            write_bytes(r.out / f"confusion_{s.split}.png", confusion_png(f"images, {s.split}", s.classes, s.confusion))
    body["seconds"] = round(time.perf_counter() - started, 3)
    whole: Mapping[str, Any] = finite(body)
    finish_summary(r.out, whole, _REPORT)
    return whole


def measure_copy(copy: Bbbc021, request: MoaRequest, progress: Progress) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Measure every plate of a copy; return the wells of all plates, and counts.

    Raises:
        DataError, LabBusy, DiskFull: as controller.measuring.measure_folder.
    """
    n_wells = [len({i.well for i in r.images} | {m.well for m in r.missing}) for r in copy.readouts]
    bodies, tables = [], []
    for i, readout in enumerate(copy.readouts):
        before = sum(n_wells[:i])
        place = request.out / "plates" / readout.plate

        def told(done: int, _total: int, before: int = before) -> None:
            progress(before + done, sum(n_wells))

        bodies.append(measure_folder(readout, request.params, place, told, request.n_threads))
        finish_summary(place, bodies[-1])
        tables.append(pl.read_parquet(place / "wells.parquet"))
    table = pl.concat(tables, how="diagonal")
    with full_disk_named(request.out):
        write_table(table, request.out / "profiles.parquet")
    keys = ("images", "images_measured", "cells", "flagged", "missing", "wells_measured_now")
    return table, {"plates": len(bodies), **{k: sum(b[k] for b in bodies) for k in keys}}


def _judged(
    request: MoaRequest, table: pl.DataFrame, wells: pl.DataFrame, moas: Collection[MoaRow], source: str
) -> dict[str, Any]:
    treated, notes = treated_wells(table, wells, source)
    done = normalise_wells(treated, request.normalisation)
    whole, by_batch = treatments_of(done.wells)
    scores = score_moa(whole, by_batch, np.random.default_rng(_SEED))
    for name, score in (("nsc", scores.nsc), ("nscb", scores.nscb)):
        write_table(answer_table(score), request.out / f"{name}.csv")
        write_bytes(request.out / f"confusion_{name}.png", confusion_png(name.upper(), score.classes, score.confusion))
    annotated = {treatment_key(m.compound, m.concentration): m for m in moas}
    held = {treatment_key(*key) for key in zip(whole.compound, whole.concentration, strict=True)}
    lost = [f"{m.compound} @ {m.concentration:g}" for key, m in annotated.items() if key not in held]
    more = [f"{len(lost)} of {len(annotated)} annotated treatments have no profile: {_some(lost)}"] if lost else []
    return {
        "profiles": source,
        "normalisation": request.normalisation,
        "features": len(treated.features),
        "features_used": len(done.wells.features),
        "wells": len(done.wells.plate),
        "treatments": len(whole.compound),
        "compounds": len(set(whole.compound)),
        "moas": len(set(whole.moa)),
        "batches": len(set(by_batch.batch)),
        "treatments_annotated": len(annotated),
        "notes": [*notes, *_left_out(done), *more],
        **score_body(scores),
    }


def _left_out(done: NormalisedWells) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for plate, well, reason in done.dropped_wells:
        by_reason.setdefault(reason, []).append(f"plate {plate} {well}")
    return [f"{len(places)} wells left out, {reason}: {_some(places)}" for reason, places in by_reason.items()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" .." if len(names) > 5 else "")


def read_frame(path: Path) -> pl.DataFrame:
    """Read a table by the ending of its name, .parquet or .csv.

    Raises:
        DataError: no such file, another ending, or it cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in (".parquet", ".csv"):
        raise DataError(f"{path}: a table ends in .parquet or .csv")
    if not path.is_file():
        raise DataError(f"{path} is not there")
    try:
        if kind == ".parquet":
            return pl.read_parquet(path)
        # Plates may be called 22123: the first lines must not decide that they are numbers.
        names = pl.read_csv(path, n_rows=0).columns
        texts: dict[str, type[pl.DataType]] = {n: pl.String for n in ("plate", "well", "field") if n in names}
        # All lines decide the others: a number may be whole for hundreds of wells before one is not.
        return pl.read_csv(path, schema_overrides=texts, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a table ({str(error).splitlines()[0][:120]})") from error
