"""How far apart the controls of a plate, or of one series of it, stand: every number with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextplate.assay import statistics
from nextplate.assay.bootstrap import control_intervals, ratio_intervals
from nextplate.assay.endpoint import Endpoint
from nextplate.assay.statistics import Values

_RATIOS = ("signal_to_background", "cv_negative", "cv_positive")


@dataclass(frozen=True, slots=True)
class ControlQc:
    """Statistics of positive against negative control wells."""

    n_negative: int
    """Good wells."""
    n_positive: int
    numbers: Mapping[str, float | None]
    """z_prime, z_prime_robust, ssmd, signal_window, signal_to_background, cv_negative, cv_positive; None: see reasons.
    """
    intervals: Mapping[str, tuple[float, float]]
    """95 % bootstrap intervals over the wells, where there are three wells of each control; they are a little too
    narrow with few wells."""
    reasons: tuple[str, ...]
    """Why numbers are None."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        intervals = {name: list(ends) for name, ends in self.intervals.items()}
        counts = {"n_negative": self.n_negative, "n_positive": self.n_positive}
        return {**counts, **self.numbers, "intervals": intervals, "reasons": list(self.reasons)}


def control_quality(positive: Values, negative: Values, endpoint: Endpoint) -> ControlQc:
    """Compare the good wells of two controls, shapes (p,) and (n,), raw scale."""
    high, low = endpoint.linear(positive), endpoint.linear(negative)
    numbers = {
        "z_prime": statistics.z_prime(positive, negative),
        "z_prime_robust": statistics.z_prime_robust(positive, negative),
        "ssmd": statistics.ssmd(positive, negative),
        "signal_window": statistics.signal_window(positive, negative),
        "signal_to_background": statistics.signal_to_background(high, low),
        "cv_negative": statistics.variation(low),
        "cv_positive": statistics.variation(high),
    }
    intervals = control_intervals(positive, negative) | ratio_intervals(high, low)
    known = {name: ends for name, ends in intervals.items() if numbers[name] is not None}
    reasons = tuple(_why(n, positive, negative, endpoint) for n, value in numbers.items() if value is None)
    return ControlQc(len(negative), len(positive), numbers, known, reasons)


def _why(name: str, positive: Values, negative: Values, endpoint: Endpoint) -> str:
    wells = f"{len(negative)} good negative and {len(positive)} good positive wells"
    has_zero = len(endpoint.linear(positive)) == len(positive) and len(endpoint.linear(negative)) == len(negative)
    if name in _RATIOS and not has_zero:
        return f"{name} is not known: {endpoint.column} has no zero to take ratios to"
    return f"{name} is not known: {wells}"
