"""Diverse batches are the plain greedy ones of their definitions, under caps, costs and pending compounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.acquisition.clusters import scaffold_clusters, sphere_clusters
from nextplate.acquisition.diversity import DIVERSITY, dpp, facility, gain_of, maxmin
from nextplate.acquisition.greedy import Limits, greedy
from nextplate.chem.kernel import tanimoto
from nextplate.errors import PlanError


def bits(seed, n):
    return np.packbits(np.random.default_rng(seed).random((n, 128)) < 0.25, axis=1)


def similarity(packed):
    return tanimoto(packed, packed).astype(float)


def slow_maxmin(s, n, first):
    picks = list(first)
    while len(picks) < n:
        nearest = s[:, picks].max(axis=1)
        nearest[picks] = np.inf
        picks.append(int(nearest.argmin()))
    return picks


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_maxmin_takes_the_row_furthest_from_every_pick(seed):
    packed = bits(seed, 60)
    s = similarity(packed)
    assert maxmin(packed, 15).tolist() == slow_maxmin(s, 15, [0])
    after = maxmin(packed[5:], 10, chosen=packed[:5]) + 5
    assert after.tolist() == slow_maxmin(s, 15, range(5))[5:]


@pytest.mark.parametrize("n_chosen", [0, 4])
def test_dpp_takes_the_row_that_raises_the_log_determinant_most(n_chosen):
    packed, u, w = bits(1, 50), np.random.default_rng(2).normal(size=50), 0.3
    s = similarity(packed)
    picks = list(range(n_chosen))
    while len(picks) < 12:
        gain = np.array(
            [
                -np.inf if i in picks else u[i] + w * np.linalg.slogdet(s[np.ix_([*picks, i], [*picks, i])])[1]
                for i in range(50)
            ]
        )
        picks.append(int(gain.argmax()))
    ours = dpp(packed[n_chosen:], 12 - n_chosen, utility=u[n_chosen:], weight=w, chosen=packed[:n_chosen])
    assert (ours + n_chosen).tolist() == picks[n_chosen:]


@pytest.mark.parametrize("n_chosen", [0, 4])
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_lazy_facility_location_is_the_plain_one(n_chosen, weight):
    packed, u = bits(3, 80), np.random.default_rng(4).random(80)
    s = similarity(packed)
    covered = s[:, :n_chosen].max(axis=1, initial=0)
    expected: list[int] = []
    for _ in range(10):
        gain = u + weight * 10 / 80 * np.maximum(s - covered[:, None], 0).sum(axis=0)
        gain[expected] = -np.inf
        expected.append(int(gain.argmax()))
        covered = np.maximum(covered, s[:, expected[-1]])
    ours = facility(packed, 10, utility=u, weight=weight, chosen=packed[:n_chosen])
    assert ours.tolist() == expected


def test_twins_are_the_last_that_a_determinant_takes():
    packed = bits(5, 20)
    packed[10:] = packed[:10]
    picks = dpp(packed, 20)
    assert len(set(picks[:10] % 10)) == 10
    assert sorted(picks) == list(range(20))


@given(seed=st.integers(0, 10_000), name=st.sampled_from(DIVERSITY), cap=st.integers(1, 3), n=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_no_cluster_gets_more_than_its_cap(seed, name, cap, n):
    rng = np.random.default_rng(seed)
    packed, u, clusters = bits(seed, 30), rng.random(30), rng.integers(-1, 6, 30)
    taken = rng.integers(0, 2, 6)
    gain = gain_of(name, u, packed, 0.5, n, packed[:2])
    picks = greedy(gain, n, Limits(clusters, cap, taken, rng.integers(0, 4, 30), 0.2))
    counts = np.bincount(clusters[picks][clusters[picks] >= 0], minlength=6)
    room = np.minimum(np.maximum(cap - taken, 0), np.bincount(clusters[clusters >= 0], minlength=6))
    assert (counts <= room).all()
    assert len(set(picks)) == len(picks) == min(n, room.sum() + (clusters < 0).sum())


def test_a_source_plate_is_opened_only_by_a_pick_worth_its_cost():
    u = np.array([1.0, 0.9, 0.85, 0.5, 0.6])
    plates = np.array([0, 1, 1, 0, 0])
    limits = Limits(plates=plates, plate_cost=0.35)
    assert greedy(gain_of("none", u, bits(0, 5), 0, 3), 3, limits).tolist() == [0, 4, 1]
    assert greedy(gain_of("none", u, bits(0, 5), 0, 3), 3).tolist() == [0, 1, 2]


def test_clusters_are_spheres_around_the_first_row_left():
    packed = bits(6, 100)
    packed[50:] = packed[:50]
    clusters = sphere_clusters(packed, 0.3)
    s, leaders = similarity(packed), [int(np.flatnonzero(clusters == c)[0]) for c in range(clusters.max() + 1)]
    assert leaders == sorted(leaders)
    for row in range(100):
        joined = [c for c, leader in enumerate(leaders) if leader <= row and s[row, leader] >= np.float32(0.3)]
        assert clusters[row] == joined[0]


def test_an_empty_structure_is_a_cluster_of_its_own():
    assert sphere_clusters(np.zeros((3, 8), np.uint8)).tolist() == [0, 1, 2]


def test_scaffolds_are_numbered_and_compounds_without_one_are_in_no_cluster():
    assert scaffold_clusters(["c1ccccc1", "", "C1CC1", None, "c1ccccc1"]).tolist() == [0, -1, 1, -1, 0]


REFUSED = [
    (lambda: gain_of("odd", np.ones(2), bits(0, 2), 1, 1), "no diversity 'odd'"),
    (lambda: greedy(gain_of("none", np.ones(2), bits(0, 2), 1, 1), -1), "-1 picks"),
    (lambda: greedy(gain_of("none", np.ones(2), bits(0, 2), 1, 1), 1, Limits(np.array([0]))), "1 entries for 2"),
    (lambda: greedy(gain_of("none", np.ones(2), bits(0, 2), 1, 1), 1, Limits(np.array([0, 1]), 0)), "cap .* is 0"),
    (lambda: greedy(gain_of("none", np.ones(2), bits(0, 2), 1, 1), 1, Limits(plate_cost=-1)), "plate is -1"),
    (lambda: sphere_clusters(bits(0, 2), 0), "similarity is 0"),
]


@pytest.mark.parametrize(("ask", "says"), REFUSED)
def test_impossible_requests_say_why(ask, says):
    with pytest.raises(PlanError, match=says):
        ask()
