"""Libraries of any size are predicted in blocks, several at a time; neither answer nor memory depends on it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nextplate.chem.enumeration import wehi_smiles
from nextplate.chem.library import LibraryRow, featurise
from nextplate.chem.pages import release_pages
from nextplate.models import auto, crossing, gp, kind_of, predict_library
from nextplate.models.belief import Learned
from nextplate.models.funnel import Screen, predict_all, predict_in_two_stages, screen_of
from nextplate.models.fusion import Fusion
from nextplate.models.kinds import screens
from nextplate.models.variants import Variant


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory):
    rows = [LibraryRow(i, f"C{i}", s, s, "") for i, s in enumerate(wehi_smiles()[:400])]
    return featurise(rows, tmp_path_factory.mktemp("library") / "features", n_jobs=1)


@pytest.mark.parametrize("kind", ["lightgbm", "forest", "gp", "nearest"])
def test_blocks_and_threads_change_nothing(features, monkeypatch, kind):
    rows = np.arange(0, 400, 5)
    y = np.asarray(features.descriptors[rows, 19], dtype=np.float64)
    belief = kind_of(kind).fit(features, rows, y, None, 1)
    whole = kind_of(kind).predict(belief, features, np.arange(400))
    monkeypatch.setattr(crossing, "_BLOCK", 64)
    monkeypatch.setattr(crossing, "_FEWEST_FOR_THREADS", 100)
    for n_threads in (1, 3):
        mean, spread = predict_library(kind_of(kind), belief, features, n_threads=n_threads)
        np.testing.assert_allclose(mean, whole[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(spread, whole[1], rtol=1e-3, atol=1e-4)


def fitted(features, kind, sign=1.0):
    rows = np.arange(0, 400, 5)
    y = sign * np.asarray(features.descriptors[rows, 19], dtype=np.float64)
    return kind_of(kind), kind_of(kind).fit(features, rows, y, None, 1)


def labelled(features, sign=1.0):
    rows = np.arange(0, 400, 5)
    return rows, sign * np.asarray(features.descriptors[rows, 19], dtype=np.float64)


def screen(features, name="lightgbm", sign=1.0):
    return Screen(name, *fitted(features, name, sign))


@pytest.fixture(scope="module")
def final(features):
    return fitted(features, "gp")


def test_the_second_stage_is_asked_about_the_best_of_the_first_and_a_lot(features, final):
    first = screen(features)
    found = predict_in_two_stages(first, final, features, seed=3, n_passed=100, n_lot=80)
    cheap, dear = predict_library(first.kind, first.belief, features), predict_library(*final, features)
    hope = cheap[0] + cheap[1]
    passed = np.zeros(400, dtype=bool)
    passed[np.argsort(-hope)[:100]] = True
    np.testing.assert_array_equal(found.in_full, passed | found.by_lot)
    assert found.by_lot.sum() == 80
    assert 0 < (found.by_lot & passed).sum() < 80, "the lot is of the whole library"
    np.testing.assert_allclose(found.mean[found.in_full], dear[0][found.in_full], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.spread[found.in_full], dear[1][found.in_full], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.mean[~found.in_full], cheap[0][~found.in_full])
    n_outside = int((found.by_lot & ~passed).sum())
    assert found.notes[0].startswith(
        f"two stages: all 400 compounds screened by lightgbm, the best 100 and {n_outside} by lot predicted in full"
    )


def test_the_lot_is_the_seeds_and_even(features, final):
    lots = [
        predict_in_two_stages(screen(features), final, features, seed=s, n_passed=50, n_lot=40).by_lot
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(lots[0], lots[1])
    assert (lots[0] != lots[2]).any()


def test_the_spread_of_what_was_only_screened_covers_what_the_second_would_have_said(features, final):
    # A screen that claims to be certain is not believed.
    first = screen(features)
    first = Screen("lightgbm", Certain(first.kind), first.belief)
    found = predict_in_two_stages(first, final, features, seed=1, n_passed=100, n_lot=100)
    dear, rest = predict_library(*final, features), ~found.in_full
    off = (found.mean - dear[0])[rest]
    needed = np.sqrt(np.mean(off**2 + dear[1][rest] ** 2))
    assert found.spread[rest] == pytest.approx(needed, rel=0.3)


class Certain:
    def __init__(self, kind) -> None:
        self.kind = kind

    def predict(self, belief, features, rows=None):
        mean, _ = self.kind.predict(belief, features, rows)
        return mean, np.full(len(mean), 1e-3)


def test_a_first_stage_that_is_wrong_is_told(features, final):
    found = predict_in_two_stages(screen(features, sign=-1.0), final, features, n_passed=200, n_lot=100)
    assert any("are among the last tenth that passed" in note for note in found.notes)
    assert any("drawn by lot among those not passed are as good as the best 20" in note for note in found.notes)
    right = predict_in_two_stages(screen(features), final, features, n_passed=200, n_lot=100)
    assert not any("drawn by lot among" in note for note in right.notes)


def refuse(kind):
    raise AssertionError("no screen is fitted")


CHEAP = [
    ("lightgbm", 100),
    ("forest", 100),
    ("extra-trees", 100),
    ("nearest", 100),
    ("gp", 100),
    ("committee", 100),
    ("auto", 400),
]


@pytest.mark.parametrize(("name", "n_passed"), CHEAP)
def test_a_cheap_kind_or_a_small_library_is_asked_about_once(features, monkeypatch, name, n_passed):
    kind = auto_of_two() if name == "auto" else kind_of(name)
    belief = kind.fit(features, *labelled(features))
    found = predict_all(kind, belief, features, refuse, n_passed=n_passed)
    np.testing.assert_array_equal(found.mean, predict_library(kind, belief, features)[0])
    assert found.in_full.all()
    assert found.by_lot.all()
    assert found.notes == ()


def auto_of_two():
    return Variant(auto, {"members": ("minmax-gp", "lightgbm")})


def test_auto_lends_its_own_trees_as_a_screen(features):
    kind = auto_of_two()
    belief = replace(kind.fit(features, *labelled(features)), weights=np.array([0.8, 0.2]))
    lent = screen_of(kind, belief, refuse)
    assert (lent.name, lent.belief) == ("lightgbm", belief.members[1])
    found = predict_all(kind, belief, features, refuse, n_passed=100, n_lot=50)
    assert "screened by lightgbm" in found.notes[0]


@pytest.mark.parametrize(
    ("weights", "from_labels", "is_dear"), [((1, 0), 50, True), ((1, 0), 99, False), ((0, 1), 0, False)]
)
def test_a_stack_that_leans_on_one_kind_is_as_dear_as_that_kind(features, monkeypatch, weights, from_labels, is_dear):
    kind = auto_of_two()
    belief = replace(kind.fit(features, *labelled(features)), weights=np.array(weights, dtype=float))
    monkeypatch.setattr(gp, "DEAR_FROM", from_labels)
    found = predict_all(kind, belief, features, refuse, n_passed=100, n_lot=50)
    assert bool(found.notes) is is_dear


@pytest.mark.parametrize("name", ["gp", "deep", "mpnn"])
def test_other_dear_kinds_have_a_screen_fitted(name):
    class Belief:
        learned = None

    assert screens(kind_of(name), 5_000) == ("lightgbm",)
    kind = Variant(kind_of(name), {})
    belief = Belief()
    belief.learned = Learned(5_000, 0.0, 1.0, False, 0, "", "", 0, 0, ())
    made = screen_of(kind, belief, lambda screen: ("fitted", screen))
    assert (made.name, made.belief) == ("lightgbm", ("fitted", kind_of("lightgbm")))
    assert screens(Fusion(chemistry=name), 5_000) == ("lightgbm",)


def test_processes_are_dear_from_many_labels_on_and_fusion_as_its_chemistry():
    assert screens(kind_of("gp"), 1_000) == screens(kind_of("minmax-gp"), 1_000) == ()
    assert screens(Fusion(chemistry="gp"), 1_000) == screens(Fusion(), 100_000) == ()


def enamine():
    data = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data/molpal_enamine/Enamine10k_scores.csv.gz"
    if not data.exists():
        pytest.skip(f"{data} is not here")
    table = pl.read_csv(data).drop_nulls("score").head(2_000)
    return table["smiles"].to_list(), -table["score"].to_numpy()


def test_on_real_scores_the_best_are_those_of_the_dear_belief_alone(tmp_path):
    smiles, y = enamine()
    features = featurise([LibraryRow(i, f"C{i}", s, s, "") for i, s in enumerate(smiles)], tmp_path / "f", n_jobs=1)
    rows = np.random.default_rng(1).choice(len(y), 300, replace=False)
    kind = Variant(auto, {"members": ("gp", "lightgbm")})
    belief = replace(kind.fit(features, rows, y[rows], None, 1), weights=np.array([0.8, 0.2]))
    alone, _ = predict_library(kind, belief, features)
    found = predict_all(kind, belief, features, refuse, n_passed=600, n_lot=100)
    assert 600 <= found.in_full.sum() < 700
    np.testing.assert_array_equal(best(found.mean, found.in_full), best(alone, np.ones(len(y), dtype=bool)))


def best(mean, may):
    return np.sort(np.argsort(np.where(may, -mean, np.inf))[:40])


def resident_kb() -> int:
    """Give the resident pages of files that this process has mapped."""
    return int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0])


def test_rows_read_are_given_back_and_still_there(features):
    before = np.asarray(features.pairs).copy()
    held = resident_kb()
    release_pages(features)
    assert resident_kb() < held
    np.testing.assert_array_equal(features.pairs, before)


def test_an_error_in_a_block_is_raised(features, monkeypatch):
    class Broken:
        def predict(self, _belief, _features, _rows):
            raise ValueError("broken")

    monkeypatch.setattr(crossing, "_BLOCK", 64)
    with pytest.raises(ValueError, match="broken"):
        predict_library(Broken(), None, features)
