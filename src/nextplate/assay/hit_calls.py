"""Hits, and how many of them are wrong.

A well is a hit from a robust z against the negative controls on. What share of inactive wells passes is told twice: by
the tail of a t distribution with the negatives' own spread, and by the negatives themselves that pass. The false
discovery rate is that share times the inactive samples over the hits (Storey and Tibshirani 2003,
doi 10.1073/pnas.1530509100); with few negatives it leans high, as their spread is itself uncertain.
Replicates give a second, independent estimate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from nextplate.assay.false_discovery import benjamini_hochberg, inactive_share
from nextplate.assay.spatial import Bools
from nextplate.assay.statistics import Values, robust_sd
from nextplate.errors import DataError

_FEWEST = 4
_MAD_EFFICIENCY = 0.37
"""Of the median absolute deviation against the standard deviation on normal data: the t has this share of n - 1."""
_TAIL_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class HitRates:
    """How sure the calls of a plate are; None where it cannot be told, the reason is in `reasons`."""

    n_samples: int
    """Samples with a value."""
    n_hits: int
    n_negatives: int
    n_false: int
    """Negatives that pass, where they are judged as samples are."""
    false_rate: float
    """Share of inactive wells that pass: the t tail, or the negatives' own share when it is plainly larger."""
    false_rate_high: float
    """Upper 95 % bound by the negatives alone (Clopper and Pearson 1934); with few negatives it is wide."""
    inactive_share: float
    """Share of samples that do nothing (Storey 2002)."""
    fdr: float | None
    """Expected share of false hits; None without hits."""
    fdr_high: float | None
    """The same at false_rate_high."""
    n_replicate_pairs: int
    """Pairs of wells of one compound in which the first is a hit; each pair counts in both orders."""
    unconfirmed: float | None
    """Share of those in which the second is none. True hits that fail by chance count too, so this is an upper
    estimate of the false discovery rate; None without pairs."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HitCalls:
    """Calls of one plate or screen, arrays of shape (n,)."""

    z: Values
    """(value - median of the negatives) / (1.4826 MAD), towards `direction`; NaN where there is no value."""
    p: Values
    """Chance of such a z or more in an inactive well; NaN as above."""
    q: Values
    """p of the samples after Benjamini and Hochberg; NaN in all other wells."""
    is_hit: Bools
    """Samples only."""
    rates: HitRates


def hit_calls(
    values: Values,
    is_negative: Bools,
    is_sample: Bools,
    *,
    compound: Sequence[str | None] | None = None,
    z_threshold: float = 3.0,
    max_q: float | None = None,
    direction: int = 1,
) -> HitCalls:
    """Call hits among the samples and say how many of them are false.

    Args:
        values: shape (n,), any normalised scale; NaN is never a hit.
        is_negative: shape (n,), good negative controls.
        is_sample: shape (n,), good samples.
        compound: the compound of each well; wells of one compound are replicates of each other. None: no replicates.
        z_threshold: robust z from which a sample is a hit.
        max_q: a hit must also have an adjusted p at most this; None: no such limit.
        direction: +1 when hits lie above the negatives, -1 below.

    Raises:
        DataError: shapes differ, fewer than four negatives, or negatives without spread.
    """
    _check(values, is_negative, is_sample, compound, direction)
    known = np.isfinite(values)
    negative = values[is_negative & known]
    z, p = _null(values, negative, direction)
    sample = is_sample & known
    q = np.full(values.shape, np.nan)
    q[sample] = benjamini_hochberg(p[sample])
    is_hit = sample & (z >= z_threshold) & (q <= (1.0 if max_q is None else max_q))
    limit = z_threshold if max_q is None or not is_hit.any() else max(z_threshold, float(z[is_hit].min()))
    pairs = (0, 0) if compound is None else _pairs(np.array([c or "" for c in compound], dtype=np.str_), sample, is_hit)
    return HitCalls(z, p, q, is_hit, _rates(z[is_negative & known], p[sample], limit, int(is_hit.sum()), pairs))


def _check(
    values: Values, is_negative: Bools, is_sample: Bools, compound: Sequence[str | None] | None, direction: int
) -> None:
    shapes = {values.shape, is_negative.shape, is_sample.shape, *({(len(compound),)} if compound is not None else ())}
    if len(shapes) > 1 or values.ndim != 1:
        raise DataError(f"values, roles and compounds differ in shape: {sorted(shapes)}")
    if direction not in (1, -1):
        raise DataError(f"direction is {direction}; it can be 1 or -1")
    n = int((is_negative & np.isfinite(values)).sum())
    if n < _FEWEST:
        raise DataError(f"{n} good negative controls, {_FEWEST} are needed to tell hits from noise")


def _null(values: Values, negative: Values, direction: int) -> tuple[Values, Values]:
    """Return (z, p): t with the freedom a MAD has; the median's own error, sd^2 pi / (2 n), widens it."""
    sd = robust_sd(negative)
    if not sd:
        raise DataError(f"the {len(negative)} negative controls have no spread (more than half are equal): no z")
    z = direction * (values - float(np.median(negative))) / sd
    return z, _tail(z, len(negative))


def _tail(z: Values, n_negative: int) -> Values:
    freedom = max(_MAD_EFFICIENCY * (n_negative - 1), 1.0)
    return np.asarray(special.stdtr(freedom, -z / math.sqrt(1 + math.pi / (2 * n_negative))))


def _pairs(compound: npt.NDArray[np.str_], sample: Bools, is_hit: Bools) -> tuple[int, int]:
    """Return (ordered pairs of replicates whose first is a hit, those whose second is a hit too)."""
    used = sample & (compound != "")
    if not used.any():
        return 0, 0
    code = np.unique(compound[used], return_inverse=True)[1]
    wells, hits = np.bincount(code), np.bincount(code, is_hit[used]).astype(np.int64)
    return int((hits * (wells - 1)).sum()), int((hits * (hits - 1)).sum())


def _rates(negative_z: Values, p: Values, limit: float, n_hits: int, pairs: tuple[int, int]) -> HitRates:
    n, n_false = len(negative_z), int((negative_z >= limit).sum())
    tail = float(_tail(np.array([limit]), n)[0])
    is_heavy = bool(special.bdtrc(n_false - 1, n, tail) < _TAIL_ALPHA)
    rate = n_false / n if is_heavy else tail
    high = max(float(special.betaincinv(n_false + 1, n - n_false, 0.95)) if n_false < n else 1.0, rate)
    quiet = inactive_share(p)
    inactive = quiet * len(p)
    n_pairs, confirmed = pairs
    return HitRates(
        n_samples=len(p),
        n_hits=n_hits,
        n_negatives=n,
        n_false=n_false,
        false_rate=rate,
        false_rate_high=high,
        inactive_share=quiet,
        fdr=min(1.0, rate * inactive / n_hits) if n_hits else None,
        fdr_high=min(1.0, high * inactive / n_hits) if n_hits else None,
        n_replicate_pairs=n_pairs,
        unconfirmed=1 - confirmed / n_pairs if n_pairs else None,
        reasons=_reasons(n_hits, n_pairs, n_false, n, tail, is_heavy),
    )


def _reasons(n_hits: int, n_pairs: int, n_false: int, n: int, tail: float, is_heavy: bool) -> tuple[str, ...]:
    said = [] if n_hits else ["there are no hits: no false discovery rate"]
    if n_hits and not n_pairs:
        said.append("no hit has a replicate: nothing confirms it")
    if is_heavy:
        said.append(f"{n_false} of {n} negatives pass, {tail * n:.2g} were expected: their tail is heavy")
    return tuple(said)
