"""Joint draws for the rules that want them, and scores by them: nights and replays both score here."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.acquisition import Knobs, scored
from nextplate.acquisition.rules.rule import NO_DRAWS
from nextplate.compound import Features
from nextplate.models.draws import Draws, drawn_alone, joint_draws, most_drawn
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

N_DRAWS = 64
MOST_DRAWN = 20_000
"""Compounds drawn at most: of a larger library, those that the rule ranks best when they are taken as independent."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Joint draws of some compounds of a library."""

    draws: Draws
    """Shape (n_draws, m)."""
    rows: Index
    """Shape (m,), ascending: rows of the library that they are of."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What compounds are picked by."""

    scores: FloatArray
    """Shape (n,): the highest is picked first."""
    notes: tuple[str, ...]
    """What was done otherwise than by the rule alone."""
    name: str
    """Of the score: the rule, and what it is weighed by, or what stands in its place."""
    among: Mask | None = None
    """Shape (n,): what may be picked for its score; None: all. Other compounds' scores are on another scale."""
    by_rule: Mask | None = None
    """Shape (n,): whose score is what ``name`` says; None: everybody's. The others are ranked by the mean."""


def draw(
    rule: str,
    kind: str,
    belief: Any,
    features: Features,
    believed: tuple[FloatArray, FloatArray],
    rows: Index,
    threshold: float,
    rng: np.random.Generator,
) -> tuple[Drawn | None, tuple[str, ...]]:
    """Draw from a belief for a rule.

    Args:
        rule: a name in RULES.
        kind: of belief, a name in KINDS.
        belief: fitted or loaded.
        features: of the library, n compounds.
        believed: mean and spread of the library by that belief, each of shape (n,).
        rows: shape (m,), ascending, at least one: what may be drawn; of more than MOST_DRAWN (of a process 3,000) the
            best by the rule are.
        threshold: the least response of a hit; NaN for 0/1 labels.
        rng: of what is random.

    Returns:
        The draws, None where the kind gives none; and notes of what was done otherwise.

    Raises:
        ModelError: the library's features are others than those the belief was fitted on.
    """
    most = most_drawn(kind, belief, MOST_DRAWN)
    best = rows if len(rows) <= most else _best(rule, believed, rows, threshold, most, rng)
    draws = joint_draws(kind, belief, features, best, N_DRAWS, rng)
    if draws is None:
        return None, (f"draws: a belief of kind {kind} gave no joint draws for the rule {rule}",)
    alone = drawn_alone(kind, belief)
    note = f"draws: of {', '.join(alone)} there are no joint draws, so that share is of independent normals"
    return Drawn(draws, best), (note,) if alone else ()


def _best(
    rule: str,
    believed: tuple[FloatArray, FloatArray],
    rows: Index,
    threshold: float,
    most: int,
    rng: np.random.Generator,
) -> Index:
    """Take the rows that the rule ranks best, each by itself."""
    mean, spread = (values[rows] for values in believed)
    nan = np.full(len(rows), np.nan)
    alone = Prediction([""] * len(rows), mean, spread, nan, nan, 0.0, nan)
    scores = scored(rule, alone, Knobs(float("nan"), threshold=threshold), rng).scores
    return np.sort(rows[np.argpartition(-scores, most)[:most]])


def score_open(
    rule: str,
    prediction: Prediction,
    drawn: Drawn | None,
    knobs: Knobs,
    rng: np.random.Generator,
    *,
    n_by_score: int,
    p_viable: FloatArray | None = None,
) -> Scored:
    """Score every compound of a library, by joint draws where there are any of what may be picked.

    Args:
        rule: a name in RULES.
        prediction: of n compounds.
        drawn: of some of them; None: there are no draws.
        knobs: what the rule is told; ``available`` is of the n compounds.
        rng: of the rule.
        n_by_score: how many will be picked for their score: with fewer joint draws the others are ranked as well.
        p_viable: shape (n,): probability of viability that scores are weighed by (``weigh``); None: they are not.

    Raises:
        PlanError, ModelError, DataError: as ``scored``.
    """
    n = len(prediction.mean)
    available = np.ones(n, dtype=bool) if knobs.available is None else knobs.available
    if drawn is None or not available[drawn.rows].any():
        alone = scored(rule, prediction, knobs, rng)
        told = alone.notes if drawn is None else _none_free(alone.notes, len(drawn.rows))
        found = Scored(_weighed(alone.scores, p_viable, available), told, rule)
    else:
        found = _by_draws(rule, prediction, drawn, available, p_viable, n_by_score, knobs, rng)
    if p_viable is None:
        return found
    note = "scores above the median of the available are weighed by the probability of viability"
    return replace(found, notes=(*found.notes, note), name=f"{rule} x P(viable)")


def _by_draws(
    rule: str,
    prediction: Prediction,
    drawn: Drawn,
    available: Mask,
    p_viable: FloatArray | None,
    n_by_score: int,
    knobs: Knobs,
    rng: np.random.Generator,
) -> Scored:
    """Score what was drawn, and let the picks be of it alone where it holds enough of them.

    What was not drawn has no score on the same scale: the median, which viability is weighed above and diversity
    against, is that of what was drawn.
    """
    rows = drawn.rows
    free = available[rows]
    inner = scored(rule, _restricted(prediction, drawn), replace(knobs, available=free), rng)
    scores = _weighed(inner.scores, None if p_viable is None else p_viable[rows], free)
    whole = _others_behind(scores, rows, _weighed(prediction.mean, p_viable, available))
    n_drawn, n_free = int(free.sum()), int(available.sum())
    has_draws = np.zeros(len(available), dtype=bool)
    has_draws[rows] = True
    if n_drawn == n_free:
        return Scored(whole, inner.notes, rule, by_rule=has_draws)
    if n_drawn >= n_by_score:
        note = f"joint draws: picks by score are of the {n_drawn:,} of {n_free:,} available compounds that have draws"
        return Scored(whole, (*inner.notes, note), rule, has_draws, has_draws)
    note = (
        f"joint draws: {n_free - n_drawn:,} of {n_free:,} available compounds have no draws and are ranked by mean, "
        f"behind the {n_drawn:,} that have: too few for {n_by_score:,} picks by score"
    )
    return Scored(whole, (*inner.notes, note), rule, by_rule=has_draws)


def _restricted(prediction: Prediction, drawn: Drawn) -> Prediction:
    """Take the compounds that were drawn, with their draws."""
    part = {name: getattr(prediction, name)[drawn.rows] for name in ("mean", "spread", "lower", "upper", "p_hit")}
    ids = [prediction.compound_ids[row] for row in drawn.rows]
    return replace(prediction, compound_ids=ids, draws=drawn.draws, **part)


def _none_free(notes: tuple[str, ...], n_drawn: int) -> tuple[str, ...]:
    """Say that draws there are, but of nothing that may be picked."""
    said = (
        f"joint draws: none of the {n_drawn:,} compounds that have draws may be picked, so the others are taken as "
        "independent, normal with the belief's mean and spread"
    )
    return (said, *(note for note in notes if note != NO_DRAWS))


def _weighed(scores: FloatArray, p_viable: FloatArray | None, available: Mask) -> FloatArray:
    return scores if p_viable is None else weigh(scores, p_viable, available)


def weigh(scores: FloatArray, p_viable: FloatArray, available: Mask) -> FloatArray:
    """Weigh what a compound's score is worth by the probability that it is viable.

    What a score is worth is what lies above the median of the available compounds; of expected improvement, whose
    median is near 0, this is the constrained one (Gardner et al., ICML 2014). Scores below the median stay.

    Args:
        scores: shape (n,).
        p_viable: shape (n,), in [0, 1].
        available: shape (n,).
    """
    middle = float(np.median(scores[available])) if available.any() else 0.0
    worth = scores - middle
    weighed: FloatArray = middle + np.where(worth > 0, p_viable * worth, worth)
    return weighed


def _others_behind(scores: FloatArray, rows: Index, mean: FloatArray) -> FloatArray:
    """Put compounds without draws behind those with them, by their mean, and no further than the drawn are apart."""
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) or 1.0
    behind: FloatArray = low - step * (0.01 + 0.99 * (mean.max() - mean) / (np.ptp(mean) or 1.0))
    behind[rows] = scores
    return behind
