"""modAL's array functions, for the rules ei, pi and modal-ucb.

modAL loads torch, so it is imported when a rule is first asked, and only the functions over arrays are used: its
learners and batch loops are not.
"""

import warnings
from types import ModuleType

import numpy as np
import numpy.typing as npt

from nextplate.acquisition.rules.rule import Knobs, Told
from nextplate.errors import ModelError
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
# EI and PI divide by the spread; where all members agree it is 0.
_LEAST_SPREAD = 1e-9


def modal() -> ModuleType:
    """Import modAL's acquisition functions; ModelError when it is not installed."""
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


def no_best(prediction: Prediction, knobs: Knobs) -> Told | None:
    """Score by the mean where no response was measured that could be improved on; None where one was."""
    if np.isfinite(knobs.best):
        return None
    return Told(prediction.mean, ("no response was measured that could be improved on: scored by the mean",))


def positive_spread(prediction: Prediction) -> FloatArray:
    """Give the spread, shape (n,), nowhere 0."""
    return np.maximum(prediction.spread, _LEAST_SPREAD)
