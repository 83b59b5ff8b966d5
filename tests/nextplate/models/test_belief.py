"""A belief is honest about what it knows, the same every time, and safe on disk."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nextplate.compound import Features
from nextplate.errors import DiskFull, ModelError
from nextplate.models import column_names, cross_predict, design_matrix, lightgbm, predict_library, storage
from nextplate.models.folds import assign_folds
from nextplate.models.labels import check_labels, level_of

N, N_BITS, N_DESCRIPTORS = 150, 64, 3
ALL = np.arange(N)


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
def belief(features, y):
    return lightgbm.fit(features, ALL, y, seed=5)


def test_the_design_matrix_is_bits_then_descriptors(features, X):
    assert X.shape == (N, N_BITS + N_DESCRIPTORS)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X[:, :N_BITS], np.unpackbits(features.fingerprints, axis=1))
    np.testing.assert_array_equal(X[:, N_BITS:], features.descriptors)
    np.testing.assert_array_equal(design_matrix(features, np.array([5, 2])), X[[5, 2]])
    assert column_names(features)[-4:] == ("bit_63", "a", "b", "c")


def test_it_learns(features, y, belief):
    mean, spread = cross_predict(lightgbm, features, ALL, y, seed=5)
    assert np.corrcoef(mean, y)[0, 1] > 0.7
    assert (spread > 0).all()
    assert not belief.is_mean_only
    assert belief.notes == ()


def test_the_library_is_predicted_in_blocks_as_it_is_at_once(features, belief, monkeypatch):
    monkeypatch.setattr("nextplate.models.crossing._BLOCK", 40)
    for blocks, whole in zip(
        predict_library(lightgbm, belief, features), lightgbm.predict(belief, features), strict=True
    ):
        np.testing.assert_array_equal(blocks, whole)


def test_the_same_seed_gives_the_same_belief_on_any_number_of_threads(features, y, belief):
    again = lightgbm.fit(features, ALL, y, seed=5, n_threads=1)
    other = lightgbm.fit(features, ALL, y, seed=6)
    mean = lightgbm.predict(belief, features)[0]
    np.testing.assert_array_equal(mean, lightgbm.predict(again, features, n_threads=1)[0])
    assert not np.array_equal(mean, lightgbm.predict(other, features)[0])


def test_no_label_helps_to_predict_itself(features, y):
    mean, spread = cross_predict(lightgbm, features, ALL, y, seed=5)
    changed = y.copy()
    changed[17] += 100.0
    other_mean, other_spread = cross_predict(lightgbm, features, ALL, changed, seed=5)
    assert (other_mean[17], other_spread[17]) == (mean[17], spread[17])
    assert not np.array_equal(other_mean, mean)


def test_no_replicate_helps_to_predict_its_compound(features, y):
    rows = np.concatenate([ALL, ALL[:10]])
    labels = np.concatenate([y, y[:10]])
    mean, _ = cross_predict(lightgbm, features, rows, labels, seed=5)
    changed = labels.copy()
    changed[[3, N + 3]] += 100.0
    other, _ = cross_predict(lightgbm, features, rows, changed, seed=5)
    np.testing.assert_array_equal(other[[3, N + 3]], mean[[3, N + 3]])


def test_weights_count(features, X, y):
    heavy = np.where(X[:, 3] > 0, 50.0, 1.0)
    assert lightgbm.fit(features, ALL, y, heavy, seed=5).learned.level > lightgbm.fit(features, ALL, y).learned.level
    without = lightgbm.fit(features, ALL, y, np.where(ALL < 50, 0.0, 1.0), seed=5)
    assert without.learned.level == pytest.approx(y[50:].mean())


MEAN_ONLY = [
    (slice(0, 5), None, "only 5 labelled compounds, 12 are needed"),
    (slice(0, 1), None, "only 1 labelled compounds"),
    (slice(0, 60), 0.25, "all labels equal"),
    (slice(0, 60), 0.0, "all labels equal (no hit yet)"),
    (slice(0, 60), 1.0, "all labels equal (all are hits)"),
]


@pytest.mark.parametrize(("rows", "constant", "note"), MEAN_ONLY)
def test_too_little_to_learn_from_is_said_and_predicts_the_mean_and_a_wide_spread(features, y, rows, constant, note):
    labels = y[rows] if constant is None else np.full(len(y[rows]), constant)
    belief = lightgbm.fit(features, ALL[rows], labels)
    mean, spread = lightgbm.predict(belief, features)
    assert note in belief.notes[0]
    np.testing.assert_allclose(mean, labels.mean(), atol=0.01)
    assert (spread > max(labels.std(), 0.05)).all()


def test_what_is_believed_without_any_pattern(features):
    def level(y):
        return level_of(check_labels(features, ALL[: len(y)], y, None))

    assert level([0.0] * 20) == pytest.approx((0.5 / 21, np.sqrt(0.5 / 21 * 20.5 / 21)))
    assert level([0.3]) == pytest.approx((0.3, 1 / np.sqrt(2)))
    assert level([500.0] * 3) == pytest.approx((500.0, 250.0))
    assert level([1.0, 2.0, 3.0]) == pytest.approx((2.0, np.sqrt(1 + 1 / 3)))


def test_compounds_that_look_alike_give_a_mean_only_belief(features, y):
    one = np.repeat(ALL[:1], 30)
    assert lightgbm.fit(features, one, y[:30]).notes == ("mean-only belief: all labelled compounds look the same",)


def test_thirty_labels_are_enough_to_fit(features, y):
    assert not lightgbm.fit(features, ALL[:30], y[:30]).is_mean_only


BAD = [
    (0, None, "no labelled compound yet"),
    (20, "nan", "1 of 20 labels are not numbers"),
    (20, "all", "all 20 labels are missing"),
    (20, "inf", "1 of 20 labels are infinite"),
    (20, "short", "shapes differ"),
    (20, "weight", "weights must be"),
    (20, "row", "the library has 150 compounds"),
]


@pytest.mark.parametrize(("n", "damage", "says"), BAD)
def test_what_cannot_be_fitted_says_why(features, y, n, damage, says):
    rows, labels, weight = ALL[:n].copy(), y[:n].copy(), None
    if damage == "nan":
        labels[3] = np.nan
    if damage == "all":
        labels[:] = np.nan
    if damage == "inf":
        labels[3] = -np.inf
    if damage == "short":
        labels = labels[1:]
    if damage == "weight":
        weight = -np.ones(len(labels))
    if damage == "row":
        rows[2] = N
    with pytest.raises(ModelError, match=says):
        lightgbm.fit(features, rows, labels, weight)


def test_one_label_has_no_out_of_fold_prediction(features, y):
    mean, spread = cross_predict(lightgbm, features, ALL[:1], y[:1])
    assert np.isnan(mean).all()
    assert np.isnan(spread).all()


def test_a_library_of_another_version_is_refused(features, belief):
    other = dataclasses.replace(features, descriptors=features.descriptors[:, 1:], descriptor_names=("b", "c"))
    with pytest.raises(ModelError, match="fitted on 67 columns"):
        lightgbm.predict(belief, other)


def test_few_hits_are_dealt_into_all_folds():
    is_hit = np.arange(200) < 7
    folds = assign_folds(200, 5, np.random.default_rng(3), None, is_hit)
    assert sorted(np.bincount(folds[is_hit])) == [1, 1, 1, 2, 2]
    assert sorted(np.bincount(folds)) == [40] * 5


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
def test_on_disk_it_stays_what_it_is(tmp_path, features, y, n_labels):
    belief = lightgbm.fit(features, ALL[:n_labels], y[:n_labels], seed=5)
    for name in ("one", "two"):
        lightgbm.save(belief, tmp_path / name, metrics={"rmse": np.nan})
    loaded = lightgbm.load(tmp_path / "one")
    for now, before in zip(lightgbm.predict(loaded, features), lightgbm.predict(belief, features), strict=True):
        np.testing.assert_array_equal(now, before)
    assert loaded.notes == belief.notes
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    card = json.loads((tmp_path / "one" / "card.json").read_text())
    assert card["metrics"] == {"rmse": None}
    assert len(card["facts"]["features"]) == len(card["facts"]["columns"])


def _rewrite(card, change):
    body = json.loads(card.read_text())
    change(body)
    card.write_text(json.dumps(body))


DAMAGE = {
    "altered": (lambda f: (f / "member_3.txt").write_bytes(b"x"), "member_3.txt: was cut short or altered"),
    "removed": (lambda f: (f / "member_3.txt").unlink(), "member_3.txt: cannot be read"),
    "added": (lambda f: (f / "member_9.txt").write_text("tree"), "member_9.txt: is not of this belief"),
    "card cut short": (lambda f: (f / "card.json").write_text('{"format": "next'), "card.json: is damaged"),
    "no card": (lambda f: (f / "card.json").unlink(), "card.json: cannot be read"),
    "card altered": (
        lambda f: _rewrite(f / "card.json", lambda c: c["learned"].update(level=9.0)), "card.json: was altered"),
    "card bare": (lambda f: _rewrite(f / "card.json", lambda c: c.pop("facts")), "card.json: lacks facts"),
    "foreign": (lambda f: (f / "card.json").write_text('{"name": "a network"}'), "not the card of a nextplate belief"),
    "of before": (
        lambda f: _rewrite(f / "card.json", lambda c: c.update(format="nextplate-belief-1")), "fit the belief again"),
    "of later": (
        lambda f: _rewrite(f / "card.json", lambda c: c.update(format="nextplate-belief-3")), "reads up to .*-2"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_folder_is_one_clear_error(tmp_path, belief, damage):
    folder = tmp_path / "belief"
    lightgbm.save(belief, folder)
    harm, says = DAMAGE[damage]
    harm(folder)
    with pytest.raises(ModelError, match=says):
        lightgbm.load(folder)


def test_a_card_cannot_name_files_elsewhere(tmp_path, belief):
    folder = tmp_path / "belief"
    lightgbm.save(belief, folder)

    def elsewhere(card):
        card["sha256"]["../secret"] = "0" * 64
        card["card_sha256"] = storage._card_digest(card)

    _rewrite(folder / "card.json", elsewhere)
    with pytest.raises(ModelError, match="outside of the folder"):
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
