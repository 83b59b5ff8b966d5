"""A share of right answers with an interval that knows that answers about one compound are not independent.

Whole compounds are drawn again with replacement (the cluster bootstrap; Field and Welsh 2007,
doi 10.1111/j.1467-9868.2007.00593.x) and the interval is the percentile one. A share of 0 or 1 has no spread to draw
from: there the exact binomial interval of Clopper and Pearson (1934, doi 10.1093/biomet/26.4.404) over compounds
stands in, so that "all right" never looks certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextplate.assay.retrieval import Codes
from nextplate.assay.statistics import Values
from nextplate.errors import DataError

N_DRAWS = 2000
_TAILS = (2.5, 97.5)
_FEWEST = 2
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """A share of right answers."""

    estimate: float | None
    """0 to 1; None without any answer."""
    low: float | None
    """End of the 95 % interval; None with fewer than two compounds, or differences without spread."""
    high: float | None
    n: int
    """Answers counted."""
    n_clusters: int
    """Compounds they are about."""


def clustered_share(right: Values, cluster: Sequence[str], rng: np.random.Generator, n_draws: int = N_DRAWS) -> Share:
    """Return the mean of `right` (1 right, 0 wrong, between: partly), shape (n,), with its 95 % interval.

    Args:
        right: shape (n,), 0 to 1.
        cluster: the compound that each answer is about, n names.
        rng: of the bootstrap.
        n_draws: bootstrap samples.

    Raises:
        DataError: as many clusters as answers are needed.
    """
    code, n_clusters = _codes(right, cluster)
    if len(right) == 0:
        return Share(None, None, None, 0, 0)
    estimate = float(right.mean())
    if n_clusters < _FEWEST:
        return Share(estimate, None, None, len(right), n_clusters)
    if right.min() == right.max() and estimate in (0.0, 1.0):
        bound = float(0.025 ** (1 / n_clusters))
        low, high = (bound, 1.0) if estimate == 1.0 else (0.0, 1 - bound)
    else:
        low, high = _percentiles(_drawn_means(right, code, n_clusters, rng, n_draws))
    return Share(estimate, low, high, len(right), n_clusters)


def clustered_difference(
    first: Values, second: Values, cluster: Sequence[str], rng: np.random.Generator, n_draws: int = N_DRAWS
) -> Share:
    """Return the mean of first - second over the same answers, paired, with its 95 % interval.

    Raises:
        DataError: the lengths differ.
    """
    if len(first) != len(second):
        raise DataError(f"{len(first)} and {len(second)} answers cannot be paired")
    code, n_clusters = _codes(first, cluster)
    if len(first) == 0:
        return Share(None, None, None, 0, 0)
    change = first - second
    estimate = float(change.mean())
    if n_clusters < _FEWEST or change.min() == change.max():  # no spread: what is drawn again says nothing
        return Share(estimate, None, None, len(first), n_clusters)
    low, high = _percentiles(_drawn_means(change, code, n_clusters, rng, n_draws))
    return Share(estimate, low, high, len(first), n_clusters)


def _codes(values: Values, cluster: Sequence[str]) -> tuple[Codes, int]:
    if len(values) != len(cluster):
        raise DataError(f"{len(cluster)} cluster names for {len(values)} answers")
    names, code = np.unique(np.asarray(cluster, dtype=np.str_), return_inverse=True)
    return code.astype(np.int64), len(names)


def _drawn_means(values: Values, code: Codes, n_clusters: int, rng: np.random.Generator, n_draws: int) -> Values:
    """Return the mean of each bootstrap sample of whole clusters, shape (n_draws,)."""
    total = np.bincount(code, weights=values, minlength=n_clusters)
    count = np.bincount(code, minlength=n_clusters)
    width = max(1, _BLOCK // n_clusters)
    means = []
    for start in range(0, n_draws, width):
        drawn = rng.integers(0, n_clusters, (min(width, n_draws - start), n_clusters))
        means.append(total[drawn].sum(axis=1) / count[drawn].sum(axis=1))
    return np.concatenate(means)


def _percentiles(means: Values) -> tuple[float, float]:
    low, high = np.percentile(means, _TAILS)
    return float(low), float(high)
