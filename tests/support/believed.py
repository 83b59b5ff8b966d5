"""A prediction from plain lists."""

import numpy as np

from nextplate.prediction import Prediction


def believed(mean, spread, p_hit=None, draws=None):
    """Make a prediction; P(hit) is 0.5 where none is given."""
    mean, spread = np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)
    p = np.full(len(mean), 0.5) if p_hit is None else np.asarray(p_hit, dtype=float)
    drawn = None if draws is None else np.asarray(draws, dtype=np.float32)
    ids = tuple(f"C{i}" for i in range(len(mean)))
    return Prediction(ids, mean, spread, mean - spread, mean + spread, 0.9, p, drawn)
