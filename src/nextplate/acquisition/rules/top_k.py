"""top-k: the probability of being among the best k (for k = 1 the probability of being optimal).

Reference: Fromer, Wang, Mathew, Coley: qPO, arXiv 2410.06333 (2024), for joint draws. Without draws the
k-th best of many independent normals is normal itself, about the level that k compounds are expected to pass.
"""

import numpy as np
from scipy.special import ndtr

from nextplate.acquisition.rules.rule import (
    NO_DRAWS,
    FloatArray,
    Knobs,
    Mask,
    RuleSpec,
    Told,
    between_0_and_1,
    draws_of,
    open_rows,
)
from nextplate.errors import PlanError
from nextplate.prediction import Prediction

_N_HALVINGS = 45


def top_k(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by the probability of being among the n_top best of the compounds available.

    With draws it is the share of draws; the mean settles ties, by less than half a draw is worth.

    Raises:
        PlanError: n_top is below 1.
    """
    del rng
    if knobs.n_top < 1:
        raise PlanError(f"the probability of being among the top {knobs.n_top} was asked for; n_top is at least 1")
    is_open, draws = open_rows(prediction, knobs), draws_of(prediction)
    k = min(knobs.n_top, int(is_open.sum()))
    tie = between_0_and_1(prediction.mean)
    if draws is None:
        return Told(_normal(prediction, is_open, k) + 1e-9 * tie, (NO_DRAWS,))
    n_times = np.zeros(len(tie))
    for draw in draws:
        among = draw[is_open]
        n_times += draw >= np.partition(among, len(among) - k)[len(among) - k]
    shares: FloatArray = (n_times + 0.5 * tie) / len(draws)
    return shares


def _normal(prediction: Prediction, is_open: Mask, k: int) -> FloatArray:
    """Give P(value >= level), shape (n,), for the level that k of the open compounds are expected to pass."""
    spread = np.maximum(prediction.spread, 1e-12)
    mean, width = prediction.mean[is_open], spread[is_open]
    low, high = float((mean - 40 * width).min()), float((mean + 40 * width).max())
    for _ in range(_N_HALVINGS):
        level = 0.5 * (low + high)
        if ndtr((mean - level) / width).sum() > k:
            low = level
        else:
            high = level
    # The k-th best itself varies a little: by the number above the level over the density there; in a gap between
    # compounds, where that says nothing, by no more than a compound does.
    away = (mean - low) / width
    density = float((np.exp(-0.5 * away**2) / (np.sqrt(2 * np.pi) * width)).sum())
    varies = float((ndtr(away) * ndtr(-away)).sum()) / max(density, 1e-100) ** 2
    varies = min(varies, float(np.median(width)) ** 2)
    passes: FloatArray = ndtr((prediction.mean - low) / np.sqrt(spread**2 + varies))
    return passes


SPEC = RuleSpec("top-k", top_k, wants_draws=True)
