"""Do replicates find each other? Replicate correlation and mean average precision.

The precision is that of copairs (Kalinin et al. 2025, doi 10.1038/s41467-025-60306-2; preprint 2024): each well asks
for its replicates by cosine similarity among its replicates and the reference wells, AP = mean over its replicates of
(replicates found so far / rank), mAP is the mean over a group. The null is the same too: random rankings of as many
positives among as many wells, one null for all wells of one such pair of numbers, averaged over the group draw by draw,
p = (1 + #null >= mAP) / (1 + draws). As replicates share their draw they count as fully dependent, which makes p
conservative. Different from copairs: no pair table (similarities come in blocks of whole rows), no files cached, ties
count against the compound (a reference well as similar as a replicate; a null equal to mAP, which copairs does not
count), every p comes from the generator given, and none of its multi-label or hierarchical tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.assay.false_discovery import benjamini_hochberg
from nextplate.assay.spatial import Bools
from nextplate.assay.sphering import Profiles
from nextplate.assay.statistics import Values
from nextplate.errors import DataError

Codes = npt.NDArray[np.int64]
_BLOCK = 4_000_000
"""Similarities held at a time."""


@dataclass(frozen=True, slots=True)
class GroupPrecision:
    """How well one group's wells find each other."""

    group: str
    n_wells: int
    precision: float
    """Mean average precision, 0 to 1."""
    chance: float
    """Mean of the null."""
    p: float
    q: float
    """p after Benjamini and Hochberg over all groups."""


@dataclass(frozen=True, slots=True)
class Replication:
    """How alike replicates are."""

    groups: tuple[str, ...]
    """Those with two wells or more, sorted."""
    correlation: Values
    """Median pairwise Pearson correlation within each group, shape (groups,)."""
    limit: float
    """95th percentile of the same median over random wells of different groups."""
    percent_replicating: float
    """Percent of groups above the limit; about 5 without any effect."""


def cosine(profiles: Profiles, others: Profiles) -> Profiles:
    """Return cosine similarities, shape (n, m); a profile of zeros is similar to nothing (0)."""
    return np.asarray(_unit(profiles) @ _unit(others).T)


def average_precision(similarity: Profiles, is_positive: Bools, is_candidate: Bools) -> Values:
    """Return the average precision of each row's ranking; all of shape (queries, wells).

    AP = 1 / P sum over positives of (positives ranked so far / rank). Ties go to the negatives. NaN without positives.
    """
    positive = is_positive & is_candidate
    order = np.argsort(np.where(is_candidate, -similarity, np.inf), axis=1, kind="stable")
    # Ties are rare and cost a second sort key: negatives first.
    if bool((np.diff(np.take_along_axis(similarity, order, axis=1), axis=1) == 0).any()):
        order = np.lexsort((positive, np.where(is_candidate, -similarity, np.inf)), axis=1)
    hit = np.take_along_axis(positive, order, axis=1)
    found = np.cumsum(hit, axis=1)
    precision = found / np.arange(1, hit.shape[1] + 1)
    n = found[:, -1]
    return np.divide((precision * hit).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)


def chance_precision(n_positive: int, n_total: int, n_draws: int, rng: np.random.Generator) -> Values:
    """Draw average precisions of random rankings, shape (n_draws,)."""
    ranks = np.sort(_subsets(n_positive, n_total, n_draws, rng), axis=1) + 1
    return np.asarray((np.arange(1, n_positive + 1) / ranks).mean(axis=1))


def mean_average_precision(
    profiles: Profiles,
    group: Sequence[str],
    is_reference: Bools,
    rng: np.random.Generator,
    *,
    against: str = "references",
    n_draws: int = 10_000,
) -> tuple[GroupPrecision, ...]:
    """Judge every group with two wells or more, sorted by name.

    Args:
        profiles: shape (n, features), finite.
        group: the compound (or target, or dose) of each well; that of reference wells does not matter.
        is_reference: shape (n,), the negative controls.
        rng: of the null.
        against: "references": replicates among the controls, is the compound active; "others": among the wells of all
            other groups, is it distinct.
        n_draws: of the null.

    Raises:
        DataError: values that are not finite, an unknown `against`, or nothing to rank against.
    """
    _check(profiles, group, against)
    names, code = np.unique(np.asarray(group, dtype=np.str_), return_inverse=True)
    code = np.where(is_reference, -1, code)
    asking = np.flatnonzero((code >= 0) & (np.bincount(code[code >= 0], minlength=len(names))[code] > 1))
    others = is_reference if against == "references" else code >= 0
    if len(asking) and not others.any():
        raise DataError(f"no {against} to rank against")
    ap, shape = _precisions(profiles, code, asking, others)
    return _judged(names, code[asking], ap, shape, n_draws, rng)


def replication(profiles: Profiles, group: Sequence[str], rng: np.random.Generator, n_draws: int = 1000) -> Replication:
    """Compare replicates with random wells (percent replicating; Way et al. 2022, doi 10.1016/j.cels.2022.10.001).

    The null draws as many wells as the groups have on median, each of another group.

    Raises:
        DataError: no group has two wells, or there are fewer groups than wells in one.
    """
    _check(profiles, group, "others")
    names, code = np.unique(np.asarray(group, dtype=np.str_), return_inverse=True)
    count = np.bincount(code)
    many = np.flatnonzero(count > 1)
    if len(many) == 0:
        raise DataError("no group has two wells: there are no replicates to compare")
    size = max(2, int(np.median(count[many])))
    if len(names) < size:
        raise DataError(f"{len(names)} groups: the null needs at least {size}, one well of each")
    unit = _unit(profiles - profiles.mean(axis=1, keepdims=True))
    within = np.array([_median_pair(unit[code == i]) for i in many])
    null = _null_pairs(unit, code, size, n_draws, rng)
    limit = float(np.percentile(null, 95))
    return Replication(tuple(str(names[i]) for i in many), within, limit, 100 * float((within > limit).mean()))


def _check(profiles: Profiles, group: Sequence[str], against: str) -> None:
    if profiles.ndim != 2 or len(profiles) != len(group):
        raise DataError(f"{len(group)} group names for profiles of shape {profiles.shape}")
    if not np.isfinite(profiles).all():
        raise DataError("profiles hold values that are not finite; select features first")
    if against not in ("references", "others"):
        raise DataError(f"against is {against!r}; it can be references or others")


def _precisions(profiles: Profiles, code: Codes, asking: Codes, others: Bools) -> tuple[Values, Codes]:
    """Return average precision and (positives, candidates) of each asking well."""
    unit = _unit(profiles)
    ap, shape = np.empty(len(asking)), np.empty((len(asking), 2), np.int64)
    width = max(1, _BLOCK // len(profiles))
    for i in range(0, len(asking), width):
        rows = asking[i : i + width]
        same = code[rows, None] == code[None, :]
        same[np.arange(len(rows)), rows] = False
        candidate = same | others
        candidate[np.arange(len(rows)), rows] = False
        ap[i : i + width] = average_precision(unit[rows] @ unit.T, same, candidate)
        shape[i : i + width] = np.stack([same.sum(axis=1), candidate.sum(axis=1)], axis=1)
    return ap, shape


def _judged(
    names: npt.NDArray[np.str_], code: Codes, ap: Values, shape: Codes, n_draws: int, rng: np.random.Generator
) -> tuple[GroupPrecision, ...]:
    if len(code) == 0:
        return ()
    shapes, which = np.unique(shape, axis=0, return_inverse=True)
    null = np.stack([chance_precision(int(p), int(n), n_draws, rng) for p, n in shapes])
    groups = np.unique(code)
    rows = [np.flatnonzero(code == g) for g in groups]
    score = np.array([ap[r].mean() for r in rows])
    chance = [null[which[r]].mean(axis=0) for r in rows]
    # A tie with the null counts against the group up to rounding.
    p = np.array([(1 + (c >= s - 1e-12).sum()) / (1 + n_draws) for s, c in zip(score, chance, strict=True)])
    q = benjamini_hochberg(p)
    return tuple(
        GroupPrecision(str(names[g]), len(r), float(s), float(c.mean()), float(a), float(b))
        for g, r, s, c, a, b in zip(groups, rows, score, chance, p, q, strict=True)
    )


def _subsets(size: int, total: int, n_draws: int, rng: np.random.Generator) -> Codes:
    """Draw subsets of range(total) without replacement, shape (n_draws, size), by Floyd's method on all rows."""
    chosen = np.empty((n_draws, size), np.int64)
    for i, top in enumerate(range(total - size, total)):
        drawn = rng.integers(0, top + 1, n_draws)
        is_taken = (chosen[:, :i] == drawn[:, None]).any(axis=1)
        chosen[:, i] = np.where(is_taken, top, drawn)
    return chosen


def _unit(profiles: Profiles) -> Profiles:
    length = np.linalg.norm(profiles, axis=1, keepdims=True)
    return np.divide(profiles, length, out=np.zeros_like(profiles, dtype=np.float64), where=length > 0)


def _median_pair(unit: Profiles) -> float:
    above = np.triu_indices(len(unit), 1)
    return float(np.median((unit @ unit.T)[above]))


def _null_pairs(unit: Profiles, code: Codes, size: int, n_draws: int, rng: np.random.Generator) -> Values:
    order = np.argsort(code, kind="stable")
    count = np.bincount(code)
    first = np.cumsum(count) - count
    groups = _subsets(size, len(count), n_draws, rng)
    wells = order[first[groups] + rng.integers(0, count[groups])]
    similarity = np.einsum("dif,djf->dij", unit[wells], unit[wells])
    above = np.triu_indices(size, 1)
    return np.asarray(np.median(similarity[:, above[0], above[1]], axis=1))
