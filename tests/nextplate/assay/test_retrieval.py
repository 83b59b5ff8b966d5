"""Replicates that look alike find each other; nothing is found in noise more often than the level says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.false_discovery import benjamini_hochberg, inactive_share
from nextplate.assay.retrieval import (
    average_precision,
    chance_precision,
    cosine,
    mean_average_precision,
    replication,
)
from nextplate.errors import DataError


def brute_precision(similarity: list[float], positive: list[bool]) -> float:
    """Sort, walk down, average the precision at each positive; ties go to the negatives."""
    ranked = sorted(zip(similarity, positive, strict=True), key=lambda w: (-w[0], w[1]))
    found, total = 0, 0.0
    for rank, (_, is_positive) in enumerate(ranked, start=1):
        if is_positive:
            found += 1
            total += found / rank
    return total / found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_average_precision_is_the_one_by_hand(wells):
    s, p, c = (np.array(column)[None] for column in zip(*wells, strict=True))
    used = [(a, b) for a, b, is_candidate in wells if is_candidate]
    found = average_precision(s.astype(np.float64), p, c)[0]
    if any(b for _, b in used):
        assert found == pytest.approx(brute_precision(*map(list, zip(*used, strict=True))))
    else:
        assert np.isnan(found)


def screen(effect: float, n_groups: int = 30, wells: int = 4, n_controls: int = 24, seed: int = 1):
    rng = np.random.default_rng(seed)
    active = np.arange(n_groups) < n_groups // 2
    centre = rng.normal(size=(n_groups, 20)) * (effect * active)[:, None]
    profiles = np.vstack([np.repeat(centre, wells, axis=0), np.zeros((n_controls, 20))])
    profiles += rng.normal(size=profiles.shape)
    group = [f"C{i:02d}" for i in np.repeat(np.arange(n_groups), wells)] + ["DMSO"] * n_controls
    return profiles, group, np.arange(len(group)) >= n_groups * wells


def brute_map(profiles: np.ndarray, group: list[str], is_reference: np.ndarray, name: str, against: str) -> float:
    total = []
    mine = [i for i, g in enumerate(group) if g == name and not is_reference[i]]
    for i in mine:
        others = [j for j in mine if j != i]
        pool = [
            j
            for j in range(len(group))
            if j not in mine and (is_reference[j] if against == "references" else not is_reference[j])
        ]
        s = [
            float(profiles[i] @ profiles[j] / np.linalg.norm(profiles[i]) / np.linalg.norm(profiles[j]))
            for j in (*others, *pool)
        ]
        total.append(brute_precision(s, [True] * len(others) + [False] * len(pool)))
    return float(np.mean(total))


@pytest.mark.parametrize("against", ["references", "others"])
def test_mean_average_precision_is_the_one_by_brute_force(against):
    data = screen(1.0, n_groups=8)
    found = mean_average_precision(*data, np.random.default_rng(1), against=against, n_draws=200)
    assert [g.group for g in found] == [f"C{i:02d}" for i in range(8)]
    for g in found:
        assert g.precision == pytest.approx(brute_map(*data, g.group, against))
        assert g.n_wells == 4
    np.testing.assert_allclose([g.q for g in found], benjamini_hochberg(np.array([g.p for g in found])))


def test_active_compounds_are_found_and_noise_is_not():
    found = mean_average_precision(*screen(2.0), np.random.default_rng(2), n_draws=2000)
    q = np.array([g.q for g in found])
    assert (q[:15] < 0.05).mean() > 0.9
    assert (q[15:] < 0.05).mean() < 0.15


def test_p_values_of_noise_are_not_too_small():
    p = [
        g.p
        for seed in range(8)
        for g in mean_average_precision(*screen(0.0, seed=seed), np.random.default_rng(seed), n_draws=1000)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.08


def test_the_null_is_that_of_shuffled_rankings():
    rng = np.random.default_rng(3)
    drawn = chance_precision(3, 12, 20_000, rng)
    shuffled = [
        brute_precision(list(range(12, 0, -1)), list(rng.permutation([True] * 3 + [False] * 9))) for _ in range(4000)
    ]
    assert drawn.mean() == pytest.approx(np.mean(shuffled), abs=0.01)
    np.testing.assert_allclose(np.percentile(drawn, [5, 50, 95]), np.percentile(shuffled, [5, 50, 95]), atol=0.03)


def test_replication_is_high_with_an_effect_and_about_five_percent_without():
    profiles, group, is_reference = screen(3.0)
    samples = ~is_reference
    strong = replication(profiles[samples], list(np.array(group)[samples]), np.random.default_rng(4))
    assert 45 <= strong.percent_replicating <= 65
    assert strong.correlation[:15].min() > strong.correlation[15:].max()
    expected = np.median([np.corrcoef(profiles[i], profiles[j])[0, 1] for i in range(4) for j in range(i)])
    assert strong.correlation[0] == pytest.approx(expected)
    quiet, names, _ = screen(0.0, n_groups=200)
    none = replication(quiet[:800], names[:800], np.random.default_rng(5))
    assert none.percent_replicating < 11


def test_the_same_generator_gives_the_same_numbers():
    data = screen(1.0)
    one, two = (mean_average_precision(*data, np.random.default_rng(6), n_draws=100) for _ in range(2))
    assert one == two


def test_a_profile_of_zeros_is_similar_to_nothing():
    assert cosine(np.zeros((1, 3)), np.eye(3)).tolist() == [[0.0, 0.0, 0.0]]


def test_what_cannot_be_ranked_is_refused():
    profiles, group, is_reference = screen(1.0, n_groups=3)
    rng = np.random.default_rng(7)
    with pytest.raises(DataError, match="no references"):
        mean_average_precision(profiles, group, np.zeros(len(group), np.bool_), rng)
    with pytest.raises(DataError, match="can be references or others"):
        mean_average_precision(profiles, group, is_reference, rng, against="x")
    with pytest.raises(DataError, match="not finite"):
        mean_average_precision(profiles * np.nan, group, is_reference, rng)
    with pytest.raises(DataError, match="no group has two wells"):
        replication(profiles[:2], ["a", "b"], rng)
    assert mean_average_precision(profiles[:1], ["a"], np.array([False]), rng) == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_is_the_step_up_procedure_by_brute_force(p):
    values, n = np.array(p), len(p)
    q = benjamini_hochberg(values)
    for i in range(n):
        above = [values[j] * n / (values <= values[j]).sum() for j in range(n) if values[j] >= values[i]]
        assert q[i] == pytest.approx(min(1.0, *above) if len(above) > 1 else min(1.0, above[0]))


def test_the_share_of_inactives_is_found():
    p = np.concatenate([np.random.default_rng(8).random(800), np.full(200, 1e-6)])
    assert inactive_share(p) == pytest.approx(0.8, abs=0.06)
    assert inactive_share(np.array([])) == 1.0
