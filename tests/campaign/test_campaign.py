"""Whole campaigns on the simulated lab: they end, they can be repeated, killed, stopped, answered and traced."""

import json
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_lab import command, device_log, environment, make_lab, nextplate, planned_transfers, run_lab

from nextplate.imaging import WARNINGS

pytestmark = [pytest.mark.slow, pytest.mark.opentrons]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An undisturbed campaign of two rounds."""
    folder = make_lab(tmp_path_factory.mktemp("calm") / "lab")
    return folder, run_lab(folder)


def test_a_campaign_ends_by_itself(calm):
    folder, body = calm
    assert body["finished"]
    assert not body["faults"]
    status = json.loads(nextplate("status", "--lab", folder, "--json"))
    assert status["state"] == "finished"
    assert [r["plate"] for r in status["rounds"]] == ["NP-0001", "NP-0002"]
    assert status["journal_hash"] == body["journal_hash"]
    assert json.loads(nextplate("journal", "verify", "--lab", folder, "--json"))["hash"] == body["journal_hash"]


def test_running_a_finished_campaign_again_changes_nothing(calm):
    folder, body = calm
    assert run_lab(folder)["journal_hash"] == body["journal_hash"]


def test_every_planned_transfer_happened_exactly_once(calm):
    folder, _ = calm
    log = device_log(folder, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(folder)
    assert len(log) == 2 * 96


def test_coverage_is_recorded_for_every_round_that_predicted(calm):
    folder, _ = calm
    tables = [json.loads(p.read_text()) for p in (folder / "models").glob("evaluate-*/coverage.json")]
    assert sorted(bool(t) for t in tables) == [False, True], "the cold start predicts nothing"
    groups = {row["group"] for t in tables for row in t}
    assert groups >= {"all", "exploit", "explore"}


def test_a_response_can_be_traced_to_its_pixels_and_its_liquid(calm):
    folder, _ = calm
    responses = pl.concat(
        [pl.read_parquet(p) for p in (folder / "measurements").glob("normalise-*/responses.parquet")]
    ).filter(pl.col("role") == "sample")
    one = responses.sort("activity", descending=True).row(0, named=True)
    files = sorted(p.name for p in (folder / "readouts" / one["plate"]).rglob(f"*_{one['well']}_s1_w?.TIF"))
    assert [name[-6:-4] for name in files] == ["w1", "w2"]
    (moved,) = (
        row
        for row in device_log(folder, "handler")
        if (row["destination_plate"], row["destination_well"]) == (one["plate"], one["well"])
    )
    stock = pl.read_csv(folder.parent / "vendor-lab" / "stock.csv")
    (source,) = stock.filter(
        (pl.col("source_plate") == moved["source_plate"]) & (pl.col("source_well") == moved["source_well"])
    )["compound_id"]
    assert source == one["compound_id"]


def test_stock_is_debited_by_what_was_moved(calm):
    folder, _ = calm
    shown = json.loads(nextplate("stock", "show", "--lab", folder, "--json"))
    (compounds,) = (p for name, p in shown["plates"].items() if name.startswith("SRC"))
    dispensed = [t for t in device_log(folder, "handler") if t["source_plate"].startswith("SRC") and t["moved_nl"]]
    assert compounds["volume_nl"] == 250 * 60_000 - 5000 * len(dispensed)
    assert shown["tips_left"] == 6 * 96 - 2 * 96


@pytest.mark.long  # tests/controller/evidence/test_nights_again.py holds a night against itself
def test_two_runs_of_one_seed_write_one_journal(calm, tmp_path: Path):
    _, body = calm
    again = run_lab(make_lab(tmp_path / "lab"))
    assert again["journal_hash"] == body["journal_hash"]
    assert again["journal_seq"] == body["journal_seq"]


def n_starts(folder: Path) -> int:
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{folder / 'nextplate.db'}?mode=ro", uri=True)) as db,
    ):
        return int(db.execute("SELECT count(*) FROM journal WHERE kind = 'controller.started'").fetchone()[0])
    return 0


def kill_run(folder: Path, wait_s: float, number: signal.Signals) -> int | None:
    """Run the campaign; send a signal after wait_s; return the exit code, None when it ended before."""
    before = n_starts(folder)
    process = subprocess.Popen(
        command("run", "--lab", folder, "--json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        while n_starts(folder) == before:  # a Ctrl-C before the loop begins has nothing to stop
            assert process.poll() is None
            time.sleep(0.05)
        return process.wait(wait_s) and None
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        return process.wait(60)


def test_stopped_by_ctrl_c_and_killed_at_random_moments_it_ends_as_if_nothing_had_happened(calm, tmp_path: Path):
    _, body = calm
    folder = make_lab(tmp_path / "lab")
    assert kill_run(folder, 1.0, signal.SIGINT) == 130
    nextplate("journal", "verify", "--lab", folder)
    rng = random.Random(11)
    kills = sum(kill_run(folder, rng.uniform(0.0, 6.0), signal.SIGKILL) is not None for _ in range(3))
    assert kills
    ended = run_lab(folder)
    assert ended["finished"]
    assert ended["state_digest"] == body["state_digest"]
    log = device_log(folder, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(folder)
    nextplate("journal", "verify", "--lab", folder)


@pytest.mark.long  # tests/controller/test_nights.py does it without devices
def test_a_belief_of_the_kind_auto_leads_a_campaign(tmp_path: Path):
    folder = make_lab(tmp_path / "lab", rounds=1, more='\n[belief]\nkind = "auto"\n')
    assert run_lab(folder)["finished"]
    (fit,) = [json.loads(p.read_text())["summary"] for p in (folder / "models").glob("fit-*/record.json")]
    assert fit["notes"][0].startswith("auto: gp ")


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A campaign of one round that waited for a person; some of its images are missing or cut short."""
    faults = "missing_image = 0.04\ntruncated_image = 0.04\nout_of_focus = 0.0"
    folder = make_lab(tmp_path_factory.mktemp("approved") / "lab", rounds=1, policy="hand", faults=faults)
    waited = {**run_lab(folder, code=1), "moved": device_log(folder, "handler")}
    nextplate("approve", 2, "--lab", folder, code=2)
    nextplate("approve", 1, "--reason", "deck checked", "--lab", folder)
    return folder, {"before": waited, "after": run_lab(folder)}


def test_a_person_approves_each_round(approved):
    folder, body = approved
    assert body["before"]["waiting_for_approval"] == [1]
    assert body["before"]["moved"] == ()
    assert body["after"]["finished"]
    nextplate("approve", 1, "--lab", folder, code=2)


def test_images_that_are_missing_or_cut_short_flag_their_wells_and_nothing_else(approved):
    folder, _ = approved
    (path,) = (folder / "measurements").glob("measure-*/wells.parquet")
    wells = pl.read_parquet(path)
    flagged = wells.filter(pl.col("flags") != "")
    assert len(wells) == 96
    assert 0 < len(flagged) < 30
    assert {f for flags in flagged["flags"] for f in flags.split(";")} - WARNINGS <= {"no-image", "unreadable"}


def test_a_dropped_plate_is_put_before_a_person_and_every_answer_leads_on(tmp_path: Path):
    folder = make_lab(tmp_path / "lab", rounds=1, faults="plate_dropped = 0.3\nout_of_focus = 0.0")
    answers: list[str] = []
    body = run_lab(folder, code=1)
    while body["faults"]:
        (fault,) = body["faults"]
        # what else is offered depends on how many plates the move has, and on whether the assay plate stands there
        offered = [c for c in fault["choices"] if c not in ("lose-plate", "half-done")]
        assert offered == ["retry", "done", "abort"]
        assert "look on the floor" in fault["question"]
        answers.append(("retry", "done")[len(answers) % 2])
        nextplate("answer", fault["fault"], answers[-1], "--lab", folder)
        assert len(answers) < 40
        done = subprocess.run(
            command("run", "--lab", folder, "--json"), capture_output=True, text=True, env=environment()
        )
        body = json.loads(done.stdout)
    assert body["finished"]
    assert set(answers) == {"retry", "done"}
    log = device_log(folder, "handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(folder)
