"""A campaign whose incubator stands on a wire, on its emulator's pty; the rest is behind the folder driver."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hidden_lab import HiddenLab, _done
from lab_software import JSON
from small_lab import REAL, command, environment, make_lab

from drivers.ports import FetchPlate, StorePlate
from sim.lab import SimLab
from sim.wire.faults import Fault, WireFault
from sim.wire.inheco import IncubatorShaker
from sim.wire.liconic import LiconicStx
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

pytestmark = [pytest.mark.long, pytest.mark.opentrons]
ENTRY_POINT = "[nextplate.drivers]\ntest-liconic = drivers.liconic:make\ntest-inheco = drivers.inheco:make\n"
INCUBATOR = """[[device]]
name = "incubator"
kind = "incubator"
driver = "test-{driver}"
options = {{ port = "{port}", {options}, reply_s = 0.5, patience_s = 1 }}
"""


@dataclass(frozen=True)
class Wired:
    """An incubator and what the night does to it."""

    emulator: Callable[[EmulatedTime], Any]
    options: str
    store: str
    fetch: str
    log: tuple[tuple[str, str], ...]


WIRED = {
    "liconic": Wired(
        LiconicStx, "cassettes = 3, levels = 4, site_height_mm = 17", "ST 1904", "ST 1905",
        (("pick", "station"), ("put", "slot 1"), ("pick", "slot 1"), ("put", "station")),
    ),
    # a drawer: it is open and empty when the night begins
    "inheco": Wired(
        IncubatorShaker, "temperature_c = 37.0", "ACD", "AOD", (("put", "slot 1"), ("put", "station")),
    ),
}  # fmt: skip


class WiredLab(HiddenLab):
    """People and robots that carry plates to the emulator's transfer station, and a world that follows it."""

    def __init__(self, *arguments: Any, emulator: Any) -> None:
        super().__init__(*arguments, n_tips=6)
        self._emulator, self._n_seen = emulator, 0

    def serve(self, sim: SimLab) -> None:
        """Let the world's incubator do what the emulator has done."""
        with self._emulator.lock:
            self._emulator.hotel.advance()
            acts = [act for act in self._emulator.hotel.log if act.what == "put"]
        for act in acts[self._n_seen :]:
            is_in = act.place.startswith("slot")
            if not is_in:
                sim.clock.wait_until(sim.clock.now() + timedelta(hours=24))
            _done(sim, sim.incubator, (StorePlate if is_in else FetchPlate)(act.plate), f"{act.place}-{act.at_s}")
        self._n_seen = len(acts)

    def _answer(self, sim: SimLab, request: JSON) -> JSON:
        self.serve(sim)
        answer = super()._answer(sim, request)
        moves = request["command"].get("moves", ()) if answer["status"] == "done" else ()
        with self._emulator.lock:
            for move in moves:
                if move["source"] == "incubator":
                    assert self._emulator.hotel.take_from_station() == move["barcode"]
                if move["target"] == "incubator":
                    self._emulator.hotel.put_on_station(move["barcode"])
        return answer


@pytest.fixture
def site(tmp_path: Path) -> Path:
    info = tmp_path / "site" / "wired-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wired\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    return tmp_path / "site"


@pytest.fixture(params=sorted(WIRED))
def driver(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def server(driver: str, tmp_path: Path) -> Iterator[WireServer]:
    with WireServer(WIRED[driver].emulator(EmulatedTime(10.0)), tmp_path) as server:
        yield server


def test_a_campaign_with_an_incubator_on_a_bad_wire(driver: str, tmp_path: Path, site: Path, server: WireServer):
    emulator: Any = server.emulator
    wired = WIRED[driver]
    server.faults.add(
        Fault(WireFault.LOST_REPLY, match=wired.store),
        Fault(WireFault.PORT_GONE, match=wired.fetch, wait_s=0.5),
        Fault(WireFault.GARBLED_REPLY, nth=7),
    )
    more = REAL.replace(
        _table("incubator"), INCUBATOR.format(driver=driver, port=server.pty_path, options=wired.options)
    )
    assert f"test-{driver}" in more
    lab = make_lab(tmp_path / "lab", rounds=1, assay="[assay]\nincubation_h = 0.0\n", more=more)
    people = WiredLab(lab, tmp_path / "world", tmp_path / "vendor-lab", emulator=emulator)
    people.start()
    path = f"{site}{os.pathsep}{environment()['PYTHONPATH']}"
    done = subprocess.run(
        command("run", "--lab", lab, "--json"),
        capture_output=True,
        text=True,
        env={**environment(), "PYTHONPATH": path},
        timeout=200,
    )
    people.stop()
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    body = json.loads(done.stdout)
    assert body["finished"]
    assert not body["faults"]
    assert tuple((act.what, act.place) for act in emulator.hotel.log) == wired.log
    assert not emulator.hotel.violations
    assert (lab / "logs" / "wire" / "incubator.log").stat().st_size > 1000


def _table(kind: str) -> str:
    return f'[[device]]\nname = "{kind}"\nkind = "{kind}"\ndriver = "folder"\noptions = {{ exchange = "exchange" }}\n'
