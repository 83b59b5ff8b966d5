"""greedy: the best predicted response first."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec
from nextplate.prediction import Prediction


def greedy(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the predicted response."""
    del knobs, rng
    return prediction.mean.copy()


SPEC = RuleSpec("greedy", greedy)
