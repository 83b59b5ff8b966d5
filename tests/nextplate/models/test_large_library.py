"""Libraries of any size are predicted in blocks, several at a time; neither answer nor memory depends on it."""

from pathlib import Path

import numpy as np
import pytest

from nextplate.chem.enumeration import wehi_smiles
from nextplate.chem.library import LibraryRow, featurise
from nextplate.chem.pages import release_pages
from nextplate.models import crossing, kind_of, predict_library
from nextplate.models.funnel import predict_in_two_stages


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


def test_two_stages_ask_the_second_about_the_best_of_the_first(features):
    screen, final = fitted(features, "lightgbm"), fitted(features, "gp")
    found = predict_in_two_stages(screen, final, features, n_passed=100)
    first, second = predict_library(*screen, features), predict_library(*final, features)
    hope = first[0] + first[1]
    assert hope[found.passed].min() >= np.delete(hope, found.passed).max()
    assert (len(found.passed), len(np.unique(found.passed))) == (100, 100)
    for got, cheap, dear in zip((found.mean, found.spread), first, second, strict=True):
        np.testing.assert_allclose(got[found.passed], dear[found.passed], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(np.delete(got, found.passed), np.delete(cheap, found.passed))
    assert found.notes[0] == "two stages: all 400 compounds screened, the best 100 predicted in full"


def test_a_first_stage_that_is_wrong_is_told(features):
    wrong, final = fitted(features, "lightgbm", sign=-1.0), fitted(features, "gp")
    found = predict_in_two_stages(wrong, final, features, n_passed=200)
    assert "better ones may have been held back; pass more" in found.notes[1]


def test_a_library_that_passes_whole_is_asked_about_once(features):
    screen, final = fitted(features, "lightgbm"), fitted(features, "nearest")
    found = predict_in_two_stages(screen, final, features, n_passed=400)
    np.testing.assert_array_equal(found.mean, predict_library(*final, features)[0])
    assert found.notes == ()


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
