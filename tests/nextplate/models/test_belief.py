"""A belief is honest about what it knows, the same every time, and safe on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from nextplate.compound import Features
from nextplate.errors import DataError, DiskFull, ModelError
from nextplate.models import column_names, cross_predict, design_matrix, lightgbm, predict_library
from nextplate.models.folds import assign_folds

N, N_BITS, N_DESCRIPTORS = 150, 64, 3


@pytest.fixture(scope="module")
def features() -> Features:
    rng = np.random.default_rng(7)
    bits = rng.random((N, N_BITS)) < 0.2
    descriptors = rng.normal(size=(N, N_DESCRIPTORS)).astype(np.float32)
    descriptors[::10, 1] = np.nan
    ids = tuple(f"C{i}" for i in range(N))
    packed = np.packbits(bits, axis=1)
    return Features(Path(), "digest", ids, ids, packed, descriptors, ("a", "b", "c"), packed)


@pytest.fixture(scope="module")
def X(features):
    return design_matrix(features)


@pytest.fixture(scope="module")
def y(X):
    rng = np.random.default_rng(8)
    return X[:, 3] * 0.6 + X[:, 10] * 0.4 + 0.2 * np.tanh(X[:, N_BITS]) + rng.normal(0, 0.05, N)


@pytest.fixture(scope="module")
def belief(X, y):
    return lightgbm.fit(X, y, seed=5)


def test_the_design_matrix_is_bits_then_descriptors(features, X):
    assert X.shape == (N, N_BITS + N_DESCRIPTORS)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X[:, :N_BITS], np.unpackbits(features.fingerprints, axis=1))
    np.testing.assert_array_equal(X[:, N_BITS:], features.descriptors)
    np.testing.assert_array_equal(design_matrix(features, np.array([5, 2])), X[[5, 2]])
    assert column_names(features)[-4:] == ("bit_63", "a", "b", "c")


def test_it_learns(X, y, belief):
    mean, spread = cross_predict(lightgbm, X, y, seed=5)
    assert np.corrcoef(mean, y)[0, 1] > 0.7
    assert (spread > 0).all()
    assert not belief.is_mean_only
    assert belief.notes == ()


def test_the_library_is_predicted_row_by_row_as_the_matrix_is(features, X, belief, monkeypatch):
    monkeypatch.setattr("nextplate.models.kinds._BLOCK", 40)
    for blocks, whole in zip(predict_library(lightgbm, belief, features), lightgbm.predict(belief, X), strict=True):
        np.testing.assert_array_equal(blocks, whole)


def test_the_same_seed_gives_the_same_belief_on_any_number_of_threads(X, y, belief):
    again = lightgbm.fit(X, y, seed=5, n_threads=1)
    other = lightgbm.fit(X, y, seed=6)
    mean = lightgbm.predict(belief, X)[0]
    np.testing.assert_array_equal(mean, lightgbm.predict(again, X, n_threads=1)[0])
    assert not np.array_equal(mean, lightgbm.predict(other, X)[0])


def test_no_label_helps_to_predict_itself(X, y):
    mean, spread = cross_predict(lightgbm, X, y, seed=5)
    changed = y.copy()
    changed[17] += 100.0
    other_mean, other_spread = cross_predict(lightgbm, X, changed, seed=5)
    assert (other_mean[17], other_spread[17]) == (mean[17], spread[17])
    assert not np.array_equal(other_mean, mean)


def test_weights_count(X, y):
    heavy = np.where(X[:, 3] > 0, 50.0, 1.0)
    assert lightgbm.fit(X, y, heavy, seed=5).level > lightgbm.fit(X, y, seed=5).level
    without = lightgbm.fit(X, y, np.where(np.arange(N) < 50, 0.0, 1.0), seed=5)
    assert without.level == pytest.approx(y[50:].mean())


MEAN_ONLY = [
    (slice(0, 5), None, "only 5 labelled compounds, 12 are needed"),
    (slice(0, 1), None, "only 1 labelled compounds"),
    (slice(0, 60), 0.25, "all labels equal"),
]


@pytest.mark.parametrize(("rows", "constant", "note"), MEAN_ONLY)
def test_too_little_to_learn_from_is_said_and_predicts_the_mean(X, y, rows, constant, note):
    labels = y[rows] if constant is None else np.full(len(y[rows]), constant)
    belief = lightgbm.fit(X[rows], labels)
    mean, spread = lightgbm.predict(belief, X)
    assert note in belief.notes[0]
    np.testing.assert_allclose(mean, labels.mean())
    np.testing.assert_allclose(spread, labels.std(), atol=1e-12)


def test_compounds_that_look_alike_give_a_mean_only_belief(X, y):
    alike = np.repeat(X[:1], 30, axis=0)
    assert lightgbm.fit(alike, y[:30]).notes == ("mean-only belief: all labelled compounds look the same",)


def test_thirty_labels_are_enough_to_fit(X, y):
    assert not lightgbm.fit(X[:30], y[:30]).is_mean_only


BAD = [
    (slice(0, 0), None, "no labelled compound yet"),
    (slice(0, 20), "nan", "1 of 20 labels are not numbers"),
    (slice(0, 20), "short", "shapes differ"),
    (slice(0, 20), "weight", "weights must be"),
]


@pytest.mark.parametrize(("rows", "damage", "says"), BAD)
def test_what_cannot_be_fitted_says_why(X, y, rows, damage, says):
    labels, weight = y[rows].copy(), None
    if damage == "nan":
        labels[3] = np.nan
    if damage == "short":
        labels = labels[1:]
    if damage == "weight":
        weight = -np.ones(len(labels))
    with pytest.raises(ModelError, match=says):
        lightgbm.fit(X[rows], labels, weight)


def test_one_label_has_no_out_of_fold_prediction(X, y):
    mean, spread = cross_predict(lightgbm, X[:1], y[:1])
    assert np.isnan(mean).all()
    assert np.isnan(spread).all()


def test_a_library_of_another_version_is_refused(X, belief):
    with pytest.raises(ModelError, match="fitted on 67 columns"):
        lightgbm.predict(belief, X[:, 1:])


def test_folds_are_even_and_never_split_a_group():
    rng = np.random.default_rng(3)
    sizes = np.bincount(assign_folds(103, 5, rng))
    assert sorted(sizes) == [20, 20, 21, 21, 21]
    groups = [f"scaffold {i % 13}" for i in range(103)]
    folds = assign_folds(103, 5, rng, groups)
    assert all(len({f for f, g in zip(folds, groups, strict=True) if g == name}) == 1 for name in set(groups))
    assert set(folds) == {0, 1, 2, 3, 4}
    assert set(assign_folds(3, 5, rng)) == {0, 1, 2}


@pytest.mark.parametrize("n_labels", [N, 5])
def test_on_disk_it_stays_what_it_is(tmp_path, features, X, y, n_labels):
    belief = lightgbm.fit(X[:n_labels], y[:n_labels], seed=5)
    for name in ("one", "two"):
        lightgbm.save(belief, tmp_path / name, feature_names=column_names(features), metrics={"rmse": np.nan})
    loaded = lightgbm.load(tmp_path / "one")
    for now, before in zip(lightgbm.predict(loaded, X), lightgbm.predict(belief, X), strict=True):
        np.testing.assert_array_equal(now, before)
    assert loaded.notes == belief.notes
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    card = json.loads((tmp_path / "one" / "card.json").read_text())
    assert card["metrics"] == {"rmse": None}
    assert len(card["features"]) == len(card["columns"])


@pytest.mark.parametrize("damage", ["flip", "remove", "card", "format"])
def test_a_tampered_belief_is_not_loaded(tmp_path, belief, damage):
    folder = tmp_path / "belief"
    lightgbm.save(belief, folder)
    member, card = folder / "member_3.txt", folder / "card.json"
    if damage == "flip":
        member.write_text(member.read_text().replace("leaf_value=", "leaf_value=1", 1))
    if damage == "remove":
        member.unlink()
    if damage == "card":
        card.write_text(card.read_text()[:-20])
    if damage == "format":
        card.write_text(card.read_text().replace("nextplate-belief-1", "nextplate-belief-0"))
    with pytest.raises(DataError, match="fit the belief again"):
        lightgbm.load(folder)


def test_a_belief_is_never_overwritten_and_a_full_disk_leaves_nothing(tmp_path, belief, monkeypatch):
    lightgbm.save(belief, tmp_path / "belief")
    with pytest.raises(ModelError, match="never overwritten"):
        lightgbm.save(belief, tmp_path / "belief")

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFull):
        lightgbm.save(belief, tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["belief"]
