"""Replays run the live functions, count honestly, and show that learning beats both baselines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import RDConfig

from nextplate.acquisition import RULES
from nextplate.acquisition.drawn import N_DRAWS, score_open
from nextplate.acquisition.replay import ReplayPlan, replay
from nextplate.acquisition.rules.rule import NO_DRAWS
from nextplate.chem.standardise import standardise
from nextplate.chem.valued import encode_library, read_valued
from nextplate.errors import DataError, PlanError

PLAN = ReplayPlan("lightgbm", 84, 84, 2, 25)


@pytest.fixture(scope="module")
def library():
    """Every fourth compound of the WEHI set."""
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    raws = [line.split(",")[0].strip('"') for line in path.read_text(encoding="utf-8").splitlines()[::4]]
    return encode_library([f"C{i}" for i in range(len(raws))], [standardise(raw).smiles for raw in raws], n_jobs=1)


def hidden_truth(library, seed):
    """Graded responses of additive substructures through a Hill curve, noisy; 2 % reach 0.5."""
    rng = np.random.default_rng(seed)
    bits = np.unpackbits(library.fingerprints, axis=1)
    usual = np.flatnonzero((bits.mean(axis=0) > 0.02) & (bits.mean(axis=0) < 0.12))
    potency = bits[:, rng.choice(usual, 9, replace=False)] @ rng.uniform(0.5, 1.0, 9)
    potency += rng.normal(0, 0.2, len(bits)) - 0.5 * np.abs(library.descriptors[:, 19] - 3)
    return 1 / (1 + 10 ** (-1.2 * (potency - np.quantile(potency, 0.98)))) + rng.normal(0, 0.08, len(bits))


def test_learning_finds_three_times_what_chance_does_and_more_than_similarity(library):
    found = {name: [] for name in ("lightgbm", "similarity", "random")}
    for seed in (1, 2):
        values = hidden_truth(library, seed)
        for name in found:
            curve = replay(library, values, replace(PLAN, strategy=name, seed=seed, threshold=0.5))
            found[name].append(curve.rounds[-1].n_hits / (curve.n_hits * len(curve.tested) / curve.n_compounds))
    assert np.mean(found["lightgbm"]) > 3
    assert np.mean(found["lightgbm"]) > 1.3 * np.mean(found["similarity"])
    assert np.mean(found["random"]) < 2


@pytest.mark.parametrize("strategy", ["lightgbm:ucb", "random", "similarity"])
def test_one_seed_gives_one_campaign_from_one_first_plate(library, strategy):
    values = hidden_truth(library, 3)
    plan = replace(PLAN, strategy=strategy, n_rounds=1)
    one, two, other = (replay(library, values, replace(plan, seed=seed)) for seed in (1, 1, 2))
    assert one.tested.tolist() == two.tested.tolist() != other.tested.tolist()
    assert one.tested[:84].tolist() == replay(library, values, replace(PLAN, n_rounds=0, seed=1)).tested.tolist()
    assert len(set(one.tested.tolist())) == 168


def test_every_strategy_runs(library):
    values = hidden_truth(library, 3)
    for strategy in ("random", "similarity", "auto", *(f"nearest:{rule}" for rule in RULES)):
        if strategy.endswith((":ei", ":pi", ":modal-ucb")):
            pytest.importorskip("modAL")
        plan = ReplayPlan(strategy, 40, 20, 1, 25)
        assert len(replay(library, values, plan).tested) == 60


def small(values):
    smiles = [f"{'C' * (i % 20 + 1)}{'NOSF'[i % 4]}" for i in range(len(values))]
    return encode_library([f"C{i}" for i in range(len(values))], smiles, n_jobs=1)


def test_unscored_compounds_cost_wells_and_teach_nothing():
    values = np.full(60, np.nan)
    values[:12] = np.arange(12.0)
    curve = replay(small(values), values, ReplayPlan("forest", 20, 20, 2, 3))
    assert [r.n_tested for r in curve.rounds] == [20, 40, 60]
    assert curve.rounds[-1].recall_structures == 1
    assert curve.n_hits == 3


def test_a_library_can_be_tested_to_the_end_and_not_beyond():
    values = np.arange(50.0)
    curve = replay(small(values), values, ReplayPlan("forest", 20, 20, 9, 5))
    assert [r.n_tested for r in curve.rounds] == [20, 40, 50]
    assert (curve.rounds[-1].recall_structures, curve.rounds[-1].recall_scores) == (1.0, 1.0)
    assert sorted(curve.tested) == list(range(50))


def test_tied_values_count_as_a_multiset_of_scores_but_not_as_structures():
    values = np.array([5.0, 4, 4, 4, 4, 1, 1, 1, 1, 1])
    curve = replay(small(values), values, ReplayPlan("random", 7, 1, 0, 3, seed=4))
    found = values[curve.tested]
    expected = min((found > 4).sum() + min((found == 4).sum(), 2), 3) / 3
    assert curve.rounds[0].recall_scores == pytest.approx(expected)
    assert curve.rounds[0].recall_structures == pytest.approx(np.isin([0, 1, 2], curve.tested).mean())
    assert curve.rounds[0].n_hits == (found >= 4).sum()


REFUSED = [
    ({"strategy": "magic"}, PlanError, "no strategy 'magic'"),
    ({"top_k": 0}, PlanError, "top 0 of 50"),
    ({"n_batch": 0}, PlanError, "too few"),
]


@pytest.mark.parametrize(("change", "error", "says"), REFUSED)
def test_impossible_replays_say_why(change, error, says):
    values = np.arange(50.0)
    with pytest.raises(error, match=says):
        replay(small(values), values, replace(ReplayPlan("random", 5, 5, 1, 5), **change))
    with pytest.raises(DataError, match="values for 50 compounds"):
        replay(small(values), values[1:], ReplayPlan("random", 5, 5, 1, 5))


def test_a_table_of_values_is_read_with_its_gaps_and_its_faults(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text("smiles,score\nCCO,-9.5\nCCC,\nC1CC,3\nCCN,NA\n")
    data = read_valued(path, smiles_column="smiles", value_column="score")
    assert data.features.compound_ids == ("line 2", "line 3", "line 5")
    np.testing.assert_array_equal(data.values, [-9.5, np.nan, np.nan])
    assert data.left_out == ("line 4: 'C1CC' is not valid SMILES",)
    path.write_text("smiles,score\nCCO,high\n")
    with pytest.raises(DataError, match="line 2, column 'score': the value 'high' is not a number"):
        read_valued(path, smiles_column="smiles", value_column="score")
    with pytest.raises(DataError, match="no column 'affinity'"):
        read_valued(path, smiles_column="smiles", value_column="affinity")


@pytest.mark.parametrize(("kind", "n_said"), [("minmax-gp", 0), ("forest", 0), ("nearest", 1)])
@pytest.mark.parametrize("rule", [name for name, spec in RULES.items() if spec.wants_draws])
def test_rules_that_compare_compounds_get_the_draws_that_nights_make(monkeypatch, rule, kind, n_said):
    seen = []

    def score_seen(name, prediction, drawn, knobs, rng, **more):
        seen.append(drawn)
        return score_open(name, prediction, drawn, knobs, rng, **more)

    monkeypatch.setattr("nextplate.acquisition.replay.score_open", score_seen)
    values = np.sin(np.arange(60.0))
    curve = replay(small(values), values, ReplayPlan(f"{kind}:{rule}", 20, 10, 1, 5))
    said = [note for note in curve.rounds[1].notes if note.startswith("draws:")]
    assert said == [f"draws: a belief of kind {kind} gave no joint draws for the rule {rule}"] * n_said
    assert (NO_DRAWS in curve.rounds[1].notes) == bool(n_said)
    assert any("no noise of a well is known" in note for note in curve.rounds[1].notes) == (rule == "bald")
    if not n_said:
        assert seen[0].draws.shape == (N_DRAWS, 40)
        assert seen[0].rows.tolist() == sorted(set(range(60)) - set(curve.tested[:20].tolist()))


def test_picks_by_score_are_of_the_drawn_in_a_replay_too(monkeypatch):
    monkeypatch.setattr("nextplate.acquisition.drawn.MOST_DRAWN", 15)
    values = np.sin(np.arange(60.0))
    curve = replay(small(values), values, ReplayPlan("forest:thompson", 20, 10, 1, 5))
    assert (
        "joint draws: picks by score are of the 15 of 40 available compounds that have draws" in curve.rounds[1].notes
    )


def test_a_batch_by_lot_for_want_of_values_says_so():
    values = np.full(60, np.nan)
    first = replay(small(values + 1), np.arange(60.0), ReplayPlan("random", 20, 20, 0, 3)).tested
    values[np.setdiff1d(np.arange(60), first)[:30]] = 1.0
    for strategy, said in (("forest", 1), ("similarity", 1), ("random", 0)):
        curve = replay(small(values), values, ReplayPlan(strategy, 20, 20, 1, 3))
        assert sum("drawn by lot" in note for note in curve.rounds[1].notes) == said


def test_unscored_compounds_are_not_foretold():
    """The batch is all that is left: 20 compounds without a value."""
    values = np.arange(60.0)
    tested = replay(small(values), values, ReplayPlan("random", 40, 20, 0, 3)).tested
    values[np.setdiff1d(np.arange(60), tested)] = np.nan
    curve = replay(small(values), values, ReplayPlan("forest", 40, 20, 1, 3))
    assert curve.rounds[1].foretold is None
