"""Bagged gradient boosting on fingerprints and descriptors.

A belief is a few boosters, each grown on its own bootstrap of the labelled compounds; their mean is the
prediction and their standard deviation the spread. The spread is the disagreement of the members (what more data
would settle), not the noise of a well; ``nextplate.conformal`` turns both into intervals.

Members are trained one per thread with LightGBM held to one thread each: on a few hundred rows its own threads
spend their time waiting for one another, and the result does not depend on the number of threads.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from nextplate.errors import ModelError
from nextplate.models.belief import Belief
from nextplate.models.storage import load, save

__all__ = ["FEWEST_LABELS", "PARAMS", "Belief", "fit", "load", "predict", "save"]

FloatArray = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]

N_MEMBERS = 5
N_TREES = 60
# Fewer labels than this cannot grow a tree worth having: a leaf takes three, and a bootstrap loses a third.
FEWEST_LABELS = 12

# Compared on retrospective sets (a synthetic truth on the WEHI library, LIT-PCBA ALDH1, Enamine docking scores),
# 3 seeds each: 60 trees at 0.15 found as much as 100 at 0.1 or 200 at 0.05; extra trees, weighting the hits and rf
# boosting gave no clear gain. Small feature samples decorrelate the members and are what makes a fit cheap; 63 bins
# because bits need 2 and descriptors few.
PARAMS: Mapping[str, float | int | str | bool] = {
    "objective": "regression",
    "learning_rate": 0.15,
    "num_leaves": 15,
    "min_data_in_leaf": 3,
    "min_sum_hessian_in_leaf": 1e-3,
    "feature_fraction": 0.1,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def fit(
    X: Matrix,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    n_members: int = N_MEMBERS,
    n_trees: int = N_TREES,
    n_threads: int = 2,
) -> Belief:
    """Fit a belief to labelled compounds.

    Args:
        X: shape (n, p), of ``design_matrix``; NaN allowed.
        y: shape (n,), responses; finite.
        weight: shape (n,), e.g. wells per compound; None weighs all alike.
        seed: of bootstraps and feature samples.
        n_members: boosters.
        n_trees: of each booster.
        n_threads: members trained at a time.

    Returns:
        The belief. With fewer than 12 labels, or all labels equal, it is mean-only and its notes say so.

    Raises:
        ModelError: no labels, a label or weight that is not a number, or lengths that differ.
    """
    labels, weights = _checked(X, y, weight)
    level = float(np.average(labels, weights=weights))
    level_spread = float(np.sqrt(np.average((labels - level) ** 2, weights=weights)))
    digest = _digest(X, labels, weights)
    columns = _useful_columns(X)
    note = _why_mean_only(labels, columns)
    members: tuple[lgb.Booster, ...] = ()
    if note is None:
        data = np.ascontiguousarray(X[:, columns])
        rngs = np.random.default_rng([seed, 0]).spawn(n_members)
        with ThreadPoolExecutor(n_threads) as pool:
            members = tuple(pool.map(lambda rng: _member(data, labels, weights, rng, n_trees), rngs))
    notes = () if note is None else (note,)
    return Belief(members, columns, X.shape[1], level, level_spread, len(labels), seed, digest, notes)


def _checked(X: Matrix, y: npt.ArrayLike, weight: npt.ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    labels = np.asarray(y, dtype=np.float64)
    weights = np.ones(len(labels)) if weight is None else np.asarray(weight, dtype=np.float64)
    if labels.ndim != 1 or X.ndim != 2 or len(X) != len(labels) or weights.shape != labels.shape:
        raise ModelError(f"shapes differ: features {X.shape}, labels {labels.shape}, weights {weights.shape}")
    if len(labels) == 0:
        raise ModelError("there is no labelled compound yet; measure a plate before fitting a belief")
    n_bad = int((~np.isfinite(labels)).sum())
    if n_bad:
        raise ModelError(f"{n_bad} of {len(labels)} labels are not numbers; leave unmeasured compounds out")
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise ModelError("weights must be finite, not negative, and not all 0")
    return labels, weights


def _digest(X: Matrix, y: FloatArray, weight: FloatArray) -> str:
    sha = hashlib.sha256()
    for array in (X.astype(np.float32, copy=False), y, weight):
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def _useful_columns(X: Matrix) -> Index:
    """Keep columns that can split: a bit set in two rows and unset in two, any other that varies."""
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    is_bit = np.logical_or(X == 0, X == 1).all(axis=0)
    n_set = np.where(is_bit, X, 0).sum(axis=0)
    varies = high > low
    return np.flatnonzero(np.where(is_bit, (n_set >= 2) & (n_set <= len(X) - 2), varies))


def _why_mean_only(y: FloatArray, columns: Index) -> str | None:
    if len(y) < FEWEST_LABELS:
        return f"mean-only belief: only {len(y)} labelled compounds, {FEWEST_LABELS} are needed"
    if np.ptp(y) == 0:
        return "mean-only belief: all labels equal"
    return None if len(columns) else "mean-only belief: all labelled compounds look the same"


def _member(data: Matrix, y: FloatArray, weight: FloatArray, rng: np.random.Generator, n_trees: int) -> lgb.Booster:
    """Grow one booster on a bootstrap of the rows (drawn as weights: rows not drawn weigh next to nothing)."""
    drawn = rng.multinomial(len(y), np.full(len(y), 1 / len(y)))
    rows = np.flatnonzero(drawn * weight > 0)
    params = {**PARAMS, "seed": int(rng.integers(2**31))}
    dataset = lgb.Dataset(data[rows], y[rows], weight=(drawn * weight)[rows], params=params)
    return lgb.train(params, dataset, num_boost_round=n_trees)


def predict(belief: Belief, X: Matrix, *, n_threads: int = 2) -> tuple[FloatArray, FloatArray]:
    """Predict compounds.

    Args:
        belief: of ``fit`` or ``load``.
        X: shape (m, p), of ``design_matrix`` with the descriptors the belief was fitted on.
        n_threads: members asked at a time.

    Returns:
        mean and spread, each shape (m,): mean and standard deviation over the members. A mean-only belief gives
        its level and the labels' standard deviation for every compound.

    Raises:
        ModelError: the matrix has another width than the one it was fitted on.
    """
    if X.ndim != 2 or X.shape[1] != belief.n_columns:
        raise ModelError(
            f"the belief was fitted on {belief.n_columns} columns and is asked about {X.shape}; "
            "the library was featurised by another version: fit again"
        )
    if belief.is_mean_only:
        return np.full(len(X), belief.level), np.full(len(X), belief.level_spread)
    data = np.ascontiguousarray(X[:, belief.columns])
    with ThreadPoolExecutor(n_threads) as pool:
        each = np.stack(list(pool.map(lambda member: _ask(member, data), belief.members)))
    return each.mean(axis=0), each.std(axis=0)


def _ask(member: lgb.Booster, data: Matrix) -> FloatArray:
    return np.asarray(member.predict(data, num_threads=1), dtype=np.float64)
