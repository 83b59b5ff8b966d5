"""What a rule is told, by a night and by a replay alike."""

from nextplate.acquisition.rules import rule_named
from nextplate.acquisition.rules.rule import N_TOP, Knobs, Mask
from nextplate.conformal import Known


def knobs_for(
    rule: str,
    known: Known,
    available: Mask,
    *,
    best: float,
    beta: float,
    threshold: float,
    tradeoff: float = 0.0,
    n_top: int = N_TOP,
    noise: float = 0.0,
) -> Knobs:
    """Tell a rule what it needs.

    Args:
        rule: a name in RULES.
        known: all that was measured, each compound once (``once_each``); read only for rules that calibrate.
        available: shape (n,): compounds that may be picked.
        best: highest response measured so far; NaN when none was.
        beta: weight of the spread in an upper confidence bound.
        threshold: a response at or above it is a hit; NaN: mean and draws are probabilities of a hit already.
        tradeoff: of ei and pi.
        n_top: how many compounds count as the top in the rule top-k.
        noise: standard deviation of a measurement about the true response.

    Raises:
        PlanError: no rule of that name.
    """
    told = known.finite()
    calibrates = rule_named(rule).calibrates and len(told) > 0
    return Knobs(
        best,
        beta,
        tradeoff,
        available,
        n_top,
        threshold,
        noise,
        cal_scores=told.mean if calibrates else None,
        cal_is_hit=told.is_hit if calibrates else None,
    )
