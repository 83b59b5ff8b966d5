"""What every kind of belief promises, kind by kind; and what is special to one."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from nextplate.compound import Features
from nextplate.errors import ModelError
from nextplate.models import KINDS, committee, cross_predict, forest, kind_of, nearest
from nextplate.models.design import useful_columns
from nextplate.models.labels import check_labels
from nextplate.models.trees import from_arrays, take_trees, walk_trees

N, N_BITS = 160, 128
ALL = np.arange(N)
OURS = ("lightgbm", "forest", "nearest", "committee")


@pytest.fixture(scope="module")
def features() -> Features:
    """Eight families of like compounds, so that similarity tells something."""
    rng = np.random.default_rng(7)
    cores = rng.random((8, N_BITS)) < 0.15
    bits = cores[ALL % 8] ^ (rng.random((N, N_BITS)) < 0.03)
    descriptors = rng.normal(size=(N, 3)).astype(np.float32)
    descriptors[::10, 1] = np.nan
    ids = tuple(f"C{i}" for i in range(N))
    packed = np.packbits(bits, axis=1)
    return Features(Path(), "digest", ids, ids, packed, descriptors, ("a", "b", "c"), packed, packed)


@pytest.fixture(scope="module")
def potency(features):
    rng = np.random.default_rng(8)
    return (ALL % 8 == 3) * 0.8 + (ALL % 8 == 5) * 0.4 + rng.normal(0, 0.05, N) - 7.0


@pytest.fixture(scope="module")
def is_hit(features):
    return ((ALL % 8 == 3) & (ALL % 3 < 2)).astype(float)


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """The machine is small and the sets are easy."""
    monkeypatch.setitem(forest.fit.__kwdefaults__, "n_trees", 40)


@pytest.fixture(params=OURS)
def name(request):
    return request.param


def test_the_kinds_promised_are_there():
    assert set(OURS) <= set(KINDS)
    with pytest.raises(ModelError, match="no kind of belief 'oracle'"):
        kind_of("oracle")


def test_it_learns_potencies(features, potency, name):
    mean, spread = cross_predict(kind_of(name), features, ALL, potency, seed=5)
    assert np.corrcoef(mean, potency)[0, 1] > 0.7
    assert (spread > 0).all()


def test_of_hits_it_tells_probabilities(features, is_hit, name):
    mean, spread = cross_predict(kind_of(name), features, ALL, is_hit, seed=5)
    assert ((mean >= 0) & (mean <= 1)).all()
    assert mean[is_hit == 1].mean() > 3 * mean[is_hit == 0].mean()
    # honest: the sum of probabilities is about the number of hits
    assert mean.sum() == pytest.approx(is_hit.sum(), rel=0.35)
    assert (spread >= 0).all()


def test_it_is_the_same_every_time(features, potency, name):
    kind = kind_of(name)
    once, again = (kind.predict(kind.fit(features, ALL, potency, seed=3), features) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_rows_are_predicted_as_within_the_library(features, potency, name):
    kind = kind_of(name)
    belief = kind.fit(features, ALL[:100], potency[:100])
    mean, spread = kind.predict(belief, features)
    for rows in (np.array([7, 3, 150]), slice(20, 40)):
        np.testing.assert_allclose(kind.predict(belief, features, rows), (mean[rows], spread[rows]), rtol=1e-12)


@pytest.mark.parametrize("labels", [[0.0] * 30, [1.0] * 30, [0.2] * 30, [0.7], [0.1, 0.9]])
def test_where_nothing_can_be_learned_the_mean_is_believed_widely_and_named(features, name, labels):
    kind = kind_of(name)
    belief = kind.fit(features, ALL[: len(labels)], labels)
    mean, spread = kind.predict(belief, features)
    assert "mean-only belief" in belief.notes[0]
    np.testing.assert_allclose(mean, np.mean(labels), atol=0.02)
    assert np.ptp(spread) == 0
    assert spread[0] > 0.1


@pytest.mark.parametrize("labels", [[], [np.nan] * 20, [0.1, np.inf] * 10])
def test_labels_that_are_none_are_refused(features, name, labels):
    with pytest.raises(ModelError):
        kind_of(name).fit(features, ALL[: len(labels)], labels)


@pytest.mark.parametrize("n_labels", [N, 3])
@pytest.mark.parametrize("labels", ["potency", "is_hit"])
def test_on_disk_it_stays_what_it_is(tmp_path, features, request, name, labels, n_labels):
    kind = kind_of(name)
    belief = kind.fit(features, ALL[:n_labels], request.getfixturevalue(labels)[:n_labels], seed=2)
    for folder in ("one", "two"):
        kind.save(belief, tmp_path / folder, metrics={"rmse": 0.1})
    loaded = kind.load(tmp_path / "one")
    np.testing.assert_array_equal(kind.predict(loaded, features), kind.predict(belief, features))
    assert loaded.notes == belief.notes
    files = sorted(p for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert not [p for p in files if p.suffix not in (".json", ".txt", ".npz")]
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    assert json.loads((tmp_path / "one" / "card.json").read_text())["kind"] == name


def test_every_file_of_it_is_vouched_for(tmp_path, features, potency, name):
    kind = kind_of(name)
    kind.save(kind.fit(features, ALL, potency), tmp_path / "belief")
    for path in sorted(p for p in (tmp_path / "belief").rglob("*") if p.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        with pytest.raises(ModelError, match=path.name):
            kind.load(tmp_path / "belief")
        path.write_bytes(whole)
    kind.load(tmp_path / "belief")


def test_a_belief_of_another_kind_is_refused(tmp_path, features, potency, name):
    other = "nearest" if name != "nearest" else "lightgbm"
    kind_of(other).save(kind_of(other).fit(features, ALL, potency), tmp_path / "belief")
    with pytest.raises(ModelError, match=f"kind '{other}', not '{name}'"):
        kind_of(name).load(tmp_path / "belief")


def test_a_library_of_another_version_is_refused(features, potency, name):
    belief = kind_of(name).fit(features, ALL, potency)
    other = dataclasses.replace(features, counts=features.counts[:, :8])
    with pytest.raises(ModelError, match="fit again"):
        kind_of(name).predict(belief, other)


TREES = [
    (RandomForestRegressor, False),
    (ExtraTreesRegressor, False),
    (RandomForestClassifier, True),
    (ExtraTreesClassifier, True),
]


@pytest.mark.parametrize(("forest_class", "is_binary"), TREES)
def test_our_walk_is_scikit_learns(features, potency, is_hit, forest_class, is_binary):
    X = forest.seen_matrix(features, ALL, is_binary=is_binary)
    columns = useful_columns(X)
    grown = forest_class(20, max_features=0.3, random_state=1).fit(X[:, columns], is_hit if is_binary else potency)
    trees = take_trees(grown.estimators_, columns, 0.0, 1.0 if is_binary else None)
    want = grown.predict_proba(X[:, columns])[:, 1] if is_binary else grown.predict(X[:, columns])
    each = np.stack(
        [t.predict_proba(X[:, columns])[:, 1] if is_binary else t.predict(X[:, columns]) for t in grown.estimators_]
    )
    for n_threads in (1, 3):
        got = walk_trees(
            trees, features.fingerprints if is_binary else features.counts, features.descriptors, n_threads
        )
        np.testing.assert_allclose(got[:, 0], want, atol=1e-9)
        np.testing.assert_allclose(got[:, 1], each.var(axis=0), atol=1e-9)


def test_hits_weighed_up_do_not_make_hits_likelier(features):
    """Compounds that look alike, a tenth of them hits: the probability is a tenth, whatever the trees were told."""
    alike = dataclasses.replace(
        features,
        fingerprints=np.repeat(features.fingerprints[:2], N // 2, axis=0),
        descriptors=np.zeros_like(features.descriptors),
    )
    y = (np.arange(N) % 10 == 0).astype(float)
    mean, spread = forest.predict(forest.fit(alike, ALL, y, seed=1), alike)
    np.testing.assert_allclose(mean, 0.1, atol=0.03)
    np.testing.assert_allclose(spread, np.sqrt(0.09), atol=0.05)


def test_arrays_that_are_no_trees_are_refused(features, potency):
    arrays = forest.fit(features, ALL, potency, n_trees=2).trees.arrays()
    for name, value in (("left", 0), ("right", 10**6), ("roots", -1), ("feature", -2)):
        broken = {**arrays, name: np.where(arrays["left"][: len(arrays[name])] >= 0, value, arrays[name])}
        with pytest.raises(ValueError, match="not trees"):
            from_arrays(broken)
    with pytest.raises(ValueError, match="'variance'"):
        from_arrays({k: v for k, v in arrays.items() if k != "variance"})


def test_similarity_search_ranks_by_similarity_to_the_nearest_hit(features, is_hit):
    belief = nearest.fit(features, ALL[:100], is_hit[:100])
    mean, _ = nearest.predict(belief, features)
    near = nearest.max_tanimoto(features.counts, features.counts[:100][is_hit[:100] == 1])[0]
    order = np.argsort(near, kind="stable")
    assert (np.diff(mean[order]) >= 0).all()
    assert len(np.unique(mean)) == len(np.unique(near))


def test_a_lone_hit_is_no_neighbour_of_itself(features):
    y = (ALL[:40] == 11).astype(float)
    mean, _ = nearest.predict(nearest.fit(features, ALL[:40], y), features)
    assert mean[11] < 0.5


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=30))
def test_pooling_gives_the_nearest_increasing_sequence(pairs):
    from sklearn.isotonic import isotonic_regression

    y, w = (np.array(column) for column in zip(*pairs, strict=True))
    np.testing.assert_allclose(
        nearest.pool_adjacent_violators(y, w), isotonic_regression(y, sample_weight=w), atol=1e-9
    )


def test_a_committee_votes_and_tells_what_each_member_says(features, potency):
    belief = committee.fit(features, ALL, potency, members=("forest", "nearest"), seed=4)
    means = np.stack([m.predict(b, features)[0] for m, b in zip((forest, nearest), belief.members, strict=True)])
    mean, spread = committee.predict(belief, features)
    assert means.shape == (2, N)
    np.testing.assert_allclose(mean, means.mean(axis=0))
    assert (spread >= means.std(axis=0)).all()
    alone = forest.predict(forest.fit(features, ALL, potency, seed=4), features)[0]
    np.testing.assert_allclose(means[0], alone)
    with pytest.raises(ModelError, match="needs members"):
        committee.fit(features, ALL, potency, members=())


def test_weights_are_replicates(features, potency):
    """A compound that weighs twice is a compound measured twice."""
    rows = np.concatenate([ALL, ALL[:40]])
    weight = np.where(ALL < 40, 2.0, 1.0)
    near = nearest.fit(features, ALL, potency, weight).learned.level
    assert near == pytest.approx(nearest.fit(features, rows, potency[rows]).learned.level)


def test_rare_hits_are_weighed_up(features):
    labels = check_labels(features, ALL[:20], [1.0] * 2 + [0.0] * 18, None)
    assert forest.balance(labels) == 9.0
