"""Dose-response curves: a midpoint with its interval, or the reason why there is none.

The midpoint (EC50, or IC50 of a falling curve) is the relative one: half way between the fitted plateaus. It counts as
determined when its whole interval lies within the tested doses; an end beyond them hangs on a plateau nobody has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl

from nextplate.assay import hill_curve
from nextplate.assay.hill_curve import N_PARAMETERS, Fit, Series
from nextplate.assay.monotone import Direction, Monotonicity, monotonicity
from nextplate.assay.profile import NAMES, Interval, interval
from nextplate.assay.statistics import Values
from nextplate.errors import DataError

_MIN_DOSES = 5
_MIN_SPARE = 3
"""Wells beyond the four parameters: fewer do not tell the noise."""
_ALPHA = 0.05
_BEND_ALPHA = 0.01
"""A bend back must be plain: a steep curve's plateau with few wells bends now and then by chance."""


_INTERVALS = ("midpoint", "left", "right", "slope")
_COLUMNS: dict[str, pl.DataType] = {
    "verdict": pl.String(),
    "reason": pl.String(),
    **{f"{name}{end}": pl.Float64() for name in _INTERVALS for end in ("", "_low", "_high")},
    **{name: pl.Float64() for name in ("above", "below", "noise")},
    "direction": pl.String(),
    "trend_p": pl.Float64(),
    "bend_p": pl.Float64(),
    "n_doses": pl.Int32(),
    "n_wells": pl.Int32(),
}


class Axis(StrEnum):
    """What the dose column counts."""

    CONCENTRATION = "concentration"
    """Any linear unit; the curve is fitted on log10 of it."""
    INDEX = "index"
    """Steps of a dilution, already logarithmic."""


class Verdict(StrEnum):
    """Whether there is a midpoint, and if not why."""

    DETERMINED = "determined"
    TOO_FEW_DOSES = "too-few-doses"
    FLAT = "flat"
    WRONG_DIRECTION = "wrong-direction"
    NOT_MONOTONE = "not-monotone"
    OUTSIDE = "outside-tested-range"
    NO_PLATEAU = "no-plateau"


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """One curve; what was not fitted is None."""

    verdict: Verdict
    reason: str
    """In words; '' when determined."""
    midpoint: Interval | None
    """EC50 or IC50 in the units of the dose; present only when determined."""
    above: float | None
    """The midpoint lies above this dose (one-sided, at half the error of the interval); None: no such bound."""
    below: float | None
    left: Interval | None
    """Response without compound."""
    right: Interval | None
    """Response at saturation."""
    slope: Interval | None
    """Hill slope, > 0; on an index axis the decades that one step moves the odds."""
    noise: float | None
    """Standard deviation of a well about the curve, response units."""
    monotone: Monotonicity | None
    n_doses: int
    """Without the wells at dose 0."""
    n_wells: int

    @property
    def is_determined(self) -> bool:
        """Say whether there is a midpoint with two ends."""
        return self.verdict is Verdict.DETERMINED


def fit_dose_response(
    dose: Sequence[float] | Values,
    response: Sequence[float] | Values,
    *,
    axis: Axis = Axis.CONCENTRATION,
    expected: Direction | None = None,
    confidence: float = 0.95,
) -> DoseResponse:
    """Fit the wells of one compound.

    Args:
        dose: shape (n,); 0 is a well without compound, on either axis.
        response: shape (n,); wells without a finite response are left out.
        axis: how doses are spaced.
        expected: the direction that counts as an effect; None: either.
        confidence: of every interval.

    Raises:
        DataError: shapes differ, or a dose is negative or not finite.
    """
    x, y = _wells(dose, response, axis)
    n_doses = len(np.unique(x[np.isfinite(x)]))
    trend = monotonicity(x, y) if n_doses >= 2 else None
    failed = _unfit(len(y), n_doses, trend, expected)
    if failed:
        return _undetermined(*failed, trend, n_doses, len(y))
    data = hill_curve.series(x, y)
    fitted = hill_curve.fit(data)
    return _judged(data, fitted, trend, axis, confidence, n_doses)


def dose_responses(
    table: pl.DataFrame,
    *,
    series: str = "compound_id",
    dose: str = "dose_um",
    response: str = "activity",
    axis: Axis = Axis.CONCENTRATION,
    expected: Direction | None = None,
    confidence: float = 0.95,
) -> pl.DataFrame:
    """Fit every series of a table of wells; the names of its columns are given.

    Returns:
        One row per series, sorted by name: the numbers of `DoseResponse`, an interval as NAME, NAME_low, NAME_high.
        Wells without a series are left out.

    Raises:
        DataError: a column is missing, or as `fit_dose_response`; the series is named.
    """
    absent = [c for c in (series, dose, response) if c not in table.columns]
    if absent:
        raise DataError(f"the table of wells lacks the columns {', '.join(absent)}")
    known = table.filter(pl.col(series).is_not_null() & pl.col(dose).is_not_null())
    rows = []
    for (name,), wells in sorted(known.group_by(series, maintain_order=True), key=lambda group: str(group[0][0])):
        x, y = (wells[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in (dose, response))
        try:
            found = fit_dose_response(x, y, axis=axis, expected=expected, confidence=confidence)
        except DataError as error:
            raise DataError(f"series {name}: {error}") from error
        rows.append({series: str(name), **_row(found)})
    return pl.DataFrame(rows, schema={series: pl.String(), **_COLUMNS})


def _row(found: DoseResponse) -> dict[str, object]:
    row: dict[str, object] = {}
    for name in _INTERVALS:
        value: Interval | None = getattr(found, name)
        ends = (None, None, None) if value is None else (value.estimate, value.low, value.high)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    trend = found.monotone
    return row | {
        "verdict": str(found.verdict),
        "reason": found.reason,
        "above": found.above,
        "below": found.below,
        "noise": found.noise,
        "direction": None if trend is None else str(trend.direction),
        "trend_p": None if trend is None else trend.trend_p,
        "bend_p": None if trend is None else trend.bend_p,
        "n_doses": found.n_doses,
        "n_wells": found.n_wells,
    }


def _wells(dose: Sequence[float] | Values, response: Sequence[float] | Values, axis: Axis) -> tuple[Values, Values]:
    d, y = np.asarray(dose, dtype=np.float64), np.asarray(response, dtype=np.float64)
    if d.shape != y.shape or d.ndim != 1:
        raise DataError(f"{d.shape} doses and {y.shape} responses: give one dose for each response")
    wrong = d[~(np.isfinite(d) & (d >= 0))]
    if len(wrong):
        raise DataError(f"dose {wrong[0]:g} found; a dose is 0 (no compound) or a positive number")
    is_known = np.isfinite(y)
    d, y = d[is_known], y[is_known]
    x = np.full(d.shape, -np.inf)
    x[d > 0] = np.log10(d[d > 0]) if axis is Axis.CONCENTRATION else d[d > 0]
    return x, y


def _unfit(
    n_wells: int, n_doses: int, trend: Monotonicity | None, expected: Direction | None
) -> tuple[Verdict, str] | None:
    """Say why no curve is worth fitting; None when one is."""
    if n_doses < _MIN_DOSES:
        return Verdict.TOO_FEW_DOSES, f"{n_doses} doses, {_MIN_DOSES} are needed for four parameters"
    if n_wells < N_PARAMETERS + _MIN_SPARE:
        return Verdict.TOO_FEW_DOSES, f"{n_wells} wells, {N_PARAMETERS + _MIN_SPARE} are needed for four parameters"
    if trend is None or trend.trend_p > _ALPHA:
        p = "all responses are equal" if trend is None else f"p = {trend.trend_p:.2g}"
        return Verdict.FLAT, f"the response does not follow the dose ({p})"
    if trend.bend_p is not None and trend.bend_p < _BEND_ALPHA:
        return Verdict.NOT_MONOTONE, f"the response turns back at some dose (p = {trend.bend_p:.2g})"
    if expected is not None and trend.direction is not expected:
        return Verdict.WRONG_DIRECTION, f"the response goes {trend.direction} with the dose, {expected} was expected"
    return None


def _undetermined(
    verdict: Verdict, reason: str, trend: Monotonicity | None, n_doses: int, n_wells: int
) -> DoseResponse:
    nothing = (None,) * 7
    return DoseResponse(verdict, reason, *nothing, trend, n_doses, n_wells)


def _judged(
    data: Series, fitted: Fit, trend: Monotonicity | None, axis: Axis, confidence: float, n_doses: int
) -> DoseResponse:
    found = {name: interval(data, fitted, i, confidence) for name, i in NAMES.items()}
    midpoint = found["x50"]
    first, last = data.tested
    above = midpoint.low if midpoint.low is not None and midpoint.low >= first else None
    below = midpoint.high if midpoint.high is not None and midpoint.high <= last else None
    is_open = above is None or below is None
    verdict, reason = _verdict(midpoint, data.tested, axis) if is_open else (Verdict.DETERMINED, "")
    return DoseResponse(
        verdict=verdict,
        reason=reason,
        midpoint=None if is_open else _in_doses(midpoint, axis),
        above=_dose(above, axis) if is_open and above is not None else None,
        below=_dose(below, axis) if is_open and below is not None else None,
        left=found["left"],
        right=found["right"],
        slope=_in_doses(found["slope"], Axis.CONCENTRATION),
        noise=fitted.noise,
        monotone=trend,
        n_doses=n_doses,
        n_wells=len(data.y),
    )


def _verdict(midpoint: Interval, tested: tuple[float, float], axis: Axis) -> tuple[Verdict, str]:
    first, last = tested
    words = f"{_dose(first, axis):.3g} to {_dose(last, axis):.3g}"
    if not first <= midpoint.estimate <= last:
        side = "below" if midpoint.estimate < first else "above"
        return Verdict.OUTSIDE, f"the midpoint lies {side} the tested doses, {words}"
    missing = [
        name
        for name, is_missed in (
            ("left", midpoint.low is None or midpoint.low < first),
            ("right", midpoint.high is None or midpoint.high > last),
        )
        if is_missed
    ]
    return Verdict.NO_PLATEAU, f"the {' and the '.join(missing)} plateau was not reached within the doses, {words}"


def _dose(x: float, axis: Axis) -> float:
    return float(10.0**x) if axis is Axis.CONCENTRATION else x


def _in_doses(found: Interval, axis: Axis) -> Interval:
    low, high = (None if end is None else _dose(end, axis) for end in (found.low, found.high))
    return Interval(_dose(found.estimate, axis), low, high)
