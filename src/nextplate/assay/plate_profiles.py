"""Profiles across plates: each plate on its negatives, features chosen, noise whitened, replicates retrieved.

What pycytominer (mad_robustize, feature_select, spherize ZCA-cor) and copairs (mean average precision) do; tests hold
the numbers to those of pycytominer 1.7.1 and copairs 0.5.5. Neither is a dependency: together they bring 0.7 GB
(pyarrow, duckdb, statsmodels, pandas), and though pip resolves them with our pins, the pyarrow it takes refuses our
numpy 1.26 on import. Told apart on purpose: a correlation of -1 is a copy too (pycytominer keeps the mirrored
feature), a feature without any spread among a plate's negatives is dropped by name (there it becomes 1e18), and
whitening shrinks by what the controls can tell (there a fixed epsilon).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from nextplate.assay.feature_columns import feature_columns
from nextplate.assay.features import Selection, select_features
from nextplate.assay.measured_layout import MeasuredLayout
from nextplate.assay.retrieval import GroupPrecision, Replication, mean_average_precision, replication
from nextplate.assay.spatial import Bools
from nextplate.assay.sphering import Profiles, sphere
from nextplate.assay.statistics import MAD_TO_SD
from nextplate.errors import DataError
from nextplate.imaging.profile import is_unusable
from nextplate.plate import Role

T = TypeVar("T")
_FEWEST_NEGATIVES = 3
_MAX_MISSING = 0.05
_FAR = 500.0
"""pycytominer's limit: beyond so many robust sd a feature is an artefact of its own spread."""
_DRIFT_SD = 3.0


@dataclass(frozen=True, slots=True)
class ProfileParams:
    """How to compare plates."""

    columns: tuple[str, ...] = ("*",)
    """Names of features, with * and ?; technical columns never count."""
    group: str = "compound"
    """What replicates share: 'compound', or 'treatment' (compound and dose)."""
    max_correlation: float = 0.9
    spheres: bool = True
    """False: leave the robust z as they are."""
    shrinkage: float | None = None
    """Of the sphering, 0 to 1 (see `fit_sphering`): less whitens more and needs more negatives. None: estimated."""
    n_draws: int = 10_000
    """Of the null of the mean average precision."""


@dataclass(frozen=True, slots=True)
class MeasuredPlate:
    """One plate to compare."""

    plate: str
    wells: pl.DataFrame
    """One row per well: well, n_fields, flags, and features."""
    layout: MeasuredLayout


@dataclass(frozen=True, slots=True)
class PlateShift:
    """How far the negatives of one plate lie from those of all plates, before normalisation."""

    plate: str
    n_negative: int
    n_samples: int
    median_shift: float | None
    """Median over features of |median of the plate - median of plates| / typical sd within a plate; None with one plate
    or no feature."""
    far_share: float | None
    """Share of features that lie more than 3 such sd away."""
    farthest: str | None
    """The feature that lies farthest."""


@dataclass(frozen=True, slots=True)
class PlateProfiles:
    """Plates on one scale."""

    wells: pl.DataFrame
    """plate, well, role, compound_id, dose, dose_unit, treatment, then the chosen features, normalised."""
    selection: Selection
    is_sphered: bool
    active: tuple[GroupPrecision, ...]
    """Of each group: do its wells find each other among the negatives?"""
    distinct: tuple[GroupPrecision, ...]
    """Among the wells of all other groups?"""
    replicates: Replication | None
    shifts: tuple[PlateShift, ...]
    reasons: tuple[str, ...]
    """What was left out or could not be computed."""


def robust_z(profiles: Profiles, is_control: Bools) -> Profiles:
    """Return (x - median) / (1.4826 MAD) of the controls, shapes (n, features) and (n,).

    A feature without spread among the controls becomes NaN throughout; values that are not finite stay so.
    """
    controls = profiles[is_control]
    centre = _nanmedian(controls)
    spread = MAD_TO_SD * _nanmedian(np.abs(controls - centre))
    return np.asarray((profiles - centre) / np.where(spread > 0, spread, np.nan))


def _nanmedian(values: Profiles) -> Profiles:
    known = np.isfinite(values)
    filled = np.where(known, values, np.nan)
    filled[:, ~known.any(axis=0)] = 0.0
    return np.asarray(np.nanmedian(filled, axis=0))


def profile_plates(plates: Sequence[MeasuredPlate], params: ProfileParams, rng: np.random.Generator) -> PlateProfiles:
    """Bring plates on one scale and ask whether replicates find each other.

    Wells that imaging flags, and empty ones, are left out and counted. A feature needs to be on every plate; values
    missing in a few wells are taken as the negatives' median.

    Raises:
        DataError: no plate, one twice, fewer than three good negatives on a plate, or no feature that all plates have.
    """
    names = _checked(plates, params)
    tables = [_good(p, names) for p in plates]
    raw = [t.select(names).cast(pl.Float64).fill_null(float("nan")).to_numpy() for t in tables]
    negative = [_is_negative(t, p.plate) for t, p in zip(tables, plates, strict=True)]
    z = np.vstack([robust_z(x, mask) for x, mask in zip(raw, negative, strict=True)])
    wells, is_negative = pl.concat([t.select(_META) for t in tables]), np.concatenate(negative)
    selection = _selected(z, names, params)
    kept = [names.index(n) for n in selection.kept]
    chosen, blanks = _filled(z[:, kept])
    reasons = [*_left_out(plates, tables), *_partial(plates, names), *blanks]
    profiles, is_sphered = _sphered(chosen, is_negative, wells, params, reasons)
    group = wells["compound_id" if params.group == "compound" else "treatment"].fill_null("").to_list()
    named = np.array([g != "" for g in group]) & ~is_negative & np.array(wells["role"] == str(Role.SAMPLE))
    asking = named | is_negative
    asked = (profiles[asking], [g for g, is_in in zip(group, asking, strict=True) if is_in], is_negative[asking], rng)
    n = params.n_draws
    return PlateProfiles(
        wells=wells.hstack(pl.DataFrame(profiles, schema=list(selection.kept))),
        selection=selection,
        is_sphered=is_sphered,
        active=_told("activity", reasons, lambda: mean_average_precision(*asked, n_draws=n)) or (),
        distinct=_told("distinctness", reasons, lambda: mean_average_precision(*asked, against="others", n_draws=n))
        or (),
        replicates=_told("replication", reasons, lambda: _replication(profiles, wells, named, rng)),
        shifts=_shifts(plates, raw, negative, tables, names, set(selection.kept)),
        reasons=tuple(reasons),
    )


_META = ("plate", "well", "role", "compound_id", "dose", "dose_unit", "treatment")


def _told(what: str, reasons: list[str], compute: Callable[[], T]) -> T | None:
    """Compute, or say why not."""
    try:
        return compute()
    except DataError as error:
        reasons.append(f"no {what}: {error}")
        return None


def _checked(plates: Sequence[MeasuredPlate], params: ProfileParams) -> list[str]:
    if not plates:
        raise DataError("no plate is given; name the folders of measured plates")
    twice = [p.plate for i, p in enumerate(plates) if p.plate in [q.plate for q in plates[:i]]]
    if twice:
        raise DataError(f"plate {twice[0]} is given twice; every plate counts once")
    if params.group not in ("compound", "treatment"):
        raise DataError(f"replicates are of one {params.group!r}; it can be compound or treatment")
    columns = [feature_columns(p.wells, params.columns) for p in plates]
    common = [name for name in columns[0] if all(name in other for other in columns)]
    if not common:
        raise DataError(f"no feature {', '.join(params.columns)} stands in the wells of all {len(plates)} plates")
    return common


def _partial(plates: Sequence[MeasuredPlate], names: Sequence[str]) -> list[str]:
    found = {c for p in plates for c in feature_columns(p.wells)} - set(names)
    some = sorted(c for c in found if not all(c in p.wells.columns for p in plates))
    return [f"{len(some)} features are not on every plate and were left out, first {some[0]}"] if some else []


def _good(p: MeasuredPlate, names: Sequence[str]) -> pl.DataFrame:
    """Return the occupied wells that can be trusted, with what they hold."""
    roles = {w.well: str(w.role) for w in p.layout.occupied()}
    held = p.layout.table().select("well", "compound_id", "dose", "dose_unit")
    wells = p.wells.select("well", "n_fields", "flags", *(n for n in names if n != "n_fields"))
    joined = wells.filter(~is_unusable(wells)).join(held, on="well", maintain_order="left")
    columns = joined.select("compound_id", "dose", "dose_unit")
    return joined.with_columns(
        plate=pl.lit(p.plate),
        role=pl.col("well").replace_strict(roles, return_dtype=pl.String),
        treatment=pl.Series([_treatment(*row) for row in columns.iter_rows()], dtype=pl.String),
    )


def _treatment(compound: str | None, dose: float | None, unit: str | None) -> str | None:
    """Name what a well holds, as in 'drug 10 uM'; None without a compound."""
    return compound if compound is None or dose is None else f"{compound} {dose:g} {unit or ''}".rstrip()


def _left_out(plates: Sequence[MeasuredPlate], tables: Sequence[pl.DataFrame]) -> list[str]:
    counts = [(p.plate, len(p.layout.occupied()) - len(t)) for p, t in zip(plates, tables, strict=True)]
    return [f"plate {name}: {n} wells were left out, flagged or not measured" for name, n in counts if n]


def _is_negative(table: pl.DataFrame, plate: str) -> Bools:
    mask = np.array(table["role"] == str(Role.NEGATIVE), dtype=np.bool_)
    if mask.sum() < _FEWEST_NEGATIVES:
        raise DataError(
            f"plate {plate}: {mask.sum()} good negative control wells, {_FEWEST_NEGATIVES} are needed to normalise it"
        )
    return mask


def _selected(z: Profiles, names: Sequence[str], params: ProfileParams) -> Selection:
    with np.errstate(invalid="ignore"):
        far = [bool(v) for v in (np.abs(z) > _FAR).any(axis=0)]
    known = np.where(np.array(far), np.nan, z)
    found = select_features(known, names, max_missing=_MAX_MISSING, max_correlation=params.max_correlation)
    odd = {name for name, is_far in zip(names, far, strict=True) if is_far}
    flat = {name for i, name in enumerate(names) if not np.isfinite(z[:, i]).any()}
    words = {"missing": "missing or without spread among the negatives of a plate"}
    dropped = tuple(
        (n, "outliers" if n in odd else "no spread among the negatives" if n in flat else words.get(r, r))
        for n, r in found.dropped
    )
    if not found.kept:
        raise DataError(f"none of {len(names)} features can be used; the first, {dropped[0][0]}: {dropped[0][1]}")
    return Selection(found.kept, dropped)


def _filled(z: Profiles) -> tuple[Profiles, list[str]]:
    missing = ~np.isfinite(z)
    n = int(missing.sum())
    said = [f"{n} missing values in {missing.any(axis=1).sum()} wells were taken as the negatives' median"] if n else []
    return np.where(missing, 0.0, z), said


def _sphered(
    z: Profiles, is_negative: Bools, wells: pl.DataFrame, params: ProfileParams, reasons: list[str]
) -> tuple[Profiles, bool]:
    if not params.spheres:
        return z, False
    plate = wells["plate"].to_list()
    fewest = min(int((is_negative & (wells["plate"] == p).to_numpy()).sum()) for p in dict.fromkeys(plate))
    aligns = fewest >= z.shape[1]
    if not aligns and len(set(plate)) > 1:
        reasons.append(
            f"the plates' covariances were not aligned: {fewest} negatives on one of them, {z.shape[1]} features"
        )
    found = _told("sphering", reasons, lambda: sphere(z, is_negative, plate, shrinkage=params.shrinkage, aligns=aligns))
    return (z, False) if found is None else (found, True)


def _replication(profiles: Profiles, wells: pl.DataFrame, named: Bools, rng: np.random.Generator) -> Replication:
    """Replicates are wells of one treatment, whatever the groups of the precision are."""
    return replication(profiles[named], wells.filter(pl.Series(named))["treatment"].to_list(), rng)


def _shifts(
    plates: Sequence[MeasuredPlate],
    raw: Sequence[Profiles],
    negative: Sequence[Bools],
    tables: Sequence[pl.DataFrame],
    names: Sequence[str],
    kept: set[str],
) -> tuple[PlateShift, ...]:
    used = [i for i, n in enumerate(names) if n in kept]
    centres = np.array([_nanmedian(x[m][:, used]) for x, m in zip(raw, negative, strict=True)])
    spreads = [
        MAD_TO_SD * _nanmedian(np.abs(x[m][:, used] - c)) for x, m, c in zip(raw, negative, centres, strict=True)
    ]
    distance = np.abs(centres - np.median(centres, axis=0)) / np.maximum(np.median(spreads, axis=0), 1e-300)
    kept_names = [names[i] for i in used]
    return tuple(
        _shift(p.plate, table, d if len(plates) > 1 else d[:0], kept_names)
        for p, table, d in zip(plates, tables, distance, strict=True)
    )


def _shift(plate: str, table: pl.DataFrame, distance: Profiles, names: Sequence[str]) -> PlateShift:
    n_negative, n_sample = (int((table["role"] == str(role)).sum()) for role in (Role.NEGATIVE, Role.SAMPLE))
    if not len(distance):
        return PlateShift(plate, n_negative, n_sample, None, None, None)
    share, far = float((distance > _DRIFT_SD).mean()), names[int(distance.argmax())]
    return PlateShift(plate, n_negative, n_sample, float(np.median(distance)), share, far)
