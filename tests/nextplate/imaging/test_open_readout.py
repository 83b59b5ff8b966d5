"""Opening a plate folder: what is there, what is missing and why; never a pixel read, never a crash."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nextplate.errors import DataError
from nextplate.imaging import open_readout
from nextplate.readout import Missing
from tests.nextplate.imaging.fake_plate import Scene, write_htd, write_plate

GUID = "1D5F8F51-0A1B-4C2D-8E3F-0123456789AB"


def samples() -> Path:
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "imagexpress"
    if not path.is_dir():
        pytest.skip(f"real ImageXpress samples are not here ({path}); set NEXTPLATE_DATA")
    return path


def plate_of(folder: Path, names: list[str], *, wells: list[str] | None = None, sites: int = 1) -> Path:
    """Write empty files of these names (paths below the plate folder), and a .HTD when wells are given."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    if wells is not None:
        write_htd(folder / "P1.HTD", wells, sites=sites)
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P1_A01_s1_w1.TIF", ("A01", 1, "w1")),
        ("P1_A01_s12_w2.tif", ("A01", 12, "w2")),
        ("P1_C07.tiff", ("C07", 1, "w1")),
        ("P1_C07_w2.TIF", ("C07", 1, "w2")),
        ("P1_C07_s3.TIF", ("C07", 3, "w1")),
        (f"P1_B02_s1_w1{GUID}.tif", ("B02", 1, "w1")),
        (f"P1_B02_s1{GUID}.tif", ("B02", 1, "w1")),
        ("a_B03_s1_AF48_s1_w1.TIF", ("AF48", 1, "w1")),
    ],
)
def test_names_are_read_as_metaxpress_writes_them(tmp_path: Path, name: str, expected: tuple[str, int, str]) -> None:
    readout = open_readout(plate_of(tmp_path, [f"TimePoint_1/{name}"]))
    assert [(i.well, i.field, i.channel) for i in readout.images] == [expected]


def test_thumbnails_and_other_files_are_no_images(tmp_path: Path) -> None:
    names = ["P1_A01_s1_w1.TIF", "P1_A01_s1_w1_thumb.TIF", f"P1_A01_s1_w1_thumb{GUID}.tif", "notes.txt"]
    readout = open_readout(plate_of(tmp_path, [f"TimePoint_1/{n}" for n in names]))
    assert [i.path.name for i in readout.images] == ["P1_A01_s1_w1.TIF"]


def test_channels_and_plate_come_from_the_htd(tmp_path: Path) -> None:
    names = [f"TimePoint_1/P1_A0{c}_s1_w{w}.TIF" for c in (1, 2) for w in (1, 2)]
    readout = open_readout(plate_of(tmp_path / "folder", names, wells=["A01", "A02"]))
    assert (readout.reader, readout.plate, readout.channels) == ("imagexpress", "P1", ("DNA", "Reporter"))
    assert readout.is_complete
    assert readout.missing == ()
    assert [(i.well, i.channel) for i in readout.images] == [
        ("A01", "DNA"),
        ("A01", "Reporter"),
        ("A02", "DNA"),
        ("A02", "Reporter"),
    ]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    names = ["P1_A01_s1_w1.TIF", "P1_A01_s1_w2.TIF", "P1_A01_s2_w1.TIF", "P1_A03_s1_w1.TIF", "P1_A03_s1_w2.TIF"]
    folder = plate_of(tmp_path, [f"TimePoint_1/{n}" for n in names], wells=["A01", "A02", "A03"], sites=2)
    assert open_readout(folder).missing == (
        Missing("A01", 2, "Reporter", "no image of this channel"),
        Missing("A02", None, None, "no image of this well"),
        Missing("A03", 2, None, "no image of this field"),
    )


def test_the_layout_overrules_the_microscope_on_which_wells_are_due(tmp_path: Path) -> None:
    names = ["TimePoint_1/P1_A01_s1_w1.TIF", "TimePoint_1/P1_A01_s1_w2.TIF"]
    readout = open_readout(plate_of(tmp_path, names, wells=["A01", "B01"]), expected_wells=["A1", "P24"])
    assert [m.well for m in readout.missing] == ["P24"]


@pytest.mark.parametrize("case", ["no htd", "tmp", "htd not ended"])
def test_a_plate_still_being_written_is_not_complete(tmp_path: Path, case: str) -> None:
    folder = plate_of(tmp_path, ["TimePoint_1/P1_A01_s1_w1.TIF"], wells=None if case == "no htd" else ["A01"])
    if case == "tmp":
        (folder / "TimePoint_1" / "P1_A01_s1_w2.TIF.tmp").write_bytes(b"")
    if case == "htd not ended":
        text = (folder / "P1.HTD").read_text("latin-1")
        (folder / "P1.HTD").write_text(text.replace('"EndFile"', ""), "latin-1")
    assert not open_readout(folder).is_complete


def test_the_projection_is_taken_before_single_steps(tmp_path: Path) -> None:
    names = [f"TimePoint_1/ZStep_{z}/P1_A01_w1.TIF" for z in (0, 1, 2)]
    names += [f"TimePoint_1/ZStep_{z}/P1_A02_w1.TIF" for z in (1, 2, 3)] + ["TimePoint_1/P1_A03_w1.TIF"]
    readout = open_readout(plate_of(tmp_path, names))
    assert [i.path.parent.name for i in readout.images] == ["ZStep_0", "ZStep_2", "TimePoint_1"]
    assert readout.missing == (Missing("A02", 1, "w1", "no-projection: step 2 of 3 is used"),)


def test_two_files_for_one_field_are_told(tmp_path: Path) -> None:
    readout = open_readout(plate_of(tmp_path, ["TimePoint_1/P1_A01_w1.TIF", f"TimePoint_1/P1_A01_w1{GUID}.tif"]))
    assert len(readout.images) == 1
    assert readout.missing[0].reason.startswith("duplicate-image: P1_A01_w1")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "secret.TIF"
    outside.write_bytes(b"II*\0")
    folder = plate_of(tmp_path / "P1", ["TimePoint_1/P1_A01_s1_w1.TIF"])
    (folder / "TimePoint_1" / "P1_A02_s1_w1.TIF").symlink_to(outside)
    readout = open_readout(folder)
    assert [i.well for i in readout.images] == ["A01"]
    assert "a link out of the plate's folder" in readout.missing[0].reason


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "is not a folder"),
        (lambda p: p.mkdir(), "it is empty"),
        (lambda p: plate_of(p, ["holiday.jpg"]), "looked for imagexpress"),
    ],
)
def test_a_folder_that_is_no_readout_is_one_clear_error(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    make(tmp_path / "P1")
    with pytest.raises(DataError, match=words):
        open_readout(tmp_path / "P1")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"XWells", 24', '"XWells", many', "line 3: XWells is 'many'"),
        ('"YWells", 16\r\n', "", "the line YWells is missing"),
        ('"WellsSelection1", TRUE', '"WellsSelection1", MAYBE', "WellsSelection1 needs 24 times TRUE or FALSE"),
        ('"HTSInfoFile"', '"Something"', "the line HTSInfoFile is missing"),
    ],
)
def test_a_broken_htd_names_file_and_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    folder = plate_of(tmp_path, ["TimePoint_1/P1_A01_w1.TIF"], wells=["A01"])
    data = (folder / "P1.HTD").read_bytes()
    assert old.encode() in data
    (folder / "P1.HTD").write_bytes(data.replace(old.encode(), new.encode(), 1))
    with pytest.raises(DataError, match=words):
        open_readout(folder)


def test_real_plate_with_one_site_and_one_wave() -> None:
    readout = open_readout(samples() / "9987_Plate_3420")
    image = readout.images[0]
    assert (readout.plate, readout.is_complete, readout.missing) == ("9987", True, ())
    assert (image.well, image.field, image.channel, image.pixel_size_um) == ("B02", 1, "DAPI", 1.3672)


def test_real_plate_with_z_steps_and_a_channel_that_was_never_written() -> None:
    readout = open_readout(samples() / "9987_Plate_3434")
    assert readout.channels == ("DAPI", "FITC", "Texas Red", "Cy5")
    assert len(readout.images) == 2 * 2 * 3
    assert {i.path.parent.name for i in readout.images} == {"ZStep_0"}
    assert {(m.well, m.field, m.channel) for m in readout.missing} == {
        (w, f, "Cy5") for w in ("B02", "B03") for f in (1, 2)
    }


def test_the_folder_above_a_plate_is_told_which_one_is_meant(tmp_path: Path) -> None:
    write_plate(tmp_path / "night" / "P1", {"A01": Scene(1)}, size=64)
    (tmp_path / "night" / "letters").mkdir()
    with pytest.raises(DataError, match=r"a folder in it is: P1 \(imagexpress\). Give that one"):
        open_readout(tmp_path / "night")
    with pytest.raises(DataError, match=r"a folder in it is: night/P1 \(imagexpress\)"):
        open_readout(tmp_path)
