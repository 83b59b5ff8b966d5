"""Stacks, time series, plates being written and the largest plate: one rule for every microscope."""

import os
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tifffile

from nextplate.errors import DataError
from nextplate.imaging import (
    MeasureParams,
    field_table,
    list_planes,
    measure,
    missing_table,
    open_readout,
    plane_table,
    read_image,
    with_positions,
)
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.pixels import UnreadableImage
from nextplate.imaging.selection import Selection, ZChoice, to_readout
from nextplate.plate import PLATE_1536
from nextplate.readout import Missing
from tests.nextplate.imaging.fake_plate import Scene, draw, write_htd
from tests.nextplate.imaging.vendor_plates import sample, touch, write_tiff

STEPS = [f"TimePoint_1/ZStep_{z}/P1_A01_w1.TIF" for z in (1, 2, 3)]
MIDDLE = "no-projection: step 2 of 3 is used"


def listing(folder: Path, planes: list[Plane], **how: object) -> Listing:
    channels = tuple(dict.fromkeys(p.channel for p in planes))
    return Listing("test", "P1", channels, tuple(planes), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("z", "has_projection", "expected", "reasons"),
    [
        ("projection", True, 0, []),
        ("projection", False, 2, [MIDDLE]),
        ("middle", True, 2, []),
        ("middle", False, 2, []),
        (3, True, 3, []),
        (0, True, 0, []),
    ],
)
def test_a_step_is_chosen(tmp_path: Path, z: ZChoice, has_projection: bool, expected: int, reasons: list[str]) -> None:
    extra = ["TimePoint_1/ZStep_0/P1_A01_w1.TIF"] if has_projection else []
    readout = open_readout(touch(tmp_path, STEPS + extra), z=z)
    assert [i.z for i in readout.images] == [expected]
    assert [m.reason for m in readout.missing] == reasons


def test_the_maximum_over_a_stack_is_taken_on_reading(tmp_path: Path) -> None:
    for n, name in enumerate(STEPS):
        write_tiff(tmp_path / name, n + 1)
    image = open_readout(tmp_path, z="max").images[0]
    assert (image.z, len(image.stack)) == (0, 3)
    assert read_image(image).tolist() == np.full((4, 5), 3).tolist()
    write_tiff(tmp_path / STEPS[2], 9, (7, 7))
    with pytest.raises(UnreadableImage, match="the steps before are not"):
        read_image(image)


def test_a_maximum_over_one_image_is_that_image(tmp_path: Path) -> None:
    image = open_readout(touch(tmp_path, ["P1_A01_w1.TIF"]), z="max").images[0]
    assert (image.z, image.stack) == (None, ())


@pytest.mark.parametrize(
    ("z", "words"), [(7, "has no z-step 7; it has 1, 2, 3"), ("best", "z is 'best'; write 'projection'")]
)
def test_a_step_that_is_nowhere_is_one_clear_error(tmp_path: Path, z: ZChoice, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_readout(touch(tmp_path, STEPS), z=z)


def test_a_step_that_one_well_lacks_is_missing_there(tmp_path: Path) -> None:
    readout = open_readout(touch(tmp_path, [*STEPS, "TimePoint_1/ZStep_1/P1_A02_w1.TIF"]), z=2)
    assert [i.well for i in readout.images] == ["A01"]
    assert readout.missing == (Missing("A02", 1, "w1", "no z-step 2: steps 1 are there"),)


def test_a_time_point_is_chosen(tmp_path: Path) -> None:
    names = ["TimePoint_1/P1_A01_w1.TIF", "TimePoint_2/P1_A01_w1.TIF", "TimePoint_2/P1_A02_w1.TIF"]
    folder = touch(tmp_path, names)
    assert [(i.well, i.t) for i in open_readout(folder).images] == [("A01", 1)]
    assert [(i.well, i.t) for i in open_readout(folder, t=2).images] == [("A01", 2), ("A02", 2)]
    with pytest.raises(DataError, match="no time point 3; it has time points 1 to 2"):
        open_readout(folder, t=3)
    assert plane_table(list_planes(folder))["t"].to_list() == [1, 2, 2]


def test_a_time_point_of_a_plate_without_any_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no time point 1; it has no time series"):
        open_readout(touch(tmp_path, ["P1_A01_w1.TIF"]), t=1)


def stamped(folder: Path, names: list[str]) -> list[Path]:
    """Write files one second apart."""
    touch(folder, names)
    for n, name in enumerate(names):
        os.utime(folder / name, (1_000 + n, 1_000 + n))
    return [folder / name for name in names]


def test_of_a_plate_being_written_only_whole_wells_are_taken(tmp_path: Path) -> None:
    names = [f"{well}_{c}.tif" for well in ("A01", "A02", "A03", "A04") for c in "ab"]
    paths = stamped(tmp_path, names)
    paths[3].write_bytes(b"")
    os.utime(paths[3], (1_003, 1_003))
    planes = [Plane(p.name[:3], 1, p.name[4], p) for p in paths if p.name != "A03_b.tif"]
    writing = listing(tmp_path, planes, is_writing=True, wells=frozenset({"A01", "A05"}))
    readout = to_readout(writing, tmp_path, Selection())
    assert [i.well for i in readout.images] == ["A01", "A01"]
    assert readout.missing == (
        Missing("A02", None, None, "being-written: A02_b.tif is still empty"),
        Missing("A03", None, None, "being-written: 1 of 2 images are there"),
        Missing("A04", None, None, "being-written: A04_b.tif is the plate's newest file"),
        Missing("A05", None, None, "no image of this well"),
    )
    assert not readout.is_complete


def test_a_stack_being_written_waits_for_its_last_step(tmp_path: Path) -> None:
    names = [f"A0{well}_{z}.tif" for well in (1, 2, 3) for z in (1, 2, 3)]
    paths = stamped(tmp_path, names)
    planes = [Plane(p.name[:3], 1, "a", p, int(p.name[4])) for p in paths if p.name != "A02_3.tif"]
    readout = to_readout(listing(tmp_path, planes, is_writing=True), tmp_path, Selection("max"))
    assert [i.well for i in readout.images] == ["A01"]
    assert [m.reason for m in readout.missing] == [
        "being-written: 2 of 3 steps are there",
        "being-written: A03_3.tif is the plate's newest file",
    ]


def test_the_first_time_point_is_taken_while_the_second_is_written(tmp_path: Path) -> None:
    paths = stamped(tmp_path, ["A01_1.tif", "A02_1.tif", "A01_2.tif"])
    planes = [Plane(p.name[:3], 1, "a", p, None, int(p.name[4])) for p in paths]
    writing = listing(tmp_path, planes, is_writing=True)
    assert [i.well for i in to_readout(writing, tmp_path, Selection(t=1)).images] == ["A01", "A02"]
    assert to_readout(writing, tmp_path, Selection(t=2)).images == ()


def test_a_finished_plate_keeps_its_partial_wells(tmp_path: Path) -> None:
    planes = [Plane("A01", 1, c, tmp_path / c) for c in "ab"] + [Plane("A02", 1, "a", tmp_path / "x")]
    readout = to_readout(listing(tmp_path, planes), tmp_path, Selection())
    assert [i.well for i in readout.images] == ["A01", "A01", "A02"]
    assert readout.missing == (Missing("A02", 1, "b", "no image of this channel"),)


def test_an_imagexpress_plate_without_an_end_holds_back_what_is_not_whole(tmp_path: Path) -> None:
    names = [f"TimePoint_1/P1_{well}_s1_w{w}.TIF" for well in ("A01", "A02") for w in (1, 2)]
    stamped(tmp_path, names[:3])
    write_htd(tmp_path / "P1.HTD", ["A01", "A02"])
    text = (tmp_path / "P1.HTD").read_text("latin-1")
    (tmp_path / "P1.HTD").write_text(text.replace('"EndFile"', ""), "latin-1")
    readout = open_readout(tmp_path)
    assert {i.well for i in readout.images} == {"A01"}
    assert [m.reason for m in readout.missing] == ["being-written: 1 of 2 images are there"]


def test_a_plate_of_1536_wells_is_listed_quickly(tmp_path: Path) -> None:
    names = [f"P_{well}f00d{c}.tif" for well in PLATE_1536.wells() for c in (0, 1)]
    folder = touch(tmp_path, names)
    start = time.perf_counter()
    readout = open_readout(folder, expected_wells=tuple(PLATE_1536.wells()))
    assert time.perf_counter() - start < 10
    assert (len(readout.images), readout.missing) == (3072, ())
    assert (readout.images[0].well, readout.images[-1].well) == ("A01", "AF48")


def test_a_well_off_every_plate_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'Q' is not a well name"):
        listing(tmp_path, [Plane("Q", 1, "a", tmp_path)])


def test_a_drive_that_vanishes_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, ["P1_A01_w1.TIF"])

    def gone(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(DataError, match=r"cannot be read .*Input/output error.*is the drive still there"):
        open_readout(tmp_path)


def test_the_table_of_fields_of_a_real_stack() -> None:
    readout = open_readout(sample("imagexpress", "9987_Plate_3434"))
    table = field_table(readout)
    assert table.columns == [
        *("plate", "well", "field", "channel", "z", "t", "x_um", "y_um", "z_um"),
        *("pixel_size_um", "path", "page", "reader", "stack"),
    ]
    assert table.row(0)[:6] == ("9987", "B02", 1, "DAPI", 0, 1)
    assert table["path"][0] == "TimePoint_1/ZStep_0/9987_B02_s1_w1.TIF"
    lost = missing_table(readout.plate, readout.missing)
    assert lost.filter(pl.col("channel") == "Cy5").height == lost.height == 4


def test_positions_inside_the_images_are_read_on_demand(tmp_path: Path) -> None:
    readout = open_readout(sample("imagexpress", "9987_Plate_3434"))
    assert {i.x_um for i in readout.images} == {None}
    placed = with_positions(readout).images
    assert len({(i.x_um, i.y_um) for i in placed}) == 4
    assert all(i.x_um is not None and i.y_um is not None for i in placed)
    plain = open_readout(touch(tmp_path, ["P1_A01_w1.TIF"]))
    assert with_positions(plain) == plain


def test_measuring_reads_the_pages_of_an_ome_tiff(tmp_path: Path) -> None:
    folder = tmp_path / "P1"
    folder.mkdir()
    for n, well in enumerate(("A01", "A02")):
        drawn = draw(Scene(n_cells=20), np.random.default_rng(n), 270)
        stack = np.stack([drawn.dna, drawn.reporter])
        meta = {"axes": "CYX", "Channel": {"Name": ["DNA", "Reporter"]}, "PhysicalSizeX": 0.65}
        tifffile.imwrite(folder / f"P1_{well}.ome.tif", stack, metadata=meta)
    wells = measure(open_readout(folder), MeasureParams()).wells
    assert wells["n_cells"].to_list() == pytest.approx([20, 20], abs=2)
    assert (wells["reporter_nucleus"] > 0).all()
