"""Bagged gradient boosting on fingerprints and descriptors.

A belief is a few boosters, each grown on its own bootstrap of the labelled compounds; their mean is the
prediction and their standard deviation the spread. The spread is the disagreement of the members (what more data
would settle), not the noise of a well; ``nextplate.conformal`` turns both into intervals.

Members are trained one per thread with LightGBM held to one thread each: on a few hundred rows its own threads
spend their time waiting for one another, and the result does not depend on the number of threads.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from nextplate.compound import Features
from nextplate.errors import ModelFileError
from nextplate.models.belief import Learned
from nextplate.models.design import Matrix, Rows, column_names, design_matrix, useful_columns
from nextplate.models.labels import Labels, check_labels, check_library, learned_from, mean_only, why_mean_only
from nextplate.models.storage import learned_of, read_card, save_folder

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

N_MEMBERS = 5
N_TREES = 60

# Compared on retrospective sets (a synthetic truth on the WEHI library, LIT-PCBA ALDH1, Enamine docking scores),
# 3 seeds each: 60 trees at 0.15 found as much as 100 at 0.1 or 200 at 0.05; extra trees, weighting the hits and rf
# boosting gave no clear gain. Small feature samples decorrelate the members and are what makes a fit cheap; 63 bins
# because bits need 2 and descriptors few.
PARAMS: Mapping[str, float | int | str | bool] = {
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


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted model of the response."""

    members: tuple[lgb.Booster, ...]
    """Empty for a mean-only belief."""
    columns: Index
    """Columns of the design matrix the members see, in their order."""
    feature_names: tuple[str, ...]
    """Of those columns."""
    learned: Learned

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator should know, e.g. 'mean-only belief: all labels equal'."""
        return self.learned.notes

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return not self.members


def fit(
    features: Features,
    rows: Index,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    seed: int = 0,
    *,
    n_members: int = N_MEMBERS,
    n_trees: int = N_TREES,
    n_threads: int = 2,
) -> Boosted:
    """Fit a belief to labelled compounds.

    Args:
        features: of the library.
        rows: shape (n,): rows that are labelled.
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
    labels = check_labels(features, rows, y, weight)
    X = design_matrix(features, labels.rows)
    columns = useful_columns(X)
    note = why_mean_only(labels)
    if note is None and len(columns) == 0:
        note = "mean-only belief: all labelled compounds look the same"
    members: tuple[lgb.Booster, ...] = ()
    if note is None:
        data = np.ascontiguousarray(X[:, columns])
        rngs = np.random.default_rng([seed, 0]).spawn(n_members)
        with ThreadPoolExecutor(n_threads) as pool:
            members = tuple(pool.map(lambda rng: _member(data, labels, rng, n_trees), rngs))
    names = column_names(features)
    notes = () if note is None else (note,)
    return Boosted(members, columns, tuple(names[i] for i in columns), learned_from(features, labels, seed, notes))


def _member(data: Matrix, labels: Labels, rng: np.random.Generator, n_trees: int) -> lgb.Booster:
    """Grow one booster on a bootstrap of the rows.

    Of 0/1 labels hits and others are drawn apart, so that each member meets as many hits as there are, and what is
    fitted is the log-odds of a hit.
    """
    drawn = _drawn(labels, rng) * labels.weight
    rows = np.flatnonzero(drawn > 0)
    objective = "binary" if labels.is_binary else "regression"
    params = {**PARAMS, "objective": objective, "seed": int(rng.integers(2**31))}
    dataset = lgb.Dataset(data[rows], labels.y[rows], weight=drawn[rows], params=params)
    return lgb.train(params, dataset, num_boost_round=n_trees)


def _drawn(labels: Labels, rng: np.random.Generator) -> FloatArray:
    """Draw as many rows as there are, with replacement; how often each was, shape (n,)."""
    drawn = np.zeros(len(labels.y))
    classes = (labels.y == 1, labels.y == 0) if labels.is_binary else (np.ones(len(labels.y), dtype=bool),)
    for rows in map(np.flatnonzero, classes):
        drawn[rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
    return drawn


def predict(
    belief: Boosted, features: Features, rows: Rows | None = None, *, n_threads: int = 2
) -> tuple[FloatArray, FloatArray]:
    """Predict compounds.

    Args:
        belief: of ``fit`` or ``load``.
        features: of a library, with the descriptors the belief was fitted on.
        rows: which compounds; None: all.
        n_threads: members asked at a time.

    Returns:
        mean and spread, each shape (m,): mean and standard deviation over the members. A mean-only belief gives
        its level and the spread of a further label for every compound.

    Raises:
        ModelError: the library's features are others than those it was fitted on.
    """
    check_library(belief.learned, features)
    X = design_matrix(features, rows)
    if belief.is_mean_only:
        return mean_only(belief.learned, len(X))
    data = np.ascontiguousarray(X[:, belief.columns])
    with ThreadPoolExecutor(n_threads) as pool:
        each = np.stack(list(pool.map(lambda member: _ask(member, data), belief.members)))
    return each.mean(axis=0), each.std(axis=0)


def _ask(member: lgb.Booster, data: Matrix) -> FloatArray:
    return np.asarray(member.predict(data, num_threads=1), dtype=np.float64)


def save(belief: Boosted, folder: Path, *, metrics: Mapping[str, float] | None = None) -> None:
    """Write a belief to a new folder, whole or not at all: member_0.txt, ... and card.json.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """

    def fill(inside: Path) -> None:
        for i, member in enumerate(belief.members):
            (inside / f"member_{i}.txt").write_text(member.model_to_string(), encoding="utf-8", newline="\n")

    facts = {
        "lightgbm": lgb.__version__,
        "n_members": len(belief.members),
        "columns": belief.columns.tolist(),
        "features": list(belief.feature_names),
    }
    save_folder(folder, "lightgbm", belief.learned, fill, facts=facts, metrics=metrics)


def load(folder: Path) -> Boosted:
    """Read a belief and check every file against the card.

    Raises:
        ModelFileError: a file is missing, altered, or of another kind or format.
    """
    card = read_card(folder, "lightgbm")
    facts = card["facts"]
    try:
        paths = [folder / f"member_{i}.txt" for i in range(facts["n_members"])]
        members = tuple(lgb.Booster(model_str=path.read_text(encoding="utf-8")) for path in paths)
        return Boosted(members, np.asarray(facts["columns"], np.intp), tuple(facts["features"]), learned_of(card))
    except (KeyError, OSError, lgb.basic.LightGBMError) as error:
        raise ModelFileError(f"{folder}: cannot be read as a LightGBM belief ({error}); fit it again") from error
