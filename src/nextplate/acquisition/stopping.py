"""When to stop: hits left among the untested, the yield of the next plate, and whether it is worth its wells.

Given calibrated probabilities the number of hits is Poisson-binomial; its distribution is Volkova's refined normal
approximation (1996), good to a few thousandths at any size. Taken as it is the interval is far too narrow, because
all probabilities can be wrong together. How wrong they were on earlier plates is known, so it is learnt from there:

    realised hits of round r ~ Poisson(ratio_r * expected_r),    ratio_r = common * (Gamma with mean 1 and cv c)

The common ratio and the scatter c have weak priors (log-normal about 1, half-normal) and are summed out on a grid, so
nothing is fitted and no sampling is done; rounds long ago count less (a power prior, Ibrahim and Chen 2000).

Which history belongs to which question matters: picks by score flatter themselves, so their history tells of the next
plate; only compounds drawn by lot tell of the many that are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from nextplate.errors import DataError, PlanError

FloatArray = npt.NDArray[np.float64]

_PRIOR_SD = 0.7
"""Standard deviation of the log of the common ratio of picks before anything is known: by 95 % within a factor of 4."""
_LOT_PRIOR_SD = 1.0
"""Likewise of compounds drawn by lot: the few scores of a first plate calibrate the rare hits of a library badly."""
_LOT_SCATTER = np.array([0.2])
"""What is left differs from what was drawn by lot: picking takes the best away. Set so that on three real sets
(Enamine10k, ALDH1, TYK2, 30 campaigns each) the intervals cover about nominal; checked on a fourth."""
_SCATTER_SD = 0.5
"""Scale of the half-normal prior of the scatter between rounds."""
_MEMORY = 0.9
"""What the round before counts, the one before it 0.9 squared, and so on."""
_COMMON = np.linspace(-3.0, 3.0, 121)
_SCATTER = np.linspace(0.05, 1.5, 30)
_RATIO = np.linspace(-5.0, 3.5, 341)
_LEAST_MASS = 1e-7
_HELD = "the next plate's yield is held to what is left: by earlier picks alone it would be {:.1f} hits ({} to {})"


@dataclass(frozen=True, slots=True)
class Yield:
    """What a set of wells promised, and what it gave."""

    expected: float
    """Sum of P(hit) as believed before they were measured."""
    realised: int
    """Hits among them."""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of hits not known yet."""

    expected: float
    """Mean, corrected by the history."""
    low: int
    high: int
    """[low, high] holds the number with probability ``level`` or more."""
    level: float
    uncorrected: float
    """The plain sum of P(hit)."""
    ratio: float
    """expected / uncorrected: below 1 when earlier plates gave less than they promised; 1 where nothing is expected."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What going on would bring."""

    hits_left: Count
    next_yield: Count
    stop: bool
    reason: str
    """One sentence that says why, with its figures."""
    notes: tuple[str, ...]


def count_hits(
    p_hit: npt.ArrayLike, history: Sequence[Yield] = (), *, by_lot: bool = False, level: float = 0.9
) -> Count:
    """Predict how many of some compounds are hits.

    Args:
        p_hit: shape (n,), calibrated; n may be 0.
        history: of compounds chosen in the same way, oldest first; empty: only the prior widens the interval.
        by_lot: the history is of compounds drawn by lot from those that p_hit is of (and from those tested since):
            they share nearly one ratio, so no round is forgotten and none scatters by itself.
        level: of the interval, in (0, 1).

    Raises:
        DataError: a probability is NaN or outside [0, 1], or a yield is negative or not finite.
        PlanError: the level is out of range.
    """
    if not 0 < level < 1:
        raise PlanError(f"the level is {level}; it must lie between 0 and 1")
    p = _checked(p_hit)
    total = float(p.sum())
    if total == 0:
        return Count(0.0, 0, 0, level, 0.0, 1.0)
    scatters, prior_sd, memory = (_LOT_SCATTER, _LOT_PRIOR_SD, 1.0) if by_lot else (_SCATTER, _PRIOR_SD, _MEMORY)
    mass = _ratio_mass(history, scatters, prior_sd, memory)
    used = mass > _LEAST_MASS
    ratios, weights = np.exp(_RATIO[used]), mass[used] / mass[used].sum()
    means, variances, skews = _moments(p, ratios)
    tail = 0.5 * (1 - level)
    low, high = (_quantile(q, len(p), means, variances, skews, weights) for q in (tail, 1 - tail))
    expected = float(weights @ means)
    return Count(expected, low, high, level, total, expected / total)


def outlook(
    p_untested: npt.ArrayLike,
    p_picks: npt.ArrayLike,
    history: Sequence[Yield] = (),
    lot_history: Sequence[Yield] = (),
    *,
    least_hits: float = 1.0,
    level: float = 0.9,
) -> Outlook:
    """Say what is left, what the next plate would bring, and whether to stop.

    Stopping is suggested when even the upper end of the next plate's yield is below ``least_hits``, or when fewer than
    one hit is left at the upper end.

    Args:
        p_untested: shape (n,), calibrated P(hit) of every compound not tested (the picks among them).
        p_picks: shape (m,), of the compounds picked for the next plate.
        history: of earlier plates' picks by score, oldest first.
        lot_history: of compounds drawn by lot (first plate, explore picks), oldest first; P(hit) of those that the
            belief learnt from is to be out of fold.
        least_hits: a plate with fewer hits is not worth its wells.
        level: of both intervals.

    Raises:
        DataError, PlanError: as count_hits; PlanError also when least_hits is negative.
    """
    if not least_hits >= 0:
        raise PlanError(f"least_hits is {least_hits}; it is a number of hits per plate, 0 or more")
    left = count_hits(p_untested, lot_history, by_lot=True, level=level)
    alone = count_hits(p_picks, history, level=level)
    plate = _at_most(alone, left)
    stop, reason = _suggestion(left, plate, len(np.asarray(p_picks)), least_hits)
    held = () if plate == alone else (_HELD.format(alone.expected, alone.low, alone.high),)
    return Outlook(left, plate, stop, reason, (*_notes(history, lot_history), *held))


def _at_most(plate: Count, left: Count) -> Count:
    """Hold a plate's yield to what is left: its compounds are among those, however their histories differ."""
    expected = min(plate.expected, left.expected)
    ratio = expected / plate.uncorrected if plate.uncorrected else plate.ratio
    low, high = min(plate.low, left.low), min(plate.high, left.high)
    return replace(plate, expected=expected, low=low, high=high, ratio=ratio)


def _suggestion(left: Count, plate: Count, n_picks: int, least_hits: float) -> tuple[bool, str]:
    if n_picks == 0:
        return True, "stop: no compound is left to be picked"
    next_text = f"the next plate of {n_picks} gives {plate.expected:.1f} hits ({plate.low} to {plate.high})"
    left_text = f"{left.expected:.1f} are left ({left.low} to {left.high})"
    if left.high < 1:
        return True, f"stop: most likely no hit is left; {next_text}"
    if plate.high < least_hits:
        return True, f"stop: {next_text}, less than the {least_hits:g} that a plate is worth; {left_text}"
    return False, f"go on: {next_text}; {left_text}"


def _notes(history: Sequence[Yield], lot_history: Sequence[Yield]) -> tuple[str, ...]:
    told = (
        (history, "no earlier plate tells how far picks flatter themselves: the next plate's interval is the prior's"),
        (lot_history, "no compound was drawn by lot: the interval of the hits left is the prior's"),
    )
    return tuple(note for known, note in told if not known)


def _checked(p_hit: npt.ArrayLike) -> FloatArray:
    p = np.asarray(p_hit, dtype=np.float64).ravel()
    n_bad = int((~((p >= 0) & (p <= 1))).sum())
    if n_bad:
        raise DataError(f"{n_bad} of {len(p)} probabilities of a hit are NaN or outside 0 to 1; calibrate the belief")
    return p


def _ratio_mass(history: Sequence[Yield], scatters: FloatArray, prior_sd: float, memory: float) -> FloatArray:
    """Give the predictive distribution of the next ratio on the grid exp(_RATIO); sums to 1."""
    common, scatter = np.meshgrid(_COMMON, scatters, indexing="ij")
    log_mass = -0.5 * (common / prior_sd) ** 2 - 0.5 * (scatter / _SCATTER_SD) ** 2
    for age, known in enumerate(reversed(history)):
        log_mass += memory**age * _log_negative_binomial(known, common, 1 / scatter**2)
    mass = np.exp(log_mass - log_mass.max())
    shape = 1 / scatters**2
    # Density of log(ratio / common) for a gamma of mean 1: shape log(shape) + shape (d - e^d) - log Gamma(shape).
    predictive = np.zeros(len(_RATIO))
    for i, centre in enumerate(_COMMON):
        away = (_RATIO - centre)[:, None]
        density = np.exp(shape * np.log(shape) + shape * (away - np.exp(away)) - gammaln(shape))
        predictive += density @ mass[i]
    total: FloatArray = predictive / predictive.sum()
    return total


def _log_negative_binomial(known: Yield, common: FloatArray, shape: FloatArray) -> FloatArray:
    if not (np.isfinite(known.expected) and known.expected >= 0 and known.realised >= 0):
        raise DataError(f"a round expected {known.expected} and gave {known.realised} hits; both are 0 or more")
    mean = np.maximum(known.expected, 1e-9) * np.exp(common)
    y = float(known.realised)
    found: FloatArray = (
        gammaln(y + shape)
        - gammaln(shape)
        - gammaln(y + 1)
        - shape * np.log1p(mean / shape)
        - y * np.log1p(shape / mean)
    )
    return found


def _moments(p: FloatArray, ratios: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give mean, variance and skewness of the number of hits when every P(hit) is multiplied (at most to 1).

    The sums run over p in 2,048 groups of about equal value, so a million compounds cost no more than a thousand.
    """
    grouped = np.minimum((p * 2048).astype(np.intp), 2047)
    n = np.bincount(grouped, minlength=2048).astype(np.float64)
    held = n > 0
    value, n = np.bincount(grouped, weights=p, minlength=2048)[held] / n[held], n[held]
    q = np.minimum(ratios[:, None] * value[None, :], 1.0)
    variances = (q * (1 - q)) @ n
    thirds = (q * (1 - q) * (1 - 2 * q)) @ n
    return q @ n, variances, thirds / np.maximum(variances, 1e-12) ** 1.5


def _quantile(
    level: float, n: int, means: FloatArray, variances: FloatArray, skews: FloatArray, weights: FloatArray
) -> int:
    """Give the smallest k with P(hits <= k) >= level under the mixture."""
    low, high = -1, n
    while high - low > 1:
        k = (low + high) // 2
        if weights @ _cumulative(k, means, variances, skews) >= level:
            high = k
        else:
            low = k
    return high


def _cumulative(k: int, means: FloatArray, variances: FloatArray, skews: FloatArray) -> FloatArray:
    """Give P(hits <= k): Volkova's refined normal; a step where there is no variance."""
    x = (k + 0.5 - means) / np.sqrt(np.maximum(variances, 1e-12))
    bent = ndtr(x) + skews * (1 - x**2) * np.exp(-0.5 * x**2) / (6 * np.sqrt(2 * np.pi))
    clipped: FloatArray = np.clip(bent, 0.0, 1.0)
    return clipped
