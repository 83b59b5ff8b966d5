"""What a replay may be asked for: a kind of belief, a rule, both, or one of the baselines.

``auto`` picks by the rule that suits the labels, another kind of belief is picked from greedily; a rule (``ucb``)
picks by auto's belief; ``forest:ei`` names both. ``random`` and ``similarity`` have no belief.

Which rule suits: of 0/1 labels greedy, the probability of a hit; of responses an upper confidence bound, as what is
uncertain may be better than all that was seen. On Enamine10k and TYK2 the bound finds 2 and 1 points more than greed.
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
    rule_of_hits: str = ""
    """Of acquisition, where labels are 0/1; '': the same."""

    def rule_for(self, is_binary: bool) -> str:
        """Name the rule for labels that are 0/1, or others."""
        return self.rule_of_hits or self.rule if is_binary else self.rule


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
        return Strategy(name, "ucb", "greedy") if name == _DEFAULT_KIND else Strategy(name, _DEFAULT_RULE)
    if not colon and name in RULES:
        return Strategy(_DEFAULT_KIND, name)
    raise PlanError(
        f"there is no strategy {name!r}; the strategies are: {', '.join(BASELINES)}, a kind of belief "
        f"({', '.join(KINDS)}), a rule ({', '.join(r for r in RULES if r != RANDOM)}), or KIND:RULE"
    )
