"""Worker processes give the same answers in the same order, and die with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextplate.chem.describe import encode
from nextplate.chem.workers import map_chunks

SLEEPER = """
import os, sys, time
from nextplate.chem.workers import map_chunks
def sleep(items):
    print(os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    list(map_chunks(sleep, list(range(2000)), n_jobs=2))
"""


def test_processes_change_nothing():
    smiles = [f"{'C' * (i % 30 + 1)}O" for i in range(1200)]
    done = []
    alone = list(map_chunks(encode, smiles, n_jobs=1))
    together = list(map_chunks(encode, smiles, n_jobs=2, progress=lambda *n: done.append(n)))
    assert [a.fingerprints.tobytes() for a in alone] == [b.fingerprints.tobytes() for b in together]
    assert done == [(500, 1200), (1000, 1200), (1200, 1200)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_workers_die_with_a_killed_parent(tmp_path):
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    paths = os.pathsep.join(filter(None, sys.path))
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(is_alive(pid) for pid in workers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
