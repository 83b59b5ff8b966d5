"""How long a thing takes that has been done before: what to expect, and when it is late."""

import math
from collections.abc import Sequence

FEWEST = 3
"""Durations that must be known before anything is called late."""
_LEAST_SPREAD = 0.1
"""Relative: three equal durations do not prove that there is no spread."""


def usual_s(samples: Sequence[float]) -> float | None:
    """Return the median of what it took, in seconds; None where nothing is known."""
    ordered = sorted(samples)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def late_s(samples: Sequence[float], level: float = 0.99) -> float | None:
    """Return the time that the next one stays under with this probability.

    Durations are taken as log-normal with unknown mean and spread, so the bound is Student's prediction limit of the
    logarithms (Hahn and Meeker, Statistical Intervals, 1991, chapter 4), which is wide while few are known.

    Args:
        samples: seconds; those of nothing (0 s) are no durations.
        level: of the limit.

    Returns:
        Seconds; None while fewer than FEWEST are known.
    """
    logs = [math.log(s) for s in samples if s > 0]
    n = len(logs)
    if n < FEWEST:
        return None
    # Loaded only where something is in flight: some commands must answer at once.
    from scipy.special import stdtrit

    mean = sum(logs) / n
    spread = max(_LEAST_SPREAD, math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1)))
    return math.exp(mean + float(stdtrit(n - 1, level)) * spread * math.sqrt(1 + 1 / n))
