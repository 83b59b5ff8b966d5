"""nextplate device: what there is, what answers, what moves only after a yes, and what a bug report carries."""

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.bench import without_secrets
from controller.lab import init_lab
from sim.wire.cytomat import CytomatEmulator
from sim.wire.server import WireServer
from sim.wire.time import EmulatedTime

FOLDER = """
[[device]]
name = "{kind}"
kind = "{kind}"
driver = "folder"
options = {{ exchange = "exchange" }}
"""
TOML = """
[lab]
name = "bench"

[[device]]
name = "handler"
kind = "liquid-handler"
driver = "folder"
robot = "flex"
options = {{ exchange = "exchange" }}

[[device]]
name = "warm"
kind = "incubator"
driver = "test-cytomat"
options = {{ port = "{port}", slots = 12, reply_s = 0.3, poll_s = 0.01, patience_s = 0.1, connect_s = 1 }}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WireServer]:
    with WireServer(CytomatEmulator(EmulatedTime(400.0), false_busy=0.0), tmp_path) as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path, server: WireServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "site" / "bench-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nextplate.drivers]\ntest-cytomat = drivers.cytomat:make\nbroken = nowhere:make\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder = init_lab(tmp_path / "lab").folder
    text = TOML.format(port=server.pty_path) + "".join(FOLDER.format(kind=kind) for kind in ("plate-mover", "imager"))
    (folder / "lab.toml").write_text(text)
    return folder


def test_help_has_examples(run):
    for command in ("list", "test", "doctor", "watch"):
        code, out, _ = run("device", command, "--help")
        assert code == 0
        assert "Example:" in out


def test_list_tells_devices_and_drivers_and_what_is_wrong_with_one(run, lab: Path):
    code, out, _ = run("device", "list", "--lab", lab)
    assert code == 0
    assert "warm           incubator       test-cytomat    port = " in out
    assert "bench 1.0 cannot be loaded: No module named 'nowhere'" in out
    body = json.loads(run("device", "list", "--lab", lab, "--json")[1])
    assert [device["name"] for device in body["devices"]] == ["handler", "warm", "plate-mover", "imager"]
    assert {"sim", "folder", "test-cytomat"} <= {driver["name"] for driver in body["drivers"]}


def test_a_look_moves_nothing(run, lab: Path, server: WireServer):
    code, out, err = run("device", "test", "warm", "--lab", lab)
    assert code == 0, err
    assert "device: Thermo Cytomat" in out
    assert "temperature_c = 36.9" in out
    assert server.emulator.hotel.log == []
    assert json.loads(run("device", "test", "warm", "--lab", lab, "--json")[1])["look"]["slots"] == 12
    assert "offers no look" in run("device", "test", "handler", "--lab", lab)[1]


def test_something_moves_only_after_a_yes(run, lab: Path, server: WireServer, monkeypatch: pytest.MonkeyPatch):
    hotel = server.emulator.hotel
    hotel.put_on_station("P1")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    code, _, err = run("device", "test", "warm", "--move", "P1", "--lab", lab)
    assert code == 2
    assert "nothing was moved" in err
    assert hotel.moves() == 0
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    code, out, err = run("device", "test", "warm", "--move", "P1", "--lab", lab)
    assert code == 0, err
    assert "store P1: done, slot 1" in out
    assert "fetch P1: done" in out
    assert hotel.moves() == 2
    hotel.take_from_station()
    code, _, err = run("device", "test", "warm", "--move", "P1", "--yes", "--lab", lab)
    assert code == 1
    assert "store failed: no plate stands on the incubator's transfer station" in err
    assert run("device", "test", "handler", "--move", "P1", "--lab", lab)[0] == 2


def test_a_device_that_is_not_there_or_simulated_is_named(run, lab: Path, tmp_path: Path):
    code, _, err = run("device", "test", "hot", "--lab", lab)
    assert code == 2
    assert "lab.toml names no device 'hot'; there are: handler, warm, plate-mover, imager" in err
    simulated = init_lab(tmp_path / "simulated").folder
    code, _, err = run("device", "test", "incubator", "--lab", simulated)
    assert code == 2
    assert "is simulated" in err
    assert run("device", "doctor", "--lab", simulated)[0] == 0


def test_the_doctor_says_what_answers_and_packs_what_a_report_needs(run, lab: Path, server: WireServer, tmp_path: Path):
    bundle = tmp_path / "doctor.zip"
    code, out, _ = run("device", "doctor", "--lab", lab, "--bundle", bundle)
    assert code == 0
    assert "ok    warm (test-cytomat)" in out
    with zipfile.ZipFile(bundle) as packed:
        assert {"examination.json", "lab.toml", "logs/wire/incubator.log"} <= set(packed.namelist())
        body = json.loads(packed.read("examination.json"))
    assert body["versions"]["pyserial"]
    assert body["python"] == sys.version.split()[0]
    assert run("device", "doctor", "--lab", lab, "--bundle", bundle)[0] == 2
    server.vanish(60.0)
    while server.pty_path.exists():
        pass
    code, out, _ = run("device", "doctor", "--lab", lab)
    assert code == 1
    assert "WRONG warm (test-cytomat)" in out
    assert "is it plugged in and spelled right?" in out


def test_watch_prints_the_bytes_with_their_times(run, lab: Path):
    code, _, err = run("device", "watch", "warm", "--once", "--lab", lab)
    assert code == 2
    assert "no byte of 'warm' was logged yet" in err
    run("device", "test", "warm", "--lab", lab)
    code, out, _ = run("device", "watch", "warm", "--once", "--last", 500, "--lab", lab)
    assert code == 0
    assert "Z > 63 68 3a 62 77 0d 0a | ch:bw\\r\\n" in out
    assert "| bw 00\\r\\n" in out


def test_no_secret_leaves_the_lab():
    text = 'database = "postgresql+psycopg://me:hunter2@host/db"\nmail_password = "hunter2"\nname = "x"\n'
    shown = without_secrets(text)
    assert "hunter2" not in shown
    assert 'name = "x"' in shown
    assert "@host/db" in shown
