"""Hits come with the share of them that is wrong, and that share is about right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.hit_calls import HitCalls, hit_calls
from nextplate.errors import DataError

N_COMPOUNDS = 160


def screen(
    seed: int, actives: float = 0.1, effect: float = 6.0, heavy: bool = False, replicates: int = 2, negatives: int = 32
):
    """Draw a plate: (values, is_negative, is_sample, compound, is_active)."""
    rng = np.random.default_rng(seed)
    n = negatives + replicates * N_COMPOUNDS
    noise = rng.standard_t(2, n) if heavy else rng.normal(size=n)
    active = np.concatenate([np.zeros(negatives, np.bool_), np.repeat(rng.random(N_COMPOUNDS) < actives, replicates)])
    negative = np.arange(n) < negatives
    compound = [None] * negatives + [f"C{i}" for i in np.repeat(np.arange(N_COMPOUNDS), replicates)]
    return noise + effect * active, negative, ~negative, compound, active


def call(seed: int, **how) -> tuple[HitCalls, np.ndarray]:
    values, negative, sample, compound, active = screen(seed, **how)
    return hit_calls(values, negative, sample, compound=compound), active


def test_hits_are_the_samples_beyond_the_threshold():
    values, negative, sample, compound, _ = screen(1)
    found = hit_calls(values, negative, sample, compound=compound, z_threshold=4.0)
    sd = 1.4826 * np.median(np.abs(values[negative] - np.median(values[negative])))
    np.testing.assert_allclose(found.z, (values - np.median(values[negative])) / sd)
    np.testing.assert_array_equal(found.is_hit, sample & (found.z >= 4.0))
    assert found.rates.n_hits == found.is_hit.sum()
    assert np.isnan(found.q[negative]).all()
    assert np.isfinite(found.q[sample]).all()


@pytest.mark.parametrize(
    ("actives", "negatives", "slack"), [(0.02, 32, 0.25), (0.1, 32, 0.1), (0.3, 32, 0.1), (0.1, 128, 0.05)]
)
def test_the_false_discovery_rate_is_about_the_true_one_and_leans_high(actives, negatives, slack):
    told, true = [], []
    for seed in range(40):
        found, active = call(seed, actives=actives, negatives=negatives)
        told.append(found.rates.fdr)
        true.append((found.is_hit & ~active).sum() / found.is_hit.sum())
        assert found.rates.fdr <= found.rates.fdr_high
    assert np.mean(true) - 0.02 <= np.mean(told) <= np.mean(true) + slack


def test_adjusted_p_keeps_the_share_of_false_hits():
    shares = []
    for seed in range(40):
        values, negative, sample, _, active = screen(seed, actives=0.2)
        found = hit_calls(values, negative, sample, z_threshold=0.0, max_q=0.1)
        shares.append((found.is_hit & ~active).sum() / max(found.is_hit.sum(), 1))
        assert (found.q[found.is_hit] <= 0.1).all()
    assert np.mean(shares) <= 0.12


def test_replicates_show_false_hits():
    assert np.mean([call(seed, actives=0.2, effect=9.0)[0].rates.unconfirmed for seed in range(10)]) < 0.1
    noise, _ = call(3, actives=0.0, heavy=True)
    assert noise.rates.n_hits > 0
    assert noise.rates.unconfirmed > 0.5


def test_unconfirmed_is_counted_pair_by_pair():
    values, negative, sample, compound, _ = screen(4, replicates=3)
    found = hit_calls(values, negative, sample, compound=compound)
    pairs = [
        found.is_hit[j]
        for i in np.flatnonzero(found.is_hit)
        for j in range(len(values))
        if j != i and compound[j] == compound[i]
    ]
    assert found.rates.n_replicate_pairs == len(pairs)
    assert found.rates.unconfirmed == pytest.approx(1 - np.mean(pairs))


def test_a_heavy_tail_of_the_negatives_is_counted_and_said():
    values, negative, sample, _, _ = screen(5)
    values[:4] = 9.0
    found = hit_calls(values, negative, sample)
    assert found.rates.n_false == 4
    assert found.rates.false_rate == pytest.approx(4 / 32)
    assert any("tail is heavy" in r for r in found.rates.reasons)


def test_the_other_direction_is_the_mirror_image():
    values, negative, sample, _, _ = screen(6)
    up, down = hit_calls(values, negative, sample), hit_calls(-values, negative, sample, direction=-1)
    np.testing.assert_allclose(up.z, down.z)
    assert up.rates == down.rates


def test_missing_values_are_no_hits_and_no_hits_have_no_rate():
    values, negative, sample, compound, _ = screen(7, actives=0.0)
    values[40] = np.nan
    found = hit_calls(values, negative, sample, compound=compound, z_threshold=50)
    assert not found.is_hit.any()
    assert np.isnan(found.q[40])
    assert found.rates.n_samples == sample.sum() - 1
    assert found.rates.fdr is None
    assert found.rates.unconfirmed is None
    assert any("no hits" in r for r in found.rates.reasons)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_offset_do_not_matter(seed, scale, offset):
    values, negative, sample, _, _ = screen(seed)
    one, other = hit_calls(values, negative, sample), hit_calls(scale * values + offset, negative, sample)
    np.testing.assert_allclose(one.z, other.z, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, n, s: hit_calls(v, n & (np.arange(len(v)) < 3), s), "3 good negative controls"),
        (lambda v, n, s: hit_calls(np.where(n, 1.0, v), n, s), "no spread"),
        (lambda v, n, s: hit_calls(v[1:], n, s), "differ in shape"),
        (lambda v, n, s: hit_calls(v, n, s, direction=0), "direction is 0"),
    ],
)
def test_what_gives_no_call_is_refused(change, words):
    with pytest.raises(DataError, match=words):
        change(*screen(8)[:3])
