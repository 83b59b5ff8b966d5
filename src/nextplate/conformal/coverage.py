"""How often the measurement falls into the interval, against how often it should."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from nextplate.conformal.calibration import Bins, Calibration, intervals

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Coverage:
    """Empirical coverage of one group at one level."""

    group: str
    """'all', or the group's name (for example exploit or explore)."""
    nominal: float
    empirical: float
    """Share of measurements inside; NaN when n is 0."""
    n: int
    low: float
    """Lower end of the 95 % Wilson interval of the share."""
    high: float
    mean_width: float
    """On the response scale; inf when an interval is infinite; NaN when n is 0."""


def coverage(y: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> tuple[float, int]:
    """Give the share of measurements inside [lower, upper] and how many there are; NaN rows do not count."""
    measured, low, high = (np.asarray(a, dtype=np.float64) for a in (y, lower, upper))
    is_known = ~(np.isnan(measured) | np.isnan(low) | np.isnan(high))
    n = int(is_known.sum())
    n_inside = int(((measured >= low) & (measured <= high))[is_known].sum())
    return (n_inside / n if n else float("nan"), n)


def wilson_interval(n_inside: int, n: int, z: float = _Z_95) -> tuple[float, float]:
    """Give the Wilson score interval of a share (Wilson 1927); (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    share = n_inside / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def coverage_table(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    bins: Sequence[str] | Bins | None = None,
    levels: Sequence[float] = LEVELS,
) -> tuple[Coverage, ...]:
    """Compare nominal with empirical coverage of predictions made before their wells were measured.

    Args:
        calibration: in use when the predictions were made.
        mean: shape (m,).
        spread: shape (m,).
        y: shape (m,), measured later; NaN where it was not.
        groups: shape (m,), e.g. the reason of each pick. Chosen compounds are not exchangeable with the rest
            (the winner's curse), so they are shown apart; None shows only all.
        bins: shape (m,), when the calibration has Mondrian categories.
        levels: nominal coverages.

    Returns:
        One row per group ('all' first, then by name) and level.
    """
    measured = np.asarray(y, dtype=np.float64)
    members = {"all": np.ones(len(measured), dtype=bool)}
    names = np.asarray(groups if groups is not None else [""] * len(measured), dtype=np.str_)
    members |= {str(name): names == name for name in np.unique(names) if name}
    rows = []
    for level in levels:
        lower, upper = intervals(calibration, mean, spread, confidence=level, bins=bins)
        rows += [_row(name, level, measured[at], lower[at], upper[at]) for name, at in members.items()]
    order = list(members)
    return tuple(sorted(rows, key=lambda row: (order.index(row.group), row.nominal)))


def _row(
    group: str,
    nominal: float,
    y: npt.NDArray[np.float64],
    lower: npt.NDArray[np.float64],
    upper: npt.NDArray[np.float64],
) -> Coverage:
    empirical, n = coverage(y, lower, upper)
    low, high = wilson_interval(round(empirical * n) if n else 0, n)
    is_known = ~np.isnan(y)
    width = float((upper - lower)[is_known].mean()) if n else float("nan")
    return Coverage(group, nominal, empirical, n, low, high, width)
