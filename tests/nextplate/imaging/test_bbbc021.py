"""A copy of BBBC021: tables that are right become readouts; what is wrong is named by file, line, plate and well."""

from pathlib import Path

import polars as pl
import pytest

from nextplate.errors import DataError
from nextplate.imaging.bbbc021 import read_bbbc021
from tests.nextplate.imaging.fake_bbbc021 import Copy, write_copy

IMAGE, COMPOUND, MOA = (f"BBBC021_v1_{t}.csv" for t in ("image", "compound", "moa"))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return write_copy(tmp_path / "bbbc021", n_fields=2, has_pixels=False)


def change(copy: Copy, table: str, old: str, new: str, count: int = 1) -> None:
    path = copy.folder / table
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_tables_become_readouts_and_a_table_of_wells(copy: Copy):
    found = read_bbbc021(copy.folder)
    assert found.notes == ("1 compounds of BBBC021_v1_image.csv are not in BBBC021_v1_compound.csv: unannotated",)
    assert tuple(r.plate for r in found.readouts) == copy.plates
    first = found.readouts[0]
    assert (first.reader, first.channels, first.is_complete) == ("bbbc021", ("DAPI", "Tubulin", "Actin"), True)
    assert len(first.images) == 10 * 2 * 3  # the well that is neither DMSO nor annotated is left out
    one = first.images[0]
    assert (one.well, one.field, one.channel) == ("B02", 1, "DAPI")
    assert {i.channel: i.path.name.split("_w")[1][0] for i in first.images} == {
        "DAPI": "1",
        "Tubulin": "2",
        "Actin": "4",
    }
    assert {i.field for i in first.images} == {1, 2}
    assert len(found.wells) == copy.n_wells
    row = found.wells.row(by_predicate=(pl.col("plate") == copy.plates[2]) & (pl.col("well") == "D03"), named=True)
    assert row == {
        "plate": "Week2_22140", "well": "D03", "batch": "Week2", "compound": "dna-1", "concentration_um": 10.0,
        "moa": "DNA damage", "is_control": False, "replicate": "1", "n_fields": 2, "smiles": "C" * 5,
    }  # fmt: skip
    assert found.wells.filter("is_control")["moa"].unique().to_list() == [""]
    assert len(found.treatments) == 18


def test_all_wells_are_read_when_asked(copy: Copy):
    assert len(read_bbbc021(copy.folder, has_all_wells=True).readouts[0].images) == 11 * 2 * 3


@pytest.mark.parametrize(
    "where", ["Week1_22120", "images/Week1/Week1_22120", "BBBC021_v1_images_Week1_22120/Week1_22120"]
)
def test_plates_are_found_where_the_archives_unpack(copy: Copy, where: str):
    target = copy.folder / where
    target.parent.mkdir(parents=True, exist_ok=True)
    (copy.folder / "Week1" / "Week1_22120").rename(target)
    assert read_bbbc021(copy.folder).absent_plates == ()


def test_part_of_the_plates_is_read_and_told(copy: Copy):
    for plate in copy.plates[4:]:
        (copy.folder / "Week3" / plate).rename(copy.folder / f"elsewhere-{plate}")
    found = read_bbbc021(copy.folder)
    assert found.absent_plates == copy.plates[4:]
    assert len(found.readouts) == 4
    assert found.notes[0] == "2 of 6 plates have no folder here: Week3_22160, Week3_22161"
    assert "6 of 18 annotated treatments have no image here: actin-2 @ 1 (line 6)" in found.notes[1]


def test_a_missing_file_a_field_twice_and_a_treatment_without_images_are_told(copy: Copy):
    path = read_bbbc021(copy.folder).readouts[0].images[4].path
    path.unlink()
    change(copy, MOA, "DMSO,0.0,DMSO", "ghost,3.0,Eg5 inhibitors")
    lines = (copy.folder / IMAGE).read_text().splitlines()
    (copy.folder / IMAGE).write_text("\n".join([*lines, lines[1]]) + "\n")
    found = read_bbbc021(copy.folder)
    first = found.readouts[0]
    assert not first.is_complete
    reasons = {(m.well, m.field, m.channel): m.reason for m in first.missing}
    assert (
        reasons["B02", 2, "Tubulin"]
        == f"no image file: {path.name} is in the index and not on the disk ({IMAGE}, line 3)"
    )
    assert reasons["B02", 1, None].startswith("duplicate-image: lines 2 and 134")
    assert any(
        "1 treatments of BBBC021_v1_moa.csv are on no line" in n and "ghost @ 3 (line 20)" in n for n in found.notes
    )
    assert any(
        n.startswith("2 images of 6 plates are missing") and "plate Week1_22120, well B02" in n for n in found.notes
    )


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        (IMAGE, "Image_FileName_Actin", "Image_Actin", r"image.csv, line 1: column Image_FileName_Actin missing"),
        (IMAGE, ",B02,1,DMSO,0.0", ",B99x,1,DMSO,0.0", r"image.csv, line 2: plate Week1_22120: 'B99x' is not a well"),
        (IMAGE, ",DMSO,0.0", ",DMSO,none", r"image.csv, line 2: concentration 'none'"),
        (IMAGE, ",DMSO,0.0", ",DMSO,-1", r"image.csv, line 2: concentration '-1'"),
        (IMAGE, ",DMSO,0.0", ",taxol,0.3", r"line 3: plate Week1_22120, well B02 holds DMSO @ 0, on line 2 taxol"),
        (IMAGE, ",DMSO,0.0", ",,0.0", r"line 2: plate 'Week1_22120' and compound ''"),
        (IMAGE, ",DMSO,0.0", ",DMSO,0.0,7", r"line 2: 14 values, the header has 13"),
        (IMAGE, "Week1/Week1_22120,Week1_22120", "x/22120,22120", r"line 2: neither the path"),
        (MOA, "actin-0,1.0,", "actin-0,1.0 uM,", r"moa.csv, line 2: concentration '1.0 uM'"),
        (MOA, "actin-0,10.0,Actin", "actin-0,1,Other", r"moa.csv, line 3: actin-0 @ 1 is 'Other disruptors' and, on"),
        (MOA, "1.0,Actin disruptors", "1.0,", r"moa.csv, line 2: compound 'actin-0' has the moa ''"),
        (IMAGE, ",Week1_22120,B02", ",../Week1,B02", r"line 2: plate '../Week1': a plate name holds no"),
        (COMPOUND, "actin-1,CC", "actin-0,CC", r"compound.csv, line 3: actin-0 has another structure on line 2"),
        (COMPOUND, "smiles", "structure", r"compound.csv, line 1: column smiles missing"),
    ],
)  # fmt: skip
def test_wrong_tables_are_named(copy: Copy, table: str, old: str, new: str, words: str):
    if old.startswith("Week1/"):
        text = (copy.folder / table).read_text().splitlines()
        text[1] = text[1].replace("Week1/Week1_22120", "x/22120").replace(",Week1_22120,", ",22120,")
        (copy.folder / table).write_text("\n".join(text))
    else:
        change(copy, table, old, new)
    with pytest.raises(DataError, match=words):
        read_bbbc021(copy.folder)


def test_missing_tables_and_folders_are_named(copy: Copy, tmp_path: Path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        read_bbbc021(tmp_path / "nowhere")
    (copy.folder / MOA).rename(copy.folder / "moa.csv")
    with pytest.raises(DataError, match=r"BBBC021_v1_moa.csv is not there"):
        read_bbbc021(copy.folder)
    (copy.folder / "moa.csv").rename(copy.folder / MOA)
    for week in (1, 2, 3):
        (copy.folder / f"Week{week}").rename(copy.folder / f"W{week}")
    with pytest.raises(DataError, match="none of the 6 plate folders"):
        read_bbbc021(copy.folder)


@pytest.mark.parametrize("name", ["../../secret.tif", "/etc/passwd", "..\\x.tif"])
def test_names_that_leave_the_folder_are_refused(copy: Copy, name: str):
    held = read_bbbc021(copy.folder).readouts[0].images[0].path.name
    change(copy, IMAGE, held, name)
    missing = read_bbbc021(copy.folder).readouts[0].missing
    assert len(missing) == 1
    assert missing[0].reason.startswith("unreadable: the name")


def test_a_plate_path_that_leaves_the_folder_is_not_followed(copy: Copy, tmp_path: Path):
    (copy.folder / "Week1" / "Week1_22120").rename(tmp_path / "Week1_22120")
    change(copy, IMAGE, "Week1/Week1_22120", "Week1/../../Week1_22120", count=-1)
    assert read_bbbc021(copy.folder).absent_plates == ("Week1_22120",)
