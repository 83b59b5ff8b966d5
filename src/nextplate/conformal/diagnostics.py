"""Nominal against empirical coverage: overall, per round, per category, and on the picked compounds apart.

    record = RoundRecord(round=3, p_values=p, least_p_values=least, is_picked=picked, categories=scaffold_class)
    rows = coverage_rows([record, ...])          # frozen rows, with binomial intervals
    coverage_picture(rows)                       # PNG bytes (nextplate.conformal.picture)

A conformal p-value per measurement tells whether it was inside at every level (predictive.measured_p_values), so a
record needs no interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import BoolArray, FloatArray, Names, check_level, flags, names, vector
from nextplate.conformal.coverage import between_interval, wilson_interval

SHOWN_LEVELS = (0.8, 0.9, 0.95)
BETWEEN_ROUNDS, WITHIN_ROUND = "between rounds", "within round"


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """Measurements of one round whose intervals had been predicted before.

    Raises:
        DataError: shapes differ, or a p-value is NaN.
    """

    round: int
    p_values: npt.ArrayLike
    """Shape (m,): conformal p-value of each measurement; inside the interval of a level when above 1 - level."""
    is_picked: npt.ArrayLike | None = None
    """Shape (m,): chosen by its prediction, as opposed to at random; None: not told apart."""
    categories: npt.ArrayLike | None = None
    """Shape (m,): class, scaffold cluster, plate ...; None: not told apart."""
    least_p_values: npt.ArrayLike | None = None
    """Shape (m,): the least p-value possible, above 1 - level where the interval was infinite; None: all finite."""
    method: str = field(default="conformal", kw_only=True)
    """What made the intervals, e.g. split or weighted."""


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Coverage of one group at one level."""

    method: str
    group: str
    """'all', 'picked', 'rest', 'round 3' or 'class NAME'."""
    nominal: float
    empirical: float
    """Share inside; NaN when n is 0."""
    n: int
    low: float
    """Lower end of the 95 % interval of the share."""
    high: float
    n_infinite: int
    """How many were inside only because their interval was infinite."""
    interval: str
    """BETWEEN_ROUNDS: t interval of the share, from how much rounds differ, as wells of a round are not independent
    (``between_interval``); WITHIN_ROUND: of a single round nothing else is known than Wilson's, as if they were."""


def coverage_rows(records: Sequence[RoundRecord], levels: Sequence[float] = SHOWN_LEVELS) -> tuple[CoverageRow, ...]:
    """Count what was inside, per method, group and level.

    Returns:
        Per method in the order met: 'all', 'picked' and 'rest' (when told apart), each round, each class; every
        group that is not empty at every level. Empty without records.

    Raises:
        DataError: a record's shapes differ, a p-value is NaN, or a level is out of range.
    """
    for level in levels:
        check_level(level)
    rows: list[CoverageRow] = []
    for method in dict.fromkeys(record.method for record in records):
        own = [record for record in records if record.method == method]
        p, least, number = _joined(own)
        for group, members in _groups(own, number):
            if not members.any() and group != "all":
                continue
            rows += [_row(method, group, level, p[members], least[members], number[members]) for level in levels]
    return tuple(rows)


def _joined(records: Sequence[RoundRecord]) -> tuple[FloatArray, FloatArray, npt.NDArray[np.intp]]:
    p = [vector(r.p_values, f"p-values of round {r.round}") for r in records]
    least = [
        np.zeros(len(own)) if r.least_p_values is None else vector(r.least_p_values, "least p-values", len(own))
        for r, own in zip(records, p, strict=True)
    ]
    number = np.repeat([r.round for r in records], [len(own) for own in p])
    return np.concatenate(p), np.concatenate(least), number


def _groups(records: Sequence[RoundRecord], number: npt.NDArray[np.intp]) -> Iterator[tuple[str, BoolArray]]:
    yield "all", np.ones(len(number), dtype=bool)
    picked, is_told = _picked(records)
    if is_told.any():
        yield "picked", picked & is_told
        yield "rest", ~picked & is_told
    for one in np.unique(number):
        yield f"round {one}", number == one
    classes, has_class = _classes(records)
    for name in np.unique(classes[has_class]):
        yield f"class {name}", has_class & (classes == name)


def _picked(records: Sequence[RoundRecord]) -> tuple[BoolArray, BoolArray]:
    sizes = [len(np.asarray(r.p_values)) for r in records]
    told = [np.full(n, r.is_picked is not None) for r, n in zip(records, sizes, strict=True)]
    values = [
        np.zeros(n, dtype=bool) if r.is_picked is None else flags(r.is_picked, "is_picked", n)
        for r, n in zip(records, sizes, strict=True)
    ]
    return np.concatenate(values), np.concatenate(told)


def _classes(records: Sequence[RoundRecord]) -> tuple[Names, BoolArray]:
    sizes = [len(np.asarray(r.p_values)) for r in records]
    told = [np.full(n, r.categories is not None) for r, n in zip(records, sizes, strict=True)]
    values = [
        np.full(n, "") if r.categories is None else names(r.categories, "categories", n)
        for r, n in zip(records, sizes, strict=True)
    ]
    return np.concatenate(values), np.concatenate(told)


def _row(
    method: str, group: str, level: float, p: FloatArray, least: FloatArray, number: npt.NDArray[np.intp]
) -> CoverageRow:
    edge = 1 - level + 1e-12
    is_inside = p > edge
    n, n_inside = len(p), int(is_inside.sum())
    _, at, sizes = np.unique(number, return_inverse=True, return_counts=True)
    found = between_interval(np.bincount(at, weights=is_inside, minlength=len(sizes)), sizes)
    low, high = wilson_interval(n_inside, n) if found is None else found
    interval = WITHIN_ROUND if found is None else BETWEEN_ROUNDS
    empirical = n_inside / n if n else float("nan")
    return CoverageRow(method, group, level, empirical, n, low, high, int((least > edge).sum()), interval)


def coverage_text(rows: Sequence[CoverageRow]) -> str:
    """Set the rows as a table for a terminal."""
    head = (
        f"{'method':<12} {'group':<24} {'nominal':>8} {'inside':>8} {'95 % interval':>16} {'':<14} {'n':>7} "
        f"{'infinite':>9}"
    )
    return "\n".join([head, *(_line(row) for row in rows)])


def _line(row: CoverageRow) -> str:
    inside = "-" if row.n == 0 else f"{100 * row.empirical:.1f} %"
    between = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
    infinite = "-" if row.n == 0 else f"{100 * row.n_infinite / row.n:.1f} %"
    return (
        f"{row.method:<12} {row.group:<24} {100 * row.nominal:>6.0f} % {inside:>8} {between:>16} {row.interval:<14} "
        f"{row.n:>7,} {infinite:>9}"
    )
