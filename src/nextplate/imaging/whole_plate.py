"""Measure a plate: every well once, in a stream, the same bytes for any number of threads."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from nextplate.errors import DataError
from nextplate.imaging.field import FieldProblem, measure_field
from nextplate.imaging.flatfield import FlatField
from nextplate.imaging.judgement import judge_plate
from nextplate.imaging.params import MeasureParams
from nextplate.imaging.profile import CELL_SCHEMA, cell_table, well_measure, well_table
from nextplate.imaging.quality import FLAGS
from nextplate.imaging.survey import FieldImages, Survey, survey_plate
from nextplate.imaging.well import WellMeasure
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Missing, Readout

Progress = Callable[[int, int], None]
"""Called with (wells done, wells in all), in the caller's thread."""

_LEAST_PX, _MOST_PX = 4.0, 400.0
"""Nuclei narrower or wider than this are hardly meant."""
_AHEAD = 2
"""Wells in hand per thread: enough to keep all busy, few enough that memory does not grow with the plate."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured plate."""

    wells: pl.DataFrame
    """One row per well that has images or should have, in plate order (see profile.well_table)."""
    cells: pl.DataFrame
    """One row per nucleus, in plate, field and label order (see profile.cell_table)."""
    problems: tuple[Missing, ...]
    """What was missing or unusable, with the reason in words."""
    flat_fields: tuple[FlatField, ...]
    """By channel, as corrected; empty when no image could be read."""
    notes: tuple[str, ...] = ()
    """About the plate as a whole."""


@dataclass(frozen=True, slots=True)
class WellPlan:
    """What is to be measured of one well."""

    well: str
    fields: tuple[FieldImages, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class PlateWork:
    """A plate that has been looked at and can be measured well by well."""

    plate: str
    folder: Path
    plans: tuple[WellPlan, ...]
    survey: Survey | None
    """None when no image of the plate can be used."""
    params: MeasureParams

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what must be known about the scale at which nuclei were sought."""
        if self.survey is None:
            return ()
        size, nucleus_px = self.survey.pixel_size_um, self.survey.nucleus_px
        if size is None:
            return (f"no pixel size is known; nuclei are about {nucleus_px:.0f} px wide, estimated from the images",)
        if _LEAST_PX <= nucleus_px <= _MOST_PX:
            return ()
        um = self.params.nucleus_diameter_um
        return (f"a nucleus of {um:g} um is {nucleus_px:.3g} px at {size:g} um a pixel; is the pixel size right?",)


def measure(readout: Readout, params: MeasureParams, progress: Progress | None = None, n_threads: int = 2) -> Measured:
    """Measure every well of a readout: nuclei, reporter ratio, features, and image QC.

    The result does not depend on `n_threads`. Images that are absent or unusable flag their well and are told in
    `problems`. Memory grows with the number of cells; `prepare` and `measure_wells` stream.

    Raises:
        DataError: the readout has no channel of the names given.
    """
    wells: list[WellMeasure] = []
    cells: list[pl.DataFrame] = []
    with ThreadPoolExecutor(n_threads) as executor:
        work = prepare(readout, params, executor)
        for well, its_cells in measure_wells(work, executor, n_threads):
            wells.append(well)
            cells.append(its_cells)
            if progress is not None:
                progress(len(wells), len(work.plans))
    judged = judge_plate(wells, params)
    return Measured(
        wells=well_table(readout.plate, wells, judged, params.dna),
        cells=pl.concat([pl.DataFrame(schema=CELL_SCHEMA), *cells], how="diagonal"),
        problems=tuple(m for w in wells for m in w.problems),
        flat_fields=tuple(work.survey.flats.values()) if work.survey else (),
        notes=(*work.notes, *judged.notes),
    )


def prepare(readout: Readout, params: MeasureParams, executor: Executor) -> PlateWork:
    """Look at a sample of the plate: image kind, scale, illumination, thresholds.

    Raises:
        DataError: the readout has no channel of the names given.
    """
    # polars (2.1) loads numpy on first use by a module that two threads must not enter together: let it be done.
    pl.Series(np.zeros(1))
    _check_channels(readout, params)
    plans = _plans(readout, params)
    fields = [f for plan in plans for f in plan.fields]
    size = params.pixel_size_um or next((i.pixel_size_um for i in readout.images if i.pixel_size_um), None)
    survey = survey_plate(fields, params, size, executor)
    return PlateWork(readout.plate, readout.folder, tuple(plans), survey, params)


def measure_wells(
    work: PlateWork, executor: Executor, n_threads: int, done: Collection[str] = ()
) -> Iterator[tuple[WellMeasure, pl.DataFrame]]:
    """Yield every well that is not `done` with its cells, in plate order, a few wells ahead of the reader."""
    waiting: deque[Future[tuple[WellMeasure, pl.DataFrame]]] = deque()
    for plan in work.plans:
        if plan.well in done:
            continue
        waiting.append(executor.submit(partial(measure_well, plan, work)))
        if len(waiting) > _AHEAD * n_threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def measure_well(plan: WellPlan, work: PlateWork) -> tuple[WellMeasure, pl.DataFrame]:
    """Measure one well: its summary and its cells."""
    results = [measure_field(f, work.survey, work.params) for f in plan.fields]
    fields = [r.numbers for r in results if r.numbers is not None]
    failed = [p for r in results for p in r.problems]
    cells = cell_table(work.plate, plan.well, fields, work.survey)
    codes = _codes(plan, failed, has_fields=bool(fields))
    problems = (*plan.missing, *(Missing(plan.well, p.field, p.channel, p.reason) for p in failed))
    return well_measure(plan.well, fields, cells, codes, problems, work.survey, work.params), cells


def _codes(plan: WellPlan, failed: Sequence[FieldProblem], *, has_fields: bool) -> set[str]:
    codes = {p.code for p in failed} | {code_of(m.reason) for m in plan.missing}
    return codes if has_fields or failed else codes - {"field-missing"} | {"no-image"}


def code_of(reason: str) -> str:
    """Return the flag of a reason: its first word when that is one of the catalogue, else field-missing."""
    first = reason.partition(":")[0]
    return first if first in FLAGS else "field-missing"


def _check_channels(readout: Readout, params: MeasureParams) -> None:
    for name in params.channels:
        if name not in readout.channels:
            has = ", ".join(readout.channels) or "no channel at all"
            raise DataError(
                f"plate {readout.plate} in {readout.folder} has no channel {name!r}; it has {has}. "
                "Name the DNA and the reporter channel in the assay settings"
            )


def _plans(readout: Readout, params: MeasureParams) -> list[WellPlan]:
    images: dict[str, dict[int, dict[str, FieldImage]]] = {}
    for image in readout.images:
        images.setdefault(image.well, {}).setdefault(image.field, {})[image.channel] = image
    missing: dict[str, list[Missing]] = {}
    for m in readout.missing:
        if m.channel is None or m.channel in params.channels:
            missing.setdefault(m.well, []).append(m)
    return [
        WellPlan(well, _fields(images.get(well, {}), params), tuple(missing.get(well, ())))
        for well in sorted(images.keys() | missing.keys(), key=parse_well)
    ]


def _fields(fields: dict[int, dict[str, FieldImage]], params: MeasureParams) -> tuple[FieldImages, ...]:
    return tuple(
        FieldImages(n, by_channel)
        for n, by_channel in sorted(fields.items())
        if all(channel in by_channel for channel in params.needed)
    )
