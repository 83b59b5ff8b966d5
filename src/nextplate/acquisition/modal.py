"""Rules through modAL's array functions: ei, pi, modal-ucb.

modAL loads torch, so it is imported when a rule is first asked, and only the functions over arrays are used: its
learners and batch loops are not. References: Mockus 1978 (EI); Kushner 1964 (PI).
"""

import warnings
from types import ModuleType

import numpy as np
import numpy.typing as npt

from nextplate.acquisition.rules import Knobs
from nextplate.errors import ModelError
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
# EI and PI divide by the spread; where all members agree it is 0.
_LEAST_SPREAD = 1e-9


def _modal() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from modAL import acquisition
    except ImportError as error:
        raise ModelError(
            f"the rules ei, pi and modal-ucb need modAL ({error}); install it with: pip install nextplate[modal]"
        ) from error
    module: ModuleType = acquisition
    return module


def _best(knobs: Knobs) -> float:
    if not np.isfinite(knobs.best):
        raise ModelError("the rules ei and pi need a measured response to improve on; begin with a cold start")
    return knobs.best


def _spread(prediction: Prediction) -> FloatArray:
    return np.maximum(prediction.spread, _LEAST_SPREAD)


def ei(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the expected improvement over the best response."""
    del rng
    scores = _modal().EI(prediction.mean, _spread(prediction), _best(knobs), knobs.tradeoff)
    return np.asarray(scores, dtype=np.float64)


def pi(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by the probability of improving on the best response."""
    del rng
    scores = _modal().PI(prediction.mean, _spread(prediction), _best(knobs), knobs.tradeoff)
    return np.asarray(scores, dtype=np.float64)


def modal_ucb(prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray:
    """Score by modAL's upper confidence bound; equal to ucb."""
    del rng
    return np.asarray(_modal().UCB(prediction.mean, prediction.spread, knobs.beta), dtype=np.float64)
