"""From predictions to picks: score the compounds, choose a batch.

    scores = score("ucb", prediction, best, rng, beta=1.0)
    found = scored("hits-at-fdr", prediction, Knobs(best, fdr=0.2), rng)     # .scores .notes (fallbacks, by name)
    batch = choose_batch(scores, prediction, features, available=available, n_picks=336, rng=rng, ...)
                                                                             # .picks .notes (limits that cut, by name)

``RULES`` maps the names an operator may write in lab.toml to the rules; a file put into rules/ is one.
``replay`` runs whole campaigns over known values with the same functions; ``stopping`` says when to stop.
"""

import numpy as np

from nextplate.acquisition.batch import Batch, choose_batch
from nextplate.acquisition.cold import cold_start
from nextplate.acquisition.rules import RULES, rule_named
from nextplate.acquisition.rules.rule import BETA, FloatArray, Knobs, Rule, RuleSpec, Told
from nextplate.errors import ModelError, PlanError
from nextplate.prediction import Prediction

__all__ = [
    "RULES", "Batch", "Knobs", "Rule", "RuleSpec", "Told", "choose_batch", "cold_start", "score", "scored",
]  # fmt: skip


def score(
    rule: str,
    prediction: Prediction,
    best: float,
    rng: np.random.Generator,
    *,
    beta: float = BETA,
    tradeoff: float = 0.0,
) -> FloatArray:
    """Score every compound by a rule; ``scored`` takes every knob and tells fallbacks.

    Args:
        rule: a name in RULES.
        prediction: of n compounds.
        best: highest response measured so far (ei and pi improve on it); NaN when none was.
        rng: for the rules random and thompson.
        beta: weight of the spread in ucb and modal-ucb.
        tradeoff: of ei and pi, on the response scale.

    Returns:
        Shape (n,), finite; the highest is tested first.

    Raises:
        PlanError, ModelError, DataError: as ``scored``.
    """
    return scored(rule, prediction, Knobs(best, beta, tradeoff), rng).scores


def scored(rule: str, prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> Told:
    """Score every compound by a rule and say what had to be done otherwise.

    Where a rule gives every compound the same score, the predicted response ranks them instead (where that is the
    same too, the lot of ``choose_batch``), and the notes say so.

    Args:
        rule: a name in RULES.
        prediction: of n compounds, finite.
        knobs: what the rule may be told.
        rng: for the rules random and thompson.

    Returns:
        Scores, shape (n,), finite, and notes.

    Raises:
        PlanError: no rule of that name, no compound, or a knob out of range.
        ModelError: a mean or spread is not a finite number, the spread is negative, ei and pi have nothing to improve
            on, modAL is needed and not installed, or the rule gave something that is not a number.
        DataError: draws or probabilities that are none.
    """
    spec = rule_named(rule)
    _check(prediction)
    given = spec.score(prediction, knobs, rng)
    found = given if isinstance(given, Told) else Told(given, ())
    n_bad = int((~np.isfinite(found.scores)).sum())
    if n_bad:
        raise ModelError(f"the rule {rule!r} gave {n_bad} of {len(found.scores)} scores that are not numbers")
    return _told_if_equal(rule, found, prediction)


def _check(prediction: Prediction) -> None:
    if len(prediction.mean) == 0:
        raise PlanError("there is no compound to score")
    for name, values in (("mean", prediction.mean), ("spread", prediction.spread)):
        n_bad = int((~np.isfinite(values)).sum())
        if n_bad:
            what = f"the predicted {name} of {n_bad} of {len(values)} compounds is NaN or infinite"
            raise ModelError(f"{what}; look for missing descriptors and infinite labels, and fit again")
    if (prediction.spread < 0).any():
        raise ModelError("a predicted spread is negative; it is a standard deviation")


def _told_if_equal(rule: str, found: Told, prediction: Prediction) -> Told:
    if len(found.scores) < 2 or np.ptp(found.scores) > 0:
        return found
    what = f"the rule {rule!r} gives every compound the same score"
    if np.ptp(prediction.mean) > 0:
        return Told(prediction.mean.copy(), (*found.notes, f"{what}: ranked by the predicted response instead"))
    return Told(found.scores, (*found.notes, f"{what}, and so does the predicted response: the lot decides"))
