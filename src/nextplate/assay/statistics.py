"""Control statistics of one plate; every function returns None where the number does not exist."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
"""Shape (n,), finite."""

MAD_TO_SD = 1.4826
"""Median absolute deviation times this is the standard deviation of a normal distribution."""


def robust_sd(values: Values) -> float | None:
    """Return 1.4826 MAD; None with fewer than two values."""
    if len(values) < 2:
        return None
    return MAD_TO_SD * float(np.median(np.abs(values - np.median(values))))


def z_prime(positive: Values, negative: Values) -> float | None:
    """Return Z' = 1 - 3 (sd_p + sd_n) / |mean_p - mean_n| (Zhang, Chung, Oldenburg 1999,
    doi 10.1177/108705719900400206); None with fewer than two wells of a role or equal means.
    """
    if len(positive) < 2 or len(negative) < 2:
        return None
    window = abs(float(positive.mean() - negative.mean()))
    spread = float(positive.std(ddof=1) + negative.std(ddof=1))
    return 1 - 3 * spread / window if _is_window(window, positive, negative) else None


def z_prime_robust(positive: Values, negative: Values) -> float | None:
    """Return Z' with medians and 1.4826 MAD for means and standard deviations (Birmingham et al. 2009,
    doi 10.1038/nmeth.1351); None with fewer than two wells of a role or equal medians.
    """
    sd_p, sd_n = robust_sd(positive), robust_sd(negative)
    if sd_p is None or sd_n is None:
        return None
    window = abs(float(np.median(positive) - np.median(negative)))
    return 1 - 3 * (sd_p + sd_n) / window if _is_window(window, positive, negative) else None


def ssmd(positive: Values, negative: Values) -> float | None:
    """Return the strictly standardised mean difference (mean_p - mean_n) / sqrt(var_p + var_n) (Zhang 2007,
    doi 10.1016/j.ygeno.2006.12.014); None with fewer than two wells of a role or no variance at all.
    """
    if len(positive) < 2 or len(negative) < 2:
        return None
    variance = float(positive.var(ddof=1) + negative.var(ddof=1))
    return float(positive.mean() - negative.mean()) / math.sqrt(variance) if variance > 0 else None


def signal_to_background(positive: Values, negative: Values) -> float | None:
    """Return mean_p / mean_n of values on a linear scale; None without wells of a role or a mean of 0."""
    if len(positive) == 0 or len(negative) == 0 or float(negative.mean()) == 0:
        return None
    return float(positive.mean() / negative.mean())


def variation(values: Values) -> float | None:
    """Return the coefficient of variation sd / |mean| of values on a linear scale; None as above."""
    if len(values) < 2 or float(values.mean()) == 0:
        return None
    return float(values.std(ddof=1) / abs(values.mean()))


def variation_robust(values: Values) -> float | None:
    """Return 1.4826 MAD / |median| of values on a linear scale; None with fewer than two values or a median of 0."""
    sd = robust_sd(values)
    if sd is None or float(np.median(values)) == 0:
        return None
    return sd / abs(float(np.median(values)))


def signal_window(positive: Values, negative: Values) -> float | None:
    """Return (|mean_p - mean_n| - 3 (sd_p + sd_n)) / sd_p (Sittampalam et al. 1997, doi 10.1177/108705719700200306).

    The number of standard deviations of the positives that fit between the two controls; 2 and more is good. None with
    fewer than two wells of a role or positives without spread.
    """
    if len(positive) < 2 or len(negative) < 2:
        return None
    sd_p, sd_n = float(positive.std(ddof=1)), float(negative.std(ddof=1))
    gap = abs(float(positive.mean() - negative.mean())) - 3 * (sd_p + sd_n)
    return gap / sd_p if sd_p > 0 else None


def v_factor(doses: Sequence[Values]) -> float | None:
    """Return V = 1 - 6 mean(sd) / (largest mean - smallest mean) over the doses of a series, controls among them.

    Ravkin 2004 (Society for Biomolecular Screening, poster P12024), with the window between extreme doses as
    CellProfiler's CalculateStatistics takes it; with the two controls alone it is Z'. A dose with one well counts in
    the window only. None when no dose has two wells or all means are equal.
    """
    spread = [float(d.std(ddof=1)) for d in doses if len(d) > 1]
    means = [float(d.mean()) for d in doses if len(d)]
    if not spread or max(means) - min(means) <= 1e-9 * max(*(abs(m) for m in means), 1e-300):
        return None
    return 1 - 6 * float(np.mean(spread)) / (max(means) - min(means))


def normal_tail(z: float) -> float:
    """Return the share of a standard normal distribution above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def pooled_sd(groups: list[Values]) -> float | None:
    """Return the standard deviation within groups of replicates, sqrt(sum (x - group mean)^2 / sum (n - 1)).

    None when no group holds two values.
    """
    many = [g for g in groups if len(g) > 1]
    freedom = sum(len(g) - 1 for g in many)
    if freedom == 0:
        return None
    return math.sqrt(sum(float(((g - g.mean()) ** 2).sum()) for g in many) / freedom)


def _is_window(window: float, positive: Values, negative: Values) -> bool:
    scale = max(float(np.abs(positive).max()), float(np.abs(negative).max()), 1e-300)
    return window > 1e-9 * scale
