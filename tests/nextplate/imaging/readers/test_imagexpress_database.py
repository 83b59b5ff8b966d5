"""The database layout of MetaXpress: <name>/<date>/<number>, GUIDs in the names, no .HTD."""

from pathlib import Path

import pytest

from nextplate.errors import DataError
from nextplate.imaging import list_planes, open_readout
from tests.nextplate.imaging.vendor_plates import sample, touch

GUID = "1D5F8F51-0A1B-4C2D-8E3F-0123456789AB"
OTHER = "2D5F8F51-0A1B-4C2D-8E3F-0123456789AB"


def test_a_plate_is_found_below_its_date(tmp_path: Path) -> None:
    names = [f"2023-02-21/1334/P_E07_s1_w1{GUID}.tif", f"2023-02-21/1334/P_E07_s1_w1_thumb{OTHER}.tif"]
    for folder in (tmp_path, tmp_path / "2023-02-21" / "1334"):
        readout = open_readout(touch(tmp_path, names) if folder == tmp_path else folder)
        assert (readout.reader, readout.plate, len(readout.images)) == ("imagexpress", "P", 1)


def test_several_plates_ask_which(tmp_path: Path) -> None:
    touch(tmp_path, [f"2023-02-21/{n}/P_E07_s1_w1{GUID}.tif" for n in (1334, 1335)])
    with pytest.raises(DataError, match=r"holds 2 plates \(1334, 1335\)"):
        open_readout(tmp_path)
    assert open_readout(tmp_path, plate="1335").images[0].path.parent.name == "1335"


def test_a_projection_lies_beside_its_steps(tmp_path: Path) -> None:
    names = [f"P_E07_s1_w1{GUID}.tif", *(f"ZStep_{z}/P_E07_s1_w1{OTHER}.tif" for z in (1, 2))]
    folder = touch(tmp_path / "2023-02-21" / "1334", names)
    assert [i.z for i in open_readout(folder).images] == [0]
    assert [i.z for i in open_readout(folder, z=2).images] == [2]


def test_a_channel_projected_and_one_in_steps_only(tmp_path: Path) -> None:
    names = [f"P_E07_w1{GUID}.tif", *(f"ZStep_{z}/P_E07_w2{GUID}.tif" for z in (1, 2, 3))]
    readout = open_readout(touch(tmp_path, names))
    assert [(i.channel, i.z) for i in readout.images] == [("w1", 0), ("w2", 2)]
    assert [m.reason for m in readout.missing] == ["no-projection: step 2 of 3 is used"]


@pytest.mark.parametrize(
    ("name", "planes", "times"),
    [("1well-3C-2S-Zmix-T", 12, {1, 2}), ("Projection-Mix", None, {None}), ("SingleChannel", None, {None})],
)
def test_real_database_plates(name: str, planes: int | None, times: set[int | None]) -> None:
    listing = list_planes(sample("imagexpress", name))
    assert listing.plate == ("Projection-Mix" if name == "SingleChannel" else name)
    assert {p.t for p in listing.planes} == times
    assert planes is None or len(listing.planes) == planes
    assert len({(p.well, p.field, p.channel, p.z, p.t) for p in listing.planes}) == len(listing.planes)


def test_real_time_series() -> None:
    folder = sample("imagexpress", "9987_Plate_3435")
    assert {i.path.parent.name for i in open_readout(folder, t=2).images} == {"TimePoint_2"}
