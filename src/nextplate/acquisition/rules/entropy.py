"""entropy: the outcome that is known least (Shannon 1948; uncertainty sampling: Lewis and Gale 1994)."""

import numpy as np
from scipy.special import entr

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec, chances
from nextplate.prediction import Prediction


def entropy(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the entropy of hit or no hit, in bits. DataError when a probability is none."""
    del knobs, rng
    return bits(chances(prediction))


def bits(p: FloatArray) -> FloatArray:
    """Give the entropy of a coin of probability p, in bits; any shape."""
    both: FloatArray = (entr(p) + entr(1 - p)) / np.log(2)
    return both


SPEC = RuleSpec("entropy", entropy, is_weighed=False)
