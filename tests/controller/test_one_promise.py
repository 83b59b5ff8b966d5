"""Nights and replays promise by one piece of code: the same arrays give the same intervals, chances and hit lists."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from controller.steps import calibrate as calibrate_step
from controller.steps.evaluate import run as evaluate
from controller.steps.foresight import SCHEMA, asked_level
from controller.steps.scoring import _knobs
from nextplate.acquisition.retrospect import Memory, Prospect, Terms, foretell, judge, look_ahead, no_memory, remember
from nextplate.acquisition.telling import knobs_for
from nextplate.chem.enumeration import wehi_smiles
from nextplate.chem.standardise import standardise
from nextplate.chem.valued import encode_library
from nextplate.conformal import best_hits

N, N_BATCH, THRESHOLD = 300, 24, 0.5
TERMS = Terms("nearest", 0.9, N_BATCH, 0.5)
PARAMS = {"confidence": 0.9, "threshold": THRESHOLD, "n_picks": N_BATCH, "beta": 0.5}


@pytest.fixture(scope="module")
def campaign():
    """Outlooks of three rounds, what was remembered before each, and what each then measured."""
    features = encode_library(
        [f"C{i:03d}" for i in range(N)], [standardise(s).smiles for s in wehi_smiles()[:N]], n_jobs=1
    )
    rng = np.random.default_rng(4)
    values = features.descriptors[:, 0] / features.descriptors[:, 0].max() + rng.normal(0, 0.1, N)
    tested, memory, rounds = rng.permutation(N)[:N_BATCH], no_memory(), []
    for number in range(3):
        is_open = np.ones(N, dtype=bool)
        is_open[tested] = False
        prospect, memory = look_ahead(features, tested, values[tested], TERMS, memory, is_open, THRESHOLD, number)
        batch = prospect.library.likely(N_BATCH, TERMS.beta)
        rounds.append((prospect, memory, batch))
        memory = remember(memory, prospect, batch, batch, values)
        tested = np.concatenate([tested, batch])
    return values, rounds


def names(rows):
    return [f"C{i:03d}" for i in rows]


def a_night(folder: Path, prospect: Prospect, memory: Memory) -> Path:
    """Let the calibrate step see what the replay saw."""
    fitted, out = folder / "fitted", folder / "calibrated"
    labelled = np.flatnonzero(~prospect.library.is_open)
    of = {int(row): n for n, row in enumerate(prospect.unseen.ids)}
    at = [of[row] for row in labelled]
    unseen = {name: getattr(prospect.unseen, name)[at] for name in ("mean", "spread", "similarity")}
    y = prospect.unseen.y[at]
    for path in (fitted, out):
        path.mkdir(parents=True)
    oof = {"compound_id": names(labelled), "label": y, "n_wells": [1] * len(y), "is_hit": y >= THRESHOLD, **unseen}
    pl.DataFrame(oof).write_parquet(fitted / "oof.parquet")
    whole = {name: getattr(prospect.library, name) for name in ("mean", "spread", "similarity")}
    pl.DataFrame({"compound_id": names(range(N)), **whole}).write_parquet(fitted / "raw.parquet")
    inputs = {"fitted": fitted}
    for r, p in enumerate(memory.p_values):
        inputs[f"met-{r + 1}"] = folder / f"met-{r + 1}"
        inputs[f"met-{r + 1}"].mkdir()
        met_table(memory, r, p).write_parquet(inputs[f"met-{r + 1}"] / "met.parquet")
    calibrate_step.run(inputs, PARAMS, out, lambda *_: None)
    return out


def met_table(memory: Memory, r: int, p) -> pl.DataFrame:
    batch = memory.foreseen.take(np.arange(r * N_BATCH, (r + 1) * N_BATCH))
    columns = {"compound_id": names(batch.ids), "reason": ["exploit"] * N_BATCH, "label": batch.y}
    columns |= {name: getattr(batch, name) for name in ("mean", "spread", "similarity")}
    zeros = dict.fromkeys(("least", "least_picked", "p_hit"), np.zeros(N_BATCH))
    return (
        pl.DataFrame({**columns, **zeros, "is_hit": batch.is_hit, "p": p, "p_picked": p})
        .select(list(SCHEMA))
        .cast(SCHEMA)
    )


@pytest.mark.parametrize(("number", "method"), [(0, "weighted"), (1, "foreseen"), (2, "foreseen")])
def test_a_replay_promises_what_the_night_writes(campaign, tmp_path, number, method):
    _, rounds = campaign
    prospect, memory, _ = rounds[number]
    out = a_night(tmp_path, prospect, memory)
    promise = json.loads((out / "promise.json").read_text())
    assert (promise["method"], promise["level"]) == (method, prospect.promise.level)
    made = pl.read_parquet(out / "predictions.parquet")
    np.testing.assert_array_equal(made["lower_picked"], prospect.prediction.lower)
    np.testing.assert_array_equal(made["upper_picked"], prospect.prediction.upper)
    np.testing.assert_array_equal(made["p_hit"], prospect.prediction.p_hit)
    hits = best_hits(prospect.known, prospect.library, N_BATCH)
    assert json.loads((out / "hits.json").read_text())["compounds"] == names(hits.rows)


def test_a_replay_judges_a_batch_as_the_night_does(campaign, tmp_path):
    values, rounds = campaign
    prospect, memory, batch = rounds[1]
    folder = a_night(tmp_path, prospect, memory)
    n = len(batch)
    picks = pl.DataFrame({"compound_id": names(batch), "reason": ["exploit"] * n, "p_hit": [0.5] * n})
    wells = {"role": ["sample"] * n, "compound_id": names(batch), "activity": values[batch], "replicate": [0] * n}
    wells |= {"is_used": [True] * n, "is_toxic": [False] * n, "is_hit": values[batch] >= THRESHOLD}
    picks.write_parquet(tmp_path / "picks.parquet")
    pl.DataFrame(wells).write_parquet(tmp_path / "responses.parquet")
    inputs = {"picks": tmp_path / "picks.parquet", "responses": tmp_path / "responses.parquet"}
    inputs |= {"predictions": folder / "predictions.parquet", "calibration": folder / "calibration.json"}
    out = tmp_path / "judged"
    out.mkdir()
    params = {"confidence": 0.9, "seed": 1, "round": 2, "purpose": "evaluate"}
    evaluate({**inputs, "promise": folder}, params, out, lambda *_: None)
    met = pl.read_parquet(out / "met.parquet").sort("compound_id")
    ours, plain = judge(memory, prospect, batch, values)
    level = json.loads((folder / "promise.json").read_text())["level"]
    assert ours.n_inside == int((met["p_picked"] > 1 - level + 1e-12).sum())
    assert plain.n_inside == int((met["p"] > 0.1 + 1e-12).sum())
    assert ours.n == n
    learnt = remember(memory, prospect, batch, batch, values)
    order = np.argsort(names(batch))
    np.testing.assert_allclose(met["p_picked"], learnt.p_values[-1][order], rtol=1e-12)
    assert asked_level({1: met_table(memory, 0, memory.p_values[0]), 2: met}, 0.9) == pytest.approx(
        rounds[2][0].promise.level
    )


@pytest.mark.parametrize("rule", ["hits-at-fdr", "set-size", "ucb"])
def test_a_replay_tells_a_rule_what_the_night_does(campaign, tmp_path, rule):
    _, rounds = campaign
    prospect, memory, _ = rounds[1]
    a_night(tmp_path, prospect, memory)
    folders = {p.name: p for p in tmp_path.rglob("*") if p.is_dir()}
    (fitted,) = (p.parent for p in tmp_path.rglob("oof.parquet"))
    inputs = {"fitted": fitted, **{name: p for name, p in folders.items() if name.startswith("met-")}}
    params = {"rule": rule, "beta": 0.5, "hit_threshold": THRESHOLD}
    ours = _knobs(inputs, params, prospect.library.is_open, 1.0)
    theirs = knobs_for(rule, prospect.known, prospect.library.is_open, best=1.0, beta=0.5, threshold=THRESHOLD)
    if rule == "ucb":
        assert ours.cal_scores is theirs.cal_scores is None
        return
    assert ours.cal_scores is not None
    order, others = np.argsort(ours.cal_scores, kind="stable"), np.argsort(theirs.cal_scores, kind="stable")
    np.testing.assert_allclose(ours.cal_scores[order], theirs.cal_scores[others])
    np.testing.assert_array_equal(ours.cal_is_hit[order], theirs.cal_is_hit[others])


def test_unscored_compounds_of_a_batch_are_neither_foretold_nor_counted(campaign):
    values, rounds = campaign
    prospect, memory, batch = rounds[1]
    some = values.copy()
    some[batch[::2]] = np.nan
    found = foretell(memory, prospect, batch, some)
    assert found.count.uncorrected == pytest.approx(prospect.prediction.p_hit[batch[1::2]].sum())
    assert found.n_hits == (values[batch[1::2]] >= prospect.threshold).sum()
    some[batch] = np.nan
    assert foretell(memory, prospect, batch, some) is None
