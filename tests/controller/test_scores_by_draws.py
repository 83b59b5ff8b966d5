"""Scores by joint draws: only of what was drawn, on its own scale, and what else is done is said."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from night_lab import NightLab, make_library, noise

from controller.steps.drawing import DRAWS, ROWS, write_draws
from controller.steps.scoring import score_all
from controller.steps.second import FILE
from nextplate.acquisition import drawn
from nextplate.acquisition.drawn import Scored
from nextplate.acquisition.rules.rule import NO_DRAWS
from nextplate.compound import Features
from nextplate.models import committee, kind_of
from nextplate.models.funnel import Funnelled
from nextplate.prediction import Prediction

N = 500
DRAWN = np.arange(0, N, 5)


def prediction() -> Prediction:
    mean, nan = np.random.default_rng(0).normal(size=N), np.full(N, np.nan)
    ids = tuple(f"C{i}" for i in range(N))
    return Prediction(ids, mean, np.full(N, 0.5), nan, nan, 0.9, np.full(N, 0.1))


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    mean = prediction().mean[DRAWN]
    draws = mean + 0.5 * np.random.default_rng(1).standard_normal((64, len(DRAWN)))
    np.save(tmp_path / DRAWS, draws.astype(np.float32))
    np.save(tmp_path / ROWS, DRAWN)
    return tmp_path


def scores(fitted: Path, available: np.ndarray, n_by_score: int, **more: str) -> Scored:
    params = {"rule": "top-k", "beta": 0.5, "hit_threshold": 0.5, **more}
    tested, rng = pl.DataFrame({"label": [0.1]}), np.random.default_rng(2)
    return score_all({"fitted": fitted}, params, prediction(), available, tested, rng, n_by_score)


def test_enough_drawn_compounds_are_all_that_is_picked_from(fitted):
    found = scores(fitted, np.ones(N, dtype=bool), 50)
    assert found.among is not None
    np.testing.assert_array_equal(np.flatnonzero(found.among), DRAWN)
    assert found.notes == ("joint draws: picks by score are of the 100 of 500 available compounds that have draws",)


def test_too_few_drawn_compounds_are_followed_by_the_others_by_mean_and_that_is_said(fitted):
    found = scores(fitted, np.ones(N, dtype=bool), 120)
    assert found.among is None
    assert "400 of 500 available compounds have no draws and are ranked by mean" in found.notes[0]
    others = np.setdiff1d(np.arange(N), DRAWN)
    assert found.scores[others].max() < found.scores[DRAWN].min()
    order = np.argsort(prediction().mean[others])
    assert (np.diff(found.scores[others][order]) >= 0).all()
    theirs = found.scores[DRAWN]
    assert theirs.min() - found.scores.min() <= 1.001 * np.ptp(theirs), "no further than the drawn are apart"


def test_draws_of_nothing_that_is_free_are_not_called_no_draws(fitted):
    available = np.ones(N, dtype=bool)
    available[DRAWN] = False
    found = scores(fitted, available, 50)
    assert "none of the 100 compounds that have draws may be picked" in found.notes[0]
    assert NO_DRAWS not in found.notes


def test_viability_is_weighed_among_the_drawn(fitted):
    """A good compound of middling viability does not fall behind bad ones, let alone behind what was not drawn."""
    every = np.ones(N, dtype=bool)
    plain = scores(fitted, every, 50)
    best = DRAWN[np.argmax(plain.scores[DRAWN])]
    p_viable = np.ones(N)
    p_viable[best] = 0.6
    columns = {"viability": np.ones(N), "viability_spread": np.full(N, 0.1), "p_viable": p_viable, "p_both": p_viable}
    pl.DataFrame(columns).write_parquet(fitted / FILE)
    found = scores(fitted, every, 50)
    assert found.name == "top-k x P(viable)"
    middle = np.median(plain.scores[DRAWN])
    assert found.scores[best] == pytest.approx(middle + 0.6 * (plain.scores[best] - middle))
    assert found.scores[best] > middle


def a_library() -> tuple[Features, np.ndarray]:
    rng = np.random.default_rng(3)
    packed = np.packbits(rng.random((N, 256)) < 0.15, axis=1)
    names = tuple(f"C{i}" for i in range(N))
    numbers = rng.normal(size=(N, 4)).astype(np.float32)
    features = Features(Path(), "f" * 64, names, names, packed, numbers, tuple("abcd"), packed, packed)
    return features, numbers[:50, 0].astype(np.float64)


def test_only_what_was_predicted_in_full_is_drawn(tmp_path):
    features, y = a_library()
    belief = kind_of("forest").fit(features, np.arange(50), y)
    in_full = np.arange(N) < 200
    spread = np.where(in_full, 0.1, 9.0)
    everywhere = Funnelled(np.zeros(N), spread, in_full, in_full, ())
    known = pl.DataFrame({"row": np.arange(50)})
    params = {"kind": "forest", "draws_for": "bald", "hit_threshold": 0.5, "seed": 1, "round": 1}
    notes = write_draws(belief, features, known, everywhere, params, tmp_path)
    assert notes == ["draws: 64 joint draws of 150 of 150 compounds without a label and predicted in full"]
    np.testing.assert_array_equal(np.load(tmp_path / ROWS), np.arange(50, 200))
    known = pl.DataFrame({"row": np.arange(200)})
    notes = write_draws(belief, features, known, everywhere, params, tmp_path)
    assert notes == ["draws: none, as no compound is without a label and predicted in full"]


def test_a_member_without_draws_is_named(tmp_path):
    features, y = a_library()
    belief = committee.fit(features, np.arange(50), y, members=("forest", "nearest"))
    every = np.ones(N, dtype=bool)
    params = {"kind": "committee", "draws_for": "bald", "hit_threshold": 0.5, "seed": 1, "round": 1}
    known, everywhere = pl.DataFrame({"row": np.arange(50)}), Funnelled(np.zeros(N), np.ones(N), every, every, ())
    notes = write_draws(belief, features, known, everywhere, params, tmp_path)
    assert notes[1] == "draws: of nearest (50%) there are no joint draws, so that share is of independent normals"


def test_picks_by_score_are_of_the_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "MOST_DRAWN", 40)
    make_library(tmp_path / "library", 120)

    def assay(rows, r):
        return {"activity": np.array(rows) / 120 + noise(rows, r)}

    belief = {"draws_for": "thompson", "hit_threshold": 0.5}
    lab = NightLab(tmp_path, 120, assay, "forest", belief=belief, picking={"rule": "thompson"}).run(2)
    rows = np.load(lab.file("fit", 1, ROWS), allow_pickle=False)
    picks = pl.read_parquet(lab.file("pick", 1, "picks.parquet"))
    best = picks.filter(pl.col("reason") == "exploit")["compound_id"].to_list()
    assert len(best) == 22
    assert {int(name[1:]) for name in best} <= set(rows.tolist())
    assert "picks by score are of the 40 of 96 available compounds that have draws" in lab.notes("pick", 1)
    others = picks.filter((pl.col("reason") == "explore") & ~pl.col("compound_id").is_in([f"C{r:04d}" for r in rows]))
    assert len(others)
    assert others["score"].is_nan().all(), "by mean is not by the rule"
    assert all("no thompson score, as it has no joint draws" in why for why in others["why"])
