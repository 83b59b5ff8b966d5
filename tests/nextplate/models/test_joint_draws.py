"""Joint draws: as many and as wide as asked for, about the belief's mean, alike for compounds that are alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nextplate.compound import Features
from nextplate.models import auto, committee, draws, kind_of

N = 160
LEAST_SPREAD = 0.3
"""Of draws, as a share of the belief's spread: members of an ensemble say what they mean, without the noise."""
KINDS = ("lightgbm", "forest", "extra-trees", "gp", "minmax-gp", "committee", "auto")


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(3)
    bits = rng.random((N, 256)) < 0.15
    bits[-1] = bits[-2]
    packed = np.packbits(bits, axis=1)
    names = tuple(f"C{i}" for i in range(N))
    numbers = rng.normal(size=(N, 4)).astype(np.float32)
    numbers[-1] = numbers[-2]
    return Features(Path(), "f" * 64, names, names, packed, numbers, tuple("abcd"), packed, packed)


def labels_of(features: Features) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, 0.1, 100)
    return features.descriptors[:100, 0] + noise


def fitted(kind: str, features: Features, y: np.ndarray):
    rows = np.arange(len(y))
    if kind == "auto":
        return auto.fit(features, rows, y, members=("minmax-gp", "nearest"))
    return kind_of(kind).fit(features, rows, y)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_lie_about_the_mean(features: Features, kind: str):
    belief, rows = fitted(kind, features, labels_of(features)), np.arange(100, N)
    found = draws.joint_draws(kind, belief, features, rows, 64, np.random.default_rng(1))
    again = draws.joint_draws(kind, belief, features, rows, 64, np.random.default_rng(1))
    assert found is not None
    assert (found.dtype, found.shape) == (np.float32, (64, 60))
    np.testing.assert_array_equal(found, again)
    module = auto if kind == "auto" else kind_of(kind)
    mean, spread = module.predict(belief, features, rows)
    assert np.abs(found.mean(axis=0) - mean).max() < 1.5 * spread.max()
    assert (found.std(axis=0) < 2 * spread + 0.05).all()
    assert found.std(axis=0).mean() > LEAST_SPREAD * spread.mean()
    if kind not in ("committee", "auto"):
        np.testing.assert_allclose(found[:, -1], found[:, -2], atol=0.1 * float(spread[-1]) + 1e-6)


def test_a_process_is_drawn_with_its_own_spread(features: Features):
    belief, rows = fitted("gp", features, labels_of(features)), np.arange(100, N)
    found = draws.joint_draws("gp", belief, features, rows, 2_000, np.random.default_rng(1))
    mean, spread = kind_of("gp").predict(belief, features, rows)
    np.testing.assert_allclose(found.std(axis=0), spread, rtol=0.1)
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=5 * spread.max() / np.sqrt(2_000))


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "gp", "auto", "committee"])
def test_draws_of_chances_are_chances(features: Features, kind: str):
    belief = fitted(kind, features, (labels_of(features) > 0).astype(float))
    found = draws.joint_draws(kind, belief, features, np.arange(100, N), 16, np.random.default_rng(1))
    assert found is not None
    assert 0 <= found.min() < found.max() <= 1


def test_what_gives_no_joint_draws_says_none(features: Features):
    rng, rows = np.random.default_rng(1), np.arange(100, N)
    near = fitted("nearest", features, labels_of(features))
    assert draws.joint_draws("nearest", near, features, rows, 8, rng) is None
    for kind in ("lightgbm", "gp", "forest"):
        assert draws.joint_draws(kind, fitted(kind, features, np.ones(30)), features, rows, 8, rng) is None
    alone = committee.fit(features, np.arange(100), labels_of(features), members=("nearest",))
    assert draws.joint_draws("committee", alone, features, rows, 8, rng) is None


def test_a_process_is_drawn_over_fewer_compounds(features: Features):
    gp = fitted("minmax-gp", features, labels_of(features))
    assert draws.most_drawn("minmax-gp", gp, 20_000) == draws.MOST_OF_PROCESS
    forest = fitted("forest", features, labels_of(features))
    assert draws.most_drawn("forest", forest, 20_000) == 20_000


def test_a_process_that_a_stack_leaves_out_limits_nothing(features: Features):
    y = labels_of(features)
    stack = auto.fit(features, np.arange(100), y, members=("minmax-gp", "forest"))
    alone = replace(stack, weights=np.array([0.0, 1.0]))
    assert draws.most_drawn("auto", alone, 20_000) == 20_000
    both = replace(stack, weights=np.array([0.1, 0.9]))
    assert draws.most_drawn("auto", both, 20_000) == draws.MOST_OF_PROCESS


def test_members_without_joint_draws_are_named(features: Features):
    stack = fitted("auto", features, labels_of(features))
    assert draws.drawn_alone("auto", replace(stack, weights=np.array([0.75, 0.25]))) == ("nearest (25%)",)
    assert draws.drawn_alone("auto", replace(stack, weights=np.array([1.0, 0.0]))) == ()
    assert draws.drawn_alone("gp", fitted("gp", features, labels_of(features))) == ()


def test_a_matrix_that_no_ridge_mends_keeps_what_goes_together():
    matrix = np.eye(4)
    matrix[0, 1] = matrix[1, 0] = 1.05
    root = draws._root(matrix)
    found = root @ root.T
    nearest = np.array([[1.025, 1.025], [1.025, 1.025]])
    np.testing.assert_allclose(found[:2, :2], nearest, atol=1e-12)
    np.testing.assert_allclose(found[2:, 2:], np.eye(2), atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("committee", "auto")])
def test_compounds_that_are_alike_err_alike(kind: str):
    """Eight families of structures: draws of one family go together more than draws of two."""
    rng = np.random.default_rng(6)
    family = np.arange(N) % 8
    cores, middles = rng.random((8, 256)) < 0.15, rng.normal(size=(8, 4))
    packed = np.packbits(cores[family] ^ (rng.random((N, 256)) < 0.02), axis=1)
    numbers = (middles[family] + rng.normal(0, 0.1, (N, 4))).astype(np.float32)
    names = tuple(f"C{i}" for i in range(N))
    features = Features(Path(), "f" * 64, names, names, packed, numbers, tuple("abcd"), packed, packed)
    y = rng.normal(size=8)[family[:100]] + rng.normal(0, 0.5, 100)
    belief, rows = kind_of(kind).fit(features, np.arange(100), y), np.arange(100, N)
    found = draws.joint_draws(kind, belief, features, rows, 256, np.random.default_rng(1))
    assert found is not None
    together = np.corrcoef(found.T)
    kin = family[rows][:, None] == family[rows][None, :]
    apart = ~kin
    np.fill_diagonal(kin, val=False)
    # Independent draws give 0 within 0.01; the labelled kin leave little that is unsure together.
    assert together[kin].mean() > together[apart].mean() + 0.06
