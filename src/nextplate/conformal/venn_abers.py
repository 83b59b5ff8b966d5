"""Probabilities of a hit that are calibrated whatever the score: inductive Venn-Abers predictors.

For a candidate of score s two isotonic regressions of the calibrating labels are made, one with (s, not a hit) and
one with (s, a hit) added; their values at s, p0 and p1, bracket the probability, and one of them is perfectly
calibrated. Both are read off greatest convex minorants that are kept while the added point slides along the sorted
scores, so all candidates together cost O((n + m) log n) and no isotonic regression is repeated.

References:
    Vovk, Petej, Fedorova: Large-scale probabilistic predictors with and without guarantees of validity, NeurIPS 2015
    (algorithms 1 to 4; p = p1 / (1 - p0 + p1) is the minimax merge under log loss).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import BoolArray, FloatArray, flags, vector

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class HitProbability:
    """Probabilities of m candidates to be hits."""

    probability: FloatArray
    """Shape (m,): p1 / (1 - p0 + p1)."""
    low: FloatArray
    """Shape (m,): p0."""
    high: FloatArray
    """Shape (m,): p1; the distance to p0 tells how little is known at this score."""
    notes: tuple[str, ...]
    """What had to be assumed; empty when nothing."""


def p_hit(cal_scores: npt.ArrayLike, cal_is_hit: npt.ArrayLike, scores: npt.ArrayLike) -> HitProbability:
    """Give calibrated probabilities of a hit.

    Args:
        cal_scores: shape (n,), higher = more likely a hit, predicted without having seen the measurement.
        cal_is_hit: shape (n,), 0 or 1.
        scores: shape (m,), of candidates, by the same belief.

    Without a single hit (or with nothing but hits) the answer is still valid, only wide; without any calibrating
    compound it is 0.5 between 0 and 1. Both are named in the notes.

    Raises:
        DataError: shapes differ, a value is NaN or infinite, or a label is not 0 or 1.
    """
    asked = vector(scores, "scores of candidates")
    known = vector(cal_scores, "calibration scores")
    is_hit = flags(cal_is_hit, "calibration labels", len(known))
    low = 1 - _with_added_hit(-known, ~is_hit, -asked)
    high = _with_added_hit(known, is_hit, asked)
    return HitProbability(high / (1 - low + high), low, high, _notes(is_hit))


def _notes(is_hit: BoolArray) -> tuple[str, ...]:
    n, n_hits = len(is_hit), int(is_hit.sum())
    if n == 0:
        return ("no compound calibrates: every probability of a hit is 0.5, between 0 and 1",)
    if n_hits in (0, n):
        what = "no hit" if n_hits == 0 else "nothing but hits"
        return (f"{what} among {n} calibrating compounds: probabilities only say how far the scores were tried",)
    return ()


def _with_added_hit(known: FloatArray, is_hit: BoolArray, asked: FloatArray) -> FloatArray:
    """Give p1 of each asked score, shape (m,)."""
    levels, member_of = np.unique(known, return_inverse=True)
    sizes = np.bincount(member_of, minlength=len(levels)).astype(np.float64)
    n_hits = np.bincount(member_of, weights=is_hit.astype(np.float64), minlength=len(levels)).astype(np.float64)
    # A score in (levels[i - 1], levels[i]] shares its value with levels[i]; above all of them it is a hit alone.
    return np.append(_slopes(sizes, n_hits), 1.0)[np.searchsorted(levels, asked, side="left")]


def _slopes(sizes: FloatArray, n_hits: FloatArray) -> FloatArray:
    """Slide a hit along the groups: shape (k,), its isotonic value when it joins group i."""
    diagram = _diagram(sizes, n_hits)
    corners = _minorant([(-1.0, -1.0), *diagram])[::-1]
    values = np.empty(len(sizes))
    before = (-1.0, -1.0)
    for i in range(len(sizes)):
        top, following = corners[-1], corners[-2]
        values[i] = (following[1] - top[1]) / (following[0] - top[0])
        # The added hit moves behind group i: the corner between them moves by the vector of that group.
        (x, y), (next_x, next_y) = diagram[i], diagram[i + 1]
        before = (before[0] + next_x - x, before[1] + next_y - y)
        if _turn(top, following, before) >= 0:
            continue
        corners.pop()
        while len(corners) > 1 and _turn(before, corners[-1], corners[-2]) <= 0:
            corners.pop()
        corners.append(before)
    return values


def _diagram(sizes: FloatArray, n_hits: FloatArray) -> list[Point]:
    x, y = np.concatenate([[0.0], np.cumsum(sizes)]), np.concatenate([[0.0], np.cumsum(n_hits)])
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _minorant(points: list[Point]) -> list[Point]:
    """Keep the corners of the greatest convex minorant, from left to right."""
    corners: list[Point] = []
    for point in points:
        while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
            corners.pop()
        corners.append(point)
    return corners


def _turn(a: Point, b: Point, c: Point) -> float:
    """Give a positive number when a, b, c turn left."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
