"""The ranked batch picks what modAL picks."""

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from nextplate.acquisition.ranked import ranked_batch, ranked_by_euclid, ranked_by_tanimoto
from nextplate.chem.describe import encode
from nextplate.errors import PlanError

pytest.importorskip("modAL")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("metric", ["euclidean", "jaccard"])
@pytest.mark.parametrize("seed", range(5))
def test_picks_are_those_of_modal(metric, seed):
    from modAL.batch import ranked_batch as modal_ranked_batch

    rng = np.random.default_rng(seed)
    pool, known = rng.random((200, 32)), rng.random((20, 32))
    if metric == "jaccard":
        pool, known = pool < 0.3, known < 0.3
    unsure = rng.random(200)
    learner = SimpleNamespace(X_training=known, transform_without_estimating=lambda X: X, on_transformed=False)
    theirs, _ = modal_ranked_batch(learner, pool, unsure, 30, metric, 1)
    ours = ranked_batch(
        unsure,
        lambda row: cdist(pool, pool[row : row + 1], metric)[:, 0],
        cdist(pool, known, metric).min(axis=1),
        len(known),
        30,
    )
    assert ours.tolist() == theirs.tolist()


@pytest.fixture(scope="module")
def real():
    """Bits and standardised descriptors of 600 compounds of a real screen."""
    data = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data/litpcba_aldh1/ALDH1_test.csv"
    if not data.exists():
        pytest.skip(f"{data} is not there")
    with data.open() as lines:
        smiles = [row["smiles"] for row, _ in zip(csv.DictReader(lines), range(600), strict=False)]
    encoded = encode(smiles)
    numbers = np.nan_to_num(encoded.descriptors.astype(np.float64))
    return encoded.fingerprints, (numbers - numbers.mean(axis=0)) / (numbers.std(axis=0) + 1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("unsure", ["random", "ties"])
def test_picks_of_real_compounds_are_those_of_modal(real, seed, unsure):
    from modAL.batch import ranked_batch as modal_ranked_batch

    packed, numbers = real
    order = np.random.default_rng(seed).permutation(len(packed))
    pool, known = order[:300], order[300:330]
    if unsure == "ties":  # three levels: many candidates differ by their distance alone
        scores = np.random.default_rng(seed).integers(0, 3, len(pool)) / 2
    else:
        scores = np.random.default_rng(seed).random(len(pool))
    cases = [
        ("jaccard", np.unpackbits(packed, axis=1).astype(bool), ranked_by_tanimoto, packed),
        ("euclidean", numbers, ranked_by_euclid, numbers),
    ]
    for metric, x, ours, rows in cases:
        learner = SimpleNamespace(X_training=x[known], on_transformed=False)
        theirs, _ = modal_ranked_batch(learner, x[pool], scores, 12, metric, 1)
        assert ours(scores, rows[pool], rows[known], 12).tolist() == theirs.tolist()


def test_nothing_labelled_is_a_cold_start():
    with pytest.raises(PlanError, match="cold start"):
        ranked_by_tanimoto([0.5], np.ones((1, 8), np.uint8), np.empty((0, 8), np.uint8), 1)
    with pytest.raises(PlanError, match="cold start"):
        ranked_by_euclid([0.5], np.ones((1, 8)), np.empty((0, 8)), 1)


def test_more_picks_than_candidates_gives_all_once():
    picks = ranked_batch(np.ones(3), lambda row: np.ones(3), np.ones(3), 1, 300)
    assert picks.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("unsure", "n_labelled"), [([np.nan, 1.0], 1), ([1.0], 1), ([1.0, 1.0], 0)])
def test_bad_input_is_one_clear_error(unsure, n_labelled):
    with pytest.raises(PlanError):
        ranked_batch(unsure, lambda row: np.ones(2), np.ones(2), n_labelled, 1)
