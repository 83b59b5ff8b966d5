"""thompson: what would be best if one draw of the belief were true (Thompson 1933).

A batch asks many draws at once (parallel Thompson sampling: Hernandez-Lobato, Requeima, Pyzer-Knapp, Aspuru-Guzik
2017): every draw names its best compound, then every draw its second best, and so on.
"""

import numpy as np
import numpy.typing as npt

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
from nextplate.prediction import Prediction

_N_NAMED = 4096
"""Compounds that a draw ranks, at most: more than any plate takes."""


def thompson(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by the best rank, among compounds available, in any joint draw: 0 is the best of a draw, -1 its second.

    Compounds that no draw ranks among its first 4096 follow, by the mean. Without draws each compound gets one
    normal draw of its own.
    """
    draws = draws_of(prediction)
    if draws is None:
        return Told(prediction.mean + prediction.spread * rng.standard_normal(len(prediction.mean)), (NO_DRAWS,))
    is_open = open_rows(prediction, knobs)
    scores: FloatArray = between_0_and_1(prediction.mean) - (_N_NAMED + 1)
    for draw in draws:
        named = _best_first(draw, is_open)
        scores[named] = np.maximum(scores[named], -np.arange(len(named), dtype=np.float64))
    return scores


def _best_first(draw: npt.NDArray[np.float32], is_open: Mask) -> npt.NDArray[np.intp]:
    masked = np.where(is_open, draw, -np.inf)
    n = min(_N_NAMED, int(is_open.sum()))
    rows = np.argpartition(masked, len(masked) - n)[len(masked) - n :]
    ordered: npt.NDArray[np.intp] = rows[np.argsort(-masked[rows], kind="stable")]
    return ordered


SPEC = RuleSpec("thompson", thompson, wants_draws=True)
