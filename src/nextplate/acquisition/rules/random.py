"""random: by lot."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs
from nextplate.prediction import Prediction


def random(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by lot: the baseline, and the only choice without any selection bias."""
    del knobs
    return rng.random(len(prediction.mean))
