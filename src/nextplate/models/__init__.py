"""Beliefs: what is thought about every compound, fitted to what was measured.

    X = design_matrix(features, rows)                       # only the labelled rows
    belief = lightgbm.fit(X, y, weight=None, seed=seed)
    mean, spread = predict_library(lightgbm, belief, features)        # every compound, in blocks
    oof_mean, oof_spread = cross_predict(lightgbm, X, y, seed=seed)

A belief is a folder on disk: a JSON card and LightGBM's own text. No pickle is read or written.
"""

from nextplate.models import lightgbm
from nextplate.models.belief import Belief
from nextplate.models.design import column_names, design_matrix
from nextplate.models.kinds import KINDS, Kind, cross_predict, kind_of, predict_library

__all__ = [
    "KINDS",
    "Belief",
    "Kind",
    "column_names",
    "cross_predict",
    "design_matrix",
    "kind_of",
    "lightgbm",
    "predict_library",
]
