"""From predictions to picks: score the compounds, choose a batch.

    scores = score("ucb", prediction, best, rng, beta=1.0)
    picks = choose(scores, prediction, features, available=available, n_picks=336, rng=rng, ...)

``RULES`` maps the names an operator may write in lab.toml to the rules; add a rule by adding it there.
``replay`` runs whole campaigns over known values with the same functions.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from nextplate.acquisition import modal, rules
from nextplate.acquisition.batch import choose
from nextplate.acquisition.cold import cold_start
from nextplate.acquisition.rules import FloatArray, Knobs, Rule
from nextplate.errors import ModelError, PlanError
from nextplate.prediction import Prediction

__all__ = ["RULES", "Knobs", "Rule", "choose", "cold_start", "score"]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "random": rules.random,
        "greedy": rules.greedy,
        "ucb": rules.ucb,
        "uncertainty": rules.uncertainty,
        "ei": modal.ei,
        "pi": modal.pi,
        "modal-ucb": modal.modal_ucb,
    }
)


def score(
    rule: str,
    prediction: Prediction,
    best: float,
    rng: np.random.Generator,
    *,
    beta: float = 1.0,
    tradeoff: float = 0.0,
) -> FloatArray:
    """Score every compound by a rule.

    Args:
        rule: a name in RULES.
        prediction: of n compounds.
        best: highest response measured so far (ei and pi improve on it); NaN when none was.
        rng: for the rule random.
        beta: weight of the spread in ucb and modal-ucb.
        tradeoff: of ei and pi, on the response scale.

    Returns:
        Shape (n,), finite; the highest is tested first.

    Raises:
        PlanError: no rule of that name.
        ModelError: modAL is needed and not installed, or the rule gave something that is not a number.
    """
    if rule not in RULES:
        raise PlanError(f"there is no acquisition rule {rule!r}; the rules are: {', '.join(RULES)}")
    scores = RULES[rule](prediction, Knobs(best, beta, tradeoff), rng)
    n_bad = int((~np.isfinite(scores)).sum())
    if n_bad:
        raise ModelError(f"the rule {rule!r} gave {n_bad} of {len(scores)} scores that are not numbers")
    return scores
