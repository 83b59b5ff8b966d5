"""A campaign on the wall clock: a real lab as nextplate sees it, behind the folder driver."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hidden_lab import HiddenLab
from small_lab import REAL, command, environment, make_lab, nextplate, planned_transfers, run_lab

pytestmark = [pytest.mark.slow, pytest.mark.opentrons, pytest.mark.xdist_group("folder-lab")]


@pytest.fixture
def people(tmp_path: Path) -> Iterator[HiddenLab]:
    """A lab of one round, and those who do what it asks for."""
    lab = make_lab(tmp_path / "lab", rounds=1, assay="[assay]\nincubation_h = 0.0\n", more=REAL)
    people = HiddenLab(lab, tmp_path / "world", tmp_path / "vendor-lab", n_tips=6)
    people.start()
    yield people
    people.stop()


def test_a_controller_killed_in_a_running_load_asks_for_nothing_twice(people: HiddenLab, tmp_path: Path):
    lab = people.lab
    people.held = {"run-load"}
    controller = _start(lab)
    requests, replies = lab / "exchange" / "requests", lab / "exchange" / "replies"
    _wait_for(lambda: (replies / "first.r0.run-0.json").exists(), controller)
    controller.send_signal(signal.SIGKILL)
    controller.wait(20)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in requests.glob("*.json")}
    assert {path.stem for path in before} == {"first.r0.deck-0", "first.r0.run-0"}

    controller = _start(lab)
    _wait_for(lambda: len(_starts(lab)) == 2, controller)
    time.sleep(1.5)  # three scans
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in requests.glob("*.json")} == before
    people.held = set()
    assert controller.wait(100) == 0

    ended = run_lab(lab)
    assert ended["finished"]
    assert not ended["faults"]
    with people.open() as world:
        log = world.log("handler")
    assert Counter((row["destination_plate"], row["transfer_id"]) for row in log) == planned_transfers(lab)
    assert len(list(requests.glob("*.json"))) == len(list(replies.glob("*.json"))) == 8
    (path,) = (lab / "measurements").glob("normalise-*/responses.parquet")
    means = pl.read_parquet(path).group_by("role").agg(pl.col("activity").median()).rows()
    assert dict(means)["positive"] > 0.8, "the images are those of the plate that was pipetted"
    shown = json.loads(nextplate("stock", "show", "--lab", lab, "--json"))
    assert shown["tips_left"] == 5 * 96


def _start(lab: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("run", "--lab", lab, "--json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )


def _wait_for(is_true: Callable[[], bool], controller: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + 90
    while not is_true():
        assert controller.poll() is None, f"the controller ended with {controller.returncode}"
        assert time.monotonic() < limit
        time.sleep(0.1)


def _starts(lab: Path) -> list[int]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(f"file:{lab / 'nextplate.db'}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT seq FROM journal WHERE kind = 'controller.started'")]
