"""A batch under caps, costs and pending compounds; and what it does when it cannot."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.acquisition import batch as batch_module
from nextplate.acquisition import choose_batch, cold_start
from nextplate.acquisition.diversity import DIVERSITY, gain_of
from nextplate.acquisition.greedy import Limits, greedy
from nextplate.compound import Features
from nextplate.errors import PlanError
from nextplate.prediction import Prediction


def library(seed, n):
    packed = np.packbits(np.random.default_rng(seed).random((n, 64)) < 0.25, axis=1)
    ids = tuple(f"C{i}" for i in range(n))
    return Features(Path(), "digest", ids, ids, packed, np.zeros((n, 1), np.float32), ("x",), packed, packed)


def predicted(n):
    zero = np.zeros(n)
    return Prediction(tuple(f"C{i}" for i in range(n)), zero, zero + 0.1, zero - 0.2, zero + 0.2, 0.9, zero)


def chosen(features, scores, n_picks, seed=0, **more):
    n = len(scores)
    asked = {"available": np.ones(n, bool), "exploration_share": 0.0, **more}
    return choose_batch(scores, predicted(n), features, n_picks=n_picks, rng=np.random.default_rng(seed), **asked).picks


def rows(picks):
    return [int(pick.compound_id[1:]) for pick in picks]


@given(
    seed=st.integers(0, 10_000),
    diversity=st.sampled_from(["none", "discount", "penalty"]),
    weight=st.sampled_from([0.05, 0.5]),
    cost=st.sampled_from([0.0, 0.2, 1.0]),
    cap=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=60, deadline=None)
def test_the_shortlist_never_changes_the_picks(seed, diversity, weight, cost, cap):
    rng = np.random.default_rng(seed)
    features, scores = library(seed, 80), rng.normal(size=80)
    clusters, plates, pending = rng.integers(-1, 12, 80), rng.integers(0, 5, 80), rng.random(80) < 0.1
    picks = chosen(
        features, scores, 12, diversity=diversity, diversity_weight=weight, pending=pending,
        clusters=clusters, cap_per_cluster=cap, plate_of=plates, plate_cost=cost,
    )  # fmt: skip
    free = np.flatnonzero(~pending)
    middle = np.median(scores[free])
    utility = (scores - middle) / (scores[free].max() - middle)
    taken = np.bincount(clusters[pending & (clusters >= 0)], minlength=12)
    limits = Limits(clusters[free] if cap else None, cap or 1, taken, plates[free], cost)
    packed = features.fingerprints
    expected = greedy(gain_of(diversity, utility[free], packed[free], weight, 12, packed[pending]), 12, limits)
    assert [row for row, pick in zip(rows(picks), picks, strict=True) if pick.reason == "exploit"] == free[
        expected
    ].tolist()
    assert len(picks) == 12


@pytest.mark.parametrize("diversity", DIVERSITY)
def test_pending_compounds_are_not_picked_again_and_push_their_twins_back(diversity):
    features, scores = library(1, 40), np.linspace(1, 0.99, 40)
    scores[20:] = 0.0
    features.fingerprints[1] = features.fingerprints[0]
    pending = np.zeros(40, bool)
    pending[0] = True
    picks = rows(chosen(features, scores, 10, diversity=diversity, diversity_weight=1.0, pending=pending))
    assert 0 not in picks
    assert (1 in picks) == (diversity == "none")


def test_explore_picks_are_never_pending():
    features, pending = library(2, 50), np.arange(50) < 25
    picks = chosen(features, np.zeros(50), 25, exploration_share=1.0, pending=pending)
    assert sorted(rows(picks)) == list(range(25, 50))


@pytest.mark.parametrize("diversity", DIVERSITY)
@pytest.mark.parametrize("scores", [np.zeros(3), np.array([1.0, 2.0, 3.0])])
def test_a_library_of_three_and_a_batch_of_300_gives_all_three(diversity, scores):
    features = library(3, 3)
    assert sorted(rows(chosen(features, scores, 300, diversity=diversity))) == [0, 1, 2]
    assert len(chosen(library(3, 1), np.zeros(1), 300, diversity=diversity, exploration_share=0.1)) == 1


@pytest.mark.parametrize("diversity", ["none", "discount", "penalty", "maxmin", "dpp"])
def test_equal_scores_are_drawn_by_lot(diversity):
    features = library(4, 60)
    one, same, other = (rows(chosen(features, np.zeros(60), 10, seed=s, diversity=diversity)) for s in (1, 1, 2))
    assert one == same != other


def test_wells_the_caps_leave_empty_are_filled_and_say_so():
    features, scores = library(5, 20), np.arange(20.0)
    clusters = np.repeat([0, 1], 10)
    picks = chosen(features, scores, 5, diversity="none", clusters=clusters, cap_per_cluster=2)
    assert [(row, pick.reason) for row, pick in zip(rows(picks), picks, strict=True)] == [
        (19, "exploit"), (18, "exploit"), (9, "exploit"), (8, "exploit"), (17, "over-cap"),
    ]  # fmt: skip


def test_a_score_that_is_not_a_number_matters_only_where_it_could_be_picked():
    features, scores = library(6, 10), np.arange(10.0)
    scores[4] = np.nan
    with pytest.raises(PlanError, match=r"1 of 10 available .*the first: C4, nan"):
        chosen(features, scores, 3)
    available = np.arange(10) != 4
    assert rows(chosen(features, scores, 3, available=available, diversity="none")) == [9, 8, 7]


def test_a_cold_start_avoids_pending_compounds_and_their_twins():
    features = library(7, 200)
    features.fingerprints[1] = features.fingerprints[0]
    pending = np.arange(200) == 0
    picks = [
        rows(cold_start(features, np.ones(200, bool), 10, np.random.default_rng(s), pending=pending)) for s in range(30)
    ]
    assert not any({0, 1} & set(p) for p in picks)
    assert sorted(rows(cold_start(features, np.ones(200, bool), 300, np.random.default_rng(0), pending=pending))) == (
        list(range(1, 200))
    )


REFUSED = [
    ({"diversity": "odd"}, "no diversity 'odd'"),
    ({"cap_per_cluster": 2}, "needs the clusters"),
    ({"cap_per_cluster": 0, "clusters": np.zeros(10, np.intp)}, "cap per cluster is 0"),
    ({"clusters": np.zeros(9, np.intp), "cap_per_cluster": 1}, "clusters has 9 entries, the library 10"),
    ({"pending": np.zeros(9, bool)}, "pending has 9 entries"),
    ({"plate_of": np.zeros(9, np.intp)}, "plate_of has 9 entries"),
    ({"plate_of": np.zeros(10, np.intp), "plate_cost": -1.0}, "cost of a source plate is -1"),
    ({"pending": np.ones(10, bool)}, "no compound is available"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_impossible_limits_say_why(change, says):
    with pytest.raises(PlanError, match=says):
        chosen(library(8, 10), np.arange(10.0), 3, **change)


def asked_of(n, scores=None, **asked):
    features = library(0, n)
    scores = np.arange(n, dtype=float) if scores is None else scores
    return choose_batch(
        scores, predicted(n), features, available=np.ones(n, dtype=bool), rng=np.random.default_rng(1), **asked
    )


def test_scores_are_picked_where_they_may_be_and_lots_drawn_from_theirs():
    upper, even = np.arange(100) >= 70, np.arange(100) % 2 == 0
    batch = asked_of(100, n_picks=20, exploration_share=0.3, exploit_from=upper, explore_from=even, diversity="none")
    by = {r: [int(p.compound_id[1:]) for p in batch.picks if p.reason == r] for r in ("exploit", "explore")}
    assert by["exploit"] == list(range(99, 85, -1))
    assert len(by["explore"]) == 6
    assert even[by["explore"]].all()
    assert min(by["explore"]) < 70, "lots are of the whole library"
    assert batch.notes == ()


def test_where_too_few_may_be_picked_lots_take_the_wells_and_it_is_told():
    few, lot = np.arange(100) >= 95, np.arange(100) % 25 == 0
    batch = asked_of(100, n_picks=20, exploration_share=0.1, exploit_from=few, explore_from=lot)
    reasons = [p.reason for p in batch.picks]
    assert (reasons.count("exploit"), reasons.count("explore")) == (5, 15)
    assert batch.notes == (
        "only 5 compounds that may be picked for their score are left: 13 more are drawn by lot",
        "11 of 15 picks by lot are drawn from all that is free, as the lot holds no more: nothing is promised of those "
        "that were only screened",
    )


def test_ties_are_broken_by_lot_and_a_pool_that_is_cut_is_told(monkeypatch):
    monkeypatch.setattr(batch_module, "_MOST_WEIGHED", 50)
    tied = np.zeros(400)
    tied[:5] = 1.0
    batch = asked_of(400, tied, n_picks=10, exploration_share=0.0, diversity="penalty", diversity_weight=2.0)
    rows = [int(p.compound_id[1:]) for p in batch.picks]
    assert {0, 1, 2, 3, 4} & set(rows)
    assert batch.notes == (
        "400 compounds score so nearly alike that diversity or source plates could decide: the best 50 of them, of "
        "ties by lot, were weighed",
    )
    assert np.ptp([row for row in rows if row > 4]) > 100, "not the first in the file"
    monkeypatch.setattr(batch_module, "_MOST_WEIGHED", 400)
    assert asked_of(400, tied, n_picks=10, exploration_share=0.0, diversity="penalty", diversity_weight=2.0).notes == ()


@pytest.mark.parametrize(("diversity", "n"), [("maxmin", 50), ("dpp", 100), ("facility", 100)])
def test_shortlists_are_told(diversity, n):
    told = asked_of(400, n_picks=10, exploration_share=0.0, diversity=diversity).notes
    assert told == (f"{diversity}: the batch is chosen among the best {n} of 400 scores",)
    assert asked_of(n, n_picks=10, exploration_share=0.0, diversity=diversity).notes == ()


def test_a_hundred_thousand_ties_take_no_longer_than_they_should():
    batch = asked_of(100_000, np.zeros(100_000), n_picks=20, diversity="penalty", diversity_weight=0.5)
    assert "100,000 compounds score so nearly alike" in batch.notes[0]
    assert len(batch.picks) == 20
