"""Sphered controls have mean 0 and covariance 1 in every batch; what differs from them stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.assay.sphering import fit_sphering, inverse_root, shrinkage_of, shrunk_inverse_root, sphere
from nextplate.errors import DataError


def controls(n: int = 200, d: int = 6, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 5 + rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * 10.0 ** np.arange(d)


def test_without_shrinkage_controls_are_white():
    x = controls()
    white = fit_sphering(x, 0.0).apply(x)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(6), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.lists(st.floats(0.01, 100), min_size=4, max_size=4))
def test_units_of_the_features_do_not_matter(seed, units):
    x = controls(40, 4, seed)
    np.testing.assert_allclose(
        fit_sphering(x).apply(x), fit_sphering(x * units).apply(x * np.array(units)), rtol=1e-6, atol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(5, 20), st.integers(2, 8))
def test_shrinkage_is_that_of_the_formula_by_brute_force(seed, n, d):
    x = np.random.default_rng(seed).normal(size=(n, d)) @ np.random.default_rng(seed + 1).normal(size=(d, d))
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    above = below = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                w = z[:, i] * z[:, j]
                above += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
                below += (n / (n - 1) * w.mean()) ** 2
    assert shrinkage_of(z) == pytest.approx(min(1.0, above / below), rel=1e-9)


def test_more_features_than_controls_can_be_sphered():
    x = np.random.default_rng(4).normal(size=(12, 50))
    found = fit_sphering(x)
    assert 0 < found.shrinkage <= 1
    assert np.isfinite(found.apply(x)).all()


def test_the_inverse_root_is_one():
    a = np.cov(controls(), rowvar=False)
    root = inverse_root(a / np.trace(a) + np.eye(6))
    np.testing.assert_allclose(root @ (a / np.trace(a) + np.eye(6)) @ root, np.eye(6), atol=1e-9)


def test_batches_are_brought_together_and_a_compound_still_stands_off():
    rng = np.random.default_rng(5)
    batch = np.repeat(["a", "b"], 120)
    mix = {"a": rng.normal(size=(5, 5)), "b": rng.normal(size=(5, 5))}
    raw = rng.normal(size=(240, 5))
    raw[[110, 111, 230, 231]] += [6, 0, -6, 0, 6]
    x = np.stack([row @ (mix["a"] + 0.3 * mix[b]) + (10 if b == "b" else 0) for row, b in zip(raw, batch, strict=True)])
    is_control = np.tile(np.arange(120) < 100, 2)
    out = sphere(x, is_control, batch.tolist(), shrinkage=0.0)
    for name in ("a", "b"):
        mine = out[is_control & (batch == name)]
        np.testing.assert_allclose(np.cov(mine, rowvar=False), np.eye(5), atol=1e-9)
        np.testing.assert_allclose(mine.mean(axis=0), 0, atol=1e-9)
    for profiles in (out, sphere(x, is_control, batch.tolist())):
        length = np.linalg.norm(profiles, axis=1)
        assert length[[110, 111, 230, 231]].min() > 3 * np.median(length[is_control])


@pytest.mark.parametrize(
    ("x", "shrinkage", "words"),
    [
        (np.zeros((2, 3)), None, "at least 3"),
        (np.array([[1.0, np.nan]] * 4), None, "not finite"),
        (np.stack([np.arange(5.0), np.ones(5)], axis=1), None, "feature 1 is constant"),
        (np.random.default_rng(0).normal(size=(5, 9)), 0.0, "singular"),
    ],
)
def test_controls_that_cannot_be_used_are_refused(x, shrinkage, words):
    with pytest.raises(DataError, match=words):
        fit_sphering(x, shrinkage)


def test_a_batch_without_controls_is_named():
    x = controls(10)
    with pytest.raises(DataError, match="batch b: 0 controls"):
        sphere(x, np.arange(10) < 6, ["a"] * 6 + ["b"] * 4)


@pytest.mark.parametrize("weight", [0.02, 0.4, 1.0])
def test_few_wells_and_many_features_give_the_same_map_by_the_short_way(weight):
    rng = np.random.default_rng(8)
    z = rng.normal(size=(9, 40)) @ rng.normal(size=(40, 40))
    z = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    long_way = inverse_root((1 - weight) * (z.T @ z) / 8 + weight * np.eye(40))
    np.testing.assert_allclose(shrunk_inverse_root(z, weight), long_way, atol=1e-9)


def test_few_wells_without_shrinkage_are_refused():
    with pytest.raises(DataError, match="singular"):
        fit_sphering(np.random.default_rng(8).normal(size=(9, 40)), shrinkage=0.0)
