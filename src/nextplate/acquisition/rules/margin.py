"""margin: the least lead of one label over the other (Scheffer, Decomain, Wrobel 2001)."""

import numpy as np

from nextplate.acquisition.rules.rule import FloatArray, Knobs, RuleSpec, chances
from nextplate.prediction import Prediction


def margin(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by -|P(hit) - P(no hit)|; of two labels it ranks as entropy does. DataError when a probability is none."""
    del knobs, rng
    lead: FloatArray = -np.abs(2 * chances(prediction) - 1)
    return lead


SPEC = RuleSpec("margin", margin, is_weighed=False)
