"""nextplate image fetch: a plate out of an emulated OMERO, without a lab."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli import main
from nextplate.imaging import open_readout
from nextplate.imaging.pixels import read_image
from sim.wire.http_server import HttpServer
from sim.wire.omero import OmeroEmulator
from sim.wire.time import EmulatedTime


@pytest.fixture
def omero() -> Iterator[HttpServer]:
    emulator = OmeroEmulator(EmulatedTime())
    server = HttpServer(emulator)
    emulator.store.add_plate("Some plate", n_fields=2)
    yield server
    server.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextplate", "image", "fetch", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_a_plate_is_brought_by_its_number(omero: HttpServer, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch):
    emulator: OmeroEmulator = omero.device  # type: ignore[assignment]
    monkeypatch.setenv("OMERO_PASSWORD", emulator.password)
    number = next(iter(emulator.store.plates))
    code, out, err = run(omero.url, number, "--to", tmp_path / "plate", "--user", "lab", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["images"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]
    truth = emulator.store.pixels()
    for found in open_readout(tmp_path / "plate").images:
        c = ("DNA", "Reporter").index(found.channel)
        assert (read_image(found) == truth["Some plate", found.well, found.field][0, c, 0]).all()
    assert json.loads((tmp_path / "plate" / "omero.json").read_bytes())["plate"]["name"] == "Some plate"


def test_what_is_not_there_or_not_allowed_is_told_and_leaves_no_folder(
    omero: HttpServer, tmp_path: Path, run, monkeypatch
):
    to = tmp_path / "plate"
    monkeypatch.setenv("OMERO_PASSWORD", "wrong")
    code, _, err = run(omero.url, 1, "--to", to, "--user", "lab")
    assert code != 0
    assert "OMERO refuses user lab" in err
    monkeypatch.setenv("OMERO_PASSWORD", omero.device.password)  # type: ignore[attr-defined]
    code, _, err = run(omero.url, 77, "--to", to, "--user", "lab")
    assert code != 0
    assert "there is no plate 77 in OMERO that lab may see" in err
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    code, _, err = run(omero.url, 77, "--to", tmp_path / "full")
    assert code == 2
    assert "is there already" in err
    code, _, err = run("nowhere", 77, "--to", to)
    assert code == 2
    assert "option url" in err
