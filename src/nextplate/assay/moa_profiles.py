"""From well profiles of many plates to one profile per treatment: normalise to DMSO, then take medians.

Two normalisations, both on the negative controls alone. "robust": per plate, (x - median) / (1.4826 MAD) of its own
DMSO wells (Ljosa et al. 2013, doi 10.1177/1087057113503553, with the robust scale). "sphere": the same, then typical
variation normalisation over the DMSO wells of all plates, with each batch aligned (Ando, McLean, Berndl 2017,
doi 10.1101/161422; nextplate.assay.sphering).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nextplate.assay.features import select_features
from nextplate.assay.moa import Treatments
from nextplate.assay.spatial import Bools
from nextplate.assay.sphering import Profiles, sphere
from nextplate.assay.statistics import MAD_TO_SD, Values
from nextplate.errors import DataError

Normalisation = Literal["robust", "sphere"]
NORMALISATIONS: tuple[Normalisation, ...] = ("robust", "sphere")
_FEWEST = 2
"""DMSO wells of a plate that can give a spread."""
_LARGEST_Z = 1e3
"""Robust z are cut here: a feature that hardly varies among DMSO wells must not decide a cosine alone."""
_LEAST_OF_POOLED = 0.1
"""A plate's own spread counts for at least this share of that of all plates: six wells can agree by accident."""
_SILENT = 1e-9
_NO_COPY = 2.0
"""A correlation that no two features reach."""


def normalisation_of(word: str) -> Normalisation:
    """Return the normalisation of this name.

    Raises:
        DataError: there is none; names those that are.
    """
    for name in NORMALISATIONS:
        if name == word:
            return name
    raise DataError(f"normalisation {word!r}; it can be {' or '.join(NORMALISATIONS)}")


@dataclass(frozen=True, slots=True)
class TreatedWells:
    """Wells of many plates and what was in them; every sequence has n entries."""

    plate: tuple[str, ...]
    well: tuple[str, ...]
    batch: tuple[str, ...]
    compound: tuple[str, ...]
    concentration: tuple[float, ...]
    moa: tuple[str, ...]
    """'' in controls and wells without a known mechanism; those normalise and are not scored."""
    is_control: Bools
    """Shape (n,): DMSO."""
    features: tuple[str, ...]
    profiles: Profiles
    """Shape (n, features); NaN where a well lacks a number."""

    def __post_init__(self) -> None:
        """Refuse unequal lengths and a well that occurs twice."""
        lengths = {len(self.plate), len(self.well), len(self.batch), len(self.compound), len(self.concentration)}
        if lengths | {len(self.moa), len(self.is_control), len(self.profiles)} != {len(self.plate)}:
            raise DataError("plate, well, batch, compound, concentration, moa and profiles of wells differ in length")
        if self.profiles.ndim != 2 or self.profiles.shape[1] != len(self.features):
            raise DataError(f"{len(self.features)} feature names for profiles of shape {self.profiles.shape}")
        seen: set[tuple[str, str]] = set()
        for place in zip(self.plate, self.well, strict=True):
            if place in seen:
                raise DataError(f"plate {place[0]}, well {place[1]} occurs twice among the profiles")
            seen.add(place)


@dataclass(frozen=True, slots=True)
class NormalisedWells:
    """Profiles on the scale of the controls."""

    wells: TreatedWells
    """Those that could be normalised; `profiles` finite, `features` those kept."""
    dropped_features: tuple[tuple[str, str], ...]
    """(name, reason)."""
    dropped_wells: tuple[tuple[str, str, str], ...]
    """(plate, well, reason)."""


def normalise_wells(
    wells: TreatedWells, how: Normalisation = "robust", *, max_correlation: float = 0.95, max_missing: float = 0.05
) -> NormalisedWells:
    """Bring every plate on the scale of its DMSO wells and drop features that do not serve.

    A well goes when it lacks more than half of the numbers that any well has (no cells: what is left would look like
    DMSO), and a plate with fewer than two DMSO wells left. A feature goes when more than `max_missing` of the wells
    lack it, when it is constant, for sphering also when it is constant among the DMSO wells of a batch, or when it is
    a copy of another (|r| above `max_correlation`, of normalised values; the labels are not looked at). What is then
    still missing in a well is that of DMSO, 0. A plate's spread counts for at least a tenth of that of all plates.

    Raises:
        DataError: an unknown normalisation, no plate with two DMSO wells, no feature left, or too few controls to
            sphere on; the plate or batch is named.
    """
    normalisation_of(how)
    kept, left_out = _usable(wells)
    known = select_features(kept.profiles, kept.features, max_missing=max_missing, max_correlation=_NO_COPY)
    kept = _of_features(kept, known.kept)
    z = _with_profiles(kept, _robust_z(kept))
    silent = _silent_in_a_batch(z) if how == "sphere" else {}
    z = _of_features(z, tuple(f for f in z.features if f not in silent))
    chosen = select_features(z.profiles, z.features, max_correlation=max_correlation)
    dropped = (*known.dropped, *silent.items(), *chosen.dropped)
    if not chosen.kept:
        reasons = sorted({reason.partition(" of ")[0] for _, reason in dropped}) or ["none was given"]
        raise DataError(f"no feature is left of {len(wells.features)}: {', '.join(reasons)}")
    done = _of_features(z, chosen.kept)
    if how == "sphere":
        done = _with_profiles(done, sphere(done.profiles, done.is_control, done.batch))
    return NormalisedWells(done, dropped, left_out)


def treatments_of(wells: TreatedWells) -> tuple[Treatments, Treatments]:
    """Take the median profile of every treatment with a known MOA: over all its wells, and in each batch.

    Returns:
        (treatments, treatments by batch) as nextplate.assay.moa.score_moa takes them, sorted by name.

    Raises:
        DataError: no well has a known MOA, or a treatment has two.
    """
    rows = [i for i, moa in enumerate(wells.moa) if moa and not wells.is_control[i]]
    if not rows:
        raise DataError("no well holds a treatment whose mechanism is known; compare the names in the tables")
    whole: dict[tuple[str, float, str], list[int]] = {}
    parts: dict[tuple[str, float, str], list[int]] = {}
    for i in rows:
        whole.setdefault((wells.compound[i], wells.concentration[i], ""), []).append(i)
        parts.setdefault((wells.compound[i], wells.concentration[i], wells.batch[i]), []).append(i)
    for (compound, concentration, _), its in whole.items():
        if len(moas := sorted({wells.moa[i] for i in its})) > 1:
            raise DataError(f"{compound} @ {concentration:g} has several mechanisms: {', '.join(moas)}; keep one")
    return _medians(wells, whole), _medians(wells, parts)


def _medians(wells: TreatedWells, groups: dict[tuple[str, float, str], list[int]]) -> Treatments:
    keys = sorted(groups)
    return Treatments(
        compound=tuple(c for c, _, _ in keys),
        concentration=tuple(x for _, x, _ in keys),
        moa=tuple(wells.moa[groups[k][0]] for k in keys),
        batch=tuple(b for _, _, b in keys),
        profiles=np.stack([np.median(wells.profiles[groups[k]], axis=0) for k in keys]),
    )


def _usable(wells: TreatedWells) -> tuple[TreatedWells, tuple[tuple[str, str, str], ...]]:
    """Leave out wells that are nearly blank, then plates that cannot be normalised."""
    known = np.isfinite(wells.profiles)
    n_known, n_any = known.sum(axis=1), int(known.any(axis=0).sum())
    reasons = ["no number at all" if n == 0 else "more than half of the numbers missing" if 2 * n < n_any else ""
               for n in n_known.tolist()]  # fmt: skip
    plates = np.asarray(wells.plate, dtype=np.str_)
    is_good = np.array([not r for r in reasons], dtype=np.bool_)
    for plate in np.unique(plates):
        mine = plates == plate
        n = int((mine & is_good & wells.is_control).sum())
        if n < _FEWEST:
            words = f"plate {plate}: {n} DMSO wells with numbers, {_FEWEST} are needed to normalise it"
            reasons = [r or words if m else r for r, m in zip(reasons, mine, strict=True)]
    keep = np.array([not r for r in reasons], dtype=np.bool_)
    if not keep.any():
        raise DataError(next((r for r in reasons if r.startswith("plate")), "there are no wells to normalise"))
    out = tuple((p, w, r) for p, w, r in zip(wells.plate, wells.well, reasons, strict=True) if r)
    return _rows(wells, keep), out


def _robust_z(wells: TreatedWells) -> Profiles:
    """Return robust z per plate, missing values 0."""
    plates = np.unique(np.asarray(wells.plate, dtype=np.str_), return_inverse=True)[1]
    centred, spread = np.empty_like(wells.profiles), np.empty_like(wells.profiles)
    for plate in range(int(plates.max()) + 1):
        mine = plates == plate
        centre, spread[mine] = _scale_of(wells.profiles[mine & wells.is_control])
        centred[mine] = wells.profiles[mine] - centre
    z = centred / np.fmax(spread, _LEAST_OF_POOLED * _pooled_scale(centred, wells.is_control))
    return np.clip(np.where(np.isfinite(z), z, 0.0), -_LARGEST_Z, _LARGEST_Z)


def _pooled_scale(centred: Profiles, is_control: Bools) -> Values:
    """Return the spread of each feature among all DMSO wells, each less its plate's median.

    1.4826 MAD; where that is 0 (a feature silent in most DMSO wells, as of a network with rectified units) the
    standard deviation; where that is 0 too, that of all wells: what only treatments excite must not be lost.
    """
    values = np.where(np.isfinite(centred), centred, 0.0)
    controls = values[is_control]
    scale = MAD_TO_SD * np.median(np.abs(controls - np.median(controls, axis=0)), axis=0)
    for wider in (controls, values):
        scale = np.where(scale > 0, scale, wider.std(axis=0))
    return np.where(scale > 0, scale, 1.0)


def _silent_in_a_batch(z: TreatedWells) -> dict[str, str]:
    """Return the features that cannot be whitened: constant among the DMSO wells of some batch."""
    batches = np.asarray(z.batch, dtype=np.str_)
    found: dict[str, str] = {}
    for batch in np.unique(batches):
        controls = z.profiles[z.is_control & (batches == batch)]
        for i in np.flatnonzero(controls.std(axis=0) <= _SILENT):
            found.setdefault(z.features[i], f"constant in the DMSO wells of batch {batch}")
    return found


def _scale_of(controls: Profiles) -> tuple[Values, Values]:
    """Return median and 1.4826 MAD of each column over its known values; NaN where none is known."""
    some = np.isfinite(controls).any(axis=0)
    centre, mad = np.full(len(some), np.nan), np.full(len(some), np.nan)
    values = np.where(np.isfinite(controls), controls, np.nan)[:, some]
    centre[some] = np.nanmedian(values, axis=0)
    mad[some] = np.nanmedian(np.abs(values - centre[some]), axis=0)
    return centre, MAD_TO_SD * mad


def _of_features(wells: TreatedWells, names: Sequence[str]) -> TreatedWells:
    place = {name: i for i, name in enumerate(wells.features)}
    return _replaced(wells, tuple(names), wells.profiles[:, [place[n] for n in names]])


def _with_profiles(wells: TreatedWells, profiles: Profiles) -> TreatedWells:
    return _replaced(wells, wells.features, profiles)


def _replaced(w: TreatedWells, features: tuple[str, ...], profiles: Profiles) -> TreatedWells:
    return TreatedWells(w.plate, w.well, w.batch, w.compound, w.concentration, w.moa, w.is_control, features, profiles)


def _rows(w: TreatedWells, keep: Bools) -> TreatedWells:
    at = np.flatnonzero(keep)

    def of(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[i] for i in at)

    concentration = tuple(w.concentration[i] for i in at)
    return TreatedWells(
        of(w.plate), of(w.well), of(w.batch), of(w.compound), concentration, of(w.moa), w.is_control[at], w.features,
        w.profiles[at],
    )  # fmt: skip
