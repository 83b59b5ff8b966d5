"""uncertainty: the widest spread first."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec
from nextplate.prediction import Prediction


def uncertainty(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the spread alone: learns most, finds least."""
    del knobs, rng
    return prediction.spread.copy()


SPEC = RuleSpec("uncertainty", uncertainty)
