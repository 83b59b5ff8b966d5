"""nextplate measure: the same numbers however often it is interrupted, and nothing that is not its own is touched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from controller.cli import main
from controller.files import safe_name
from controller.measuring import ReadoutRequest, cells_of, find_readout, measure_folder
from nextplate.errors import DataError, LabBusy
from nextplate.features import parse_features, select
from nextplate.imaging import MeasureParams, export_plate, list_planes, measure, survey
from nextplate.imaging.pixels import ImageKind, UnreadableImage
from nextplate.readout import FieldImage
from tests.nextplate.imaging.fake_plate import FakePlate, Scene, write_plate

PARAMS = MeasureParams(features=select(["shape", "intensity"]))
N_WELLS = 10


def scenes(n: int = N_WELLS) -> dict[str, Scene]:
    return {f"A{i + 1:02d}": Scene(n_cells=12 + i) for i in range(n)}


@pytest.fixture
def plate(tmp_path: Path) -> FakePlate:
    return write_plate(tmp_path / "images" / "P1", scenes(), size=260)


def quiet(_done: int, _total: int) -> None:
    pass


def run(folder: Path, out: Path, params: MeasureParams = PARAMS, told: Callable[[int, int], None] = quiet):
    return measure_folder(find_readout(ReadoutRequest(folder)), params, out, told)


def tables(out: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    cells = pl.concat([pl.read_parquet(f) for f in sorted((out / "cells").glob("*.parquet"))])
    return pl.read_parquet(out / "wells.parquet"), cells


def test_the_folder_holds_what_measuring_in_memory_gives(plate: FakePlate, tmp_path: Path):
    body = run(plate.folder, tmp_path / "out")
    wells, cells = tables(tmp_path / "out")
    whole = measure(find_readout(ReadoutRequest(plate.folder)), PARAMS)
    assert wells.equals(whole.wells)
    assert cells.equals(whole.cells)
    assert (body["wells"], body["fields"], body["images"], body["images_measured"]) == (10, 10, 20, 20)
    assert body["cells"] == len(cells) == wells["n_cells"].sum()
    assert json.dumps(body, allow_nan=False)
    fields = pl.read_parquet(tmp_path / "out" / "fields.parquet")
    assert len(fields) == 20
    assert cells_of(tmp_path / "out", ["well", "nc_ratio"]).columns == ["well", "nc_ratio"]


def test_medians_and_spreads_of_features_are_those_of_the_cells(plate: FakePlate, tmp_path: Path):
    run(plate.folder, tmp_path / "out")
    wells, cells = tables(tmp_path / "out")
    name = "Nuclei_Intensity_MeanIntensity_Reporter"
    for row in wells.iter_rows(named=True):
        values = cells.filter(pl.col("well") == row["well"])[name].cast(pl.Float64)
        assert row[name] == pytest.approx(values.median())
        assert row[f"{name}_mad"] == pytest.approx(1.4826 * (values - values.median()).abs().median())


def test_finished_wells_are_not_measured_again(plate: FakePlate, tmp_path: Path):
    out = tmp_path / "out"
    first = run(plate.folder, out)
    before = {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()}
    again = run(plate.folder, out)
    assert (first["wells_measured_now"], again["wells_measured_now"]) == (10, 0)
    assert {p: p.stat().st_mtime_ns for p in (out / "cells").iterdir()} == before
    other = run(plate.folder, out, replace(PARAMS, features=None))
    assert other["wells_measured_now"] == 10


@pytest.mark.parametrize("damage", ["cut-part", "cut-cells", "no-cells"])
def test_a_part_that_a_power_cut_spoiled_is_measured_again(plate: FakePlate, tmp_path: Path, damage: str):
    out = tmp_path / "out"
    run(plate.folder, out)
    expected = tables(out)
    part, cells = out / "parts" / "A03.json", out / "cells" / "A03.parquet"
    if damage == "no-cells":
        cells.unlink()
    else:
        path = part if damage == "cut-part" else cells
        path.write_bytes(path.read_bytes()[:-40])
    assert run(plate.folder, out)["wells_measured_now"] == 1
    assert all(now.equals(then) for now, then in zip(tables(out), expected, strict=True))


def test_killed_at_any_moment_it_goes_on_and_ends_the_same(plate: FakePlate, tmp_path: Path):
    run(plate.folder, tmp_path / "undisturbed", MeasureParams(features=select(["shape", "intensity"])))
    out = tmp_path / "out"
    script = Path(sys.executable).with_name("nextplate")
    command = [script, "measure", plate.folder, "--out", out, "--objects", "nuclei", "--threads", "1"]
    for n in (1, 4, 7):
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        deadline = time.monotonic() + 60
        while len(list((out / "parts").glob("[A-Z]*.json"))) < n and started.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        started.send_signal(signal.SIGKILL)
        started.wait()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["wells_measured_now"] < 10
    assert all(now.equals(then) for now, then in zip(tables(out), tables(tmp_path / "undisturbed"), strict=True))
    assert not list(out.rglob("*.tmp"))


def test_a_drive_that_vanishes_mid_plate_is_one_error_and_costs_nothing(plate: FakePlate, tmp_path: Path):
    out, away = tmp_path / "out", tmp_path / "away"

    def pull_out(done: int, _total: int) -> None:
        if done == 3:
            plate.folder.rename(away)

    with pytest.raises(DataError, match=r"is gone while its plate is measured; \d+ of 10 wells are finished"):
        run(plate.folder, out, told=pull_out)
    n_kept = len(list((out / "parts").iterdir()))
    assert 3 <= n_kept < 10
    assert not (out / "wells.parquet").exists()
    away.rename(plate.folder)
    body = run(plate.folder, out)
    assert body["wells_measured_now"] == 10 - n_kept
    assert body["flagged"] == 0


def test_an_unreadable_image_is_flagged_and_tried_again_next_time(plate: FakePlate, tmp_path: Path):
    image = plate.folder / "TimePoint_1" / "P1_A02_s1_w2.TIF"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 3])
    os.utime(image, ns=(1, 1))
    body = run(plate.folder, tmp_path / "out")
    assert body["flags"] == {"unreadable": 1}
    assert body["unusable_wells"] == ["A02"]
    problems = pl.read_csv(tmp_path / "out" / "problems.csv")
    assert problems["channel"].to_list() == ["Reporter"]
    assert "P1_A02_s1_w2.TIF" in problems["reason"][0]
    image.write_bytes(whole)
    assert run(plate.folder, tmp_path / "out")["flags"] == {}


def test_wells_measured_while_part_of_the_plate_could_not_be_looked_at_are_measured_again(
    plate: FakePlate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A drive that is gone for a moment, while the plate is looked at, may not decide its numbers for good."""
    seen = survey.read_image

    def flickering(image: FieldImage, kind: ImageKind | None = None):
        if image.well < "A06":
            raise UnreadableImage("the drive is gone for a moment")
        return seen(image, kind)

    with monkeypatch.context() as patch:
        patch.setattr(survey, "read_image", flickering)
        run(plate.folder, tmp_path / "out")
    assert run(plate.folder, tmp_path / "out")["wells_measured_now"] == N_WELLS
    run(plate.folder, tmp_path / "fresh")
    assert tables(tmp_path / "out")[0].equals(tables(tmp_path / "fresh")[0])


def test_the_folder_of_another_plate_or_of_other_things_is_not_touched(plate: FakePlate, tmp_path: Path):
    other = write_plate(tmp_path / "images" / "P2", scenes(1), size=260)
    run(plate.folder, tmp_path / "out")
    with pytest.raises(DataError, match="holds the measurements of plate P1"):
        run(other.folder, tmp_path / "out")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    with pytest.raises(DataError, match="holds no measurements"):
        run(other.folder, tmp_path / "letters")
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_two_at_once_on_one_folder_are_refused(plate: FakePlate, tmp_path: Path):
    def second(_done: int, _total: int) -> None:
        run(plate.folder, tmp_path / "out")

    with pytest.raises(LabBusy, match="nextplate measure"):
        run(plate.folder, tmp_path / "out", told=second)


@pytest.mark.parametrize(
    ("text", "groups", "has_field"),
    [
        ("basic", {"shape", "intensity"}, False),
        ("shape texture:3,9", {"shape", "texture"}, False),
        ("shape,texture:3,9,field", {"shape", "texture"}, True),
        ("field", None, True),
        ("none", None, False),
    ],
)
def test_what_features_says(text: str, groups: set[str] | None, has_field: bool):
    choice, found = parse_features(text)
    assert found == has_field
    assert (None if choice is None else set(choice.groups)) == groups
    if "texture" in (groups or ()):
        assert choice.texture_px == (3, 9)


@pytest.mark.parametrize("text", ["", "list", "shapes", "shape:3", "none shape"])
def test_features_that_do_not_exist_are_told_with_those_that_do(text: str):
    with pytest.raises(DataError, match="texture"):
        parse_features(text)


@pytest.mark.parametrize("name", ["../../evil", "/evil", "..", ".", "", ".hidden", "a/b", "x" * 400, "a\\b\0c"])
def test_no_name_of_a_plate_leads_out_of_the_folder(name: str):
    spelled = safe_name(name)
    assert Path("measured", spelled).resolve().parent == Path("measured").resolve()
    assert not spelled.startswith(".")
    assert 0 < len(spelled) <= 100


def test_names_of_plates_as_people_give_them_stay():
    assert [safe_name(n) for n in ("NP-0001", "Week1_22123", "plate.7")] == ["NP-0001", "Week1_22123", "plate.7"]


def test_a_plate_that_calls_itself_a_path_is_measured_below_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    source = write_plate(tmp_path / "images" / "P1", scenes(2), size=260).folder
    zarr = tmp_path / "images" / "hostile.zarr"
    export_plate(list_planes(source), source, zarr)
    said = json.loads((zarr / "zarr.json").read_text())
    said["attributes"]["ome"]["plate"]["name"] = "../../escaped"
    (zarr / "zarr.json").write_text(json.dumps(said))
    (here := tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "argv", ["nextplate", "measure", str(zarr), "--features", "none"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0, capsys.readouterr().err
    assert [p.name for p in (here / "measured").iterdir()] == ["_.._escaped"]
    assert not (tmp_path / "a" / "escaped").exists()


def test_the_table_of_fields_knows_of_which_steps_an_image_is_the_maximum(tmp_path: Path):
    from controller.measured import images_of
    from nextplate.imaging import read_image

    folder = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "imagexpress" / "9987_Plate_3434"
    if not folder.is_dir():
        pytest.skip(f"the real sample is not here ({folder}); set NEXTPLATE_DATA")
    readout = find_readout(ReadoutRequest(folder.resolve(), z="max"))
    measure_folder(readout, MeasureParams("DAPI", None), tmp_path / "out", quiet)
    shown = images_of(tmp_path / "out")
    assert [i.stack for i in shown] == [i.stack for i in readout.images]
    assert any(len(i.stack) > 1 for i in shown)
    for mine, theirs in zip(shown, readout.images, strict=True):
        assert (read_image(mine) == read_image(theirs)).all()


def test_what_a_killed_process_left_behind_is_cleared_away(plate: FakePlate, tmp_path: Path):
    run(plate.folder, tmp_path / "out")
    left = [tmp_path / "out" / "parts" / ".A03.json.77.tmp", tmp_path / "out" / "cells" / ".A03.parquet.77.tmp"]
    for path in left:
        path.write_bytes(b"half")
    run(plate.folder, tmp_path / "out")
    assert not any(path.exists() for path in left)


def test_every_flag_has_its_words(tmp_path: Path):
    wells = {f"A{i + 1:02d}": Scene(n_cells=20) for i in range(9)}
    wells |= {"B01": Scene(20, blur_px=3), "B02": Scene(0), "B03": Scene(20, brightness=60)}
    folder = write_plate(tmp_path / "P1", wells, size=260).folder
    run(folder, tmp_path / "out", MeasureParams())
    rows = pl.read_parquet(tmp_path / "out" / "wells.parquet").filter(pl.col("flags") != "")
    assert {"B01", "B02", "B03"} <= set(rows["well"])
    for row in rows.iter_rows(named=True):
        for code in row["flags"].split(";"):
            assert f"{code}: " in row["details"], row


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"reader": "harmony", "pattern": "x"}, "leave out --reader or --pattern"),
        ({"z": 0}, "has no z-stack"),
    ],
)
def test_options_that_would_do_nothing_are_refused(plate: FakePlate, request_: dict[str, object], message: str):
    with pytest.raises(DataError, match=message):
        find_readout(ReadoutRequest(plate.folder, **request_))


def test_a_plate_without_pixel_size_says_at_what_scale_it_was_measured(plate: FakePlate, tmp_path: Path):
    import tifffile

    for path in (plate.folder / "TimePoint_1").glob("*.TIF"):
        tifffile.imwrite(path, tifffile.imread(path))
    body = run(plate.folder, tmp_path / "out")
    assert any("no pixel size is known; nuclei are about" in note for note in body["notes"])
    odd = run(plate.folder, tmp_path / "odd", replace(PARAMS, pixel_size_um=1000.0))
    assert any("is the pixel size right" in note for note in odd["notes"])


def test_images_that_a_pattern_passes_over_are_told(tmp_path: Path):
    import numpy as np
    import tifffile

    for name in ("A01-DNA.tif", "stray.tif"):
        tifffile.imwrite(tmp_path / name, np.ones((64, 64), np.uint16))
    found = find_readout(ReadoutRequest(tmp_path, pattern=r"(?P<well>[A-H]\d\d)-(?P<channel>\w+)\.tif"))
    assert found.notes == ("1 TIFF files do not fit the pattern, first stray.tif",)
