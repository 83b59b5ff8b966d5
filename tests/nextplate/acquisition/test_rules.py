"""Every rule scores what its name says, and modAL is only needed by its own."""

import subprocess
import sys

import numpy as np
import pytest

from nextplate.acquisition import Knobs, score, scored
from nextplate.errors import ModelError, PlanError
from nextplate.prediction import Prediction


def prediction(mean, spread):
    mean, spread = np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)
    ids = tuple(f"C{i}" for i in range(len(mean)))
    return Prediction(ids, mean, spread, mean - spread, mean + spread, 0.9, np.full(len(mean), 0.5))


GIVEN = prediction([0.1, 0.9, 0.5, 0.5], [0.5, 0.0, 0.1, 0.4])

BEST_FIRST = [
    ("greedy", {}, [1, 2, 3, 0]),
    ("uncertainty", {}, [0, 3, 2, 1]),
    ("ucb", {"beta": 2.0}, [3, 0, 1, 2]),
    ("modal-ucb", {"beta": 2.0}, [3, 0, 1, 2]),
    ("ei", {}, [3, 0, 1, 2]),
    ("pi", {}, [3, 0, 1, 2]),
]


@pytest.mark.parametrize(("rule", "knobs", "order"), BEST_FIRST)
def test_who_comes_first(rule, knobs, order):
    if rule in ("ei", "pi", "modal-ucb"):
        pytest.importorskip("modAL")
    scores = score(rule, GIVEN, 0.95, np.random.default_rng(0), **knobs)
    assert np.argsort(-scores, kind="stable").tolist()[:2] == order[:2]


def test_our_ucb_is_that_of_modal():
    pytest.importorskip("modAL")
    rng = np.random.default_rng(1)
    given = prediction(rng.normal(size=50), rng.random(50))
    for beta in (0.0, 1.0, 3.5):
        ours, theirs = (score(rule, given, 0.0, rng, beta=beta) for rule in ("ucb", "modal-ucb"))
        np.testing.assert_array_equal(ours, theirs)


def test_random_is_decided_by_the_generator():
    one, two, other = (score("random", GIVEN, 0.0, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.tolist() == two.tolist() != other.tolist()


def test_scores_do_not_share_memory_with_the_prediction():
    for rule in ("greedy", "uncertainty"):
        score(rule, GIVEN, 0.0, np.random.default_rng(0))[:] = 7
    assert GIVEN.mean[1] == 0.9
    assert GIVEN.spread[0] == 0.5


def test_an_unknown_rule_is_told_the_known_ones():
    with pytest.raises(PlanError, match="'gredy'; the rules are: bald, ei, entropy, greedy, hits-at-fdr, margin, "):
        score("gredy", GIVEN, 0.0, np.random.default_rng(0))


@pytest.mark.parametrize("rule", ["ei", "pi"])
def test_where_there_is_nothing_to_improve_on_the_mean_scores_and_that_is_told(rule):
    pytest.importorskip("modAL")
    told = scored(rule, GIVEN, Knobs(float("nan")), np.random.default_rng(0))
    np.testing.assert_array_equal(told.scores, GIVEN.mean)
    assert told.notes == ("no response was measured that could be improved on: scored by the mean",)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ModelError, match="1 of 2 compounds is NaN"):
        score("greedy", prediction([np.nan, 1], [0, 0]), 0.0, np.random.default_rng(0))


@pytest.mark.parametrize("rule", ["ei", "pi", "modal-ucb"])
def test_without_modal_the_message_says_what_to_install(rule, monkeypatch):
    monkeypatch.setitem(sys.modules, "modAL", None)
    monkeypatch.delitem(sys.modules, "modAL.acquisition", raising=False)
    with pytest.raises(ModelError, match=r"pip install nextplate\[modal\]"):
        score(rule, GIVEN, 0.5, np.random.default_rng(0))


def test_torch_is_not_loaded_by_importing_the_room():
    code = "import sys, nextplate.acquisition; sys.exit('torch' in sys.modules or 'modAL' in sys.modules)"
    paths = ":".join(filter(None, sys.path))
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": paths}, check=False).returncode == 0
