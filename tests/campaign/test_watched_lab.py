"""A campaign whose microscope drops plates into a watched folder; the controller is killed while a plate is copied."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hidden_lab import HiddenLab
from small_lab import REAL, command, environment, make_lab, nextplate

from drivers.ports import AcquirePlate, Status
from nextplate.imaging.watch import check_taken
from sim.lab import SimLab

pytestmark = [pytest.mark.slow, pytest.mark.opentrons, pytest.mark.xdist_group("folder-lab")]
SETTLE_S = 1.0


class Microscope(HiddenLab):
    """Takes orders from a folder, images with the hidden lab's imager, and copies the plate to the share slowly."""

    def __init__(self, lab: Path, world: Path, vendor: Path, share: Path, orders: Path) -> None:
        super().__init__(lab, world, vendor, n_tips=6)
        self.share, self.orders = share, orders
        self.n_copied, self.n_ordered, self.ended_at = 0, 0, 0.0

    def serve(self, sim: SimLab) -> None:
        for path in self.orders.glob("[!.]*.json"):
            order = json.loads(path.read_bytes())
            path.unlink()
            self.n_ordered += 1
            self.copy(self.image(sim, order["barcode"], order["key"]), self.share / f"{order['barcode']}_run")

    def image(self, sim: SimLab, barcode: str, key: str) -> Path:
        sim.imager.submit(AcquirePlate(barcode), key)
        while (report := sim.imager.poll(key)).status is Status.RUNNING:
            assert report.ready_at is not None
            sim.clock.wait_until(report.ready_at)
        return self.world / report.result["folder"]

    def copy(self, source: Path, target: Path) -> None:
        files = sorted(p for p in source.rglob("*") if p.is_file())
        for n, path in enumerate(files):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            if n == len(files) // 2:
                place.write_bytes(path.read_bytes()[:5000])
                time.sleep(2.5 * SETTLE_S)
            shutil.copyfile(path, place)
            self.n_copied = n + 1
        self.ended_at = time.time()


@pytest.fixture
def microscope(tmp_path: Path) -> Iterator[Microscope]:
    share, orders = tmp_path / "share", tmp_path / "orders"
    share.mkdir()
    orders.mkdir()
    old = share / "NP-0001_last_year"
    old.mkdir()
    (old / "NP-0001.HTD").write_text("an older readout of a plate of this name")
    options = f'{{ watch = "{share}", orders = "{orders}", settle_s = {SETTLE_S} }}'
    head, imager, tail = REAL.partition('name = "imager"\nkind = "imager"\n')
    asked = 'driver = "folder"\noptions = { exchange = "exchange" }'
    watched = tail.replace(asked, f'driver = "watched-folder"\noptions = {options}')
    lab = make_lab(tmp_path / "lab", rounds=1, assay="[assay]\nincubation_h = 0.0\n", more=head + imager + watched)
    people = Microscope(lab, tmp_path / "world", tmp_path / "vendor-lab", share, orders)
    people.start()
    yield people
    people.stop()


def test_a_plate_is_ordered_once_taken_once_and_measured(microscope: Microscope, tmp_path: Path):
    lab, n_kills = microscope.lab, 0
    controller = start(lab, tmp_path)
    for least in (1, 60, 150):
        wait_for(lambda least=least: microscope.n_copied >= least, controller)
        controller.send_signal(signal.SIGKILL)
        controller.communicate(timeout=20)
        n_kills += 1
        controller = start(lab, tmp_path)
    out, _ = controller.communicate(timeout=150)
    assert controller.returncode == 0, out
    body = json.loads(out)
    assert (body["finished"], body["faults"]) == (True, [])
    assert (microscope.n_ordered, n_kills) == (1, 3)
    inside = lab / "readouts" / "NP-0001"
    assert inside.resolve() == (microscope.share / "NP-0001_run").resolve()
    check_taken(inside)
    nextplate("report", "--lab", lab)
    (ended,) = (lab / "logs" / "watched-folder" / "ended").iterdir()
    assert json.loads(ended.read_bytes())["images"] == 192
    assert ended.stat().st_mtime > microscope.ended_at + SETTLE_S / 2
    (path,) = (lab / "measurements").glob("normalise-*/responses.parquet")
    means = pl.read_parquet(path).group_by("role").agg(pl.col("activity").median()).rows()
    assert dict(means)["positive"] > 0.8, "the images are those of the plate that was pipetted"


def start(lab: Path, place: Path) -> "subprocess.Popen[str]":
    """Start the controller; this checkout's entry points are made known to it, installed or not."""
    named = place / "installed" / "nextplate_watched-0.dist-info"
    named.mkdir(parents=True, exist_ok=True)
    (named / "METADATA").write_text("Metadata-Version: 2.1\nName: nextplate-watched\nVersion: 0\n")
    (named / "entry_points.txt").write_text("[nextplate.drivers]\nwatched-folder = drivers.watched_folder:make\n")
    paths = os.pathsep.join((environment()["PYTHONPATH"], str(named.parent)))
    return subprocess.Popen(
        command("run", "--lab", lab, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment() | {"PYTHONPATH": paths},
    )


def wait_for(is_true: Callable[[], bool], controller: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + 120
    while not is_true():
        assert controller.poll() is None, f"the controller ended with {controller.returncode}"
        assert time.monotonic() < limit
        time.sleep(0.02)
