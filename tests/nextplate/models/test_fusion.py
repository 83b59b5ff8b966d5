"""One belief of structures and images: better than either where both exist, honest where an image is missing."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from nextplate.compound import Features
from nextplate.errors import DataError, ModelError
from nextplate.models.comparison import compare_modalities
from nextplate.models.fusion import Fusion
from nextplate.models.kinds import kind_of
from nextplate.models.pooling import Pool, learn_pool, learn_width, log_odds, pool_mean, pool_spread
from nextplate.models.profiles import image_features, joint_features
from nextplate.models.scoring import fold_auc, roc_auc, score
from nextplate.profiles import NO_PROFILES, Profiles

N, N_SEEN = 200, 140
ALL = np.arange(N)
DATA = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data"


def _features(seed: int = 3) -> Features:
    rng = np.random.default_rng(seed)
    packed = np.packbits(rng.random((N, 64)) < 0.3, axis=1)
    descriptors = rng.normal(size=(N, 2)).astype(np.float32)
    ids = tuple(f"C{i}" for i in range(N))
    return Features(Path(), "digest", ids, ids, packed, descriptors, ("a", "b"), packed, packed)


@pytest.fixture(scope="module")
def features(profiles: Profiles) -> Features:
    return dataclasses.replace(_features(), profiles=profiles)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(N_SEEN, 4)).astype(np.float32)
    values[3, 1] = np.nan
    return Profiles(tuple(f"C{i}" for i in range(N_SEEN)), values, ("n_cells", "area", "texture", "glow"), ("n_cells",))


@pytest.fixture(scope="module")
def potency(features, profiles):
    """Half of it is in descriptor 'a', half in the image's texture, which C140 and later do not have."""
    rng = np.random.default_rng(6)
    hidden = np.append(profiles.values[:, 2], rng.normal(size=N - N_SEEN))
    return features.descriptors[:, 0] + hidden + rng.normal(0, 0.2, N)


@pytest.fixture(scope="module")
def hit(potency):
    return (potency > np.quantile(potency, 0.7)).astype(float)


@pytest.fixture(scope="module")
def kind():
    return Fusion()


@pytest.fixture(scope="module")
def belief(kind, features, potency):
    return kind.fit(features, ALL, potency, seed=1)


def test_both_together_beat_either_and_the_cell_count_is_reported_beside_them(belief):
    scores = belief.scores
    assert set(scores) == {"chemistry", "image", "fused", "cell_count"}
    assert scores["fused"] < 0.9 * min(scores["chemistry"], scores["image"])
    assert scores["cell_count"] > scores["image"]
    assert not belief.notes


def test_hits_are_scored_by_auc_and_predicted_as_probabilities(kind, features, hit):
    belief = kind.fit(features, ALL, hit, seed=1)
    mean, spread = kind.predict(belief, features)
    assert belief.scores["fused"] > max(belief.scores["chemistry"], belief.scores["image"], 0.75)
    assert ((mean > 0) & (mean < 1))[:N_SEEN].all()
    assert (spread > 0).all()


def test_chemistry_speaks_alone_and_less_surely_where_there_is_no_profile(features, profiles, potency):
    kind = Fusion()
    tested = np.flatnonzero(np.arange(N) % 4 != 0)
    asked = np.flatnonzero(np.arange(N) % 4 == 0)
    belief = kind.fit(features, tested, potency[tested], seed=1)
    mean, spread = kind.predict(belief, features, asked)
    alone = kind_of("lightgbm").predict(belief.chemistry, features, asked)[0]
    seen = asked < N_SEEN
    np.testing.assert_array_equal(mean[~seen], alone[~seen])
    assert not np.isclose(mean[seen], alone[seen]).any()
    error = np.abs(mean - potency[asked])
    assert error[seen].mean() < error[~seen].mean()
    for group in (seen, ~seen):
        assert 0.6 < np.sqrt(np.mean((error[group] / spread[group]) ** 2)) < 1.6
    assert spread[seen].mean() < spread[~seen].mean()


def test_it_is_the_same_every_time_and_for_every_slice(kind, features, potency, belief):
    again = kind.fit(features, ALL, potency, seed=1)
    mean, spread = kind.predict(belief, features)
    np.testing.assert_array_equal(kind.predict(again, features)[0], mean)
    part = kind.predict(belief, features, slice(130, 150))
    np.testing.assert_array_equal(part[0], mean[130:150])
    np.testing.assert_array_equal(part[1], spread[130:150])


@pytest.mark.parametrize("mode", ["late", "early"])
def test_a_saved_belief_is_the_same_belief(tmp_path, features, profiles, potency, mode):
    kind = Fusion(mode=mode)
    belief = kind.fit(features, ALL, potency, seed=1)
    kind.save(belief, tmp_path / "a", metrics={"rmse": 0.5})
    kind.save(belief, tmp_path / "b", metrics={"rmse": 0.5})
    loaded = kind.load(tmp_path / "a")
    for ours, theirs in zip(kind.predict(belief, features), kind.predict(loaded, features), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert loaded.scores == belief.scores
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


@pytest.mark.parametrize("file", ["card.json", "chemistry/card.json", "image/member_0.txt"])
def test_a_folder_that_was_tampered_with_is_refused(tmp_path, kind, belief, file):
    kind.save(belief, tmp_path / "belief")
    path = tmp_path / "belief" / file
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ModelError, match=r"altered|format"):
        kind.load(tmp_path / "belief")


def test_early_fusion_sees_profiles_and_lives_without(features, profiles, potency):
    kind = Fusion(mode="early")
    out = compare_modalities(kind, features, ALL, potency).means
    seen = np.arange(N) < N_SEEN
    errors = {way: score(potency[seen], mean[seen], is_binary=False) for way, mean in out.items()}
    assert errors["early"] < 0.97 * errors["chemistry"]
    assert np.isfinite(out["early"]).all()
    joint = joint_features(features, profiles)
    assert joint.descriptor_names == (
        "a",
        "b",
        "image:n_cells",
        "image:area",
        "image:texture",
        "image:glow",
        "has_profile",
    )
    np.testing.assert_array_equal(joint.descriptors[:, -1], seen)


def test_images_are_compared_only_where_there_are_any(kind, features, hit):
    groups = [f"scaffold {i % 40}" for i in range(N)]
    compared = compare_modalities(kind, features, ALL, hit, groups=groups, n_folds=2)
    out = compared.means
    assert tuple(out) == ("chemistry", "image", "late", "early", "cell_count")
    assert all(len({compared.folds[i] for i in range(N) if i % 40 == g}) == 1 for g in range(40))
    np.testing.assert_array_equal(out["late"][N_SEEN:], out["chemistry"][N_SEEN:])
    for way in ("image", "cell_count"):
        np.testing.assert_array_equal(np.isnan(out[way]), np.arange(N) >= N_SEEN)
    assert np.isfinite(out["late"]).all()


ALONE = [
    (NO_PROFILES, ALL, "potency", "no labelled compound has an image profile"),
    (None, np.arange(N_SEEN - 5, N), "potency", "only 5 labelled compounds have an image profile"),
    (None, ALL, "rare", "only 2 hits have an image profile"),
    (None, ALL, "none", "only 0 hits have an image profile"),
    (None, np.arange(3), "potency", "only 3 labelled compounds"),
    (None, np.arange(1), "potency", "only 1 labelled compounds"),
    (None, ALL, "equal", "all labels of compounds with an image profile are equal"),
]


@pytest.mark.parametrize(("given", "rows", "what", "note"), ALONE)
def test_too_little_to_learn_of_images_is_said_and_leaves_chemistry(
    features, profiles, potency, given, rows, what, note
):
    labels = {
        "potency": potency,
        "rare": np.isin(ALL, (3, 9, 150, 151, 152)).astype(float),
        "none": np.zeros(N),
        "equal": np.full(N, 2.5),
    }[what]
    kind = Fusion()
    features = features if given is None else dataclasses.replace(features, profiles=given)
    belief = kind.fit(features, rows, labels[rows], seed=1)
    assert note in belief.notes[0]
    chemistry = kind_of("lightgbm").fit(features, rows, labels[rows], seed=1)
    for ours, theirs in zip(
        kind.predict(belief, features), kind_of("lightgbm").predict(chemistry, features), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_cell_counts_that_do_as_well_as_the_images_are_named(features, profiles):
    y = profiles.values[:, 0].astype(float)
    belief = Fusion().fit(features, np.arange(N_SEEN), y, seed=1)
    assert belief.notes[0].startswith("cell counts alone predict as well as the whole profile (RMSE")


def test_new_images_may_come_after_the_fit_but_not_of_other_features(features, profiles, potency, belief):
    more = dataclasses.replace(
        profiles, compound_ids=tuple(f"C{i}" for i in range(N_SEEN, 2 * N_SEEN)), values=profiles.values
    )
    with_more = dataclasses.replace(features, profiles=more)
    usual = Fusion().predict(belief, features)[0]
    assert not np.isclose(Fusion().predict(belief, with_more)[0][N_SEEN:], usual[N_SEEN:]).any()
    with pytest.raises(ModelError, match="profiles of 4 columns and is asked with 1"):
        Fusion().predict(belief, dataclasses.replace(features, profiles=profiles.counts_only))
    found_again = Fusion().predict(belief, dataclasses.replace(features, profiles=None))[0]
    np.testing.assert_array_equal(found_again, usual)
    nobody = dataclasses.replace(profiles, compound_ids=tuple(f"X{i}" for i in range(N_SEEN)))
    without = Fusion().predict(belief, dataclasses.replace(features, profiles=nobody))[0]
    np.testing.assert_array_equal(without, kind_of("lightgbm").predict(belief.chemistry, features)[0])


@pytest.mark.parametrize("name", ["profiles", "cell-count"])
def test_images_alone_are_a_kind_that_knows_the_average_of_the_rest(tmp_path, features, potency, name):
    kind = kind_of(name)
    belief = kind.fit(features, ALL, potency, seed=1)
    mean, spread = kind.predict(belief, features)
    assert len(np.unique(mean[N_SEEN:])) == 1
    assert mean[-1] == pytest.approx(potency.mean())
    errors = np.abs(mean - potency)[:N_SEEN].mean(), np.abs(potency.mean() - potency)[:N_SEEN].mean()
    assert errors[0] < errors[1]
    kind.save(belief, tmp_path / "belief")
    bare = dataclasses.replace(features, profiles=None)
    for ours, theirs in zip((mean, spread), kind.predict(kind.load(tmp_path / "belief"), bare), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    nobody = kind.fit(dataclasses.replace(features, profiles=NO_PROFILES), ALL, potency)
    assert "mean-only belief: no labelled compound has an image profile" in nobody.notes[0]


def test_a_cell_count_must_be_known_to_be_one(features, profiles, potency):
    unnamed = dataclasses.replace(features, profiles=dataclasses.replace(profiles, count_names=()))
    with pytest.raises(ModelError, match="no column of the image profiles is known to be a cell count; name it"):
        kind_of("cell-count").fit(unnamed, ALL, potency)


BAD = [
    ({"values": np.zeros((N_SEEN, 3), np.float32)}, "4 names want"),
    ({"compound_ids": ("C0",) * N_SEEN}, "compound 'C0' twice"),
    ({"names": ("a", "a", "b", "c"), "count_names": ()}, "column 'a' twice"),
    ({"count_names": ("cells",)}, "'cells' is to be a cell count"),
    ({"values": np.full((N_SEEN, 4), np.inf, np.float32)}, "infinite"),
]


@pytest.mark.parametrize(("damage", "says"), BAD)
def test_profiles_that_cannot_be_used_say_why(profiles, damage, says):
    with pytest.raises(DataError, match=says):
        dataclasses.replace(profiles, **damage)


def test_a_mode_that_is_none_is_refused(profiles, features, potency):
    with pytest.raises(ModelError, match="'late' or 'early', not 'middle'"):
        Fusion(mode="middle").fit(features, ALL, potency)


def test_two_independent_witnesses_add_up_and_a_useless_one_is_left_out():
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.3).astype(float)
    first, second = (y + rng.normal(size=3000) for _ in range(2))
    prior = np.log(0.3 / 0.7)
    p = [1 / (1 + np.exp(-(prior + evidence - 0.5))) for evidence in (first, second)]
    pool = learn_pool(y, np.ones(3000), *p, is_binary=True)
    assert pool.chemistry == pytest.approx(1, abs=0.15)
    assert pool.image == pytest.approx(1, abs=0.15)
    assert roc_auc(y, pool_mean(pool, *p)) > max(roc_auc(y, q) for q in p)
    noise = learn_pool(y, np.ones(3000), p[0], rng.random(3000), is_binary=True)
    assert noise.image < 0.1


def test_without_evidence_the_pool_is_half_and_half():
    few = np.array([0.0, 1.0])
    pool = learn_pool(few, np.ones(2), np.array([0.5, 0.5]), np.array([0.5, 0.5]), is_binary=True)
    assert (pool.chemistry, pool.image) == (pytest.approx(0.5), pytest.approx(0.5))


def test_spreads_are_as_wide_as_the_errors_were():
    rng = np.random.default_rng(1)
    own, apart = rng.uniform(0.5, 2, 4000), rng.uniform(0, 1, 4000)
    error = rng.normal(0, np.sqrt(0.3 + 2 * own))
    width = learn_width(error, own, apart)
    assert width == (pytest.approx(0.3, abs=0.3), pytest.approx(2, rel=0.2), pytest.approx(0, abs=0.3))
    assert learn_width(np.zeros(4), own[:4], np.zeros(4))[2] == 0
    few = learn_width(np.full(2, 0.5), np.ones(2), np.zeros(2))
    assert few[0] + few[1] == pytest.approx(0.25, rel=0.05)


def test_probabilities_are_less_sure_where_either_belief_is():
    p = np.array([0.3])
    pool = Pool(0.0, 0.5, 0.5, is_binary=True)
    sure, unsure = np.array([0.02]), np.array([0.2])
    assert pool_spread(pool, (p, p), (sure, sure)) < pool_spread(pool, (p, p), (sure, unsure)) < 0.2
    assert np.isfinite(log_odds(np.array([0.0, 1.0, -0.1, 1.2]))).all()


def test_the_auc_is_the_share_of_pairs_in_order():
    assert roc_auc(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)
    assert roc_auc(np.array([0, 1.0]), np.array([0.5, 0.5])) == pytest.approx(0.5)
    assert np.isnan(roc_auc(np.ones(3), np.arange(3.0)))


def test_pairs_of_different_folds_are_not_compared():
    y, folds = np.array([0, 1, 0, 1.0]), np.array([0, 0, 1, 1])
    assert fold_auc(y, np.array([0.1, 0.2, 0.8, 0.9]), folds) == 1
    assert np.isnan(fold_auc(y, y, np.arange(4)))


def test_an_image_library_has_no_fingerprints(features, profiles):
    seen = image_features(features, profiles)
    assert seen.fingerprints.shape == (N, 0)
    assert seen.descriptor_names == profiles.names


def test_lincs_cell_counts_predict_mitochondrial_toxicity_in_tox21():
    if not (DATA / "lincs_cellcount").is_dir():
        pytest.skip(f"no {DATA}/lincs_cellcount: set NEXTPLATE_DATA")
    from bench.imaging_screens import tox21_after_lincs

    screened = tox21_after_lincs(DATA, n_rows=2500)
    y = screened.labels["SR-MMP"]
    rows = np.flatnonzero(np.isfinite(y))
    belief = Fusion().fit(screened.features, rows, y[rows], seed=0)
    assert len(rows) > 120
    assert belief.scores["image"] > 0.55
    assert belief.scores["fused"] > 0.7
