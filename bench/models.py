"""Beliefs: seconds of a fit and a prediction at 10,000 compounds, and our walk of a forest against scikit-learn's."""

import numpy as np

from bench.table import Figure
from bench.timing import seconds
from nextplate.compound import Features
from nextplate.models import kind_of, predict_library

COMMAND = "python -m bench.run models"
N_COMPOUNDS, N_LABELS = 10_000, 600
KINDS = ("lightgbm", "forest", "nearest", "committee")


def figures() -> list[Figure]:
    """Measure every kind on the Enamine 10k library, and the forest's walk."""
    features, values = _enamine()
    rows = np.random.default_rng(1).permutation(len(values))[:N_LABELS].astype(np.intp)
    return [*(_kind(name, features, rows, values[rows]) for name in KINDS), _walk(features, rows, values[rows])]


def _enamine() -> tuple[Features, np.ndarray]:
    import os
    from pathlib import Path

    from nextplate.chem.valued import read_valued

    data = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data/molpal_enamine/Enamine10k_scores.csv.gz"
    read = read_valued(data, smiles_column="smiles", value_column="score")
    return read.features, -read.values


def _kind(name: str, features: Features, rows: np.ndarray, y: np.ndarray) -> Figure:
    kind = kind_of(name)
    belief = kind.fit(features, rows, y, seed=1)
    fit_s = seconds(lambda: kind.fit(features, rows, y, seed=1))
    predict_s = seconds(lambda: predict_library(kind, belief, features))
    what = f"belief {name}: fit to {len(rows)} labels, predict {len(features.compound_ids):,} compounds"
    return Figure(what, f"{fit_s:.2f} s, {predict_s:.2f} s", "a round's decision in at most 30 s", COMMAND)


def _walk(features: Features, rows: np.ndarray, y: np.ndarray) -> Figure:
    """Compare means of all compounds from packed bits with scikit-learn's from its float matrix, one thread each."""
    from sklearn.ensemble import RandomForestRegressor

    from nextplate.models.forest import seen_matrix
    from nextplate.models.trees import take_trees, walk_trees

    known = seen_matrix(features, rows, is_binary=False)
    matrix = seen_matrix(features, np.arange(len(features.compound_ids)), is_binary=False)
    every = np.arange(matrix.shape[1])
    grown = RandomForestRegressor(300, max_features="sqrt", random_state=1).fit(known, y)
    trees = take_trees(grown.estimators_, every, 0.0, None)
    apart = np.abs(walk_trees(trees, features.counts, features.descriptors)[:, 0] - grown.predict(matrix)).max()
    ours = seconds(lambda: walk_trees(trees, features.counts, features.descriptors))
    theirs = seconds(lambda: grown.predict(matrix))
    spread = seconds(lambda: np.std([tree.predict(matrix) for tree in grown.estimators_], axis=0), 1)
    return Figure(
        f"forest of 300 trees, mean and spread of {len(matrix):,} compounds, 1 thread",
        f"{ours:.2f} s from packed bits, {apart:.0e} from scikit-learn's mean at most",
        f"scikit-learn: mean {theirs:.2f} s, spread {spread:.2f} s, from a matrix of {matrix.nbytes / 1e6:.0f} MB",
        COMMAND,
    )
