"""hits-at-fdr: the list that holds most hits at a fixed false discovery rate.

Of all lists whose expected share of false hits is at most fdr, the one with most expected hits takes compounds by
P(hit) as long as the mean of 1 - P(hit) allows (Sun and Cai 2007, the optimal rule for local false discovery rates).
Where calibrating compounds are given the list is that of conformal selection (Jin and Candes 2023), whose rate holds
whatever the belief is worth.
"""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, Mask, RuleSpec, Told, chances, open_rows
from nextplate.conformal import hit_list
from nextplate.errors import PlanError
from nextplate.prediction import Prediction


def hits_at_fdr(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by P(hit), plus 1 for compounds on the list at the false discovery rate.

    The scores above 1 are thus the list, and their sum less their number is its expected number of hits. An empty
    list is told.

    Raises:
        PlanError: fdr is not between 0 and 1.
        DataError: a probability, a calibrating score or label is not a number.
    """
    del rng
    if not 0 < knobs.fdr < 1:
        raise PlanError(f"fdr is {knobs.fdr}; it must lie between 0 and 1")
    p, is_open = chances(prediction), open_rows(prediction, knobs)
    listed, notes = _listed(prediction, p, is_open, knobs)
    scores = p + listed
    if not listed.any() and not notes:
        notes = (
            f"no list at {knobs.fdr:.0%} false discoveries: the surest compound has P(hit) {p[is_open].max():.2f}",
        )
    return Told(scores, notes) if notes else scores


def _listed(prediction: Prediction, p: FloatArray, is_open: Mask, knobs: Knobs) -> tuple[Mask, tuple[str, ...]]:
    if knobs.cal_scores is None or knobs.cal_is_hit is None:
        return _expected(p, is_open, knobs.fdr), ()
    rows = np.flatnonzero(is_open)
    found = hit_list(knobs.cal_scores, knobs.cal_is_hit, prediction.mean[rows], knobs.fdr)
    listed = np.zeros(len(is_open), dtype=bool)
    listed[rows[found.rows]] = True
    return listed, found.notes


def _expected(p: FloatArray, is_open: Mask, fdr: float) -> Mask:
    rows = np.flatnonzero(is_open)
    ordered = rows[np.argsort(-p[rows], kind="stable")]
    false_share = np.cumsum(1 - p[ordered]) / np.arange(1, len(ordered) + 1)
    listed = np.zeros(len(p), dtype=bool)
    # The share never falls along the order, so the list is a beginning of it.
    listed[ordered[: int(np.searchsorted(false_share, fdr, side="right"))]] = True
    return listed


SPEC = RuleSpec("hits-at-fdr", hits_at_fdr, calibrates=True, is_weighed=False)
