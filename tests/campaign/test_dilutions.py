"""A campaign whose doses are too small for the pipette: diluted in spare plates, killed at every step, told."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_lab import device_log, environment, make_lab, nextplate, planned_transfers, run_lab

from controller.app import connect
from controller.lab import open_lab

pytestmark = [pytest.mark.slow, pytest.mark.opentrons]

ASSAY = """[assay]
dose_um = {dose}
final_dmso_percent = 10.0
[deck]
dilution = "corning_96_wellplate_360ul_flat"
"""
KILLED = """
import os, signal, sys
from controller.cli import main
from controller.loop import Loop
record, left = Loop._record, int(sys.argv.pop(1))
def one(self, events, rows=()):
    global left
    record(self, events, rows)
    left -= len(events)
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
Loop._record = one
main()
"""
"""nextplate, killed when so many events are in the journal."""


def dose_lab(folder: Path, *, dose: float = 1.0, n_spares: int = 2, **values: Any) -> Path:
    lab = make_lab(folder, assay=ASSAY.format(dose=dose), **values)
    if n_spares:
        nextplate("spares", "add", n_spares, "--lab", lab)
    return lab


def assert_each_once(lab: Path) -> tuple[dict[str, Any], ...]:
    log = device_log(lab, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(lab)
    return log


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    lab = dose_lab(tmp_path_factory.mktemp("diluted") / "lab", rounds=1)
    return lab, run_lab(lab)


def test_small_doses_are_diluted_and_each_transfer_happens_once(calm):
    lab, body = calm
    assert body["finished"]
    assert not body["faults"]
    log = assert_each_once(lab)
    into = Counter(row["destination_plate"] for row in log)
    assert into["DIL-0001"] > 100, "solvent and stock of every compound"
    assert min(row["asked_nl"] for row in log) >= 1000
    assert "air drawn" not in {row["note"] for row in log}, "a little more is made than is drawn"
    moves = [(m["source"], m["target"]) for m in device_log(lab, "mover") if m["barcode"] == "DIL-0001"]
    assert moves[0][0] == "hotel/DIL-0001"
    assert moves[-1][1] == "waste"
    assert not [m for m in device_log(lab, "mover") if m["barcode"] == "DIL-0002"], "one was enough"


def test_what_is_in_the_wells_is_the_dose_that_was_ordered(calm):
    lab, _ = calm
    (path,) = (lab / "protocols").glob("layout-*/layout.csv")
    ordered = pl.read_csv(path, schema_overrides={"compound_id": pl.String}).filter(pl.col("role") == "sample")
    hardware = connect(open_lab(lab))
    try:
        rows = hardware.simulated._world.rows("SELECT * FROM contents WHERE plate = 'NP-0001'")
        held = {(r["well"], r["compound_id"]): r["amount_pmol"] for r in rows}
    finally:
        hardware.close()
    made = [held.get((w["well"], w["compound_id"]), 0.0) / 50.0 for w in ordered.iter_rows(named=True)]
    right = [um for um in made if 0.8 < um < 1.25]  # pmol in 50 ul; pipetting errors of three transfers
    assert len(right) >= 0.9 * len(ordered), "the rest are clogged tips"


def test_the_lab_is_told_where_it_was_diluted(calm):
    lab, _ = calm
    told = json.loads(nextplate("stock", "show", "--lab", lab, "--json"))
    assert "DIL-0001" not in told["plates"]
    nextplate("report", "--lab", lab)
    page = (lab / "reports" / "report.html").read_text()
    assert "diluted in" in page
    assert "DIL-0001" in page
    shown = nextplate("status", "--lab", lab)
    assert "DIL-0001" not in shown, "what lies in the waste is nobody's concern"


def test_a_well_whose_dilution_went_short_is_left_out(calm, tmp_path: Path):
    lab = dose_lab(tmp_path / "lab", rounds=1, faults="clogged_tip = 0.1\nout_of_focus = 0.0")
    assert run_lab(lab)["finished"]
    log = assert_each_once(lab)
    spoiled = {row["destination_well"] for row in log if row["destination_plate"] == "DIL-0001" and not row["moved_nl"]}
    air = {row["destination_well"] for row in log if row["note"] == "air drawn"}
    assert spoiled
    wrong = {
        row["destination_well"]
        for row in log
        if row["destination_plate"] == "NP-0001"
        and (not row["moved_nl"] or (row["source_plate"] == "DIL-0001" and row["source_well"] in spoiled))
    }
    path, *_ = (lab / "measurements").glob("normalise-*/responses.parquet")
    flags = pl.read_parquet(path).filter(pl.col("flags").str.contains("not-dosed"))
    assert {row["well"] for row in flags.iter_rows(named=True)} == wrong | air
    assert len(wrong) > len(spoiled)


def killed_run(lab: Path, n_events: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(n_events), "run", "--lab", str(lab), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n_events", [12, *(pytest.param(n, marks=pytest.mark.long) for n in (6, 2))])
def test_killed_behind_event_after_event_it_ends_as_if_nothing_had_happened(calm, tmp_path: Path, n_events: int):
    _, body = calm
    lab = dose_lab(tmp_path / "lab", rounds=1)
    kills = 0
    while killed_run(lab, n_events + kills % 3) != 0:
        kills += 1
        assert kills < 90
    assert kills >= {12: 2, 6: 6, 2: 15}[n_events]
    assert run_lab(lab)["state_digest"] == body["state_digest"]
    assert_each_once(lab)
    nextplate("journal", "verify", "--lab", lab)


def test_a_night_without_plates_to_dilute_in_is_refused_by_name(tmp_path: Path):
    # 0.1 uM is a dilution by ten of a dilution by ten: more wells than one plate has.
    lab = dose_lab(tmp_path / "lab", dose=0.1, n_spares=0, rounds=1)
    nextplate("run", "--lab", lab, code=2)
    nextplate("spares", "add", 1, "--lab", lab)
    (fault,) = run_lab(lab, code=1)["faults"]
    assert (
        "need 2 empty corning_96_wellplate_360ul_flat to be diluted in, and there is 1 (DIL-0001)" in fault["question"]
    )
    assert "nextplate spares add 1, then answer retry" in fault["question"]
    assert device_log(lab, "mover") == ()
    nextplate("spares", "add", 1, "--lab", lab)
    nextplate("answer", fault["fault"], "retry", "--lab", lab)
    assert run_lab(lab)["finished"]
    log = assert_each_once(lab)
    assert {row["destination_plate"] for row in log} == {"NP-0001", "DIL-0001", "DIL-0002"}
    assert {m["barcode"] for m in device_log(lab, "mover") if m["target"] == "waste"} == {"DIL-0001", "DIL-0002"}


def test_settings_that_cannot_dilute_are_told(tmp_path: Path):
    nextplate("init", tmp_path / "lab")
    (tmp_path / "lab" / "lab.toml").write_text('[deck]\ndilution = "corning_96_wellplate_360ul_flat"\n')
    nextplate("tips", "add", 1, "--lab", tmp_path / "lab", code=2)
    (tmp_path / "lab" / "lab.toml").write_text("[campaign]\nrounds = 1\n")
    nextplate("spares", "add", 1, "--lab", tmp_path / "lab", code=2)
