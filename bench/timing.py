"""The one way to time a piece of work."""

import time
from collections.abc import Callable


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the best time of a few runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def warm_seconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Return the best time of a few runs after a warm one."""
    work()
    return seconds(work, repeats)
