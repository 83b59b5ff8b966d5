"""Real processes: a plate is written slowly while the watching process is killed again and again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import watching_process
from watched_lab import write_plate

from nextplate.imaging.watch import check_taken

SETTLE_S = 0.3
BARCODE = "9987"


class SlowWriter(threading.Thread):
    """Copies a plate file by file; stops longer than a plate must rest, once with half a file, once between files."""

    def __init__(self, source: Path, target: Path, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.source, self.target, self.pause_s = source, target, pause_s
        self.ended_at = 0.0

    def run(self) -> None:
        files = sorted(p for p in self.source.rglob("*") if p.is_file())
        for n, path in enumerate(files):
            place = self.target / path.relative_to(self.source)
            place.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            if n in (len(files) // 2, len(files) - 1):
                place.write_bytes(content[: len(content) // 2])
                time.sleep(4 * SETTLE_S)
            place.write_bytes(content)
            time.sleep(4 * SETTLE_S if n == len(files) // 3 else self.pause_s)
        self.ended_at = time.time()


def watching(lab: Path, watch: Path, how: str) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'src'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, watching_process.__file__, str(lab), str(watch), BARCODE, str(SETTLE_S), how]
    return subprocess.Popen(command, env=environment)


def real_plate(_folder: Path) -> Path:
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "imagexpress" / "9987_Plate_3434"
    if not path.exists():
        pytest.skip(f"the real ImageXpress sample is not here ({path}); set NEXTPLATE_DATA")
    return path


def simulated_plate(folder: Path) -> Path:
    return write_plate(folder, BARCODE, wells=("A01", "A02", "A03", "A04", "A05"))


@pytest.mark.slow
@pytest.mark.parametrize(("plate", "how", "seed"), [(real_plate, "link", 1), (simulated_plate, "copy", 2)])
def test_a_plate_is_taken_once_and_never_early(tmp_path: Path, plate, how: str, seed: int):
    lab, share, source = tmp_path / "lab", tmp_path / "share", plate(tmp_path / "source")
    lab.mkdir()
    share.mkdir()
    generator = np.random.default_rng(seed)
    writer = SlowWriter(source, share / f"run_{BARCODE}", pause_s=0.05)
    process, n_kills = watching(lab, share, how), 0
    while not (lab / "logs" / "watched-folder" / "asked" / "k.json").exists():
        time.sleep(0.02)  # what lies there before the plate was asked for would be an older readout
    writer.start()
    limit = time.time() + 180
    while process.poll() is None or process.returncode != 0:
        assert time.time() < limit
        if process.poll() is not None:
            assert process.returncode == -signal.SIGKILL
            process = watching(lab, share, how)
        try:
            process.wait(float(generator.uniform(0.2, 3.0)) if n_kills < 5 else 1.0)
        except subprocess.TimeoutExpired:
            if n_kills < 5:
                process.kill()
                process.wait()
                n_kills += 1
    writer.join()
    told = [line.split(maxsplit=1) for line in (lab / "taken.log").read_text().splitlines()]
    # The driver counts from the last change it sees; the writer notes its end some milliseconds after that.
    assert float(told[0][0]) > writer.ended_at + SETTLE_S - 0.05
    assert len({what for _, what in told}) == 1, "killed after it had told, it tells the same again"
    assert told[0][1].startswith("done ")
    ended = json.loads((lab / "logs" / "watched-folder" / "ended" / "k.json").read_bytes())
    assert (ended["is_taken"], ended["folder"], n_kills >= 2) == (True, f"readouts/{BARCODE}", True)
    inside = lab / ended["folder"]
    check_taken(inside)
    assert [p.name for p in (lab / "readouts").iterdir() if p.is_dir()] == [BARCODE]
    for path in (p for p in source.rglob("*") if p.is_file()):
        assert (inside / path.relative_to(source)).read_bytes() == path.read_bytes()
    shutil.rmtree(share)
