"""Sets of labels that hold for hits as for the rest, however rare hits are (class-conditional conformal).

The p-value of a label compares a candidate only with calibrating compounds of that label (Vovk, Lindsay, Nouretdinov,
Gammerman 2003): of all true hits at most 1 - level lose 'hit' from their set, though hits are 1 in 200.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import BoolArray, FloatArray, check_level, flags, vector
from nextplate.conformal.candidates import weights_or_ones
from nextplate.conformal.shift import Weights

_LEAST_MASS = 1e-300


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Sets of labels of m candidates."""

    may_hit: BoolArray
    """Shape (m,): 'hit' is in the set."""
    may_not: BoolArray
    """Shape (m,): 'not a hit' is in the set."""
    p_hit_label: FloatArray
    """Shape (m,): conformal p-value of 'hit', not the probability of a hit."""
    p_not_label: FloatArray
    level: float
    notes: tuple[str, ...]

    @property
    def size(self) -> npt.NDArray[np.intp]:
        """How many labels each set holds, shape (m,): 0 is a compound unlike all others, 2 is undecided."""
        return self.may_hit.astype(np.intp) + self.may_not.astype(np.intp)


def label_sets(
    cal_scores: npt.ArrayLike,
    cal_is_hit: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    level: float = 0.9,
    rng: np.random.Generator | None = None,
    weights: Weights | None = None,
) -> LabelSets:
    """Give class-conditional label sets.

    Args:
        cal_scores: shape (n,), higher = more likely a hit, out of fold.
        cal_is_hit: shape (n,), 0 or 1.
        scores: shape (m,), of candidates.
        level: coverage within each class.
        rng: breaks ties at random (exact coverage); None: ties count against the compound (at least the level).
        weights: density ratios, candidates over calibrating (of density_ratio): each class is weighted by itself;
            None: within a class both were drawn alike.

    A class with fewer than 1 / (1 - level) - 1 calibrating compounds cannot be excluded: it is in every set, and the
    notes say so.

    Raises:
        DataError: shapes, NaN, infinite values, labels other than 0 and 1.
    """
    check_level(level)
    known, asked = vector(cal_scores, "calibration scores"), vector(scores, "scores of candidates")
    is_hit = flags(cal_is_hit, "calibration labels", len(known))
    used = weights_or_ones(weights, len(known), len(asked))
    own, new = used.calibrating, used.new
    p_hit_label = _p_values(-known[is_hit], own[is_hit], -asked, new, rng)
    p_not_label = _p_values(known[~is_hit], own[~is_hit], asked, new, rng)
    needed = ceil(1 / (1 - level) - 1 - 1e-9)
    notes = tuple(
        f"{n} calibrating {what}, fewer than the {needed} that {level:.0%} needs: every set holds that label"
        for n, what in ((int(is_hit.sum()), "hits"), (int((~is_hit).sum()), "compounds that are no hit"))
        if n < needed
    )
    kept = 1 - level + 1e-12
    return LabelSets(p_hit_label > kept, p_not_label > kept, p_hit_label, p_not_label, level, notes)


def _p_values(
    known: FloatArray, own: FloatArray, asked: FloatArray, new: FloatArray, rng: np.random.Generator | None
) -> FloatArray:
    """Give (mass{known > asked} + u (mass{known = asked} + w_new)) / (mass + w_new), u = 1 without a generator.

    All masses are counts when nothing is weighted (w = 1).
    """
    order = np.argsort(known, kind="stable")
    ordered, mass = known[order], np.concatenate([[0.0], np.cumsum(own[order])])
    above = mass[-1] - mass[np.searchsorted(ordered, asked, side="right")]
    at_or_above = mass[-1] - mass[np.searchsorted(ordered, asked, side="left")]
    share = np.ones(len(asked)) if rng is None else rng.random(len(asked))
    p: FloatArray = (above + share * (at_or_above - above + new)) / np.maximum(mass[-1] + new, _LEAST_MASS)
    return np.minimum(p, 1.0)
