"""pi: probability of improving on the best response (Kushner 1964), by modAL's function."""

import numpy as np

from nextplate.acquisition.modal import modal, no_best, positive_spread
from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec, Told
from nextplate.prediction import Prediction


def pi(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
    """Score by the probability of improving on the best response.

    Where nothing was measured yet there is nothing to improve on: the mean scores, and the note says so.

    Raises:
        ModelError: modAL is not installed.
    """
    del rng
    if (told := no_best(prediction, knobs)) is not None:
        return told
    scores = modal().PI(prediction.mean, positive_spread(prediction), knobs.best, knobs.tradeoff)
    return np.asarray(scores, dtype=np.float64)


SPEC = RuleSpec("pi", pi)
