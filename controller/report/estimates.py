"""Numbers with their uncertainty: shares, ratios, errors of prediction, quality of a plate."""

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np
import numpy.typing as npt

from controller.report.model import Estimate
from nextplate.conformal.coverage import between_interval, wilson_interval

WILSON = "95 % Wilson interval"
BETWEEN = "95 % t interval between rounds"
KATZ = "95 % Katz log interval"
BOOTSTRAP = "95 % bootstrap interval over the control wells"
STANDARD_ERROR = "± 1 standard error"
_Z_95 = 1.959963984540054


def unknown(why: str, n: int | None = None) -> Estimate:
    """Make the estimate of a number that is not determined."""
    return Estimate(None, n=n, why=why)


def share(n_inside: int, n: int) -> Estimate:
    """Estimate a share with its Wilson interval."""
    if n == 0:
        return unknown("nothing was counted", 0)
    low, high = wilson_interval(n_inside, n)
    value = n_inside / n
    # At 0 and 1 the ends meet the share only up to rounding.
    return Estimate(value, min(low, value), max(high, value), n, WILSON)


def share_over_groups(counts: Sequence[tuple[int, int]]) -> Estimate:
    """Estimate a share over rounds, whose wells are not independent, from (inside, n) of each round.

    The interval is made between rounds; of a single round it is Wilson's.
    """
    inside, sizes = [k for k, _ in counts], [n for _, n in counts]
    pooled = share(sum(inside), sum(sizes))
    found = between_interval(inside, sizes)
    if found is None or pooled.value is None:
        return pooled
    return Estimate(pooled.value, min(found[0], pooled.value), max(found[1], pooled.value), pooled.n, BETWEEN)


def ratio_of_shares(n_first: int, of_first: int, n_second: int, of_second: int) -> Estimate:
    """Estimate first share / second share with the log interval of Katz et al. (Biometrics 1978, 34, 469)."""
    if not of_first or not of_second:
        return unknown("one of the two groups is empty")
    if not n_first or not n_second:
        return unknown(f"{n_first} of {of_first} against {n_second} of {of_second}: a count of 0 allows no ratio")
    ratio = (n_first / of_first) / (n_second / of_second)
    half = _Z_95 * sqrt(1 / n_first - 1 / of_first + 1 / n_second - 1 / of_second)
    return Estimate(ratio, ratio * exp(-half), ratio * exp(half), of_first + of_second, KATZ)


def over_known_share(n_inside: int, n: int, known: float) -> Estimate:
    """Estimate a share in units of a share that is known exactly."""
    found = share(n_inside, n)
    if found.value is None or found.low is None or found.high is None or known <= 0:
        return unknown(found.why or "the library holds no hit", n)
    return Estimate(found.value / known, found.low / known, found.high / known, n, f"{WILSON} of the share")


def rmse(predicted: npt.ArrayLike, measured: npt.ArrayLike, why: str) -> Estimate:
    """Estimate the root mean square error; its standard error is sd(squared error) / (2 rmse sqrt(n)).

    Args:
        predicted: shape (n,).
        measured: shape (n,); pairs with a NaN do not count.
        why: the reason when there is no pair.
    """
    error = np.asarray(predicted, dtype=np.float64) - np.asarray(measured, dtype=np.float64)
    squared = error[np.isfinite(error)] ** 2
    if len(squared) < 2:
        return unknown(why, len(squared))
    value = float(np.sqrt(squared.mean()))
    half = float(squared.std(ddof=1)) / (2 * value * sqrt(len(squared))) if value else 0.0
    return Estimate(value, max(0.0, value - half), value + half, len(squared), STANDARD_ERROR)


def recorded(value: float | None, interval: Sequence[float] | None, n: int, why: str) -> Estimate:
    """Put the interval that was recorded with a number of a plate beside it."""
    if value is None:
        return unknown(why)
    if interval is None:
        return Estimate(value, n=n, why="the controls are too few or too alike for an interval")
    return Estimate(value, interval[0], interval[1], n, BOOTSTRAP)
