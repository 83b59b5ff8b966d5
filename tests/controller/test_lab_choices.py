"""What lab.toml chooses reaches the steps: viability, replicates, censoring, joint draws, and the well budget."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from controller_fakes import FakeLab
from night_lab import Assay, NightLab, make_library, noise

from controller.settings import Settings
from controller.step import run_step
from controller.steps.data import with_labels
from controller.steps.foresight import read_met, yields
from controller.steps.labels import gather
from nextplate.acquisition.drawn import weigh
from nextplate.acquisition.stopping import Yield
from nextplate.chem.library import load_features
from nextplate.errors import ModelFileError, NextplateError, StepError

N = 200


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("library") / "library", N)


@pytest.fixture(scope="module")
def near(library: Path) -> np.ndarray[Any, Any]:
    """Ranks from 0 to 1 of each compound in two properties that a belief can learn."""
    features = load_features(library)
    values = np.nan_to_num(np.asarray(features.descriptors, dtype=np.float64))
    columns = [features.descriptor_names.index(name) for name in ("log_p", "fraction_csp3")]
    shares = values[:, columns] + 1e-6 * np.arange(N)[:, None]
    return np.asarray(shares.argsort(axis=0).argsort(axis=0) / N)


def a_lab(folder: Path, library: Path, assay: Assay, kind: str, **more: Any) -> NightLab:
    shutil.copytree(library, folder / "library")
    return NightLab(folder, N, assay, kind, **more)


def params_of(settings: Mapping[str, Any], task: str, r: int = 1) -> Mapping[str, Any]:
    """Say what a task of a campaign with these settings is told."""
    lab = FakeLab(Settings.model_validate(settings))
    lab.run()
    events = [e.payload for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == task]
    action: Mapping[str, Any] = next(p["action"] for p in events if p["round"] == r)
    return action


TOLD = [
    ({}, "fit", {}),
    (
        {"belief": {"viability": "endpoint"}},
        "fit",
        {"hit_threshold": 0.5, "min_viability": 0.5, "viability": "endpoint"},
    ),
    ({"belief": {"replicates": "noise", "censored_above": 1.5}}, "fit", {"replicates": "noise", "censored_above": 1.5}),
    ({"belief": {"n_passed": 200_000, "n_lot": 500}}, "fit", {"n_passed": 200_000, "n_lot": 500}),
    ({"picking": {"rule": "thompson"}}, "fit", {"draws_for": "thompson", "hit_threshold": 0.5}),
    ({"belief": {"viability": "endpoint"}}, "normalise", {"viability": "endpoint"}),
    ({"assay": {"dose_series_um": [1.0, 2.0, 4.0, 8.0, 16.0]}}, "normalise", {"dose_um": 10.0}),
]


@pytest.mark.parametrize(("settings", "task", "told"), TOLD)
def test_settings_reach_the_steps_that_need_them(settings, task, told):
    params = params_of(settings, task)["params"]
    assert {k: params.get(k) for k in told} == told
    plain = params_of({}, task)["params"]
    assert not {"draws_for", "min_viability", "dose_um"} & plain.keys() if task == "fit" else "viability" not in plain


def test_a_budget_divides_the_plate():
    shares = {"exploit": 0.6, "explore": 0.1, "confirm": 0.1, "dose_response": 0.1, "controls": 0.1}
    settings = {"assay": {"dose_series_um": [1, 2, 4, 8, 16]}, "picking": {"budget": shares}}
    pick, layout = (params_of(settings, task)["params"] for task in ("pick", "layout"))
    wells = pick["budget"]["wells"]
    assert wells == {"exploit": 234, "explore": 39, "confirm": 38, "dose-response": 35}
    n_controls = layout["n_negative"] + layout["n_positive"]
    assert sum(wells.values()) + n_controls == 384
    assert (layout["n_negative"], layout["n_positive"]) == (24, 14), "as 20 to 12"
    assert (pick["n_wells"], pick["n_confirm"], pick["budget"]["doses_um"]) == (346, 38, [1, 2, 4, 8, 16])
    assert params_of(settings, "calibrate")["params"]["n_picks"] == 234 + 39, "new compounds, not wells"
    left = {"picking": {"budget": {"exploit": 0.9, "explore": 0.1}}}
    assert params_of(left, "layout")["params"]["n_negative"] == 20
    assert params_of(left, "pick")["params"]["budget"]["wells"] == {"exploit": 317, "explore": 35}
    plain = params_of({}, "pick")["params"]
    assert "budget" not in plain
    assert params_of({}, "calibrate")["params"]["n_picks"] == plain["n_wells"] - plain["n_confirm"]


def test_the_belief_in_use_is_what_the_pick_looks_at():
    assert params_of({}, "pick")["inputs"]["fitted"] == "somewhere/fit-1"


# viability


def wells_of(**columns: list[Any]) -> pl.DataFrame:
    n = len(columns["activity"])
    usual = {"role": ["sample"] * n, "compound_id": [f"C{i}" for i in range(n)], "dose_um": [10.0] * n}
    return pl.DataFrame({**usual, **columns})


def test_a_label_is_gated_by_viability_or_not_and_of_one_dose():
    wells = wells_of(
        activity=[0.9, 0.9, None, 5.0, 0.4],
        is_used=[True, True, False, True, True],
        is_toxic=[False, True, True, False, False],
        dose_um=[10.0, 10.0, 10.0, 10.2, 1.0],
    )
    assert with_labels(wells)["label"].to_list() == [0.9, 0.0, 0.0, 2.0, 0.4]
    assert with_labels(wells, "endpoint", 10.0)["label"].to_list() == [0.9, 0.9, 0.0, 2.0, None]


@pytest.fixture(scope="module")
def toxic(library, near, tmp_path_factory) -> NightLab:
    """Two kinds of structure are active; one of them kills the cells."""

    def assay(rows, r):
        is_toxic = near[rows, 0] > 0.75
        activity = np.where((near[rows] > 0.75).any(axis=1), 0.9, 0.1) + noise(rows, r)
        viability = np.where(is_toxic, 0.2, 1.0) + 0.3 * noise(rows, r + 50)
        return {"activity": activity, "viability": viability, "is_toxic": viability < 0.5, "label": activity}

    belief = {"viability": "endpoint", "hit_threshold": 0.5, "min_viability": 0.5}
    folder = tmp_path_factory.mktemp("toxic")
    return a_lab(folder, library, assay, "gp", belief=belief, picking={"exploration_share": 0.0}).run(3)


def test_viability_is_a_belief_of_its_own_that_picks_are_weighed_by(toxic, near):
    ends = pl.read_parquet(toxic.file("fit", 3, "endpoints.parquet"))
    p_viable, both = ends["p_viable"].to_numpy(), ends["p_both"].to_numpy()
    is_toxic = near[:, 0] > 0.75
    assert p_viable[is_toxic].mean() < 0.5 < 0.75 < p_viable[~is_toxic].mean()
    assert (both <= np.minimum(p_viable, ends["p_active"].to_numpy()) + 1e-9).all()
    assert toxic.file("fit", 3, "viability/card.json").exists()
    said = toxic.said["fit"][3]["summary"]["viability"]
    assert (said["n"], said["n_toxic"]) == (72, said["n_toxic"])
    assert said["n_toxic"] > 0
    assert "viability: believed on 72 compounds" in toxic.notes("fit", 3)


def test_the_picks_chance_of_a_hit_is_that_of_both(toxic):
    picks = pl.read_parquet(toxic.file("pick", 2, "picks.parquet"))
    ends = pl.read_parquet(toxic.file("fit", 2, "endpoints.parquet")).rename({"p_both": "both"})
    joined = picks.join(ends, on="compound_id")
    np.testing.assert_allclose(joined["p_hit"], joined["both"])
    assert "weighed by the probability of viability" in toxic.notes("pick", 2)
    assert picks["why"].str.contains("ucb x P(viable) score", literal=True).all()
    met = pl.read_parquet(toxic.file("evaluate", 2, "met.parquet")).join(joined, on="compound_id", suffix="_picked")
    assert (met["p_hit"] == met["both"]).all(), "what was promised is judged, not the calibration of activity alone"
    assert len(met) == len(picks)
    wells = pl.read_parquet(toxic.folder / "responses-2.parquet")
    assert met["is_hit"].sum() == wells["is_hit"].sum()
    told = yields(read_met({"met-2": toxic.file("evaluate", 2, "met.parquet").parent}), 0.5)
    assert told == (Yield(pytest.approx(joined["both"].sum()), int(wells["is_hit"].sum())),)


def test_fewer_toxic_compounds_are_picked_than_without_that_belief(toxic, near, library, tmp_path):
    plain = a_lab(tmp_path, library, toxic.assay, "gp", picking={"exploration_share": 0.0}).run(3)

    def n_toxic(lab):
        ids = [i for r in (1, 2) for i in pl.read_parquet(lab.file("pick", r, "picks.parquet"))["compound_id"]]
        return int((near[[int(i[1:]) for i in ids], 0] > 0.75).sum())

    assert n_toxic(toxic) < n_toxic(plain)
    assert not plain.file("fit", 2, "endpoints.parquet").exists()


def test_without_a_known_viability_nothing_is_weighed(library, tmp_path):
    def assay(rows, r):
        return {"activity": noise(rows, r), "viability": [None] * len(rows)}

    belief = {"viability": "endpoint", "hit_threshold": 0.5, "min_viability": 0.5}
    lab = a_lab(tmp_path, library, assay, "nearest", belief=belief)
    lab.run(1)
    assert "viability: no well tells it, so picks are not weighed by it" in lab.notes("fit", 1)
    assert not lab.file("fit", 1, "endpoints.parquet").exists()


def test_a_score_is_weighed_above_the_median_of_what_can_be_picked():
    scores, p = np.array([0.0, 1.0, 2.0, 9.0]), np.array([0.0, 0.5, 0.5, 1.0])
    available = np.array([True, True, True, False])
    np.testing.assert_allclose(weigh(scores, p, available), [0.0, 1.0, 1.5, 9.0])
    np.testing.assert_allclose(weigh(scores, np.ones(4), available), scores)


def test_a_front_of_activity_and_viability_can_be_pushed_out(toxic, near, library, tmp_path):
    picking = {"exploration_share": 0.0, "goal": "pareto", "min_viability": 0.5}
    lab = a_lab(tmp_path, library, toxic.assay, "gp", belief=toxic.belief, picking=picking).run(3)
    assert "scores are the area expected to be added under the front" in lab.notes("pick", 1)
    assert "of 48 measured compounds" in lab.notes("pick", 2)
    picks = pl.read_parquet(lab.file("pick", 2, "picks.parquet"))
    assert (picks["score"] >= 0).all()
    assert picks["why"].str.contains("front of activity and viability score", literal=True).all(), "not the rule's"
    settings = {"picking": {"goal": "pareto"}, "belief": {"viability": "endpoint"}}
    assert params_of(settings, "pick")["params"]["min_viability"] == 0.5


# replicates and censored labels


def test_noisy_wells_weigh_less_and_duplicates_of_a_structure_are_one(tmp_path):
    from nextplate.chem.library import LibraryRow, featurise

    smiles = ["CCO", "CCO", "CCCC", "c1ccccc1", "CCN", "CCCl"]
    featurise([LibraryRow(i + 2, f"C{i}", s, s, "") for i, s in enumerate(smiles)], tmp_path / "library", n_jobs=1)
    features = load_features(tmp_path / "library")
    ids = ["C0", "C0", "C1", "C2", "C3", "C4", "C4", "C5"]
    y = [0.1, 0.3, 0.2, 0.9, 0.5, 0.0, 0.2, 0.7]
    tested = pl.DataFrame({"compound_id": ids, "label": y, "is_hit": [v > 0.5 for v in y]})
    counted = gather(tested, features, {"kind": "nearest"}, 0)
    assert counted.weight.tolist() == [2, 1, 1, 1, 2, 1]
    assert counted.notes == ()
    merged = gather(tested, features, {"kind": "nearest", "replicates": "noise"}, 0)
    assert merged.compounds.equals(counted.compounds)
    assert merged.rows.tolist() == [0, 2, 3, 4, 5]
    assert merged.at.tolist() == [0, 0, 1, 2, 3, 4]
    assert merged.y[0] == pytest.approx(0.2)
    assert merged.weight[0] > merged.weight[3] > merged.weight[1]
    assert 0.05 < merged.noise < 0.2
    assert any("1 labelled compounds have the structure of another one" in note for note in merged.notes)


def test_entries_of_one_structure_that_contradict_each_other_are_named(tmp_path):
    from nextplate.chem.library import LibraryRow, featurise

    smiles = ["CCO", "CCO", "CCCC", "CCCC"]
    featurise([LibraryRow(i + 2, f"C{i}", s, s, "") for i, s in enumerate(smiles)], tmp_path / "library", n_jobs=1)
    tested = pl.DataFrame({"compound_id": ["C0", "C1", "C2", "C3"], "label": [0.9, 0.1, 0.0, 0.1]})
    tested = tested.with_columns(is_hit=pl.col("label") > 0.5)
    (note,) = gather(tested, load_features(tmp_path / "library"), {"kind": "nearest"}, 0).notes
    assert note.startswith("1 structures are in the library more than once and are a hit in one entry")
    assert "(C0 and C1): each entry counts by itself; belief.replicates = 'noise' merges them" in note


def test_conflicting_wells_are_named_and_zeros_and_ones_are_counted(library):
    features = load_features(library)
    ids = [f"C{i:04d}" for i in range(40) for _ in range(2)]
    y = 0.5 + np.random.default_rng(0).normal(0, 0.02, 80)
    y[:2] = 0.0, 1.0
    tested = pl.DataFrame({"compound_id": ids, "label": y, "is_hit": y > 0.9})
    params = {"kind": "nearest", "replicates": "noise"}
    assert "conflicting wells: C0000: 2 measurements from 0 to 1" in "; ".join(
        gather(tested, features, params, 0).notes
    )
    binary = tested.with_columns(label=pl.Series(np.arange(80) % 2.0))
    assert gather(binary, features, params, 0).notes == ("replicates: every label is 0 or 1, so wells are counted",)


def test_censored_labels_teach_more_than_their_bound_and_are_calibrated_as_measured(library, near):
    features = load_features(library)
    truth = 2 * near.max(axis=1)
    y = np.minimum(truth, 1.2)
    tested = pl.DataFrame({"compound_id": features.compound_ids, "label": y, "is_hit": y > 0.5})
    found = gather(tested, features, {"kind": "minmax-gp", "censored_above": 1.2}, 0)
    is_bound = y == 1.2
    assert (found.y[is_bound] > 1.2).all()
    np.testing.assert_allclose(found.y[~is_bound], y[~is_bound])
    np.testing.assert_allclose(found.compounds["label"], y)
    assert "labels are censored: replaced by their expectation beyond the bound" in found.notes[0]
    low = gather(tested, features, {"kind": "nearest", "censored_below": 0.4}, 0)
    assert (low.y[y <= 0.4] <= 0.4).all()


@pytest.mark.parametrize("replicates", ["count", "noise"])
def test_a_label_is_censored_only_where_all_its_wells_are(library, replicates):
    """C0000 has one well beyond the bound and one below it, C0001 two beyond it, C0002 one on each side."""
    features = load_features(library)
    ids = [*(f"C{i:04d}" for i in range(40)), "C0000", "C0001", "C0002"]
    y = [0.0, 1.1, -0.9, *(0.1 * (i % 8) for i in range(37)), 1.9, 1.3, 1.9]
    tested = pl.DataFrame({"compound_id": ids, "label": y, "is_hit": [v > 0.5 for v in y]})
    bounds = {"censored_above": 1.0, "censored_below": -0.5, "replicates": replicates}
    found = gather(tested, features, {"kind": "nearest", **bounds}, 0)
    assert found.y[0] == pytest.approx(0.5), "the mean of 0 and the bound"
    assert found.y[1] > 1.0, "what is expected beyond the bound"
    assert found.y[2] == pytest.approx(0.25), "the mean of both bounds"
    assert found.compounds["label"].to_list()[:3] == pytest.approx([0.95, 1.2, 0.5]), "as measured"
    assert any(note.startswith("1 of 40 labels are censored") for note in found.notes)


# draws


@pytest.mark.parametrize(("rule", "kind"), [("thompson", "gp"), ("top-k", "minmax-gp"), ("bald", "forest")])
def test_a_rule_that_compares_compounds_gets_joint_draws(library, near, tmp_path, rule, kind):
    def assay(rows, r):
        return {"activity": near[rows].max(axis=1) + noise(rows, r)}

    belief = {"draws_for": rule, "hit_threshold": 0.5}
    lab = a_lab(tmp_path, library, assay, kind, belief=belief, picking={"rule": rule}).run(2)
    draws = np.load(lab.file("fit", 1, "draws.npy"), allow_pickle=False)
    rows = np.load(lab.file("fit", 1, "draws-rows.npy"), allow_pickle=False)
    assert (draws.dtype, draws.shape) == (np.float32, (64, N - 24))
    assert len(rows) == N - 24
    assert f"draws: 64 joint draws of {N - 24} of {N - 24} compounds" in lab.notes("fit", 1)
    assert "no joint draws" not in lab.notes("pick", 1)
    raw = pl.read_parquet(lab.file("fit", 1, "raw.parquet"))
    assert np.corrcoef(draws.mean(axis=0), raw["mean"].to_numpy()[rows])[0, 1] > 0.7


def test_a_kind_without_joint_draws_says_so(library, tmp_path):
    belief = {"draws_for": "thompson", "hit_threshold": 0.5}
    lab = a_lab(tmp_path, library, lambda rows, r: {"activity": noise(rows, r)}, "nearest", belief=belief)
    lab.picking = {"rule": "thompson"}
    lab.run(2)
    assert "a belief of kind nearest gave no joint draws for the rule thompson" in lab.notes("fit", 1)
    assert "compounds are taken as independent" in lab.notes("pick", 1)


def test_rules_that_want_no_draws_store_none(toxic):
    assert not toxic.file("fit", 1, "draws.npy").exists()
    assert json.loads(toxic.file("fit", 1, "record.json").read_text())["outputs"].keys() >= {"endpoints.parquet"}


# a belief that was tampered with


def calibrated_again(lab: NightLab) -> None:
    """Judge the belief of round 2 beside the deployed one of round 1, as a step that was never run before."""
    inputs = {"library": "library", "fitted": lab.said["fit"][2]["folder"], "deployed": lab.said["fit"][1]["folder"]}
    params = {"confidence": 0.85, "threshold": 0.5, "n_picks": 24, "beta": 0.5}
    run_step(lab.folder, "calibrate", inputs, params, lambda *_: None)


def picked_again(lab: NightLab) -> None:
    """Pick by the deployed belief of round 1."""
    fitted, calibrated = lab.said["fit"][1]["folder"], lab.said["calibrate"][1]["folder"]
    inputs = {"library": "library", "stock": "stock.parquet", "responses-0": "responses-0.parquet", "fitted": fitted}
    inputs["predictions"] = f"{calibrated}/predictions.parquet"
    run_step(lab.folder, "pick", inputs, {"seed": 99}, lambda *_: None)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


ALTERED = [
    ("fit", "belief/process.npz", "process.npz: was cut short or altered since the belief was saved"),
    ("fit", "belief/card.json", "card.json: was cut short or altered since its step wrote it"),
    ("fit", "raw.parquet", "raw.parquet: was cut short or altered since its step wrote it"),
    ("fit", "record.json", "record.json: was cut short or altered"),
]
TAMPERED = [
    *((again, *case) for case in ALTERED for again in (calibrated_again, picked_again)),
    (picked_again, "calibrate", "predictions.parquet", "predictions.parquet: was cut short or altered since its step"),
]


@pytest.mark.parametrize(("again", "step", "name", "says"), TAMPERED)
def test_a_deployed_belief_that_was_tampered_with_is_named_with_the_fix(toxic, tmp_path, again, step, name, says):
    shutil.copytree(toxic.folder, tmp_path / "lab")
    lab = NightLab(tmp_path / "lab", N, toxic.assay, said=toxic.said)
    path = lab.file(step, 1, name)
    before = sorted(p.name for p in path.parents[1 + name.count("/")].iterdir())
    cut(path) if name != "record.json" else path.write_text("{")
    with pytest.raises(NextplateError, match=re.escape(says)) as caught:
        again(lab)
    assert "nextplate model rollback ROUND" in str(caught.value)
    assert str(path) in str(caught.value)
    assert sorted(p.name for p in path.parents[1 + name.count("/")].iterdir()) == before, "nothing half-made"


def test_a_belief_that_is_gone_or_has_a_file_too_many_is_named(toxic, tmp_path):
    shutil.copytree(toxic.folder, tmp_path / "lab")
    lab = NightLab(tmp_path / "lab", N, toxic.assay, said=toxic.said)
    (lab.file("fit", 1, "belief") / "more.npz").write_bytes(b"x")
    with pytest.raises(ModelFileError, match=r"more\.npz: is not of this belief"):
        picked_again(lab)
    shutil.rmtree(lab.file("fit", 1, "belief"))
    with pytest.raises(StepError, match=r"belief/card\.json: is missing; put it back from a copy"):
        picked_again(lab)
