"""One controller per lab, however the last one ended."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from controller.lab import Lab, locked_store
from controller.lock import lab_holder, lab_lock
from controller.settings import LabSection, Settings
from controller.store import open_store
from nextplate.errors import LabBusy, StoreError

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from controller.lock import lab_lock
with lab_lock(Path(sys.argv[1]), "nextplate run", *sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


def _hold(folder: Path, *url: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-c", HOLDER, str(folder), *url]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_a_second_process_is_refused_and_told_who_works(tmp_path: Path):
    assert lab_holder(tmp_path) is None
    with _hold(tmp_path) as holder:
        try:
            who = rf"process {holder.pid} \(nextplate run, since 20..-..-..T.* on .+\)"
            with pytest.raises(LabBusy, match=rf"{who} works on {re.escape(str(tmp_path))}; wait .* or stop it"):
                _enter(tmp_path)
            assert re.fullmatch(who, lab_holder(tmp_path) or "")
        finally:
            holder.kill()
    assert lab_holder(tmp_path) is None
    _enter(tmp_path)


def _enter(folder: Path, url: str | None = None) -> None:
    with lab_lock(folder, "test", url):
        pass


def test_the_lock_is_free_after_the_block_and_after_an_error(tmp_path: Path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lab_lock(tmp_path, "test"):
            raise ZeroDivisionError
    assert lab_holder(tmp_path) is None
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_one_process_cannot_hold_it_twice(tmp_path: Path):
    with lab_lock(tmp_path, "first"), pytest.raises(LabBusy, match="first"):
        _enter(tmp_path)


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        stack.enter_context(lab_lock(tmp_path, "test"))
        worker = context.Process(target=time.sleep, args=(60,))
        worker.start()
        stack.close()
        try:
            _enter(tmp_path)
        finally:
            worker.kill()
            worker.join()


def test_a_lab_that_is_not_there(tmp_path: Path):
    with pytest.raises(StoreError, match="check that the lab folder exists"):
        _enter(tmp_path / "absent")


def test_a_lock_of_unreadable_text_still_holds(tmp_path: Path):
    with lab_lock(tmp_path, "test"):
        (tmp_path / ".lock").write_text("{")
        with pytest.raises(LabBusy, match="another process works on"):
            _enter(tmp_path)


@pytest.mark.postgres
def test_a_database_server_is_locked_from_two_folders(cluster, tmp_path: Path):
    url, other = cluster.new_database(), cluster.new_database()
    open_store(url, create=True).close()
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    with _hold(folders[0], url) as holder:
        try:
            with pytest.raises(LabBusy, match=rf"nextplate run \(process {holder.pid} on .+\) works on postgresql"):
                _enter(folders[1], url)
            _enter(folders[1], other)
        finally:
            holder.kill()
    end = time.monotonic() + 10
    while True:  # the server needs a moment to see that its client is gone
        try:
            return _enter(folders[1], url)
        except LabBusy:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.postgres
def test_two_labs_on_one_database_server_are_not_run_at_once(cluster, tmp_path: Path):
    settings = Settings(lab=LabSection(database=cluster.new_database()))
    labs = [Lab(tmp_path / name, settings) for name in ("here", "there")]
    for lab in labs:
        lab.folder.mkdir()
    with (
        locked_store(labs[0], "nextplate run"),
        pytest.raises(LabBusy, match=r"nextplate run .+ works on"),
        locked_store(labs[1], "nextplate run"),
    ):
        pass
