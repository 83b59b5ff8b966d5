"""Libraries of any size are predicted in blocks, several at a time; neither answer nor memory depends on it."""

from pathlib import Path

import numpy as np
import pytest

from nextplate.chem.enumeration import wehi_smiles
from nextplate.chem.library import LibraryRow, featurise
from nextplate.chem.pages import release_pages
from nextplate.models import crossing, kind_of, predict_library


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
