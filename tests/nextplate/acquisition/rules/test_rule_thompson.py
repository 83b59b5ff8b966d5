"""Every draw names its best, then its second: that is the order of a batch."""

import numpy as np

from nextplate.acquisition import Knobs, scored
from tests.support.believed import believed


def rng(seed=0):
    return np.random.default_rng(seed)


def test_each_draw_names_its_best_then_its_second():
    given = believed([0, 0, 0, 0], [1, 1, 1, 1], draws=[[9, 8, 1, 0], [0, 1, 9, 2]])
    found = scored("thompson", given, Knobs(1.0), rng())
    assert found.scores.tolist() == [0, -1, 0, -1]
    assert found.notes == ()


def test_ranks_count_only_compounds_that_may_be_picked():
    given = believed([0, 0, 0], [1, 1, 1], draws=[[9, 8, 1]])
    found = scored("thompson", given, Knobs(1.0, available=np.array([False, True, True])), rng())
    assert np.argmax(np.where([False, True, True], found.scores, -np.inf)) == 1
    assert found.scores[1] == 0


def test_compounds_that_no_draw_names_follow_by_the_mean():
    n = 5000
    mean = np.arange(n) / n
    draws = np.tile(np.arange(n)[::-1], (3, 1))
    scores = scored("thompson", believed(mean, np.ones(n), draws=draws), Knobs(1.0), rng()).scores
    assert scores[0] == 0
    assert scores[4095] > scores[4999] > scores[4096]


def test_without_draws_it_is_one_normal_draw_and_says_so():
    given = believed(np.zeros(20_000), np.full(20_000, 2.0))
    found = scored("thompson", given, Knobs(1.0), rng())
    assert abs(found.scores.std() - 2) < 0.05
    assert "no joint draws" in found.notes[0]
    assert found.scores.tolist() == scored("thompson", given, Knobs(1.0), rng()).scores.tolist()
    assert found.scores.tolist() != scored("thompson", given, Knobs(1.0), rng(1)).scores.tolist()
