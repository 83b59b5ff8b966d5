"""The step pick keeps a line for every pick that says why, and later steps read the picks as before."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controller.narrate import _pick
from controller.steps import pick as pick_step
from controller.steps.data import read_picks, write_picks
from nextplate.acquisition.drawn import Scored
from nextplate.compound import Features
from nextplate.prediction import Pick

SMILES = ("c1ccccc1C", "c1ccccc1CC", "CCCCO", "O=C1C=CC(=O)C=C1")


def library(folder: Path) -> Features:
    names = tuple(f"C{i}" for i in range(4))
    scaffolds = ["c1ccccc1", "c1ccccc1", "", "O=C1C=CC(=O)C=C1"]
    alerts = ["", "", "", "PAINS quinone_A(370)"]
    pl.DataFrame({"compound_id": names, "scaffold": scaffolds, "alerts": alerts}).write_parquet(
        folder / "compounds.parquet"
    )
    bits = np.zeros((4, 2048), dtype=bool)
    bits[0, :8] = bits[1, :6] = bits[2, 100:104] = bits[3, 6:10] = True
    packed = np.packbits(bits, axis=1)
    return Features(folder, "", names, SMILES, packed, np.zeros((4, 0), np.float32), (), packed, packed)


def test_every_pick_says_why(tmp_path):
    features = library(tmp_path)
    picks = (
        Pick("C3", "exploit", 0.9, 0.7, 0.1, 0.5, 0.9, 0.8, 0.2, 1),
        Pick("C1", "explore", 0.1, 0.1, 0.1, -math.inf, math.inf, 0.1, 0.75, 1),
    )
    why = pick_step._why(picks, pick_step._New(picks, (), "top-k"), tmp_path, features, {"C0", "C2"})
    assert why[0] == (
        "C3: exploit (1 of 2 picks), 1st of the batch, top-k score 0.9; predicted 0.7 (0.5 to 0.9), P(hit) 80%; "
        "nearest tested C0, similarity 0.20; scaffold O=C1C=CC(=O)C=C1; alerts PAINS quinone_A(370)"
    )
    assert "nearest tested C0, similarity 0.75; scaffold c1ccccc1" in why[1]
    write_picks(picks, tmp_path / "picks.parquet", why)
    assert read_picks(tmp_path / "picks.parquet") == picks
    assert tuple(pl.read_parquet(tmp_path / "picks.parquet")["why"]) == why


def test_a_first_plate_has_no_neighbour_to_name(tmp_path):
    nan = math.nan
    picks = (Pick("C2", "cold-start", nan, nan, nan, nan, nan, nan, nan, 1),)
    why = pick_step._why(picks, pick_step._New(picks, (), "ucb"), tmp_path, library(tmp_path), set())
    assert why == ("C2: first plate, drawn by lot among unlike structures (1 of 1 picks), 1st of the batch; no ring",)


def test_a_pick_that_has_no_draws_shows_no_score_of_the_rule(tmp_path):
    features = library(tmp_path)
    picks = tuple(
        Pick(name, reason, 0.4, 0.1, 0.1, -math.inf, math.inf, 0.1, 0.75, 1)
        for name, reason in (("C0", "exploit"), ("C1", "explore"), ("C2", "exploit"))
    )
    found = Scored(np.zeros(4), (), "thompson", by_rule=np.array([True, False, False, True]))
    honest, unscored = pick_step._by_rule(picks, found, features)
    assert honest[0].score == 0.4
    assert [math.isnan(p.score) for p in honest] == [False, True, True]
    assert unscored == {"C1", "C2"}
    why = pick_step._why(honest, pick_step._New(honest, (), "thompson", unscored), tmp_path, features, set())
    assert "1st of the batch, thompson score 0.4; predicted 0.1" in why[0]
    assert "2nd of the batch, no thompson score, as it has no joint draws; predicted 0.1" in why[1]
    assert "no thompson score, as it has no joint draws: ranked by the prediction; predicted 0.1" in why[2]


def test_what_a_rule_did_instead_is_narrated():
    summary = {"n_compounds": 3, "reasons": {"exploit": 2, "explore": 1}}
    assert _pick({"summary": summary}, 1) == "picked 3 compounds (2 exploit, 1 explore)"
    told = _pick({"summary": {**summary, "notes": ["no joint draws"]}}, 1)
    assert told == "picked 3 compounds (2 exploit, 1 explore); no joint draws"


def test_the_outlook_counts_hits_left_and_those_of_the_next_plate():
    p_hit = [0.9, 0.5, 0.05, 0.05]
    columns = dict.fromkeys(("mean", "spread", "lower", "upper"), [0.0] * 4)
    frame = pl.DataFrame({"compound_id": [f"C{i}" for i in range(4)], "p_hit": p_hit, **columns})
    picks = (Pick("C1", "exploit", 0.9, 0.7, 0.1, 0.5, 0.9, 0.5, 0.2, 1),)
    left = pick_step._left(frame, {"C0"})
    told = pick_step._outlook(left, picks)
    assert told["hits_left"]["uncorrected"] == pytest.approx(0.6)
    assert told["next_yield"]["uncorrected"] == pytest.approx(0.5)
    assert (told["next_yield"]["low"], told["next_yield"]["high"]) == (0, 1)
    assert "the next plate of 1 gives" in told["reason"]
    assert told["reason"] in _pick({"summary": {"n_compounds": 1, "reasons": {"exploit": 1}, "outlook": told}}, 0)
    assert pick_step._outlook(None, picks) is None
