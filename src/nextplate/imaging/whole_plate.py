"""Measure a plate: every well once, in a stream, the same bytes for any number of threads."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import polars as pl

from nextplate.errors import DataError
from nextplate.imaging.field import FieldNumbers, FieldProblem, measure_field
from nextplate.imaging.flatfield import FlatField
from nextplate.imaging.profile import WellMeasure, cell_table, well_table
from nextplate.imaging.survey import FieldPair, Survey, sample_evenly, survey_plate
from nextplate.plate import parse_well
from nextplate.readout import FieldImage, Missing, Readout

Progress = Callable[[int, int], None]
"""Called with (wells done, wells in all), in the caller's thread."""


@dataclass(frozen=True, slots=True)
class MeasureParams:
    """How to measure a plate."""

    dna: str = "DNA"
    """Channel name of the nuclear stain."""
    reporter: str = "Reporter"
    nucleus_diameter_um: float = 14.0
    """Typical nucleus; used where the pixel size is known, else the diameter is estimated from the images."""
    pixel_size_um: float | None = None
    """Overrides what the files say; None: believe the files."""
    n_sample_fields: int = 48
    """Fields looked at to learn background, illumination and threshold."""
    focus_z: float = 4.0
    """A well is out of focus when both scores lie so many robust standard deviations below the plate's."""
    max_saturated_share: float = 0.01
    saturation_level: int | None = None
    """Counts at which the camera clips; None: the largest number of the file's bit depth."""


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
    """DNA and reporter, as corrected; empty when no image could be read."""


@dataclass(frozen=True, slots=True)
class _WellPlan:
    well: str
    fields: tuple[FieldPair, ...]
    missing: tuple[Missing, ...]


def measure(readout: Readout, params: MeasureParams, progress: Progress | None = None, n_threads: int = 2) -> Measured:
    """Measure every well of a readout: nuclei, reporter ratio, and image QC.

    Wells stream through `n_threads` threads; memory grows with the number of cells only. The result does not
    depend on `n_threads`. Images that are absent or unusable flag their well and are told in `problems`.

    Raises:
        DataError: the readout has no channel of the names given.
    """
    _check_channels(readout, params)
    plans = _plan(readout, params)
    fields = [f for plan in plans for f in plan.fields]
    size = params.pixel_size_um or next((i.pixel_size_um for i in readout.images if i.pixel_size_um), None)
    with ThreadPoolExecutor(n_threads) as executor:
        survey = survey_plate(
            sample_evenly(fields, params.n_sample_fields),
            (params.dna, params.reporter),
            size,
            params.nucleus_diameter_um,
            executor,
        )
        work = partial(_measure_well, survey=survey, params=params)
        wells: list[WellMeasure] = []
        for plan, results in zip(plans, executor.map(work, plans), strict=True):
            wells.append(_well(plan, results))
            if progress is not None:
                progress(len(wells), len(plans))
    return Measured(
        wells=well_table(readout.plate, wells, survey, params.focus_z, params.max_saturated_share),
        cells=cell_table(readout.plate, wells, survey),
        problems=tuple(m for w in wells for m in w.problems),
        flat_fields=(survey.dna, survey.reporter) if survey else (),
    )


def _check_channels(readout: Readout, params: MeasureParams) -> None:
    for name in (params.dna, params.reporter):
        if name not in readout.channels:
            has = ", ".join(readout.channels) or "no channel at all"
            raise DataError(
                f"plate {readout.plate} in {readout.folder} has no channel {name!r}; it has {has}. "
                "Name the DNA and the reporter channel in the assay settings"
            )


def _plan(readout: Readout, params: MeasureParams) -> list[_WellPlan]:
    images: dict[str, dict[int, dict[str, FieldImage]]] = {}
    for image in readout.images:
        images.setdefault(image.well, {}).setdefault(image.field, {})[image.channel] = image
    missing: dict[str, list[Missing]] = {}
    for m in readout.missing:
        if m.channel in (None, params.dna, params.reporter):
            missing.setdefault(m.well, []).append(m)
    return [
        _WellPlan(well, _pairs(images.get(well, {}), params), tuple(missing.get(well, ())))
        for well in sorted(images.keys() | missing.keys(), key=parse_well)
    ]


def _pairs(fields: dict[int, dict[str, FieldImage]], params: MeasureParams) -> tuple[FieldPair, ...]:
    return tuple(
        FieldPair(n, by_channel[params.dna], by_channel[params.reporter])
        for n, by_channel in sorted(fields.items())
        if params.dna in by_channel and params.reporter in by_channel
    )


def _measure_well(
    plan: _WellPlan, survey: Survey | None, params: MeasureParams
) -> Sequence[FieldNumbers | FieldProblem]:
    level = params.saturation_level or (255 if survey and survey.kind.dtype == "uint8" else 65535)
    return [measure_field(f, survey, level) for f in plan.fields]


def _well(plan: _WellPlan, results: Iterable[FieldNumbers | FieldProblem]) -> WellMeasure:
    fields = tuple(r for r in results if isinstance(r, FieldNumbers))
    failed = tuple(r for r in results if isinstance(r, FieldProblem))
    codes = {f.code for f in failed} | {_code(m.reason) for m in plan.missing}
    if not fields and not failed:
        codes = codes - {"field-missing"} | {"no-image"}
    problems = (*plan.missing, *(Missing(plan.well, f.field, None, f.reason) for f in failed))
    return WellMeasure(plan.well, fields, frozenset(codes), problems)


def _code(reason: str) -> str:
    """Return the flag of a reader's reason: its first word when that is one of the catalogue, else field-missing."""
    first = reason.partition(":")[0]
    return first if first in ("unreadable", "duplicate-image", "no-projection") else "field-missing"
