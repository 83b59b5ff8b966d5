"""Undecided label sets come first."""

import numpy as np

from nextplate.acquisition import Knobs, scored
from nextplate.conformal import label_sets
from tests.support.believed import believed

RNG = np.random.default_rng(0)
SCORES = np.concatenate([np.linspace(0, 1, 60), np.linspace(0.5, 1.5, 40)])
IS_HIT = np.arange(100) >= 60


def test_whatever_set_is_larger_comes_first():
    mean = np.linspace(-1, 2, 50)
    knobs = Knobs(1.0, cal_scores=SCORES, cal_is_hit=IS_HIT, level=0.8)
    found = scored("set-size", believed(mean, np.ones(50)), knobs, RNG)
    sizes = label_sets(SCORES, IS_HIT, mean, level=0.8).size
    assert set(sizes.tolist()) == {1, 2}
    assert sizes[np.argsort(-found.scores)].tolist() == sorted(sizes.tolist(), reverse=True)
    assert found.notes == ()


def test_too_few_hits_are_told():
    knobs = Knobs(1.0, cal_scores=SCORES[:62], cal_is_hit=IS_HIT[:62])
    assert "2 calibrating hits" in scored("set-size", believed([0.1, 0.9], [1, 1]), knobs, RNG).notes[0]


def test_without_calibration_entropy_takes_its_place_and_that_is_told():
    given = believed([0, 0, 0], [1, 1, 1], [0.1, 0.5, 0.3])
    found = scored("set-size", given, Knobs(1.0), RNG)
    assert found.scores.tolist() == scored("entropy", given, Knobs(1.0), RNG).scores.tolist()
    assert "entropy" in found.notes[0]
