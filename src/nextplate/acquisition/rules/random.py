"""random: by lot."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec
from nextplate.prediction import Prediction


def random(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by lot: the baseline, and the only choice without any selection bias."""
    del knobs
    return rng.random(len(prediction.mean))


SPEC = RuleSpec("random", random, is_weighed=False)
