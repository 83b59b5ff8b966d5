"""ucb: upper confidence bound."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec
from nextplate.prediction import Prediction


def ucb(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by mean + beta * spread (Auer 2002)."""
    del rng
    return prediction.mean + knobs.beta * prediction.spread


SPEC = RuleSpec("ucb", ucb)
