"""Steps run once per content; their folders are whole or absent; their workers may die at any time."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from controller import step as step_module
from controller.executor import Job, LocalExecutor
from controller.files import write_bytes
from controller.step import digest_path, run_step
from drivers.ports import Status
from nextplate.errors import DiskFull, PlanError, StepError
from nextplate.prediction import Pick

PARAMS = {"seed": 1, "round": 0, "purpose": "layout", "barcode": "NP-0001", "wells": 96}
PARAMS |= {"n_negative": 4, "n_positive": 4, "dose_um": 10.0}
JOB = {"step": "layout", "inputs": {"picks": "picks.parquet"}, "params": PARAMS}


def no_progress(_done: int, _total: int) -> None:
    return None


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    from controller.steps.data import write_picks

    nan = float("nan")
    picks = [Pick(f"C{i}", "cold-start", nan, nan, nan, nan, nan, nan, nan, 1) for i in range(20)]
    write_picks(picks, tmp_path / "picks.parquet")
    return tmp_path


def test_a_step_is_run_once_and_its_record_is_the_lineage(lab: Path):
    first = run_step(lab, progress=no_progress, **JOB)
    folder = lab / first["folder"]
    written = (folder / "layout.csv").stat().st_mtime_ns
    assert run_step(lab, progress=no_progress, **JOB) == first
    assert (folder / "layout.csv").stat().st_mtime_ns == written
    record = json.loads((folder / "record.json").read_text())
    assert record["inputs"] == JOB["inputs"]
    assert record["params"] == PARAMS
    assert record["outputs"] == {"layout.csv": digest_path(folder / "layout.csv")}


DAMAGE = [
    ("record.json", "", "record.json was cut short or altered"),
    ("record.json", '{"key": "a', "record.json was cut short or altered"),
    ("record.json", '{"key": "a"}', "record.json was cut short or altered"),
    ("record.json", "[]", "record.json was cut short or altered"),
    ("record.json", None, "record.json was missing"),
    ("layout.csv", None, "layout.csv was missing"),
    ("layout.csv", "well", "layout.csv was cut short or altered"),
]


@pytest.mark.parametrize(("name", "damage", "says"), DAMAGE)
def test_a_step_that_lost_its_record_or_a_file_is_run_again_and_says_so(lab: Path, name: str, damage: str, says: str):
    first = run_step(lab, progress=no_progress, **JOB)
    path = lab / first["folder"] / name
    path.unlink() if damage is None else path.write_text(damage)
    again = run_step(lab, progress=no_progress, **JOB)
    assert again["summary"]["notes"] == [*first["summary"].get("notes", []), f"run again: {says}"]
    assert {k: again[k] for k in ("folder", "key", "outputs")} == {k: first[k] for k in ("folder", "key", "outputs")}
    assert digest_path(lab / first["folder"] / "layout.csv") == first["outputs"]["layout.csv"]
    assert run_step(lab, progress=no_progress, **JOB) == again, "whole now, so found"


def test_files_within_a_belief_are_missed_too(lab: Path, monkeypatch: pytest.MonkeyPatch):
    """The record vouches for the card, the card for the rest: their sizes stand in the record all the same."""

    def fit(_inputs: object, _params: object, out: Path, _progress: object) -> dict[str, int]:
        (out / "belief").mkdir()
        (out / "belief" / "card.json").write_text("{}")
        (out / "belief" / "trees.npz").write_bytes(b"trees")
        return {"n": 1}

    monkeypatch.setattr("controller.steps.layout.run", fit)
    first = run_step(lab, progress=no_progress, **JOB)
    assert list(first["outputs"]) == ["belief/card.json"]
    (lab / first["folder"] / "belief" / "trees.npz").unlink()
    again = run_step(lab, progress=no_progress, **JOB)
    assert again["summary"]["notes"] == ["run again: belief/trees.npz was missing"]
    assert (lab / first["folder"] / "belief" / "trees.npz").read_bytes() == b"trees"


def test_a_record_of_before_sizes_were_kept_is_held_against_its_files_alone(lab: Path):
    first = run_step(lab, progress=no_progress, **JOB)
    record = lab / first["folder"] / "record.json"
    body = json.loads(record.read_text())
    assert body.pop("sizes") == {"layout.csv": (record.parent / "layout.csv").stat().st_size}
    record.write_text(json.dumps(body))
    assert run_step(lab, progress=no_progress, **JOB) == first
    (record.parent / "layout.csv").unlink()
    assert run_step(lab, progress=no_progress, **JOB)["summary"]["notes"][-1] == "run again: layout.csv was missing"


@pytest.mark.parametrize("change", ["params", "input", "code"])
def test_another_content_is_another_step(lab: Path, change: str, monkeypatch: pytest.MonkeyPatch):
    first = run_step(lab, progress=no_progress, **JOB)
    job = dict(JOB)
    if change == "params":
        job["params"] = PARAMS | {"seed": 2}
    elif change == "input":
        from controller.steps.data import read_picks, write_picks

        write_picks(read_picks(lab / "picks.parquet")[1:], lab / "picks.parquet")
    else:
        monkeypatch.setattr(step_module, "code_digest", lambda: "other")
    assert run_step(lab, progress=no_progress, **job)["key"] != first["key"]


def test_a_step_that_fails_leaves_nothing(lab: Path):
    job = JOB | {"params": PARAMS | {"n_negative": 90}}
    with pytest.raises(PlanError, match="do not fit on a 96-well plate"):
        run_step(lab, progress=no_progress, **job)
    assert list((lab / "protocols").iterdir()) == []


def test_a_missing_input_is_named(lab: Path):
    with pytest.raises(StepError, match=r"gone\.parquet is missing"):
        run_step(lab, "layout", {"picks": "gone.parquet"}, PARAMS, no_progress)


def test_what_the_journal_will_call_done_outlives_a_power_cut(lab: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[tuple[int, int]] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append(identity(os.fstat(handle)))
        fsync(handle)

    def identity(found: os.stat_result) -> tuple[int, int]:
        return found.st_dev, found.st_ino

    monkeypatch.setattr(os, "fsync", watched)
    folder = lab / run_step(lab, progress=no_progress, **JOB)["folder"]
    names = [folder / "layout.csv", folder / "record.json", folder, folder.parent]
    assert [identity(p.stat()) for p in names[:-1]] == synced[-4:-1]
    assert synced[-1] == identity(folder.parent.stat()), "the rename itself is on the disk"
    write_bytes(lab / "snapshots" / "stock.parquet", b"stock")
    assert synced[-1] == identity((lab / "snapshots").stat())


def test_a_full_disk_is_named_and_leaves_nothing(lab: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="free some space and run the same command again"):
        run_step(lab, progress=no_progress, **JOB)
    assert list((lab / "protocols").iterdir()) == []
    with pytest.raises(DiskFull):
        write_bytes(lab / "x" / "y.txt", b"z")
    assert list((lab / "x").iterdir()) == []


def finish(executor: LocalExecutor, key: str, timeout_s: float = 60) -> Status:
    end = time.monotonic() + timeout_s
    while (status := executor.poll(key).status) is Status.RUNNING and time.monotonic() < end:
        executor.wait(0.2)
    return status


def test_an_executor_runs_jobs_in_a_worker_and_forgets_none(lab: Path):
    executor = LocalExecutor(lab)
    try:
        assert executor.poll("a").status is Status.NOT_FOUND
        executor.submit(Job("a", **JOB))
        executor.submit(Job("a", **JOB))
        executor.submit(Job("b", "layout", {"picks": "gone.parquet"}, PARAMS))
        assert finish(executor, "a") is Status.DONE
        assert finish(executor, "b") is Status.FAILED
        assert "missing" in executor.poll("b").message
        assert executor.poll("a").result["summary"]["barcode"] == "NP-0001"
    finally:
        executor.close()


def test_the_job_of_a_worker_that_is_killed_is_run_by_the_next_one(lab: Path):
    executor = LocalExecutor(lab)
    try:
        executor.submit(Job("a", **JOB))
        executor._workers[0].process.send_signal(signal.SIGKILL)
        assert finish(executor, "a") is Status.DONE
        executor.submit(Job("b", **JOB))
        assert finish(executor, "b") is Status.DONE
    finally:
        executor.close()


def test_a_job_that_kills_every_worker_is_reported(lab: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "false")
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    executor = LocalExecutor(lab)
    try:
        executor.submit(Job("a", **JOB))
        assert finish(executor, "a") is Status.FAILED
        assert "the worker process died" in executor.poll("a").message
        assert len(executor._workers) == 3
    finally:
        executor.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_worker_without_room_is_no_outcome(lab: Path):
    (lab / "logs").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(lab / "logs")]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    (lab / "logs" / "picks.parquet").write_bytes((lab / "picks.parquet").read_bytes())
    executor = LocalExecutor(lab / "logs")
    try:
        with suppress(OSError), (lab / "logs" / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        executor.submit(Job("a", **JOB))
        with pytest.raises(DiskFull, match="free some space and run the same command again"):
            finish(executor, "a")
    finally:
        executor.close()
        subprocess.run(["umount", "-l", lab / "logs"], check=True)


def test_workers_end_when_their_controller_is_killed(lab: Path):
    code = (
        "import sys, time; from pathlib import Path; from controller.executor import *\n"
        "e = LocalExecutor(Path(sys.argv[1])); e.submit(Job('a', 'nothing', {}, {}))\n"
        "print(e._workers[0].process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(lab)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(worker)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
