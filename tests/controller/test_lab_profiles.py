"""A lab that has image profiles of some compounds: lab.toml names them, and every night learns from them."""

import json
import re
import shutil
from datetime import date

import numpy as np
import polars as pl
import pytest
from controller_fakes import FakeLab
from night_lab import NightLab, make_library, noise

from controller.actions import Compute
from controller.narrate import _evaluate
from controller.readiness import check_ready
from controller.settings import BeliefSection, Settings
from controller.snapshots import resolve
from controller.step import run_step, step_key
from controller.store import StockNow, TipRackNow
from nextplate.chem.library import load_features
from nextplate.errors import NextplateError, StepError
from nextplate.models import kind_of

N = 120
PLATE = "corning_384_wellplate_112ul_flat"


class FakeStore:
    """All that a campaign needs, and one compound."""

    def stock_now(self):
        wells = (("S1", "A01", "C1", 100.0), ("R1", "A01", "DMSO", 0.0), ("R1", "A02", "REF-1", 100.0))
        return [StockNow(plate, well, name, 9_000_000, dose, PLATE) for plate, well, name, dose in wells]

    def tip_racks_now(self):
        return [TipRackNow("T1", "opentrons_flex_96_tiprack_50ul", 0, ())]

    def select(self, _table):
        return [{"compound_id": "C1"}]


def action_of(settings, task):
    """Say what a task of a campaign with these settings is told."""
    lab = FakeLab(Settings.model_validate(settings))
    lab.run()
    told = [e.payload for e in lab.journal.events if e.kind == "intent" and e.payload["task"] == task]
    return next(p["action"] for p in told if p["round"] == 1)


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(4).normal(0.4, 0.3, N)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, truth) -> NightLab:
    """Activity can be read from images of nine compounds in ten, and from nothing else."""
    folder = tmp_path_factory.mktemp("lab")
    make_library(folder / "library", N)
    rng = np.random.default_rng(5)
    seen = [f"C{i:04d},{truth[i] + rng.normal(0, 0.05):.4f},{rng.normal():.4f}" for i in range(N) if i % 10]
    (folder / "profiles.csv").write_text("\n".join(["compound_id,texture,n_cells", *seen, "OTHER,1,1"]) + "\n")

    def assay(rows, r):
        return {"activity": truth[rows] + 0.5 * noise(rows, r)}

    return NightLab(folder, N, assay, "fusion", profiles="profiles.csv").run(2)


def test_every_night_says_what_images_and_the_cell_count_alone_are_worth(lab):
    told = lab.said["fit"][2]["summary"]["beside"]
    assert set(told["rmse"]) == {"belief", "chemistry", "profiles", "cell_count"}
    assert told["rmse"]["profiles"] < min(told["rmse"]["chemistry"], told["rmse"]["cell_count"])
    assert told["rmse"]["belief"] < told["rmse"]["chemistry"]
    assert "image profiles: 108 of 120 compounds in the library have one; 1 profiles are of compounds" in lab.notes(
        "fit", 2
    )
    assert "images in cross-validation: RMSE of" in lab.notes("fit", 2)
    summary = lab.said["evaluate"][1]["summary"]
    assert summary["beside"]["n"] > 10
    said = _evaluate({"summary": summary}, 1)
    assert re.search(r"belief \d.*, chemistry alone \d.*, images alone \d.*, cell count alone \d", said)
    assert "beside" not in lab.said["evaluate"][0]["summary"]


def test_the_profiles_are_an_input_of_the_fit_and_the_belief_finds_them_again(lab, tmp_path):
    record = json.loads(lab.file("fit", 2, "record.json").read_text())
    paths = {name: lab.folder / path for name, path in record["inputs"].items()}
    assert step_key("fit", paths, record["params"]) == record["key"]
    again = run_step(lab.folder, "fit", record["inputs"], record["params"], lambda *_: pytest.fail("was run again"))
    assert again["key"] == record["key"]
    other = tmp_path / "profiles.csv"
    other.write_text((lab.folder / "profiles.csv").read_text() + "MORE,2,2\n")
    assert step_key("fit", {**paths, "profiles": other}, record["params"]) != record["key"]
    shutil.copytree(lab.file("fit", 2, "belief"), tmp_path / "belief")
    kind = kind_of("fusion")
    mean, _ = kind.predict(kind.load(tmp_path / "belief"), load_features(lab.folder / "library"))
    np.testing.assert_allclose(mean, pl.read_parquet(lab.file("fit", 2, "raw.parquet"))["mean"].to_numpy())


def test_lab_toml_names_them_and_a_campaign_keeps_what_they_were(tmp_path):
    belief = {"kind": "early-fusion", "profiles": "p.csv", "cell_count": "n"}
    fit = action_of({"belief": belief}, "fit")
    assert fit["inputs"]["profiles"] == "@profiles:p.csv"
    assert (fit["params"]["kind"], fit["params"]["cell_count"]) == ("early-fusion", "n")
    assert "profiles" not in fit["params"]
    assert "profiles" not in action_of({}, "fit")["inputs"]
    (tmp_path / "p.csv").write_text("compound_id,n\nA,1\n")
    asked = Compute("k", "fit", 1, "fit", {"profiles": "@profiles:p.csv"}, {})
    kept = resolve(tmp_path, None, "L", asked, date(2026, 1, 1)).inputs["profiles"]
    assert re.fullmatch(r"protocols/snapshots/profiles-[0-9a-f]{16}\.csv", kept)
    assert (tmp_path / kept).read_text() == "compound_id,n\nA,1\n"
    (tmp_path / "p.csv").unlink()
    lost = resolve(tmp_path, None, "L", asked, date(2026, 1, 1))
    with pytest.raises(StepError, match=r"p\.csv is missing"):
        run_step(tmp_path, lost.step, lost.inputs, lost.params, lambda *_: None)


BAD = [
    (None, "there is no such file of image profiles"),
    ("compound_id,a\nC1,1\nC1,2\n", "line 2 and line 3 are both of compound 'C1'"),
    ("compound_id,a\nX,1\n", "none of its 1 compounds is in the library: here 'X', there 'C1'"),
    ("compound_id,a\nC1,high\n", "line 2, column 'a': 'high' is not a number"),
]


def test_a_lab_of_cell_counts_alone_has_a_column_of_them_before_it_starts(tmp_path):
    (tmp_path / "p.csv").write_text("compound_id,glow\nC1,1\n")
    settings = Settings(belief=BeliefSection(kind="cell-count", profiles="p.csv"))
    with pytest.raises(NextplateError, match=r"no column is called like a cell count.*cell_count in"):
        check_ready(settings, FakeStore(), "L", tmp_path)
    named = Settings(belief=BeliefSection(kind="cell-count", profiles="p.csv", cell_count="glow"))
    check_ready(named, FakeStore(), "L", tmp_path)


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says[:25] for _, says in BAD])
def test_profiles_that_cannot_be_used_stop_a_campaign_before_it_starts(tmp_path, text, says):
    if text is not None:
        (tmp_path / "p.csv").write_text(text)
    settings = Settings(belief=BeliefSection(kind="fusion", profiles="p.csv"))
    with pytest.raises(NextplateError, match=re.escape(says)):
        check_ready(settings, FakeStore(), "L", tmp_path)
