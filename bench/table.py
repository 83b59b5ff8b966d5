"""One table for every figure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    what: str
    measured: str
    """With unit and spread."""
    baseline: str
    """What it is compared with, measured in the same run, or the bar it has to meet."""
    command: str


def markdown(figures: Sequence[Figure]) -> str:
    """Write the figures as a Markdown table."""
    head = "| figure | measured | against | command |\n|---|---|---|---|\n"
    return head + "".join(f"| {f.what} | {f.measured} | {f.baseline} | `{f.command}` |\n" for f in figures)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write mean and sample standard deviation."""
    import statistics

    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} +- {sd:.{digits}f} (n = {len(values)})"
