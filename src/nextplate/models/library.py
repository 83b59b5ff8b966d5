"""Predict a whole library without unpacking it all at once."""

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.models.belief import Belief
from nextplate.models.design import design_matrix
from nextplate.models.lightgbm import predict

FloatArray = npt.NDArray[np.float64]
_BLOCK = 10_000


def predict_library(belief: Belief, features: Features, *, n_threads: int = 2) -> tuple[FloatArray, FloatArray]:
    """Predict every compound of a library, 10,000 at a time.

    Returns:
        mean and spread, each shape (n,), as ``lightgbm.predict`` gives them.
    """
    n = len(features.compound_ids)
    mean, spread = np.empty(n), np.empty(n)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        mean[block], spread[block] = predict(belief, design_matrix(features, block), n_threads=n_threads)
    return mean, spread
