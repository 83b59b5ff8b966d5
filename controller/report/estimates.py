"""Numbers with their uncertainty: shares, ratios, errors of prediction, quality of a plate."""

from collections.abc import Callable
from math import exp, sqrt

import numpy as np
import numpy.typing as npt

from controller.report.model import Estimate
from nextplate.conformal.coverage import wilson_interval

FloatArray = npt.NDArray[np.float64]
WILSON = "95 % Wilson interval"
KATZ = "95 % Katz log interval"
BOOTSTRAP = "95 % bootstrap interval over the control wells"
STANDARD_ERROR = "± 1 standard error"
_Z_95 = 1.959963984540054
_N_BOOTSTRAP = 2000
_MAD_TO_SD = 1.4826


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


def z_prime(negative: FloatArray, positive: FloatArray) -> FloatArray:
    """Z' (Zhang et al., J. Biomol. Screen. 1999, 4, 67) along the last axis."""
    noise = negative.std(axis=-1, ddof=1) + positive.std(axis=-1, ddof=1)
    distance = np.abs(positive.mean(axis=-1) - negative.mean(axis=-1))
    return _quotient(distance, noise, lambda d, s: 1 - 3 * s / d)


def z_prime_robust(negative: FloatArray, positive: FloatArray) -> FloatArray:
    """Z' with medians and scaled MADs along the last axis."""
    noise = _mad(negative) + _mad(positive)
    distance = np.abs(np.median(positive, axis=-1) - np.median(negative, axis=-1))
    return _quotient(distance, noise, lambda d, s: 1 - 3 * s / d)


def ssmd(negative: FloatArray, positive: FloatArray) -> FloatArray:
    """Strictly standardised mean difference (Zhang, Genomics 2007, 89, 552) along the last axis."""
    noise = np.sqrt(negative.var(axis=-1, ddof=1) + positive.var(axis=-1, ddof=1))
    return _quotient(positive.mean(axis=-1) - negative.mean(axis=-1), noise, lambda d, s: d / s)


def with_bootstrap(
    value: float | None,
    why: str,
    negative: FloatArray,
    positive: FloatArray,
    statistic: Callable[[FloatArray, FloatArray], FloatArray],
) -> Estimate:
    """Put a bootstrap interval around a recorded number: control wells are drawn again, with replacement.

    The generator is seeded by a constant, so that a report says the same each time it is written.
    """
    if value is None:
        return unknown(why)
    n = len(negative) + len(positive)
    if len(negative) < 3 or len(positive) < 3:
        return Estimate(value, n=n, why="fewer than 3 wells of a control: no interval")
    rng = np.random.default_rng(20260105)
    drawn = [a[rng.integers(0, len(a), (_N_BOOTSTRAP, len(a)))] for a in (negative, positive)]
    values = statistic(*drawn)
    known = values[np.isfinite(values)]
    if len(known) < _N_BOOTSTRAP // 2:
        return Estimate(value, n=n, why="the controls are too few or too alike for an interval")
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(value, float(low), float(high), n, BOOTSTRAP)


def _mad(values: FloatArray) -> FloatArray:
    centre = np.median(values, axis=-1, keepdims=True)
    scaled: FloatArray = _MAD_TO_SD * np.median(np.abs(values - centre), axis=-1)
    return scaled


def _quotient(
    distance: FloatArray, noise: FloatArray, value: Callable[[FloatArray, FloatArray], FloatArray]
) -> FloatArray:
    is_possible = (distance != 0) & (noise > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(is_possible, value(distance, noise), np.nan)
