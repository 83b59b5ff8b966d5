"""How often the measurement falls into the interval, against how often it should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

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
    """Lower end of the 95 % Wilson interval of the share, as if the compounds were independent."""
    high: float
    mean_width: float
    """On the response scale; inf when an interval is infinite; NaN when n is 0."""
    n_infinite: int
    """How many were inside only because their interval was infinite."""


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


def between_interval(n_inside: npt.ArrayLike, n: npt.ArrayLike) -> tuple[float, float] | None:
    """Give the 95 % interval of a share over groups whose members are alike: wells of a round, rounds of a seed.

    A t interval from the spread between groups: with p = sum x / sum n and d_i = (x_i - p n_i) / mean n, the variance
    of p is sum d_i^2 / (k (k - 1)), t has k - 1 degrees of freedom (ratio estimator, Cochran, Sampling Techniques,
    1977, 6.3); of groups of one size this is the t interval of their shares. Groups that happen to agree prove little,
    so it is never narrower than the Wilson interval of the pooled count.

    Args:
        n_inside: shape (k,), x_i.
        n: shape (k,), members; groups without any do not count.

    Returns:
        Lower and upper end, in [0, 1]; None when there are fewer than two groups.
    """
    inside, sizes = np.asarray(n_inside, dtype=np.float64), np.asarray(n, dtype=np.float64)
    inside, sizes = inside[sizes > 0], sizes[sizes > 0]
    k = len(sizes)
    if k < 2:
        return None
    share = float(inside.sum() / sizes.sum())
    off = (inside - share * sizes) / sizes.mean()
    half = float(stdtrit(k - 1, 0.975)) * sqrt(float(off @ off) / (k * (k - 1)))
    low, high = wilson_interval(round(float(inside.sum())), round(float(sizes.sum())))
    return max(0.0, min(low, share - half)), min(1.0, max(high, share + half))


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
    each = {level: intervals(calibration, mean, spread, confidence=level, bins=bins) for level in levels}
    return coverage_of(each, y, groups=groups)


def coverage_of(
    each: Mapping[float, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
    y: npt.ArrayLike,
    *,
    groups: Sequence[str] | None = None,
) -> tuple[Coverage, ...]:
    """Compare nominal with empirical coverage of intervals given before their wells were measured.

    Args:
        each: lower and upper ends, each shape (m,), by nominal coverage.
        y: shape (m,), measured later; NaN where it was not.
        groups: as for coverage_table.

    Returns:
        Rows as coverage_table gives.
    """
    measured = np.asarray(y, dtype=np.float64)
    members = {"all": np.ones(len(measured), dtype=bool)}
    names = np.asarray(groups if groups is not None else [""] * len(measured), dtype=np.str_)
    members |= {str(name): names == name for name in np.unique(names) if name}
    rows = [
        _row(name, level, measured[at], lower[at], upper[at])
        for level, (lower, upper) in each.items()
        for name, at in members.items()
    ]
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
    widths = (upper - lower)[is_known]
    width = float(widths.mean()) if n else float("nan")
    return Coverage(group, nominal, empirical, n, low, high, width, int(np.isinf(widths).sum()))
