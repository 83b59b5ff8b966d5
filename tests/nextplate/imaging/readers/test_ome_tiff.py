"""OME-TIFF: planes as TiffData says, wells from the Plate or the name, every page readable."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.imaging import list_planes, open_readout, read_image
from nextplate.imaging.readers.ome_xml import read_ome
from tests.nextplate.imaging.vendor_plates import ome_xml, sample, write_tiff

PIXELS = (
    '<Pixels ID="P" DimensionOrder="{order}" Type="uint16" SizeX="5" SizeY="4" SizeZ="2" SizeC="2" SizeT="1" '
    'PhysicalSizeX="500" PhysicalSizeXUnit="nm"><Channel Name="DNA"/><Channel Name="GFP"/>{data}</Pixels>'
)
PLATE = (
    '<Plate ID="Plate:0" Name="P9"><Well Row="31" Column="47"><WellSample><ImageRef ID="Image:0"/></WellSample>'
    "</Well></Plate>"
)


def image(data: str = "", order: str = "XYZCT", name: str = "x") -> str:
    return f'<Image ID="Image:0" Name="{name}">{PIXELS.format(order=order, data=data)}</Image>'


@pytest.mark.parametrize(
    ("file", "sizes", "size_um"),
    [
        ("c3_z33.companion.ome", (33, 3, 1), 0.0649555549),
        ("20241003_experiment_488_7_640_3_1.companion.ome", (1, 2, 5), 0.16),
    ],
)
def test_real_companion_files_name_every_plane_once(file: str, sizes: tuple[int, int, int], size_um: float) -> None:
    path = sample("yokogawa-cv8000", "ome-tiff", file)
    (only,) = read_ome(path.read_bytes(), file).images
    assert (only.sizes, only.pixel_size_um) == (sizes, pytest.approx(size_um))
    places = {(p.z, p.c, p.t) for p in only.planes}
    assert len(places) == len(only.planes) == sizes[0] * sizes[1] * sizes[2]
    # Every channel has its own file, whose pages run over z and t.
    assert {(p.c, p.file) for p in only.planes}.__len__() == sizes[1]
    assert all(p.page == p.z + p.t for p in only.planes)
    assert all(p.x_um is not None for p in only.planes)


def test_a_real_companion_without_a_well_says_so(tmp_path: Path) -> None:
    path = sample("yokogawa-cv8000", "ome-tiff", "c3_z33.companion.ome")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="belongs to no well"):
        open_readout(tmp_path)


@pytest.mark.parametrize(
    ("order", "data", "expected"),
    [
        ("XYZCT", "", [(0, 0, 0), (1, 0, 1), (0, 1, 2), (1, 1, 3)]),
        ("XYCZT", "", [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]),
        ("XYZCT", "<TiffData/>", [(0, 0, 0), (1, 0, 1), (0, 1, 2), (1, 1, 3)]),
        ("XYZCT", '<TiffData IFD="7"/>', [(0, 0, 7)]),
        ("XYZCT", '<TiffData FirstC="1" IFD="3" PlaneCount="2"/>', [(0, 1, 3), (1, 1, 4)]),
        ("XYZCT", '<TiffData FirstC="1" PlaneCount="9"/>', [(0, 1, 0), (1, 1, 1)]),
    ],
)
def test_planes_follow_as_the_schema_says(order: str, data: str, expected: list[tuple[int, int, int]]) -> None:
    (only,) = read_ome(ome_xml(image(data, order)), "here").images
    assert [(p.z, p.c, p.page) for p in only.planes] == expected


def test_one_file_per_well_is_read_page_by_page(tmp_path: Path) -> None:
    stack = np.arange(2 * 2 * 4 * 5, dtype=np.uint16).reshape(2, 2, 4, 5)
    meta = {"axes": "CZYX", "Channel": {"Name": ["DNA", "GFP"]}, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(tmp_path / "P1_B07_s3.ome.tif", stack, metadata=meta)
    readout = open_readout(tmp_path, z=2)
    assert [(i.well, i.field, i.channel, i.z, i.page) for i in readout.images] == [
        ("B07", 3, "DNA", 2, 1),
        ("B07", 3, "GFP", 2, 3),
    ]
    assert readout.images[0].pixel_size_um == 0.5
    assert np.array_equal(read_image(readout.images[1]), stack[1, 1])
    highest = open_readout(tmp_path, z="max").images[0]
    assert (highest.z, np.array_equal(read_image(highest), stack[0].max(axis=0))) == (0, True)


def test_a_companion_places_its_files_on_the_plate(tmp_path: Path) -> None:
    data = "".join(
        f'<TiffData FirstC="{c}" PlaneCount="2"><UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>'
        for c in (0, 1)
    )
    (tmp_path / "set.companion.ome").write_bytes(ome_xml(image(data), PLATE))
    pointer = ome_xml("", extra='<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:9"/>').decode()
    tifffile.imwrite(tmp_path / "c0.ome.tif", np.ones((2, 4, 5), np.uint16), description=pointer, metadata=None)
    readout = open_readout(tmp_path)
    assert (readout.plate, readout.channels) == ("P9", ("DNA", "GFP"))
    assert [(i.well, i.channel, i.path.name) for i in readout.images] == [("AF48", "DNA", "c0.ome.tif")]
    assert readout.missing[-1].reason == "no image file: c1.ome.tif is in the index and not on the disk"


def test_a_set_whose_files_all_carry_the_xml_is_listed_once(tmp_path: Path) -> None:
    data = "".join(
        f'<TiffData FirstC="{c}" PlaneCount="2"><UUID FileName="A01_c{c}.ome.tif">u</UUID></TiffData>' for c in (0, 1)
    )
    for c in (0, 1):
        text = ome_xml(image(data)).decode()
        pixels = np.ones((2, 4, 5), np.uint16)
        tifffile.imwrite(tmp_path / f"A01_c{c}.ome.tif", pixels, description=text, metadata=None)
    assert len(list_planes(tmp_path).planes) == 4


def test_a_damaged_file_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "A01.ome.tif", np.ones((4, 5), np.uint16))
    (tmp_path / "A02.ome.tif").write_bytes(b"")
    (tmp_path / "overview.ome.tif").write_bytes(b"II*")
    text = ome_xml("", extra='<BinaryOnly MetadataFile="gone.companion.ome" UUID="urn:uuid:9"/>').decode()
    tifffile.imwrite(tmp_path / "A03_s1.ome.tif", np.ones((4, 5), np.uint16), description=text, metadata=None)
    tifffile.imwrite(tmp_path / "A04.ome.tif", np.ones((4, 5), np.uint16), description="no XML", metadata=None)
    readout = open_readout(tmp_path)
    assert [i.well for i in readout.images] == ["A01"]
    assert readout.missing[-1].well == "A04"
    assert readout.missing[-1].reason.startswith("unreadable: A04.ome.tif: not readable XML")
    assert [(m.well, m.field, m.reason) for m in readout.missing[:-1]] == [
        ("A02", None, "unreadable: A02.ome.tif: the file is empty (0 bytes)"),
        ("A03", 1, "unreadable: A03_s1.ome.tif: is described by gone.companion.ome, which is not there"),
    ]
    assert readout.notes[0].startswith("unreadable: overview.ome.tif: not a readable TIFF")


@pytest.mark.parametrize(
    ("name", "expected"), [("P1_A01", "A01"), ("A1", "A01"), ("x-AF48-s2", "AF48"), ("A01_B02", None), ("P1_Q9", None)]
)
def test_a_name_gives_one_well_or_an_error(tmp_path: Path, name: str, expected: str | None) -> None:
    tifffile.imwrite(tmp_path / f"{name}.ome.tif", np.ones((4, 5), np.uint16))
    if expected is None:
        with pytest.raises(DataError, match="could mean the wells"):
            open_readout(tmp_path)
    else:
        assert open_readout(tmp_path).images[0].well == expected


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda x: x.replace(b'SizeZ="2"', b'SizeZ="two"'), "SizeZ is 'two'"),
        (lambda x: x.replace(b'SizeZ="2"', b'SizeZ="99999999"'), "claims 199999998 planes"),
        (lambda x: x.replace(b"XYZCT", b"XYZQT"), "DimensionOrder is 'XYZQT'"),
        (lambda x: x.replace(b"<Pixels", b"<Other").replace(b"</Pixels", b"</Other"), "has no Pixels"),
        (lambda x: x.replace(b'SizeX="500"', b'SizeX="wide"'), "PhysicalSizeX is 'wide'"),
        (lambda x: x.replace(b"?>", b'?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>', 1), "document type"),
    ],
)
def test_broken_ome_xml_is_one_clear_error(tmp_path: Path, edit: Callable[[bytes], bytes], words: str) -> None:
    (tmp_path / "A01.companion.ome").write_bytes(edit(ome_xml(image())))
    with pytest.raises(DataError, match=words) as caught:
        open_readout(tmp_path)
    assert "A01.companion.ome" in str(caught.value)


def test_a_file_name_of_the_xml_may_not_escape(tmp_path: Path) -> None:
    write_tiff(tmp_path / "secret.ome.tif")
    data = '<TiffData><UUID FileName="../secret.ome.tif">u</UUID></TiffData>'
    folder = tmp_path / "plate"
    folder.mkdir()
    (folder / "A01.companion.ome").write_bytes(ome_xml(image(data)))
    readout = open_readout(folder)
    assert readout.images == ()
    assert "leads out of the plate's folder" in readout.missing[0].reason
