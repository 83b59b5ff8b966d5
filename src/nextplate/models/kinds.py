"""Kinds of belief: what the loop needs of one, the kinds there are, and their honest cross-validation.

A kind is a module (or any object) with three functions. Adding one is a file with them and a line in KINDS.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models import lightgbm
from nextplate.models.design import design_matrix
from nextplate.models.folds import assign_folds

FloatArray = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]
_BLOCK = 10_000


class Kind(Protocol):
    """A kind of belief. Equal arguments give equal beliefs."""

    def fit(self, X: Matrix, y: npt.ArrayLike, weight: npt.ArrayLike | None = None, seed: int = 0) -> Any:
        """Fit a belief to n labelled compounds: X of shape (n, p) with NaN allowed, y and weight of shape (n,).

        The belief may have ``notes``: a tuple of what an operator should know.

        Raises:
            ModelError: there is nothing to fit.
        """

    def predict(self, belief: Any, X: Matrix) -> tuple[FloatArray, FloatArray]:
        """Return mean and spread (a standard deviation) of m compounds, each of shape (m,)."""

    def save(
        self,
        belief: Any,
        folder: Path,
        *,
        feature_names: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Write the belief to a new folder without pickles, the same bytes for the same belief."""


KINDS: Mapping[str, Kind] = MappingProxyType({"lightgbm": lightgbm})


def kind_of(name: str) -> Kind:
    """Return a kind by the name in lab.toml.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in KINDS:
        raise ModelError(f"there is no kind of belief {name!r}; the kinds are: {', '.join(KINDS)}")
    return KINDS[name]


def predict_library(kind: Kind, belief: Any, features: Features) -> tuple[FloatArray, FloatArray]:
    """Predict every compound of a library, 10,000 at a time; mean and spread, each of shape (n,)."""
    n = len(features.compound_ids)
    mean, spread = np.empty(n), np.empty(n)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        mean[block], spread[block] = kind.predict(belief, design_matrix(features, block))
    return mean, spread


def cross_predict(
    kind: Kind,
    X: Matrix,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    groups: Sequence[str] | None = None,
    n_folds: int = 5,
) -> tuple[FloatArray, FloatArray]:
    """Predict every labelled compound by a belief that has not seen it.

    Args:
        kind: of belief.
        X: shape (n, p).
        y: shape (n,).
        weight: shape (n,) or None.
        seed: of folds and beliefs.
        groups: shape (n,), e.g. scaffolds: a group is never split, which tells how the belief does on new
            chemistry; None makes random folds, which tells how it does on compounds like the tested ones.
        n_folds: at most; fewer when there are fewer compounds or groups.

    Returns:
        Out-of-fold mean and spread, each shape (n,); NaN everywhere when there are fewer than two folds.

    Raises:
        ModelError: as the kind's fit.
    """
    labels = np.asarray(y, dtype=np.float64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    folds = assign_folds(len(labels), n_folds, np.random.default_rng([seed, 1]), groups)
    mean, spread = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    n_used = int(folds.max()) + 1
    for fold in range(n_used if n_used > 1 else 0):
        out, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        belief = kind.fit(X[kept], labels[kept], weights[kept], seed + fold + 1)
        mean[out], spread[out] = kind.predict(belief, X[out])
    return mean, spread
