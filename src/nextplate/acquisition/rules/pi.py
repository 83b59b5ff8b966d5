"""pi: probability of improving on the best response (Kushner 1964), by modAL's function."""

import numpy as np

from nextplate.acquisition.modal import best_of, modal, positive_spread
from nextplate.acquisition.rules.rule import FloatArray, Knobs
from nextplate.prediction import Prediction


def pi(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the probability of improving on the best response.

    Raises:
        ModelError: nothing was measured yet, or modAL is not installed.
    """
    del rng
    scores = modal().PI(prediction.mean, positive_spread(prediction), best_of(knobs), knobs.tradeoff)
    return np.asarray(scores, dtype=np.float64)
