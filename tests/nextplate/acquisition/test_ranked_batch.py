"""The ranked batch picks what modAL picks."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from nextplate.acquisition.ranked import ranked_batch
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


def test_more_picks_than_candidates_gives_all_once():
    picks = ranked_batch(np.ones(3), lambda row: np.ones(3), np.ones(3), 1, 300)
    assert picks.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("unsure", "n_labelled"), [([np.nan, 1.0], 1), ([1.0], 1), ([1.0, 1.0], 0)])
def test_bad_input_is_one_clear_error(unsure, n_labelled):
    with pytest.raises(PlanError):
        ranked_batch(unsure, lambda row: np.ones(2), np.ones(2), n_labelled, 1)
