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
from sim.wire.omero_store import Store, StoredImage, StoredPlate
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
    code, out, err = run(omero.url, number, "--to", tmp_path / "plate", "--user", "lab", "--settle", 0, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["images"] == 8
    assert json.loads(out)["missing"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]
    truth = emulator.store.pixels()
    for found in open_readout(tmp_path / "plate").images:
        c = ("DNA", "Reporter").index(found.channel)
        assert (read_image(found) == truth["Some plate", found.well, found.field][0, c, 0]).all()
    assert json.loads((tmp_path / "plate" / "omero.json").read_bytes())["plate"]["name"] == "Some plate"


def _half(store: Store, plate: StoredPlate, how: str) -> None:
    """Leave a plate of A01 and A02, two fields each, as an import that broke off leaves it."""
    images = plate.wells[1].images
    match how:
        case "no pixels":
            images[1].ready_at = 1e12
        case "one field":
            del images[1]
        case "empty well":
            images.clear()
        case "one channel":
            images[0].channels, images[0].stack = ("DNA",), images[0].stack[:, :1]
        case "other size":
            images[0].stack = images[0].stack[..., :8]


@pytest.mark.parametrize(
    ("how", "due", "said", "n_left"),
    [
        ("no pixels", (), "A02 field 2 has no pixels", 6),
        ("one field", (), "A02 has 1 of 2 fields", 6),
        ("one field", ("--fields", 3), "A01 has 2 of 3 fields; A02 has 1 of 3 fields", 6),
        ("empty well", (), "A02 has no image", 4),
        ("one channel", (), "A02 field 1 has no channel Reporter", 6),
        ("other size", (), "A02 field 1 is not like the others: Kind(width=8", 6),
        ("nothing", ("--wells", 6), "A03 has no image; B01 has no image; B02 has no image; B03 has no image", 8),
        ("nothing", ("--channels", 3), "A01 field 1 has 2 of 3 channels", 8),
    ],
)
def test_a_plate_that_is_half_imported_is_refused_with_what_it_lacks_or_brought_as_a_part(
    omero: HttpServer, tmp_path: Path, run, how: str, due: tuple[object, ...], said: str, n_left: int
):
    store: Store = omero.device.store  # type: ignore[attr-defined]
    omero.device.is_public = True  # type: ignore[attr-defined]
    ((number, plate),) = store.plates.items()
    _half(store, plate, how)
    to = tmp_path / "plate"
    code, _, err = run(omero.url, number, "--to", to, "--settle", 0, *due)
    assert code == 1
    assert f"plate {number} is not whole: {said}" in err
    assert "wait until it is imported, or bring what is there with --partial" in err
    assert not list(tmp_path.iterdir())
    code, out, err = run(omero.url, number, "--to", to, "--settle", 0, "--partial", *due)
    assert (code, err) == (0, "")
    missing = json.loads((to / "omero.json").read_bytes())["missing"]
    assert "; ".join(missing).startswith(said)
    assert f"missing ({len(missing)}; all of it stands in {to}/omero.json):\n  {missing[0]}" in out
    assert len(open_readout(to).images) == n_left


def test_a_plate_that_grows_while_it_is_brought_is_not_taken_for_whole(
    omero: HttpServer, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
):
    emulator: OmeroEmulator = omero.device  # type: ignore[assignment]
    emulator.is_public = True
    ((number, plate),) = emulator.store.plates.items()
    second = [well.images[1] for well in plate.wells]
    export = StoredImage.ome_tiff

    def exported(image: StoredImage) -> bytes:
        """Bring the second field of each well a second after the first download began."""
        for late in second:
            late.listed_at = min(late.listed_at, emulator.store.time.now_s() + 1.0)
        return export(image)

    monkeypatch.setattr(StoredImage, "ome_tiff", exported)
    for late in second:
        late.listed_at = 1e12
    code, _, err = run(omero.url, number, "--to", tmp_path / "plate", "--settle", 2)
    assert code == 1
    assert f"plate {number} changed while it was brought; try again when it is imported" in err
    assert not (tmp_path / "plate").exists()


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
