"""nextplate image convert: one plate in, one OME-Zarr out, told to people and to programs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from controller.cli import main
from nextplate.imaging import list_planes, open_readout


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextplate", "image", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Write two wells of an ImageXpress with a stack, its projection, and one image cut short."""
    for step in ("", "ZStep_1/", "ZStep_2/"):
        for well in ("B02", "B03"):
            for wave in (1, 2):
                path = tmp_path / "in" / "TimePoint_1" / f"{step}P_{well}_s3_w{wave}.TIF"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, np.full((6, 7), 100 * wave, np.uint16))
    path.write_bytes(path.read_bytes()[:-30])
    return tmp_path / "in"


def test_json_says_what_was_converted_and_what_was_not(plate: Path, tmp_path: Path, run) -> None:
    code, out, err = run("convert", plate, tmp_path / "p.ome.zarr", "--json")
    said = json.loads(out)
    assert (code, err) == (0, "")
    assert sorted(said) == [
        "bytes_in", "bytes_out", "channels", "fields", "fields_kept", "images", "missing", "out", "plate", "reader",
        "seconds", "wells",
    ]  # fmt: skip
    assert (said["reader"], said["plate"], said["wells"], said["fields"]) == ("imagexpress", "P", 2, 2)
    assert (said["channels"], said["images"]) == (["w1", "w2"], 11)
    assert [(m["well"], m["field"], m["channel"], m["reason"][:28]) for m in said["missing"]] == [
        ("B03", 3, "w2", "unreadable: P_B03_s3_w2.TIF:"),
    ]
    assert said["bytes_in"] == sum(p.stat().st_size for p in plate.rglob("*.TIF"))
    assert {i.field for i in open_readout(tmp_path / "p.ome.zarr").images} == {3}


def test_people_read_what_is_missing_and_see_progress(plate: Path, tmp_path: Path, run) -> None:
    code, out, err = run("convert", plate, tmp_path / "p.zarr")
    assert code == 0
    assert "plate P (imagexpress), 2 wells, 2 fields, 11 images of w1, w2" in out
    assert "missing (1; all of them stand in" in out
    assert "  B03 field 3 w2: unreadable: P_B03_s3_w2.TIF" in out
    assert "convert: 2 of 2" in err
    code, out, _ = run("convert", plate, tmp_path / "p.zarr")
    assert "2 fields were finished before and kept" in out


@pytest.mark.parametrize(
    ("options", "n_planes", "n_levels"),
    [
        (["--z", "projection"], 4, 1),
        (["--z", "2"], 3, 1),
        (["--z", "max"], 3, 1),
        (["--t", "1", "--levels", "1"], 11, 1),
    ],
)
def test_a_part_of_the_plate(
    plate: Path, tmp_path: Path, run, options: list[str], n_planes: int, n_levels: int
) -> None:
    assert run("convert", plate, tmp_path / "p.zarr", *options)[0] == 0
    assert len(list_planes(tmp_path / "p.zarr").planes) == n_planes
    assert len(list((tmp_path / "p.zarr" / "B" / "2" / "3").glob("*/zarr.json"))) in (0, n_levels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "p.zarr"], "nowhere is not a folder"),
        (["in", "in"], "may not lie in each other"),
        (["in", "in/p.zarr"], "may not lie in each other"),
        (["in", "p.zarr", "--z", "top"], "write all, projection, middle, max"),
        (["in", "p.zarr", "--t", "-1"], "the number of a time point"),
        (["in", "p.zarr", "--z", "7"], "has no z-step 7"),
        (["in", "p.zarr", "--t", "7"], "has no time point 7"),
        (["in", "p.zarr", "--reader", "leica"], "there is no reader 'leica'"),
        (["in", "p.zarr", "--pattern", "("], "is no regular expression"),
    ],
)
def test_wrong_usage_is_one_sentence_and_leaves_nothing(
    plate: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("convert", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
