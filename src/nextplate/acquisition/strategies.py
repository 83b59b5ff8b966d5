"""What a replay may be asked for: a kind of belief, a rule, both, or one of the baselines.

``auto`` or another kind of belief is picked from greedily; a rule (``ucb``) picks by auto's belief; ``forest:ei``
names both. ``random`` and ``similarity`` have no belief.
"""

from dataclasses import dataclass

from nextplate.acquisition import RULES
from nextplate.errors import PlanError
from nextplate.models.kinds import KINDS

RANDOM, SIMILARITY = "random", "similarity"
BASELINES = (RANDOM, SIMILARITY)
_DEFAULT_KIND, _DEFAULT_RULE = "auto", "greedy"


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the next batch is chosen."""

    kind: str
    """Of belief; '' for a baseline."""
    rule: str
    """Of acquisition; for a baseline its name."""


def parse_strategy(name: str) -> Strategy:
    """Read a strategy's name.

    Raises:
        PlanError: it is none.
    """
    if name in BASELINES:
        return Strategy("", name)
    kind, colon, rule = name.partition(":")
    if colon and kind in KINDS and rule in RULES:
        return Strategy(kind, rule)
    if not colon and name in KINDS:
        return Strategy(name, _DEFAULT_RULE)
    if not colon and name in RULES:
        return Strategy(_DEFAULT_KIND, name)
    raise PlanError(
        f"there is no strategy {name!r}; the strategies are: {', '.join(BASELINES)}, a kind of belief "
        f"({', '.join(KINDS)}), a rule ({', '.join(r for r in RULES if r != RANDOM)}), or KIND:RULE"
    )
