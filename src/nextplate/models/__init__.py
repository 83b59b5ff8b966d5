"""Beliefs: what is thought about every compound, fitted to what was measured.

    kind = kind_of("auto")
    belief, oof_mean, oof_spread = fit_and_cross(kind, features, rows, y, seed=seed)    # only the labelled rows
    mean, spread = predict_library(kind, belief, features)                             # every compound, in blocks

A belief on disk is a folder: a JSON card that vouches for LightGBM's own text, npz or safetensors. No pickle is
read or written. The kinds are modules of this package, imported when they are first asked for.
"""

from nextplate.models.belief import Belief, Learned
from nextplate.models.crossing import cross_predict, fit_and_cross, predict_library
from nextplate.models.design import column_names, design_matrix
from nextplate.models.kinds import KINDS, Kind, kind_of

__all__ = [
    "KINDS",
    "Belief",
    "Kind",
    "Learned",
    "column_names",
    "cross_predict",
    "design_matrix",
    "fit_and_cross",
    "kind_of",
    "predict_library",
]
