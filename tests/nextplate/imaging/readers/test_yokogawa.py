"""CellVoyager plates: the mlf is believed, ERR records are told, the end of the mrf says when a plate is done."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nextplate.errors import DataError
from nextplate.imaging import MeasureParams, field_table, list_planes, measure, open_readout
from nextplate.readout import Missing
from tests.nextplate.imaging.vendor_plates import (
    sample,
    touch,
    write_yokogawa,
    yokogawa_name,
    yokogawa_record,
)

NAME = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
D08 = (4, 8)


def plate(folder: Path, records: list[str], **how: bool | str) -> Path:
    touch(folder, [yokogawa_name(D08, f, ch, z) for f in (1, 2) for ch in (1, 2) for z in (1, 2, 3)])
    return write_yokogawa(folder, records, **how)  # type: ignore[arg-type]


def both(field: int) -> list[str]:
    return [yokogawa_record(D08, field, ch) for ch in (1, 2)]


def test_real_plate_with_stacks() -> None:
    folder = sample("yokogawa-cv8000", "CV8000", f"{NAME}_20230918_135839")
    listing = list_planes(folder)
    assert (len(listing.planes), listing.channels, listing.plate) == (96, ("405", "488"), NAME)
    readout = open_readout(folder)
    assert readout.is_complete
    assert {i.well for i in readout.images} == {"D08", "E03", "F08"}
    assert {m.reason for m in readout.missing} == {"no-projection: step 3 of 4 is used"}
    first = field_table(open_readout(folder, z=1)).row(0, named=True)
    assert (first["x_um"], first["y_um"], first["z_um"], first["pixel_size_um"]) == (-567.1, 402.9, 0.0, 0.325)
    assert open_readout(folder, z="middle").missing == ()


def test_a_real_plate_of_zeros_is_flagged_and_not_measured() -> None:
    folder = sample("yokogawa-cv8000", "CV8000", f"{NAME}_20230918_135839")
    wells = measure(open_readout(folder, z="middle"), MeasureParams(dna="405", reporter="488")).wells
    assert wells["n_fields"].to_list() == [0, 0, 0]
    assert wells["n_cells"].sum() == 0
    assert wells["flags"].to_list() == ["all-zero"] * 3


def test_real_inner_folder_is_no_imagexpress_plate() -> None:
    # SC_BP525-50_20x v2_M01_CH02.tif, a shading image, is no well CH02.
    folder = sample("yokogawa-cv8000", "CV8000", f"{NAME}_20230918_135839", NAME)
    assert open_readout(folder).reader == "yokogawa"


def test_the_mlf_is_believed_on_channels_and_named_by_the_mes(tmp_path: Path) -> None:
    readout = open_readout(plate(tmp_path / "P8", both(1)))
    assert readout.channels == ("DAPI", "488")
    image = readout.images[0]
    assert (image.x_um, image.y_um, image.pixel_size_um, image.t) == (-10.5, 20.0, 0.65, 1)


def test_an_error_record_is_missing_with_its_reason(tmp_path: Path) -> None:
    records = [
        *both(1),
        yokogawa_record(D08, 2, 1, Type="ERR", text="Autofocus failed"),
        yokogawa_record((5, 3), 1, 1, Type="ERR", FieldIndex="-", Ch="-", text=""),
        yokogawa_record(D08, 1, 1, Type="ERR", Row="-", Column="-", text="Lamp off"),
    ]
    readout = open_readout(plate(tmp_path, records))
    assert [(m.well, m.field, m.channel, m.reason) for m in readout.missing] == [
        ("D08", 2, "DAPI", "microscope-error: Autofocus failed"),
        ("E03", None, None, "microscope-error: an ERR record without a text"),
    ]
    assert readout.notes == ("microscope-error: Lamp off",)


def test_a_projection_is_known_by_its_action(tmp_path: Path) -> None:
    records = [yokogawa_record(D08, 1, 1, z) for z in (1, 2)]
    records.append(yokogawa_record(D08, 1, 1, 3, Action="MIP"))
    image = open_readout(plate(tmp_path, records)).images[0]
    assert (image.z, image.path.name) == (0, yokogawa_name(D08, 1, 1, 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("../secret.tif", "leads out of the plate's folder"),
        ("P8_gone.tif", "no image file: P8_gone.tif"),
    ],
)
def test_names_of_the_mlf_are_checked(tmp_path: Path, text: str, words: str) -> None:
    readout = open_readout(plate(tmp_path, [*both(1), yokogawa_record(D08, 2, 1, text=text)]))
    assert words in next(m.reason for m in readout.missing if m.channel == "DAPI")


def test_settings_are_not_fetched_from_elsewhere(tmp_path: Path) -> None:
    folder = plate(tmp_path / "P8", both(1))
    (folder / "P8.mes").rename(tmp_path / "P8.mes")
    detail = folder / "MeasurementDetail.mrf"
    detail.write_bytes(detail.read_bytes().replace(b"P8.mes", b"../P8.mes"))
    assert open_readout(folder).channels == ("C01", "C02")


@pytest.mark.parametrize("sign", ["cut", "no end time", "unfinished file"])
def test_a_plate_being_written_is_known(tmp_path: Path, sign: str) -> None:
    end = "<bts:MeasurementRec" if sign == "cut" else "</bts:MeasurementData>"
    folder = plate(tmp_path, both(1), end=end, ended=sign != "no end time")
    if sign == "unfinished file":
        touch(folder, ["P8_D08_T0001F002L01A01Z01C01.tif.tmp"])
    readout = open_readout(folder)
    assert not readout.is_complete
    assert readout.images == ()
    assert [m.reason.partition(":")[0] for m in readout.missing] == ["being-written"]


def test_channels_missing_in_one_field_are_told(tmp_path: Path) -> None:
    readout = open_readout(plate(tmp_path, [*both(1), yokogawa_record(D08, 2, 1)]))
    assert readout.missing == (Missing("D08", 2, "488", "no image of this channel"),)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda x: x.replace('bts:Row="4"', 'bts:Row="x"'), "Row 'x'"),
        (lambda x: x.replace('bts:Row="4"', 'bts:Row="99"'), "row 99, column 8 is on no plate"),
        (lambda x: x.replace('bts:X="-10.5"', 'bts:X="left"'), "X 'left', a number is needed"),
        (lambda x: x.replace("\n", '\n<!DOCTYPE a [<!ENTITY b "c">]>', 1), "document type or entity"),
        (lambda x: x.replace("utf-8", "klingon"), "not readable XML"),
    ],
)
def test_a_broken_mlf_is_one_clear_error(tmp_path: Path, edit: Callable[[str], str], words: str) -> None:
    path = plate(tmp_path, both(1)) / "MeasurementData.mlf"
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=words) as caught:
        open_readout(tmp_path)
    assert "MeasurementData.mlf" in str(caught.value)
