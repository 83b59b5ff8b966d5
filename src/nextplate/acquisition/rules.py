"""What a rule is, and the rules of our own: random, greedy, ucb, uncertainty.

A rule turns a prediction into one number per compound; the higher, the sooner the compound is tested.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a rule may be told beside the prediction."""

    best: float
    """Highest response measured so far; NaN when none was."""
    beta: float = 1.0
    """Weight of the spread in an upper confidence bound."""
    tradeoff: float = 0.0
    """Improvement over best that counts for nothing, on the response scale."""


class Rule(Protocol):
    """Scores compounds."""

    def __call__(self, prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
        """Give one score per compound, shape (n,); the highest is tested first."""
        ...


def random(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by lot: the baseline, and the only choice without any selection bias."""
    del knobs
    return rng.random(len(prediction.mean))


def greedy(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the predicted response."""
    del knobs, rng
    return prediction.mean.copy()


def ucb(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by mean + beta * spread (Auer 2002)."""
    del rng
    return prediction.mean + knobs.beta * prediction.spread


def uncertainty(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the spread alone: learns most, finds least."""
    del knobs, rng
    return prediction.spread.copy()
