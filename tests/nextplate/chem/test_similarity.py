"""Similarities equal the definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.chem.similarity import max_similarity, rank_by_similarity, tanimoto


def naive(a, b):
    x, y = np.unpackbits(a, axis=1).astype(bool), np.unpackbits(b, axis=1).astype(bool)
    shared = (x[:, None] & y[None]).sum(axis=2)
    union = (x[:, None] | y[None]).sum(axis=2)
    return np.where(union > 0, shared / np.maximum(union, 1), 0).astype(np.float32)


def packed(rng, n, n_bytes=32):
    return np.packbits(rng.random((n, n_bytes * 8)) < rng.random((n, 1)) * 0.3, axis=1)


@given(seed=st.integers(0, 2**32 - 1), q=st.integers(0, 40), n=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_tanimoto_is_shared_over_union(seed, q, n):
    rng = np.random.default_rng(seed)
    a, b = packed(rng, q), packed(rng, n)
    np.testing.assert_allclose(tanimoto(a, b), naive(a, b), rtol=1e-6)
    if q:
        np.testing.assert_allclose(max_similarity(b, a), naive(a, b).max(axis=0), rtol=1e-6)


def test_a_fingerprint_is_itself_and_empty_ones_are_like_nothing():
    a = np.array([[0, 0], [255, 1]], dtype=np.uint8)
    assert tanimoto(a, a).tolist() == [[0, 0], [0, 1]]


def test_without_a_reference_there_is_no_nearest():
    a = np.ones((3, 4), dtype=np.uint8)
    assert np.isnan(max_similarity(a, a[:0])).all()
    assert rank_by_similarity(a, a[:0]).tolist() == [0, 0, 0]
