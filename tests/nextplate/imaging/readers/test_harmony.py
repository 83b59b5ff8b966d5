"""Harmony indexes: pe2loaddata's own expected table, and what versions, scanners and copies do to an index."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from nextplate.errors import DataError
from nextplate.imaging import field_table, list_planes, open_readout
from nextplate.imaging.readers.assay_layout import read_assay_layout
from nextplate.imaging.readers.harmony_index import HarmonyImage, read_index
from nextplate.readout import Missing
from tests.nextplate.imaging.vendor_plates import (
    HARMONY_V5,
    HARMONY_V7,
    harmony_image,
    harmony_index,
    sample,
    touch,
    write_harmony,
)

CHANNELS = {1: "Alexa 488", 2: "HOECHST 33342"}
FIELD = [harmony_image(1, 1, 1, ch) for ch in CHANNELS]


def config_of(path: Path) -> dict[str, dict[str, str]]:
    """Read the two-level configuration of pe2loaddata."""
    config: dict[str, dict[str, str]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(" "):
            section = line.rstrip(": ")
        elif line.strip():
            key, _, value = line.strip().rpartition(": ")
            config.setdefault(section, {})[key] = value
    return config


def load_data_table(folder: Path, config: dict[str, dict[str, str]], path_name: str) -> list[dict[str, str]]:
    """Write the columns of pe2loaddata's LoadData CSV from our index: what all channels share stands once."""
    index = read_index(next((folder / "images").glob("Index*.xml")))
    labels = config["channels"]
    groups: dict[tuple[str, int], dict[str, HarmonyImage]] = {}
    for image in index.images:
        name = image.get("ChannelName")
        if name in labels:
            groups.setdefault((image.well(index.path), image.whole("FieldID", index.path)), {})[name] = image
    rows = []
    for (well, field), images in groups.items():
        row: dict[str, str] = {}
        for channel in sorted(labels, key=lambda c: c.replace(" ", "")):
            row[f"FileName_{labels[channel]}"] = images[channel].get("URL") or ""
            row[f"PathName_{labels[channel]}"] = path_name
        row |= {"Metadata_Plate": index.plate, "Metadata_Well": well, "Metadata_Site": str(field)}
        for key in sorted(config["metadata"]):
            values = {channel: images[channel].get(key) or "" for channel in labels}
            if len(set(values.values())) == 1:
                row[f"Metadata_{key}"] = next(iter(values.values()))
            else:
                row |= {f"Metadata_{key}_{labels[channel]}": value for channel, value in values.items()}
        rows.append(row)
    return rows


@pytest.mark.parametrize("version", [1, 5, 7])
def test_the_table_is_the_one_that_pe2loaddata_expects(version: int) -> None:
    folder = sample("opera-phenix", f"Version{version}")
    with (folder / f"load_data_version{version}.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    config = config_of(folder / f"config_v{version}.yml")
    ours = load_data_table(folder, config, f"tests/data/Version{version}/images/")
    assert [list(row) for row in ours] == [list(row) for row in expected]
    assert ours == expected


def test_real_plate_with_six_channels() -> None:
    folder = sample("opera-phenix", "Version1")
    readout = open_readout(folder)
    assert (readout.reader, readout.plate, readout.is_complete, readout.missing) == ("harmony", "BR00121482", True, ())
    table = field_table(readout)
    assert table["channel"].to_list() == [
        "Alexa 647",
        "Alexa 568",
        "488 long",
        "Alexa 488",
        "HOECHST 33342",
        "Brightfield",
    ]
    assert table["pixel_size_um"].to_list() == pytest.approx([0.5979760809567617] * 6)
    assert table["z_um"].to_list() == pytest.approx([-5, -3, -3, -4, -4, 0])
    assert open_readout(folder / "images").images == readout.images


@pytest.mark.parametrize("namespace", [HARMONY_V5, HARMONY_V7, "some/HarmonyV9"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_any_namespace_is_read_by_local_names(tmp_path: Path, namespace: str, encoding: str) -> None:
    folder = write_harmony(tmp_path, FIELD, CHANNELS, namespace=namespace, encoding=encoding)
    readout = open_readout(folder)
    assert (readout.plate, readout.channels) == ("P7", ("Alexa 488", "HOECHST 33342"))
    row = field_table(readout).row(0, named=True)
    assert (row["well"], row["path"]) == ("A01", "Images/r01c01f01p01-ch1sk1fk1fl1.tiff")
    assert (row["x_um"], row["y_um"], row["pixel_size_um"]) == pytest.approx((10.0, -20.0, 0.25))


def test_the_image_overrules_the_map_of_its_channel(tmp_path: Path) -> None:
    images = [harmony_image(1, 1, 1, 1, ImageResolutionX="5E-07"), harmony_image(1, 1, 1, 2)]
    readout = open_readout(write_harmony(tmp_path, images, CHANNELS))
    assert [i.pixel_size_um for i in readout.images] == pytest.approx([0.5, 0.25])


def test_two_channels_of_one_name_stay_apart(tmp_path: Path) -> None:
    readout = open_readout(write_harmony(tmp_path, FIELD, {1: "Brightfield", 2: "Brightfield"}))
    assert readout.channels == ("Brightfield", "Brightfield (ch2)")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("../../etc/passwd", "leads out of the plate's folder"),
        ("/etc/passwd", "leads out of the plate's folder"),
        ("C:\\secret.tiff", "leads out of the plate's folder"),
        ("..\\secret.tiff", "leads out of the plate's folder"),
        ("", "leads out of the plate's folder"),
    ],
)
def test_a_name_that_escapes_the_folder_is_refused(tmp_path: Path, url: str, words: str) -> None:
    images = [FIELD[0], harmony_image(1, 1, 1, 2, URL=url)]
    folder = write_harmony(tmp_path / "P7", [i for i in images if i["URL"]], CHANNELS)
    (folder / "Images" / "Index.xml").write_bytes(harmony_index(images, CHANNELS, wells=[(1, 1)]))
    readout = open_readout(folder)
    assert [i.channel for i in readout.images] == ["Alexa 488"]
    assert [(m.well, m.channel) for m in readout.missing] == [("A01", "HOECHST 33342")]
    assert words in readout.missing[0].reason


def test_a_link_that_escapes_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    folder = write_harmony(tmp_path / "P7", FIELD, CHANNELS)
    target = folder / "Images" / FIELD[0]["URL"]
    target.unlink()
    target.symlink_to(tmp_path / "secret")
    assert "a link out of the plate's folder" in open_readout(folder).missing[0].reason


def test_what_the_index_says_went_wrong_is_told(tmp_path: Path) -> None:
    images = [*FIELD, harmony_image(1, 2, 1, 1, State="Failed"), harmony_image(1, 2, 1, 2)]
    folder = write_harmony(tmp_path, images, CHANNELS)
    (folder / "Images" / images[3]["URL"]).unlink()
    reasons = {m.channel: m.reason for m in open_readout(folder).missing}
    assert reasons["Alexa 488"] == "microscope-error: the index gives the state 'Failed'"
    assert reasons["HOECHST 33342"].startswith("no image file: r01c02f01p01-ch2sk1fk1fl1.tiff is in the index")


def test_a_well_of_the_index_without_images_is_missing(tmp_path: Path) -> None:
    folder = write_harmony(tmp_path, FIELD, CHANNELS)
    (folder / "Images" / "Index.xml").write_bytes(harmony_index(FIELD, CHANNELS, wells=[(1, 1), (16, 24)]))
    assert open_readout(folder).missing == (Missing("P24", None, None, "no image of this well"),)


def test_two_images_for_one_place_are_told(tmp_path: Path) -> None:
    images = [*FIELD, harmony_image(1, 1, 1, 1, URL="r01c01f01p01-ch1sk1fk1fl2.tiff")]
    readout = open_readout(write_harmony(tmp_path, images, CHANNELS))
    assert len(readout.images) == 2
    assert readout.missing[0].reason.startswith("duplicate-image: r01c01f01p01-ch1sk1fk1fl1.tiff is used, not")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda x: x.replace(b"<Row>1</Row>", b"<Row>one</Row>"), "row 'one'"),
        (lambda x: x.replace(b"<FieldID>1</FieldID>", b""), "FieldID is None, a whole number is needed"),
        (lambda x: x.replace(b"<PositionX>1E-05<", b"<PositionX>left<"), "PositionX is 'left', a number is needed"),
        (lambda x: x.replace(b"<Plates>", b"<Plates><Plate><Name>Q</Name></Plate>"), "holds 2 plates"),
        (lambda x: x.replace(b"<Images>", b"<Images></Wrong>"), "not readable XML"),
        (lambda x: x.replace(b"Alexa 488", b"Alexa \xb5"), "is the encoding what its first line says"),
        (
            lambda x: x.replace(b"?>", b'?><!DOCTYPE E [<!ENTITY a "b">]>', 1).replace(b"Alexa 488", b"&a;"),
            "document type or entity",
        ),
    ],
)
def test_an_index_that_cannot_be_trusted_is_one_clear_error(
    tmp_path: Path, edit: Callable[[bytes], bytes], words: str
) -> None:
    path = write_harmony(tmp_path, FIELD, CHANNELS) / "Images" / "Index.xml"
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(DataError, match=words) as caught:
        open_readout(tmp_path)
    assert "Index.xml" in str(caught.value)


def test_two_indexes_are_not_guessed_between(tmp_path: Path) -> None:
    folder = write_harmony(tmp_path, FIELD, CHANNELS)
    (folder / "Images" / "Index.idx.xml").write_bytes(harmony_index(FIELD, CHANNELS))
    with pytest.raises(DataError, match=r"Index\.idx\.xml and Index\.xml"):
        open_readout(folder)


def test_a_cut_index_gives_the_wells_that_are_whole(tmp_path: Path) -> None:
    images = [harmony_image(1, col, 1, ch) for col in (1, 2, 3) for ch in CHANNELS]
    folder = write_harmony(tmp_path, images, CHANNELS)
    path = folder / "Images" / "Index.xml"
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"<Image>") + 20])
    for n, image in enumerate(images):
        os.utime(folder / "Images" / image["URL"], (1_000 + n, 1_000 + n))
    readout = open_readout(folder)
    assert not readout.is_complete
    assert {i.well for i in readout.images} == {"A01", "A02"}
    assert ("A03", "being-written: 1 of 2 images are there") in {(m.well, m.reason) for m in readout.missing}


def test_images_without_an_index_are_a_plate_being_written(tmp_path: Path) -> None:
    touch(tmp_path / "Images", [harmony_image(32, 48, f, 1)["URL"] for f in (1, 2)])
    listing = list_planes(tmp_path)
    assert (listing.is_writing, listing.channels) == (True, ("ch1",))
    assert [(p.well, p.field) for p in listing.planes] == [("AF48", 1), ("AF48", 2)]


def test_an_assay_layout_becomes_a_table(tmp_path: Path) -> None:
    path = tmp_path / "layout.xml"
    path.write_text(
        '<AssayLayout xmlns="x/HarmonyV5"><PlateCols>24</PlateCols><PlateRows>16</PlateRows><Layer>'
        "<Name>Compound</Name><ValueType>String</ValueType>"
        "<Well><Row>2</Row><Col>1</Col><Value>DMSO</Value></Well>"
        "<Well><Row>1</Row><Col>2</Col><Value>C-7</Value></Well></Layer></AssayLayout>",
        encoding="utf-8-sig",
    )
    assert read_assay_layout(path).equals(
        pl.DataFrame(
            {
                "well": ["A02", "B01"],
                "layer": ["Compound"] * 2,
                "value_type": ["String"] * 2,
                "value": ["C-7", "DMSO"],
            }
        )
    )
