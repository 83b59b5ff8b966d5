"""A library too large for a dear belief: screened whole, predicted in full where it matters, and said so."""

import shutil
from itertools import cycle

import numpy as np
import polars as pl
import pytest
from night_lab import NightLab, make_library, noise

from controller.steps.pick import _mean_outside
from nextplate.models import funnel, gp

N = 300


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> NightLab:
    folder = tmp_path_factory.mktemp("lab")
    library = make_library(tmp_path_factory.mktemp("library") / "library", N)
    shutil.copytree(library, folder / "library")

    def assay(rows, r):
        return {"activity": 0.9 * np.sin(np.array(rows) / 40) + noise(rows, r)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gp, "DEAR_FROM", 30)
        return NightLab(folder, N, assay, "minmax-gp", belief={"n_passed": 60, "n_lot": 60}).run(3)


def predicted(lab: NightLab, r: int) -> pl.DataFrame:
    return pl.read_parquet(lab.file("calibrate", r, "predictions.parquet"))


def test_few_labels_need_no_screen(lab):
    assert "two stages" not in lab.notes("fit", 1)
    assert predicted(lab, 1)["in_full"].all()
    assert predicted(lab, 1)["by_lot"].all()


def test_the_notes_say_what_was_screened(lab):
    assert "two stages: all 300 compounds screened by lightgbm, the best 60 and" in lab.notes("fit", 2)
    assert 60 < predicted(lab, 2)["in_full"].sum() <= 120
    assert predicted(lab, 2)["by_lot"].sum() == 60


def test_nothing_is_promised_of_what_was_only_screened(lab):
    told = predicted(lab, 2)
    assert told.filter("in_full").select(pl.col("lower", "upper").is_finite().all()).row(0) == (True, True)
    screened = told.filter(~pl.col("in_full"))
    for low, high in (("lower", "upper"), ("lower_picked", "upper_picked")):
        assert (screened[low] == -np.inf).all()
        assert (screened[high] == np.inf).all()
    assert screened["p_value"].is_nan().all()
    hits = pl.read_parquet(lab.file("calibrate", 2, "hits.parquet"))["compound_id"]
    assert hits.is_in(told.filter("in_full")["compound_id"].to_list()).all()


def test_scores_are_picked_among_the_passed_and_lots_from_the_lot_of_all(lab):
    picks = pl.read_parquet(lab.file("pick", 2, "picks.parquet")).join(predicted(lab, 2), on="compound_id")
    assert len(picks) == 24
    assert picks.filter(pl.col("reason") == "exploit")["in_full"].all()
    explored = picks.filter(pl.col("reason") == "explore")
    assert len(explored) == 2
    assert explored["by_lot"].all()
    met = pl.read_parquet(lab.file("evaluate", 2, "met.parquet"))
    assert set(met["compound_id"]) == set(picks["compound_id"]), "all were predicted in full, so all are judged"


def test_viability_is_predicted_in_full_where_activity_was(tmp_path, monkeypatch):
    monkeypatch.setattr(gp, "DEAR_FROM", 30)
    make_library(tmp_path / "library", N)

    def assay(rows, r):
        return {
            "activity": 0.9 * np.sin(np.array(rows) / 40) + noise(rows, r),
            "viability": 1.0 + noise(rows, r + 50),
        }

    belief = {"n_passed": 60, "n_lot": 60, "viability": "endpoint", "hit_threshold": 0.5, "min_viability": 0.5}
    lab = NightLab(tmp_path, N, assay, "minmax-gp", belief=belief).run(2)
    n_full = int(predicted(lab, 2)["in_full"].sum())
    assert 60 < n_full <= 120
    assert f"viability: two stages: {n_full} of 300 compounds predicted in full" in lab.notes("fit", 2)


def test_where_viability_alone_is_dear_picks_by_score_are_of_what_was_predicted_in_full_of_both(tmp_path, monkeypatch):
    """A stack may lean on a dear kind for one endpoint and on a cheap one for the other."""
    turn = cycle([False, True, True])  # activity's funnel, then viability's twice
    monkeypatch.setattr(funnel, "_is_dear", lambda *_: next(turn))
    monkeypatch.setattr(gp, "DEAR_FROM", 1)
    make_library(tmp_path / "library", N)

    def assay(rows, r):
        return {"activity": 0.9 * np.sin(np.array(rows) / 40) + noise(rows, r), "viability": 1.0 + noise(rows, r + 50)}

    belief = {"n_passed": 60, "n_lot": 60, "viability": "endpoint", "hit_threshold": 0.5, "min_viability": 0.5}
    lab = NightLab(tmp_path, N, assay, "minmax-gp", belief=belief).run(2)
    told = predicted(lab, 1)
    assert 60 < told["in_full"].sum() <= 120
    assert told["by_lot"].sum() == 60
    assert "viability: two stages: of 300 compounds the best 60 by the endpoint beside it and 60 by lot" in lab.notes(
        "fit", 1
    )
    picks = pl.read_parquet(lab.file("pick", 1, "picks.parquet")).join(told, on="compound_id")
    assert picks.filter(pl.col("reason") == "exploit")["in_full"].all()
    assert picks.filter(pl.col("reason") == "explore")["by_lot"].all()


def test_the_lot_stands_for_what_was_only_screened_in_the_hits_left(lab):
    told = predicted(lab, 2)
    left = told.filter(~pl.col("tested"))
    lot = left.filter("by_lot")["p_hit"].to_numpy()
    best = left.filter(pl.col("in_full") & ~pl.col("by_lot"))["p_hit"].to_numpy()
    n_screened = int((~left["in_full"]).sum())
    outlook = lab.said["pick"][2]["summary"]["outlook"]
    expected = left.filter("in_full")["p_hit"].sum() + n_screened * _mean_outside(best, lot, 60 / N)
    assert outlook["hits_left"]["uncorrected"] == pytest.approx(expected)
    assert any(f"{n_screened:,} compounds were only screened" in note for note in outlook["notes"])


def test_the_mean_outside_the_best_is_found_from_an_even_draw():
    rng = np.random.default_rng(0)
    p = np.where(np.arange(20_000) < 2_000, 0.4, 0.02)
    found = []
    for _ in range(50):
        by_lot = np.zeros(len(p), dtype=bool)
        by_lot[rng.choice(len(p), 1_000, replace=False)] = True
        found.append(_mean_outside(p[(p > 0.1) & ~by_lot], p[by_lot], 0.05))
    assert np.mean(found) == pytest.approx(0.02, abs=0.003)
    assert _mean_outside(p[:0], p[:0], 0.0) == 0.0
