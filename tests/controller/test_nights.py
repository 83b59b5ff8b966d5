"""Nights of computing: what is promised of picks is kept in view, and bad plates end in a named fallback."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from night_lab import Assay, NightLab, make_library, noise

from controller.steps.evaluate import drift
from controller.steps.foresight import SCHEMA, asked_level, known_once, read_met, records, yields
from nextplate.acquisition.stopping import Yield
from nextplate.chem.library import load_features
from nextplate.chem.similarity import tanimoto

N = 300


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("library") / "library", N)


def night_lab(folder: Path, library: Path, assay: Assay, kind: str = "nearest") -> NightLab:
    shutil.copytree(library, folder / "library")
    return NightLab(folder, N, assay, kind)


@pytest.fixture(scope="module")
def good(library, tmp_path_factory) -> NightLab:
    """An assay that answers to one structure and those like it."""
    features = load_features(library)
    near = tanimoto(features.fingerprints, features.fingerprints[[7, 91]]).max(axis=1)
    rank = near.argsort().argsort() / N

    def assay(rows, r):
        return {"activity": np.where(rank[rows] > 0.8, 0.9, 0.1) + noise(rows, r)}

    return night_lab(tmp_path_factory.mktemp("good"), library, assay).run(4)


def test_the_first_predicted_plate_is_promised_by_weights_the_later_by_foresight(good):
    told = {r: good.said["calibrate"][r]["summary"]["picks"] for r in (1, 2, 3, 4)}
    assert [told[r]["method"] for r in (1, 2, 3, 4)] == ["weighted", "foreseen", "foreseen", "foreseen"]
    assert "weighted for the 24 compounds most likely to be picked" in good.notes("calibrate", 1)
    assert "calibrated on 24 compounds as predicted before they were measured and 24 out of fold" in good.notes(
        "calibrate", 2
    )
    assert told[4]["n_effective"] == 96
    predictions = pl.read_parquet(good.file("calibrate", 2, "predictions.parquet"))
    assert (predictions["lower_picked"] < predictions["mean"]).all()
    assert (predictions["weight"] == 1).all()
    assert predictions["p_value"].is_nan().to_list() == predictions["tested"].to_list()


def test_probabilities_of_a_hit_are_venn_abers_where_both_classes_are_known(good):
    assert "Venn-Abers on 24 compounds" in good.notes("calibrate", 1)
    predictions = pl.read_parquet(good.file("calibrate", 4, "predictions.parquet")).filter("tested")
    assert predictions["p_hit"].is_between(0, 1).all()
    order = predictions.sort("mean")["p_hit"].to_numpy()
    assert (np.diff(order) >= -1e-12).all(), "a better score is never less likely"


def test_similarity_is_to_the_nearest_other_labelled_compound(good):
    oof = pl.read_parquet(good.file("fit", 1, "oof.parquet"))
    raw = pl.read_parquet(good.file("fit", 1, "raw.parquet"))
    features = load_features(good.folder / "library")
    rows = [features.compound_ids.index(i) for i in oof["compound_id"]]
    among = tanimoto(features.fingerprints, features.fingerprints[rows])
    among[rows, range(len(rows))] = -1
    np.testing.assert_allclose(raw["similarity"], among.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(oof["similarity"], among.max(axis=1)[rows], rtol=1e-6)


def test_the_diagnostics_know_every_round_and_group(good):
    assert good.json("evaluate", 0, "diagnostics.json")["rows"] == []
    assert not good.file("evaluate", 0, "coverage.png").exists()
    body = good.json("evaluate", 3, "diagnostics.json")
    groups = {row["group"] for row in body["rows"]}
    assert groups >= {"all", "picked", "rest", "round 2", "round 3", "round 4", "class new chemistry (< 0.4)"}
    assert {row["method"] for row in body["rows"]} == {"plain", "for picks", "adaptive"}
    assert [row["nominal"] for row in body["rows"]][:3] == [0.8, 0.9, 0.95]
    assert next(row["n"] for row in body["rows"] if row["group"] == "all") == 72
    assert body["adaptive"]["n_rounds"] == 3
    assert not body["drift"]["is_alarmed"]
    assert body["drift"]["n"] == 3 * 2, "only picks by lot are bet on"
    assert good.file("evaluate", 3, "coverage.png").read_bytes().startswith(b"\x89PNG")


def test_the_picks_carry_the_intervals_made_for_them(good):
    picks = pl.read_parquet(good.file("pick", 2, "picks.parquet"))
    made = pl.read_parquet(good.file("calibrate", 2, "predictions.parquet"))
    both = picks.join(made, on="compound_id", suffix="_made")
    assert (both["lower"] == both["lower_picked"]).all()
    assert (both["upper"] == both["upper_picked"]).all()


def test_what_lies_inside_the_promised_interval_has_a_p_value_that_says_so(good):
    met = pl.read_parquet(good.file("evaluate", 1, "met.parquet"))
    level = good.json("calibrate", 1, "promise.json")["level"]
    made = pl.read_parquet(good.file("calibrate", 1, "predictions.parquet"))
    both = met.join(made, on="compound_id", suffix="_made")
    inside = (both["label"] >= both["lower_picked"]) & (both["label"] <= both["upper_picked"])
    assert inside.to_list() == (both["p_picked"] > 1 - level + 1e-12).to_list()


def test_the_hit_list_holds_untested_compounds_or_says_why_it_is_empty(good):
    for r in (1, 4):
        body, table = good.json("calibrate", r, "hits.json"), pl.read_parquet(good.file("calibrate", r, "hits.parquet"))
        tested = pl.read_parquet(good.file("fit", r, "oof.parquet"))["compound_id"].to_list()
        assert not set(body["compounds"]) & set(tested)
        assert table["compound_id"].to_list() == body["compounds"]
        assert body["compounds"] or any("no hit list" in note for note in body["notes"])


def test_auto_goes_through_a_campaign_and_says_what_it_leans_on(good, library, tmp_path):
    lab = night_lab(tmp_path, library, good.assay, "auto").run(1)
    assert lab.notes("fit", 1).startswith("auto: gp ")
    oof = pl.read_parquet(lab.file("fit", 1, "oof.parquet"))
    assert (oof["spread"] > 0).all()
    assert lab.json("calibrate", 1, "promise.json")["method"] == "weighted"


def _every(value):
    return lambda rows, r: {"activity": [value] * len(rows)}


def _one(rows, r):
    return {"is_used": [n == 0 and r == 0 for n in range(len(rows))], "activity": noise(rows, r)}


def _missing(rows, r):
    return {"activity": [float("nan")] * len(rows), "is_used": [False] * len(rows)}


def _infinite(rows, r):
    return {"activity": [np.inf if n % 3 == 0 else v for n, v in enumerate(noise(rows, r))]}


BAD = {
    "all labels equal": (_every(0.2), "mean-only belief: all labels equal", "no hit among"),
    "all labels equal, all hits": (_every(0.9), "mean-only belief: all labels equal", "nothing but hits among"),
    "no hit yet": (lambda rows, r: {"activity": noise(rows, r) / 10}, "", "no hit among 24 compounds"),
    "one compound labelled": (_one, "only 1 labelled compounds", "no compound calibrates"),
    "every label missing": (_missing, "no belief: no well has a usable response", "no compound calibrates"),
    "infinite responses": (_infinite, "8 wells with an infinite response were left out", "no hit among 16 compounds"),
    "no well at all": (lambda rows, r: {"activity": [None] * len(rows)}, "no belief", "no compound calibrates"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_campaign_goes_on_and_names_its_fallback(library, tmp_path, bad):
    assay, of_belief, of_calibration = BAD[bad]
    teaches = bad in ("no hit yet", "infinite responses")
    lab = night_lab(tmp_path, library, assay, "nearest" if teaches else "auto").run(3)
    assert of_belief in lab.notes("fit", 1)
    assert of_calibration in lab.notes("calibrate", 1)
    assert [lab.said["pick"][r]["summary"]["n_compounds"] for r in range(3)] == [24, 24, 24]
    assert lab.json("calibrate", 3, "hits.json")["compounds"] == []
    for r in (1, 2, 3):
        predictions = pl.read_parquet(lab.file("calibrate", r, "predictions.parquet"))
        assert predictions["p_hit"].is_between(0, 1).all()
        assert predictions["mean"].is_finite().all()
        assert lab.notes("calibrate", r)


def met_table(p, reason="exploit"):
    n = len(p)
    columns = {"compound_id": [f"C{i}" for i in range(n)], "reason": [reason] * n}
    columns |= dict.fromkeys(("mean", "spread", "similarity", "label"), [0.5] * n)
    columns |= {"p": p, "least": [0.0] * n, "p_picked": p, "least_picked": [0.0] * n, "p_hit": [0.25] * n}
    columns |= {"is_hit": [None] * n}
    return pl.DataFrame(columns, SCHEMA)


def test_the_level_rises_with_misses_and_picks_by_lot_do_not_move_it():
    missed = {r: met_table([0.01] * 20) for r in range(1, 5)}
    assert asked_level(missed, 0.9) > 0.95
    assert asked_level({1: met_table([0.01] * 20, "explore")}, 0.9) == pytest.approx(0.9)
    assert asked_level({}, 0.9) == pytest.approx(0.9)
    assert asked_level({r: met_table([0.001] * 50) for r in range(60)}, 0.9) <= 0.995


def test_drift_is_noticed_on_picks_by_lot_and_on_nothing_else():
    rng = np.random.default_rng(5)
    calm, off = [rng.random(30) for _ in range(6)], [rng.random(30) * 0.02 for _ in range(6)]
    tables = dict(enumerate(met_table(p, "explore") for p in [*calm, *off]))
    alarm = drift(tables, np.random.default_rng(1))
    assert alarm.alarmed_round is not None
    assert alarm.alarmed_round >= 6
    assert not drift(dict(enumerate(map(met_table, [*calm, *off]))), np.random.default_rng(1)).is_alarmed


def test_rounds_judged_before_there_were_met_tables_are_left_out(tmp_path):
    for r, table in {1: None, 2: met_table([]), 10: met_table([0.5]), 3: met_table([0.1, 0.2])}.items():
        (tmp_path / str(r)).mkdir()
        if table is not None:
            table.write_parquet(tmp_path / str(r) / "met.parquet")
    found = read_met({f"met-{r}": tmp_path / str(r) for r in (10, 3, 2, 1)})
    assert {r: len(table) for r, table in found.items()} == {3: 2, 10: 1}
    assert list(found) == [3, 10]


def test_the_outlook_learns_from_earlier_plates(good):
    first, last = (good.said["pick"][r]["summary"]["outlook"] for r in (1, 3))
    assert any("no earlier plate tells" in note for note in first["notes"])
    assert last["notes"] == [], "plates by score, and compounds drawn by lot, are behind it"
    assert not any("drawn by lot" in note for note in first["notes"]), "the first plate was drawn by lot"
    met = {r: pl.read_parquet(good.file("evaluate", r, "met.parquet")) for r in (1, 2)}
    told = yields(met, 0.5)
    assert [y.realised for y in told] == [int((t["label"] >= 0.5).sum()) for t in met.values()]
    assert [y.expected for y in told] == pytest.approx([t["p_hit"].sum() for t in met.values()])
    made = pl.read_parquet(good.file("calibrate", 1, "predictions.parquet"))
    both = met[1].join(made, on="compound_id", suffix="_made")
    assert (both["p_hit"] == both["p_hit_made"]).all(), "P(hit) is kept as it was believed before measuring"
    assert made.filter(pl.col("tested"))["p_hit_unseen"].is_between(0, 1).all()
    assert made.filter(~pl.col("tested"))["p_hit_unseen"].is_nan().all()


def test_met_tables_of_before_p_hit_was_kept_are_read_and_give_no_yield(tmp_path):
    for r, table in {1: met_table([0.5]).drop("p_hit"), 2: met_table([0.1, 0.2])}.items():
        (tmp_path / str(r)).mkdir()
        table.write_parquet(tmp_path / str(r) / "met.parquet")
    found = read_met({f"met-{r}": tmp_path / str(r) for r in (1, 2)})
    assert found[1]["p_hit"].to_list() == [None]
    assert yields(found, 0.5) == (Yield(0.5, 2),)
    assert asked_level(found, 0.9) == pytest.approx(asked_level({1: met_table([0.5]), 2: found[2]}, 0.9))
    assert len(records(found, 0.9)) == 6


def test_a_hit_is_what_the_plate_said_was_one_and_old_tables_say_it_by_their_label(tmp_path):
    toxic = met_table([0.5, 0.5]).with_columns(label=pl.lit(0.9), is_hit=pl.Series([False, True]))
    for r, table in {1: toxic, 2: toxic.drop("is_hit")}.items():
        (tmp_path / str(r)).mkdir()
        table.write_parquet(tmp_path / str(r) / "met.parquet")
    found = read_met({f"met-{r}": tmp_path / str(r) for r in (1, 2)})
    assert yields(found, 0.5) == (Yield(0.5, 1), Yield(0.5, 2))
    other = pl.DataFrame({"compound_id": ["new"], "mean": [9.0], "is_hit": [True]})
    other = other.with_columns(spread=pl.col("mean"), similarity=pl.col("mean"), label=pl.col("mean"))
    assert known_once(other, {1: found[1]}, 0.5).is_hit.tolist() == [True, False, True]
    assert known_once(other, {2: found[2]}, 0.5).is_hit.tolist() == [True, True, True]


def test_every_labelled_compound_calibrates_once_as_it_was_foreseen():
    names = ["C0", "C1", "new"]
    oof = pl.DataFrame({"compound_id": names, **dict.fromkeys(("mean", "spread", "similarity", "label"), [9.0] * 3)})
    oof = oof.with_columns(is_hit=pl.Series([False, True, True]))
    found = known_once(oof, {1: met_table([0.5, 0.5]), 2: met_table([0.5])}, threshold=0.5)
    assert found.ids.tolist() == ["new", "C0", "C1"]
    assert found.is_foreseen.tolist() == [False, True, True]
    assert found.mean.tolist() == [9.0, 0.5, 0.5]
    assert found.is_hit.tolist() == [True, False, True], "as all its wells say, not the one that was foreseen"
