"""The Gaussian process is the textbook's, and the stack leans on a kind only where the labels say so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import RDConfig

from nextplate.chem.standardise import standardise
from nextplate.chem.valued import encode_library
from nextplate.errors import ModelFileError
from nextplate.models import fit_and_cross, gp, kind_of
from nextplate.models.auto import precision_at_best, simplex, weigh
from nextplate.models.covariance import covariance, own_variance, points_of, scale_of
from nextplate.models.evidence import _loss
from nextplate.models.labels import check_labels

KINDS = ("gp", "minmax-gp", "extra-trees", "auto")
N = 180
EQUAL = np.full(5, 0.2)
ROWS = np.arange(0, N, 2)


@pytest.fixture(scope="module")
def library():
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    raws = [line.split(",")[0].strip('"') for line in path.read_text(encoding="utf-8").splitlines()[:N]]
    return encode_library([f"C{i}" for i in range(N)], [standardise(raw).smiles for raw in raws], n_jobs=1)


@pytest.fixture(scope="module")
def potency(library):
    """Size and greasiness, as a docking score has it, and noise."""
    z = (library.descriptors - library.descriptors.mean(axis=0)) / (library.descriptors.std(axis=0) + 1e-9)
    return z[:, 1] + 0.5 * z[:, 19] + np.random.default_rng(3).normal(0, 0.2, N)


@pytest.fixture(scope="module")
def is_hit(potency):
    return (potency > np.quantile(potency, 0.85)).astype(float)


def test_the_covariance_is_symmetric_positive_and_its_diagonal_is_the_variance(library):
    scale = scale_of(library)
    points = points_of(library, scale, np.arange(60))
    amplitudes = np.array([0.3, 0.2, 0.4, 0.1, 0.5, 0.6])
    total = covariance(points, points, scale, amplitudes)
    np.testing.assert_allclose(total, total.T, atol=1e-5)
    np.testing.assert_allclose(np.diag(total), own_variance(points, scale, amplitudes), rtol=1e-4)
    assert np.linalg.eigvalsh(total.astype(np.float64)).min() > -1e-4


def test_the_evidence_has_the_gradient_it_says(library):
    scale = scale_of(library)
    points = points_of(library, scale, np.arange(40))
    parts = [covariance(points, points, scale, row).astype(np.float64) for row in np.eye(6)]
    y, weight, log = np.sin(np.arange(40.0)), np.linspace(0.5, 2, 40), np.log(np.linspace(0.1, 0.7, 7))
    _, gradient = _loss(log, parts, y, weight)
    step = 1e-5
    for i, told in enumerate(gradient):
        up, down = (_loss(log + sign * step * np.eye(7)[i], parts, y, weight)[0] for sign in (1, -1))
        assert told == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-5)


def test_the_mean_and_the_spread_are_the_textbooks(library, potency):
    belief = gp.fit(library, ROWS, potency[ROWS], noise=0.2)
    scale = scale_of(library)
    known, asked = points_of(library, scale, ROWS), points_of(library, scale, np.arange(N))
    noisy = covariance(known, known, scale, belief.amplitudes).astype(np.float64) + 0.2 * np.eye(len(ROWS))
    across = covariance(asked, known, scale, belief.amplitudes).astype(np.float64)
    centre, width = potency[ROWS].mean(), potency[ROWS].std()
    mean, spread = gp.predict(belief, library)
    np.testing.assert_allclose(
        mean, centre + width * across @ np.linalg.solve(noisy, (potency[ROWS] - centre) / width), atol=1e-3
    )
    variance = own_variance(asked, scale, belief.amplitudes) - np.einsum(
        "ij,ji->i", across, np.linalg.solve(noisy, across.T)
    )
    np.testing.assert_allclose(spread, width * np.sqrt(variance), atol=2e-3)


def test_a_fold_left_out_by_block_inversion_is_a_fold_left_out(library, potency):
    folds = np.arange(len(ROWS)) % 4
    y = potency[ROWS]
    mean, _ = gp.fit(library, ROWS, y, noise=0.2, folds=folds).left_out
    centre, width = y.mean(), y.std()
    scale = scale_of(library)
    points = points_of(library, scale, ROWS)
    total = covariance(points, points, scale, np.full(6, 1 / 6)).astype(np.float64)
    for fold in range(4):
        out, kept = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        solved = np.linalg.solve(total[np.ix_(kept, kept)] + 0.2 * np.eye(len(kept)), (y[kept] - centre) / width)
        np.testing.assert_allclose(mean[out], centre + width * total[np.ix_(out, kept)] @ solved, atol=1e-5)


def test_many_labels_on_inducing_points_predict_as_all_of_them_do(library, potency, monkeypatch):
    exact, _ = gp.predict(gp.fit(library, ROWS, potency[ROWS], noise=0.2), library)
    monkeypatch.setattr(gp, "MOST_EXACT", 60)
    monkeypatch.setattr(gp, "_N_INDUCING", 70)
    belief = gp.fit(library, ROWS, potency[ROWS], noise=0.2)
    assert belief.notes == ("Gaussian process on 70 of 90 labels, fitted to all",)
    assert np.corrcoef(exact, gp.predict(belief, library)[0])[0, 1] > 0.95


def test_a_projected_process_leaves_out_whole_folds_as_the_exact_one_does(library, potency, monkeypatch):
    folds, y = np.arange(len(ROWS)) // 30, potency[ROWS]
    exact, _ = gp.fit(library, ROWS, y, noise=0.2, folds=folds).left_out
    monkeypatch.setattr(gp, "MOST_EXACT", 60)
    monkeypatch.setattr(gp, "_N_INDUCING", len(ROWS))
    np.testing.assert_allclose(gp.fit(library, ROWS, y, noise=0.2, folds=folds).left_out[0], exact, atol=1e-3)


def test_a_compound_labelled_twice_is_left_out_whole(library, potency):
    rows = np.concatenate([ROWS, ROWS[:5]])
    mean, _ = gp.fit(library, rows, potency[rows], noise=0.2).left_out
    np.testing.assert_allclose(mean[:5], mean[len(ROWS) :], atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("labels", ["potency", "is_hit"])
def test_kinds_learn_repeat_and_survive_the_disk(library, name, labels, request, tmp_path):
    y, kind = request.getfixturevalue(labels), kind_of(name)
    belief, unseen, _ = fit_and_cross(kind, library, ROWS, y[ROWS], None, 3)
    mean, spread = kind.predict(belief, library)
    others = np.setdiff1d(np.arange(N), ROWS)
    assert np.corrcoef(mean[others], y[others])[0, 1] > 0.4
    assert np.corrcoef(unseen, y[ROWS])[0, 1] > 0.3
    assert (spread >= 0).all()
    assert spread[others].mean() > 0
    if labels == "is_hit":
        assert ((mean >= 0) & (mean <= 1)).all()
        assert unseen.mean() == pytest.approx(y[ROWS].mean(), abs=0.1)
    again = kind.fit(library, ROWS, y[ROWS], None, 3)
    assert np.array_equal(kind.predict(again, library)[0], mean)
    kind.save(belief, tmp_path / "belief")
    loaded = kind.predict(kind.load(tmp_path / "belief"), library)
    np.testing.assert_array_equal(loaded[0], mean)
    np.testing.assert_array_equal(loaded[1], spread)
    damaged = next((tmp_path / "belief").rglob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(ModelFileError, match=damaged.name):
        kind.load(tmp_path / "belief")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("y", "note"),
    [(np.zeros(20), "no hit yet"), (np.full(20, 0.3), "all labels equal"), (np.array([0.7]), "only 1 labelled")],
)
def test_labels_that_teach_nothing_give_a_mean_and_say_so(library, name, y, note):
    kind = kind_of(name)
    belief, _, _ = fit_and_cross(kind, library, np.arange(len(y)), y, None, 1)
    mean, spread = kind.predict(belief, library)
    assert any(note in one for one in belief.notes)
    assert np.ptp(mean) == 0
    assert (spread > 0).all()


def test_average_precision_is_that_of_scikit_learn():
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(5)
    score, is_best = rng.normal(size=200), rng.random(200) < 0.1
    assert precision_at_best(score, is_best).mean() == pytest.approx(average_precision_score(is_best, score))


def test_weights_lean_on_a_kind_only_where_labels_say_so(library):
    rng = np.random.default_rng(6)
    y = rng.normal(size=N)
    labels = check_labels(library, np.arange(N), y, None)
    good, noise = y + rng.normal(0, 0.3, N), rng.normal(size=(4, N))
    folds = np.arange(N) % 5
    first, last = np.eye(5)[0], np.eye(5)[4]
    assert weigh(np.stack([good, *noise]), labels, folds, EQUAL)[0][0] >= 0.6
    assert weigh(np.stack([good, *noise]), labels, folds, last)[0][0] >= 0.6
    np.testing.assert_array_equal(weigh(np.stack([good, *noise]), labels, folds, first)[0], first)
    alike = y + rng.normal(0, 1, (5, N))
    np.testing.assert_allclose(weigh(alike, labels, folds, EQUAL)[0], 0.2)
    assert simplex(5).shape == (126, 5)
    np.testing.assert_allclose(simplex(5).sum(axis=1), 1)


@pytest.mark.parametrize("n_hits", [1, 4])
def test_few_hits_weigh_kinds_alike_and_say_so(library, n_hits):
    y = (np.arange(N) < n_hits).astype(float)
    means = np.random.default_rng(2).random((5, N))
    weights, why = weigh(means, check_labels(library, np.arange(N), y, None), np.arange(N) % 5, EQUAL)
    np.testing.assert_allclose(weights, 0.2)
    assert f"{n_hits} of {N} labels stand out" in why


@pytest.mark.parametrize(("is_binary", "shares"), [(True, (0, 1 / 3, 1 / 3, 1 / 3, 0)), (False, (1, 0, 0, 0, 0))])
def test_before_labels_speak_hits_are_pooled_and_responses_led_by_one_process(library, is_binary, shares):
    y = (np.arange(20) < 4).astype(float) + (0 if is_binary else 0.1)
    belief = kind_of("auto").fit(library, np.arange(20), y)
    assert belief.kinds == ("gp", "minmax-gp", "forest", "extra-trees", "lightgbm")
    np.testing.assert_allclose(belief.weights, shares)
    assert "4 of 20 labels stand out" in belief.notes[0]


def test_ties_at_the_bottom_do_not_count_as_the_best(library):
    y = np.where(np.arange(N) % 7 == 0, 1.5, 0.0)
    good = y + np.random.default_rng(2).normal(0, 0.2, N)
    noise = np.random.default_rng(3).normal(size=(4, N))
    weights, _ = weigh(np.stack([good, *noise]), check_labels(library, np.arange(N), y, None), np.arange(N) % 5, EQUAL)
    assert weights[0] >= 0.4


def test_equal_structures_with_conflicting_labels_get_the_share_of_hits(library):
    same = replace(
        library,
        **{name: np.repeat(getattr(library, name)[:1], N, axis=0) for name in ("fingerprints", "counts", "pairs")},
        descriptors=np.repeat(library.descriptors[:1], N, axis=0),
    )
    y = (np.arange(40) % 4 == 0).astype(float)
    kind = kind_of("auto")
    mean, spread = kind.predict(kind.fit(same, np.arange(40), y), same)
    np.testing.assert_allclose(mean, 0.25, atol=0.06)
    assert np.isfinite(spread).all()


def test_replicates_of_one_compound_are_not_left_out_and_that_is_said(library):
    kind = kind_of("auto")
    belief = kind.fit(library, np.zeros(16, dtype=np.intp), (np.arange(16) % 2).astype(float))
    mean, _ = kind.predict(belief, library)
    assert np.isfinite(mean).all()
    assert any("all labels are of one compound" in note for note in belief.notes)
