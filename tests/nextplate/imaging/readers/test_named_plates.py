"""Plates known by names alone: Cytation, Incucyte, Cellomics, Squid and any other by a pattern."""

import json
import re
from pathlib import Path

import pytest

from nextplate.errors import DataError, SettingsError
from nextplate.imaging import READERS, compile_pattern, field_table, list_planes, open_readout
from nextplate.imaging.readers.incucyte import Incucyte
from nextplate.readout import Missing
from tests.nextplate.imaging.vendor_plates import sample, touch

BBBC013 = r"(?P<channel>Channel\d)-\d+-(?P<row>[A-H])-(?P<column>\d\d)\.tif"


def planes(folder: Path, **how: str) -> list[tuple[str, int, str, int | None, int | None]]:
    return [(p.well, p.field, p.channel, p.z, p.t) for p in list_planes(folder, **how).planes]


@pytest.mark.parametrize(
    ("reader", "name", "expected"),
    [
        ("cytation", "B7_01_2_3_GFP_001.tif", ("B07", 3, "GFP", None, 1)),
        ("cytation", "A1_02_1_1_Bright Field_012.tif", ("A01", 1, "Bright Field", None, 12)),
        ("cytation", "B3_02_1_2Z0_Bright Field_001.tif", ("B03", 2, "Bright Field", 1, 1)),
        ("cytation", "B3_-1_1_2_ZProj[DAPI 377,447]_001.tif", ("B03", 2, "DAPI 377,447", 0, 1)),
        ("cytation", "AF48_01_1_1_DAPI_001.tif", ("AF48", 1, "DAPI", None, 1)),
        ("cellomics", "AS_09125_A01f03d2.tif", ("A01", 4, "d2", None, None)),
        ("cellomics", "P1_AF48f00d0.TIF", ("AF48", 1, "d0", None, None)),
        ("incucyte", "VID12_B2_4_00d08h30m.tif", ("B02", 4, "image", None, 1)),
        ("incucyte", "Phase_VID12_B2_4_2026y01m31d_08h00m.tif", ("B02", 4, "Phase", None, 1)),
        ("incucyte", "green_H12_1_123d00h00m.tif", ("H12", 1, "green", None, 1)),
        ("incucyte", "EssenFiles/ScanData/2601/31/0800/717/A1-2-Ph.tif", ("A01", 2, "Ph", None, 1)),
        ("incucyte", "ScanData/2601/31/0800/717/H12-1-C1.tif", ("H12", 1, "C1", None, 1)),
        ("harmony", "Images/r16c24f102p03-ch2sk4fk1fl1.tiff", ("P24", 102, "ch2", 3, 4)),
    ],
)
def test_names_are_read_as_the_vendor_writes_them(
    tmp_path: Path, reader: str, name: str, expected: tuple[str, int, str, int | None, int | None]
) -> None:
    folder = touch(tmp_path, [name, "notes.txt", f"._{name}" if "/" not in name else "x.txt"])
    assert planes(folder) == [expected]
    assert list_planes(folder).reader == reader


@pytest.mark.parametrize(
    "name",
    [
        "P_A00_s1_w1.TIF",
        "A00_01_1_1_DAPI_001.tif",
        "P_A00f00d0.tif",
        "x_A0_1_00d00h00m.tif",
        "B7_01_1_3_DAPI_001_MaskNuclei.tiff",
        "SC_BP525-50_20x v2_M01_CH02.tif",
    ],
)
def test_near_misses_are_no_plate(tmp_path: Path, name: str) -> None:
    touch(tmp_path, [name])
    assert [r.name for r in READERS if r.detect(tmp_path)] == []
    with pytest.raises(DataError, match="is no plate readout: looked for imagexpress"):
        open_readout(tmp_path)


def test_two_microscopes_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    touch(tmp_path, ["B7_01_2_3_GFP_001.tif", "AS_09125_A01f03d2.tif"])
    with pytest.raises(DataError, match="could be read as cytation and cellomics; say which one"):
        open_readout(tmp_path)
    assert open_readout(tmp_path, reader="cellomics").images[0].well == "A01"
    with pytest.raises(DataError, match="there is no reader 'nikon'"):
        open_readout(tmp_path, reader="nikon")


def test_real_cytation_plate() -> None:
    readout = open_readout(sample("nf1-cellpainting", "Plate_2_images"))
    assert (readout.reader, readout.channels, len(readout.images)) == ("cytation", ("DAPI", "GFP", "RFP"), 15)
    assert {i.well for i in readout.images} == {"B07", "D06", "D07", "F07", "H12"}


def test_cytation_montages_do_not_count_as_fields(tmp_path: Path) -> None:
    names = ["A1_01_1_1_DAPI_001.tif", "A1_-2_1_1_Stitched[DAPI]_001.tif"]
    readout = open_readout(touch(tmp_path, names))
    assert [i.path.name for i in readout.images] == names[:1]
    assert readout.notes == ("1 stitched montages are left out, their fields are there",)


def test_one_label_read_in_two_steps_is_two_channels(tmp_path: Path) -> None:
    readout = open_readout(touch(tmp_path, ["A1_01_1_1_DAPI_001.tif", "A1_02_1_1_DAPI_001.tif"]))
    assert readout.channels == ("DAPI (1_1)", "DAPI (2_1)")


def test_incucyte_time_points_follow_their_times(tmp_path: Path) -> None:
    names = [f"ScanData/{when}/717/A1-1-Ph.tif" for when in ("2512/31/2300", "2601/1/0100", "2601/01/0300")]
    names.append("ScanData/2601/1/0100/717/A2-1-Ph.tif")
    folder = touch(tmp_path, names)
    assert planes(folder)[:3] == [
        ("A01", 1, "Ph", None, 1),
        ("A01", 1, "Ph", None, 3),
        ("A01", 1, "Ph", None, 2),
    ]
    assert [i.well for i in open_readout(folder, t=2).images] == ["A01", "A02"]
    with pytest.raises(DataError, match="no time point 4; it has time points 1 to 3"):
        open_readout(folder, t=4)


def test_an_archive_of_several_plates_asks_which(tmp_path: Path) -> None:
    folder = touch(tmp_path, [f"ScanData/2601/31/0800/{n}/A1-1-Ph.tif" for n in (717, 718)])
    with pytest.raises(DataError, match=r"holds 2 plates \(717, 718\)"):
        open_readout(folder)
    assert open_readout(folder, plate="718").plate == "718"
    with pytest.raises(DataError, match="holds no plate '9'"):
        open_readout(folder, plate="9")
    assert Incucyte().detect(folder / "ScanData")


def test_instrument_files_of_cellomics_are_told(tmp_path: Path) -> None:
    readout = open_readout(touch(tmp_path, ["P_A01f00d0.tif", "P_A01f00d1.C01"]))
    assert [i.channel for i in readout.images] == ["d0"]
    assert "export as TIFF" in readout.missing[0].reason


def squid(folder: Path, names: list[str], *, n_times: int = 1, table: str | None = None) -> Path:
    parameters = {
        "Nt": n_times,
        "objective": {"magnification": 20, "tube_lens_f_mm": 180, "name": "20x"},
        "sensor_pixel_size_um": 3.76,
        "tube_lens_mm": 90,
    }
    folder.mkdir(exist_ok=True)
    (folder / "acquisition parameters.json").write_text(json.dumps(parameters), encoding="utf-8")
    touch(folder, names)
    said = "region,fov,z_level,x (mm),y (mm),z (um),time\nC4,0,0,1.5,2.5,30.0,now\n" if table is None else table
    for place in {(folder / n).parent for n in names}:
        (place / "coordinates.csv").write_text(said, encoding="utf-8")
    return folder


def test_a_squid_plate_with_positions(tmp_path: Path) -> None:
    names = ["0/C4_0_0_Fluorescence_488_nm_Ex.tiff", "0/C4_0_0_BF_LED.tiff"]
    row = field_table(open_readout(squid(tmp_path, names))).row(1, named=True)
    assert (row["well"], row["field"], row["channel"], row["z"], row["t"]) == (
        "C04",
        1,
        "Fluorescence 488 nm Ex",
        1,
        1,
    )
    assert (row["x_um"], row["y_um"], row["z_um"]) == (1500.0, 2500.0, 30.0)
    assert row["pixel_size_um"] == pytest.approx(3.76 / (20 * 90 / 180))


def test_what_squid_leaves_that_is_no_well_image_is_told(tmp_path: Path) -> None:
    names = ["0/C4_0_0_BF.tiff", "0/C4_0_0_405.bmp", "0/manual0_0_0_BF.tiff", "0/C4_0_stack.tiff"]
    readout = open_readout(squid(tmp_path, names))
    assert [i.channel for i in readout.images] == ["BF"]
    assert "BMP is not read" in readout.missing[0].reason
    assert readout.notes == (
        "multipage _stack files are left out; save individual images",
        "region manual0 is no well; its images are left out",
    )


def test_a_squid_run_with_time_points_to_come_is_not_complete(tmp_path: Path) -> None:
    assert not open_readout(squid(tmp_path, ["0/C4_0_0_BF.tiff"], n_times=2)).is_complete


@pytest.mark.parametrize(
    ("table", "words"),
    [("region,fov\nC4,first\n", "line 2: needs region, fov"), ("region,fov,x (mm)\nC4,0,left\n", "line 2")],
)
def test_broken_squid_coordinates_name_file_and_line(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_readout(squid(tmp_path, ["0/C4_0_0_BF.tiff"], table=table))


def test_broken_squid_parameters_are_one_clear_error(tmp_path: Path) -> None:
    folder = squid(tmp_path, ["0/C4_0_0_BF.tiff"])
    (folder / "acquisition parameters.json").write_text("[", encoding="utf-8")
    with pytest.raises(DataError, match="not readable JSON"):
        open_readout(folder)


def test_real_bbbc013_by_a_pattern() -> None:
    readout = open_readout(sample("bbbc013", "images"), pattern=BBBC013)
    assert (readout.reader, readout.channels, len(readout.images)) == ("pattern", ("Channel1", "Channel2"), 192)
    assert readout.missing == ()


def test_a_pattern_sees_the_whole_path_with_all_groups(tmp_path: Path) -> None:
    pattern = r"(?P<plate>P\d)/t(?P<t>\d+)/(?P<well>\w\d+)-(?P<field>\d)-z(?P<z>\d)-(?P<channel>\w+)\.tif"
    names = ["P1/t2/C7-4-z3-GFP.tif", "P2/t2/C7-4-z3-GFP.tif", "P1/readme.txt"]
    folder = touch(tmp_path, names)
    assert planes(folder, pattern=pattern, plate="P1") == [("C07", 4, "GFP", 3, 2)]
    with pytest.raises(DataError, match="holds 2 plates"):
        open_readout(folder, pattern=pattern)


@pytest.mark.parametrize(
    ("pattern", "error", "words"),
    [
        ("(", SettingsError, "is no regular expression"),
        (r"(?P<well>\w+)(?P<wave>\d)", SettingsError, "names the groups wave; known are plate, well"),
        (r"(?P<row>\w)\.tif", SettingsError, r"has no group \(\?P<well>"),
        (r"(?P<well>\w+)\.png", DataError, "no file below .* fits the pattern"),
        (r"(?P<well>.*)\.tif", DataError, "takes 'A01-x' for the well"),
        (r"(?P<well>A01)-(?P<field>.)\.tif", DataError, "takes 'x' for field, a whole number is needed"),
    ],
)
def test_a_pattern_that_cannot_work_says_why(tmp_path: Path, pattern: str, error: type[Exception], words: str) -> None:
    touch(tmp_path, ["A01-x.tif"])
    with pytest.raises(error, match=words):
        open_readout(tmp_path, pattern=pattern)


def test_a_pattern_needs_no_more_than_a_well() -> None:
    assert isinstance(compile_pattern(r"(?P<well>\w\d\d).*"), re.Pattern)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("A1_01_1_1_DAPI_001.tif", {}),
        ("P_A01f00d0.tif", {}),
        ("green_A1_1_00d00h00m.tif", {}),
        ("r01c01f01p01-ch1sk1fk1fl1.tiff", {}),
        ("A01.tif", {"pattern": r"(?P<well>A01)\.tif"}),
    ],
)
def test_links_out_of_the_folder_are_refused_by_every_reader(tmp_path: Path, name: str, how: dict[str, str]) -> None:
    (tmp_path / "secret.tif").write_bytes(b"x")
    folder = tmp_path / "plate"
    folder.mkdir()
    (folder / name).symlink_to(tmp_path / "secret.tif")
    readout = open_readout(folder, **how)  # type: ignore[arg-type]
    assert readout.images == ()
    assert "a link out of the plate's folder" in readout.missing[0].reason


def test_duplicates_are_told(tmp_path: Path) -> None:
    readout = open_readout(touch(tmp_path, ["A1_01_1_1_DAPI_001.tif", "A01_01_1_1_DAPI_001.tif"]))
    assert readout.missing == (
        Missing("A01", 1, "DAPI", "duplicate-image: A01_01_1_1_DAPI_001.tif is used, not A1_01_1_1_DAPI_001.tif"),
    )
