"""What is said about a plate as a whole, and how plates drift."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nextplate.errors import DataError

FLAGS: Mapping[str, str] = {
    "no-control": "The plate has too few good wells of a control: responses are not used.",
    "no-ratio": "No cell of this well expresses the reporter or leaves a ring: there is no response.",
    "no-value": "The well was measured and has no value of this endpoint: there is no response.",
}
"""Reason codes this room adds to those of imaging.FLAGS."""


@dataclass(frozen=True, slots=True)
class PlateQc:
    """The quality of one plate; a number that cannot be computed is None and its reason is in `reasons`."""

    plate: str
    n_wells: int
    """Wells of the layout that hold something."""
    n_flagged: int
    """Wells with any flag."""
    flags: Mapping[str, int]
    """How many wells carry each reason code."""
    n_negative: int
    """Control wells that were good enough to count."""
    n_positive: int
    negative_median: float | None
    """Raw scale, that of the endpoint's column (log2(nucleus / ring) in the loop), after the correction."""
    positive_median: float | None
    negative_sd: float | None
    """Raw scale, 1.4826 MAD."""
    z_prime: float | None
    z_prime_robust: float | None
    """This one decides whether the plate passes: one bad control well must not fail a plate."""
    ssmd: float | None
    intervals: Mapping[str, tuple[float, float]]
    """95 % bootstrap intervals over the control wells of z_prime, z_prime_robust and ssmd, where there are any."""
    signal_to_background: float | None
    """Positive over negative on the linear scale; None where the endpoint has none."""
    cv_negative: float | None
    """On the linear scale; None likewise."""
    cells_negative: float | None
    """Median cells per field of the negatives."""
    edge_effect_z: float | None
    edge_shift: float | None
    """Outer ring minus interior of inactive wells, raw scale, before any correction."""
    row_effect: float | None
    """Share of the inactive wells' variance explained by the row, 0 to 1."""
    column_effect: float | None
    correction: str
    """What was done about position effects, in words; 'none' when nothing was."""
    noise_negative: float | None
    """Standard deviation (1.4826 MAD) of the negatives on the activity scale."""
    noise_replicates: float | None
    """Standard deviation within replicates of compounds on the activity scale; None without replicates."""
    false_hit_rate: float | None
    """Share of inactive wells expected to be called hits: the normal tail of the negatives beyond the limit."""
    expected_false_hits: float | None
    """false_hit_rate times the used sample wells."""
    n_false_hits: int
    """Negative wells that would have been called hits."""
    n_hits: int
    n_toxic: int
    passed: bool
    reasons: tuple[str, ...]
    """Why the plate failed, then why numbers are missing."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, keys in field order."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        intervals = {name: list(ends) for name, ends in self.intervals.items()}
        return row | {"flags": dict(self.flags), "intervals": intervals, "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "PlateQc":
        """Read what `to_json` wrote.

        Raises:
            DataError: a key is missing or unknown.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        if set(row) != names:
            wrong = ", ".join(sorted(set(row) ^ names))
            raise DataError(f"plate QC of {row.get('plate', 'an unnamed plate')}: keys missing or unknown: {wrong}")
        intervals = {name: (low, high) for name, (low, high) in row["intervals"].items()}
        return cls(**{**row, "flags": dict(row["flags"]), "intervals": intervals, "reasons": tuple(row["reasons"])})


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One plate's controls against those of all plates given."""

    plate: str
    negative_median: float | None
    positive_median: float | None
    window: float | None
    """positive_median - negative_median."""
    cells_negative: float | None
    negative_shift: float | None
    """Distance of negative_median from the median plate, in units of the plates' typical negative_sd."""
    window_ratio: float | None
    """Window over the median plate's window."""
    is_drifting: bool
    """negative_shift beyond 3, or window_ratio outside 0.67 to 1.5."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, keys in field order."""
        return dataclasses.asdict(self)


_DRIFT_SD, _DRIFT_WINDOW = 3.0, 1.5


def drift(plates: Sequence[PlateQc]) -> tuple[DriftRow, ...]:
    """Compare control medians plate by plate, in the order given; normalisation takes shifts out, noise stays."""
    centre = _median([q.negative_median for q in plates])
    spread = _median([q.negative_sd for q in plates])
    typical = _median([_window(q) for q in plates])
    return tuple(_drift_row(q, centre, spread, typical) for q in plates)


def _drift_row(q: PlateQc, centre: float | None, spread: float | None, typical: float | None) -> DriftRow:
    shift = ratio = None
    if q.negative_median is not None and centre is not None and spread:
        shift = (q.negative_median - centre) / spread
    window = _window(q)
    if window is not None and typical:
        ratio = window / typical
    is_far = shift is not None and abs(shift) > _DRIFT_SD
    is_other = ratio is not None and not 1 / _DRIFT_WINDOW <= ratio <= _DRIFT_WINDOW
    return DriftRow(
        q.plate, q.negative_median, q.positive_median, window, q.cells_negative, shift, ratio, is_far or is_other
    )


def _window(q: PlateQc) -> float | None:
    if q.negative_median is None or q.positive_median is None:
        return None
    return q.positive_median - q.negative_median


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None
