"""modal-ucb: modAL's upper confidence bound."""

import numpy as np

from nextplate.acquisition.modal import modal
from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec
from nextplate.prediction import Prediction


def modal_ucb(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by modAL's upper confidence bound; equal to ucb. ModelError when modAL is not installed."""
    del rng
    return np.asarray(modal().UCB(prediction.mean, prediction.spread, knobs.beta), dtype=np.float64)


SPEC = RuleSpec("modal-ucb", modal_ucb)
