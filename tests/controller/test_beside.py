"""What stands beside a belief that sees images is compared on what was measured."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from controller.steps.beside import met_beside, write_beside
from controller.steps.labels import gather
from nextplate.chem.library import LibraryRow, featurise
from nextplate.profiles import Profiles

TWICE = ("CCO", "CCN", "CCC", "CCCl", "CCO", "CCBr")


MEASURED = pl.DataFrame({"compound_id": ["C1", "C2", "C3", "C4", "C4", "C5"], "label": [0.1, 0.0, 0.2, 0.9, 1.0, 0.15]})
"""C4 was measured, and goes by the name of C0 once replicates are merged."""


def told_of(folder, unseen=None, **params):
    """Compare a belief that foresaw all, or what is given, with the others."""
    rows = [LibraryRow(i + 2, f"C{i}", s, s, "") for i, s in enumerate(TWICE)]
    features = featurise(rows, folder / "library", n_jobs=1)
    tested = MEASURED.with_columns(is_hit=pl.col("label") > 0.5)
    labels = gather(tested, features, {"kind": "nearest", **params}, 0)
    profiles = Profiles(features.compound_ids, np.arange(12, dtype=np.float32).reshape(6, 2), ("a", "n"))
    seen_by_belief = replace(features, profiles=profiles)
    return write_beside(seen_by_belief, profiles, labels, labels.y if unseen is None else unseen, 0, folder), labels


@pytest.mark.parametrize("replicates", ["count", "noise"])
def test_a_hit_whose_structure_is_in_the_library_twice_is_one(tmp_path, replicates):
    told, _ = told_of(tmp_path, replicates=replicates)
    assert (told["n"], told["n_hits"]) == (5, 1)
    assert told["auc"]["belief"] == 1.0


def test_ways_are_held_against_what_was_measured_and_not_what_was_filled_in(tmp_path):
    measured = np.array([0.1, 0.0, 0.2, 0.95, 0.15])
    told, labels = told_of(tmp_path, measured, censored_above=0.8)
    assert labels.y[3] != measured[3], "filled in"
    assert told["rmse"]["belief"] == pytest.approx(0.0, abs=1e-12)


def test_the_plate_is_compared_in_its_own_order(tmp_path):
    rng = np.random.default_rng(0)
    n = 500
    ids = [f"C{i}" for i in range(n)]
    beside = pl.DataFrame({"compound_id": ids, "has_profile": [True] * n, "chemistry": rng.normal(size=n)})
    beside.sample(n, shuffle=True, seed=1).write_parquet(tmp_path / "beside.parquet")
    met = pl.DataFrame({"compound_id": ids, "mean": rng.normal(size=n), "label": rng.normal(size=n)})
    met = met.with_columns(is_hit=pl.col("label") > 1)
    told = [met_beside(tmp_path / "beside.parquet", met) for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0]["n"] == n
    y, mean = met["label"].to_numpy(), met["mean"].to_numpy()
    assert told[0]["rmse"]["belief"] == float(np.sqrt(np.mean((mean - y) ** 2)))
