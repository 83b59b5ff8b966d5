"""ei: expected improvement over the best response (Mockus 1978), by modAL's function."""

import numpy as np

from nextplate.acquisition.modal import best_of, modal, positive_spread
from nextplate.acquisition.rules.rule import FloatArray, Knobs
from nextplate.prediction import Prediction


def ei(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the expected improvement over the best response.

    Raises:
        ModelError: nothing was measured yet, or modAL is not installed.
    """
    del rng
    scores = modal().EI(prediction.mean, positive_spread(prediction), best_of(knobs), knobs.tradeoff)
    return np.asarray(scores, dtype=np.float64)
