"""How sure the numbers of a plate are: its control wells drawn again, with replacement (Efron 1979)."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from nextplate.assay.statistics import MAD_TO_SD, Values

Drawn = npt.NDArray[np.float64]
"""Shape (draws, wells)."""
N_DRAWS = 2000
_FEWEST_WELLS = 3
_SEED = 20260105
"""A constant, so that the same plate gives the same interval whenever it is judged."""


def control_intervals(positive: Values, negative: Values) -> dict[str, tuple[float, float]]:
    """Give 95 % percentile intervals of z_prime, z_prime_robust and ssmd.

    Args:
        positive: shape (p,), finite.
        negative: shape (n,), finite.

    Returns:
        (low, high) by name; a name is absent where fewer than three wells of a role, or draws that are mostly
        without spread, allow no interval.
    """
    return _intervals(positive, negative, _STATISTICS)


def ratio_intervals(positive: Values, negative: Values) -> dict[str, tuple[float, float]]:
    """Give 95 % percentile intervals of signal_to_background, cv_negative and cv_positive.

    The arguments, on a linear scale, and the result are as in `control_intervals`.
    """
    return _intervals(positive, negative, _RATIOS)


def _intervals(
    positive: Values, negative: Values, statistics: Mapping[str, Callable[[Drawn, Drawn], Values]]
) -> dict[str, tuple[float, float]]:
    if min(len(positive), len(negative)) < _FEWEST_WELLS:
        return {}
    rng = np.random.default_rng(_SEED)
    drawn = [a[rng.integers(0, len(a), (N_DRAWS, len(a)))] for a in (positive, negative)]
    found = {name: _interval(statistic(*drawn)) for name, statistic in statistics.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def _interval(values: Values) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    if len(known) < len(values) // 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _z_prime(positive: Drawn, negative: Drawn) -> Values:
    noise = positive.std(axis=1, ddof=1) + negative.std(axis=1, ddof=1)
    return _one_less(noise, np.abs(positive.mean(axis=1) - negative.mean(axis=1)))


def _z_prime_robust(positive: Drawn, negative: Drawn) -> Values:
    noise = _robust_sd(positive) + _robust_sd(negative)
    return _one_less(noise, np.abs(np.median(positive, axis=1) - np.median(negative, axis=1)))


def _ssmd(positive: Drawn, negative: Drawn) -> Values:
    noise = np.sqrt(positive.var(axis=1, ddof=1) + negative.var(axis=1, ddof=1))
    return _quotient(positive.mean(axis=1) - negative.mean(axis=1), noise)


def _robust_sd(values: Drawn) -> Values:
    centre = np.median(values, axis=1, keepdims=True)
    spread: Values = MAD_TO_SD * np.median(np.abs(values - centre), axis=1)
    return spread


def _one_less(noise: Values, window: Values) -> Values:
    # A draw without any spread is an accident of few wells, not a perfect assay.
    return 1 - 3 * _quotient(np.where(noise > 0, noise, np.nan), window)


def _quotient(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


_STATISTICS: Mapping[str, Callable[[Drawn, Drawn], Values]] = {
    "z_prime": _z_prime,
    "z_prime_robust": _z_prime_robust,
    "ssmd": _ssmd,
}
_RATIOS: Mapping[str, Callable[[Drawn, Drawn], Values]] = {
    "signal_to_background": lambda positive, negative: _quotient(positive.mean(axis=1), negative.mean(axis=1)),
    "cv_negative": lambda _, negative: _quotient(negative.std(axis=1, ddof=1), negative.mean(axis=1)),
    "cv_positive": lambda positive, _: _quotient(positive.std(axis=1, ddof=1), positive.mean(axis=1)),
}
