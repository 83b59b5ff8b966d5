"""What an export promises: every pixel and every number kept, every loss told, whole or not there."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, DiskFull
from nextplate.imaging import ExportOptions, export_plate, list_planes, open_readout, read_image
from nextplate.imaging import omezarr_export as export_module
from nextplate.imaging import omezarr_field as field_module
from nextplate.imaging.listing import Listing, Plane
from nextplate.imaging.omezarr_field import FieldRecord
from nextplate.imaging.omezarr_plan import ExportPlan, FieldPlan
from nextplate.imaging.zarr_array import read_json
from nextplate.readout import Missing
from tests.nextplate.imaging.omezarr_plates import Key, assert_kept, noise, state, validate, written

WELLS = ("A01", "B12", "P24", "Z03", "AF48")
# Unprintable names are escaped when a plate is listed (imaging.shown); these are what a listing holds.
NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=6) | st.sampled_from(
    ["../../etc", 'a"b', "DNA/2", "µ-tubulin", "DAPI", "."]
)


def attributes(*parts: Any) -> dict[str, Any]:
    return read_json(Path(*parts) / "zarr.json")["attributes"]


@st.composite
def plates(draw: st.DrawFn) -> tuple[list[Key], dict[str, tuple[tuple[int, int], str]], dict[str, float]]:
    """Draw places with holes, a size and depth per channel, and what is known of the position."""
    wells = draw(st.lists(st.sampled_from(WELLS), min_size=1, max_size=3, unique=True))
    fields = draw(st.lists(st.integers(0, 40), min_size=1, max_size=2, unique=True))
    channels = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    steps = draw(st.sampled_from([[None], [0], [1], [0, 1, 2], [2, 5], [None, 1, 2]]))
    times = draw(st.sampled_from([[None], [0], [1, 2], [0, 7]]))
    every = [(w, f, c, z, t) for w in wells for f in fields for c in channels for z in steps for t in times]
    places = draw(st.lists(st.sampled_from(every), min_size=1, unique=True, max_size=16))
    kind = st.tuples(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from(["uint8", "uint16"]))
    kinds = {c: draw(kind) for c in channels} if draw(st.booleans()) else dict.fromkeys(channels, draw(kind))
    um = st.floats(-1e5, 1e5)
    more = draw(
        st.fixed_dictionaries({}, optional={"x_um": um, "y_um": um, "z_um": um, "pixel_size_um": st.floats(1e-3, 1e3)})
    )
    if "x_um" not in more or "y_um" not in more:
        more.pop("x_um", None), more.pop("y_um", None)
    return places, kinds, more


@settings(max_examples=60, deadline=None)
@given(plates(), st.data())
def test_any_plate_comes_back_as_it_was(
    plate: tuple[list[Key], dict[str, tuple[tuple[int, int], str]], dict[str, float]], data: st.DataObject
) -> None:
    places, kinds, more = plate
    with tempfile.TemporaryDirectory() as name:
        folder, target = Path(name) / "source", Path(name) / "out" / "p.zarr"
        listing = written(folder, places, lambda n: noise(n, *kinds[places[n][2]]), **more)
        due = tuple(sorted({f for _, f, *_ in places}))
        listing = replace(
            listing,
            channels=(*listing.channels, "never written"),
            wells=frozenset({"A01", *(w for w, *_ in places)}),
            fields=data.draw(st.sampled_from([None, due])),
            is_complete=data.draw(st.booleans()),
            notes=data.draw(st.sampled_from([(), ("a note",)])),
            refused=(Missing("C03", 1, listing.channels[0], "unreadable: x.tif: 0 bytes"),),
        )
        exported = export_plate(listing, folder, target)
        assert exported.n_images == len(places)
        found = assert_kept(listing, folder, target)
        # An export of the export is the same plate again.
        export_plate(found, target, Path(name) / "again.zarr")
        assert_kept(found, target, Path(name) / "again.zarr")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.sampled_from([None, 0, 1]))
def test_the_bytes_do_not_depend_on_threads(fields: list[int], z: int | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "source"
        listing = written(folder, [("A01", f, c, z, None) for f in fields for c in ("a", "b")])
        for n in (1, 4):
            export_plate(listing, folder, Path(name) / f"{n}.zarr", n_threads=n)
        assert state(Path(name) / "1.zarr") == state(Path(name) / "4.zarr")


def test_an_image_that_cannot_be_read_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    places = [(w, 1, c, z, None) for w in ("B02", "B03") for c in ("DNA", "GFP") for z in (1, 2)]
    listing = written(tmp_path / "source", places)
    cut, empty, gone = (tmp_path / "source" / f"{n}.tif" for n in (0, 3, 4))
    cut.write_bytes(cut.read_bytes()[:-300])
    empty.write_bytes(b"")
    gone.unlink()
    lost = {places[n]: "" for n in (0, 3, 4)}
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert [(m.well, m.channel, re.split(r" \(|: its", m.reason)[0]) for m in exported.missing] == [
        ("B02", "DNA", "unreadable: 0.tif: damaged or cut short"),
        ("B02", "GFP", "unreadable: 3.tif: the file is empty"),
        ("B03", "DNA", "unreadable: 4.tif: not a readable TIFF"),
    ]
    assert_kept(listing, tmp_path / "source", tmp_path / "p.zarr", lost)
    readout = open_readout(tmp_path / "p.zarr")
    assert {m for m in readout.missing if m.reason.startswith("unreadable")} == set(exported.missing)
    notes = attributes(tmp_path / "p.zarr")["nextplate"]
    assert [row["well"] for row in notes["missing"]] == ["B02", "B02", "B03"]


def test_a_well_of_which_nothing_can_be_read_stays_a_well(tmp_path: Path) -> None:
    listing = written(tmp_path / "source", [("B02", 1, "DNA", None, None), ("B03", 1, "DNA", None, None)])
    (tmp_path / "source" / "1.tif").write_bytes(b"II*\0")
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    validate(tmp_path / "p.zarr")
    readout = open_readout(tmp_path / "p.zarr")
    assert {i.well for i in readout.images} == {"B02"}
    assert [(m.well, m.field, m.channel) for m in readout.missing] == [("B03", 1, "DNA")]


def test_a_plate_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    listing = written(tmp_path / "source", [("B02", 1, "DNA", None, None)])
    (tmp_path / "source" / "0.tif").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no image of plate P1 can be read: unreadable: 0\.tif"):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]
    with pytest.raises(DataError, match="has no image to export"):
        export_plate(replace(listing, planes=()), tmp_path / "source", tmp_path / "p.zarr")


def test_channels_of_another_size_or_depth_are_an_image_of_their_own(tmp_path: Path) -> None:
    kinds = [((8, 9), "uint16"), ((8, 9), "uint16"), ((4, 5), "uint16"), ((8, 9), "uint8")]
    listing = written(
        tmp_path / "source", [("A01", 3, f"c{n}", None, None) for n in range(4)], lambda n: noise(n, *kinds[n])
    )
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert exported.missing == ()
    assert_kept(listing, tmp_path / "source", tmp_path / "p.zarr")
    well = attributes(tmp_path / "p.zarr", "A", "1")["ome"]["well"]
    assert [i["path"] for i in well["images"]] == ["3", "3other1", "3other2"]
    plate = attributes(tmp_path / "p.zarr")["ome"]["plate"]
    assert [a["name"] for a in plate["acquisitions"]] == [
        "images",
        "images of another size or depth, 1",
        "images of another size or depth, 2",
    ]


def test_a_double_is_told(tmp_path: Path) -> None:
    listing = written(tmp_path / "source", [("A01", 1, "DNA", 1, None), ("A01", 1, "DNA", 1, None)])
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert [m.reason for m in exported.missing] == ["duplicate-image: 0.tif is used, not 1.tif"]
    assert open_readout(tmp_path / "p.zarr").missing == exported.missing
    assert_kept(listing, tmp_path / "source", tmp_path / "p.zarr")


def test_what_the_plate_has_and_a_field_lacks_is_told_plane_by_plane(tmp_path: Path) -> None:
    every = [(w, 1, "DNA", z, t) for w in ("A01", "A02") for z in (1, 2, 3) for t in (4, 5)]
    listing = written(tmp_path / "source", [p for p in every if p not in (("A02", 1, "DNA", 2, 4), every[-1])])
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert exported.missing == (
        Missing("A02", 1, "DNA", "no image of 2 of 6 planes, the first at time point 4, step 2"),
    )
    assert_kept(listing, tmp_path / "source", tmp_path / "p.zarr")


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (ExportOptions(z="projection"), [(0, 1), (0, 2)]),
        (ExportOptions(z="projection", t=2), [(0, 2)]),
        (ExportOptions(z="middle", t=1), [(2, 1)]),
        (ExportOptions(z="max", t=2), [(0, 2)]),
        (ExportOptions(z=3), [(3, 1), (3, 2)]),
        (ExportOptions(t=1), [(0, 1), (1, 1), (2, 1), (3, 1)]),
    ],
)
def test_only_what_was_chosen_is_exported(
    tmp_path: Path, options: ExportOptions, places: list[tuple[int, int]]
) -> None:
    listing = written(tmp_path / "source", [("A01", 1, "DNA", z, t) for t in (1, 2) for z in (0, 1, 2, 3)])
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr", options)
    validate(tmp_path / "p.zarr")
    found = list_planes(tmp_path / "p.zarr")
    assert sorted((p.z, p.t) for p in found.planes) == places
    if options.z == "max":
        stack = np.stack([tifffile.imread(tmp_path / "source" / f"{n}.tif") for n in (5, 6, 7)])
        image = open_readout(tmp_path / "p.zarr", t=2).images[0]
        assert np.array_equal(read_image(image), stack.max(axis=0))


@pytest.mark.parametrize("options", [ExportOptions(z=9), ExportOptions(t=9)])
def test_a_step_or_time_the_plate_has_not_is_an_error(tmp_path: Path, options: ExportOptions) -> None:
    listing = written(tmp_path / "source", [("A01", 1, "DNA", z, 1) for z in (1, 2)])
    with pytest.raises(DataError, match=r"has no (z-step|time point) 9"):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr", options)


def test_of_a_plate_being_written_only_whole_wells_are_exported(tmp_path: Path) -> None:
    places = [("A01", f, "DNA", None, None) for f in (1, 2)] + [("A02", 1, "DNA", None, None)]
    listing = replace(written(tmp_path / "source", places), is_complete=False, is_writing=True)
    for n, path in enumerate(sorted((tmp_path / "source").iterdir())):
        os.utime(path, (n, n))
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert (exported.wells, exported.n_images) == (("A01",), 2)
    assert [m.reason for m in exported.missing] == ["being-written: 1 of 2 images are there"]
    readout = open_readout(tmp_path / "p.zarr")
    assert not readout.is_complete
    assert readout.missing == exported.missing


def test_rows_that_do_not_begin_at_a_are_read_by_their_names(tmp_path: Path) -> None:
    listing = written(tmp_path / "source", [("C05", 1, "DNA", None, None)])
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    path = tmp_path / "p.zarr" / "zarr.json"
    said = read_json(path)
    plate = said["attributes"]["ome"]["plate"] | {"rows": [{"name": "C"}], "columns": [{"name": "5"}]}
    plate["wells"] = [{"path": "C/5", "rowIndex": 0, "columnIndex": 0}]
    said["attributes"] = {"ome": {"version": "0.5", "plate": plate}}
    path.write_text(json.dumps(said), encoding="utf-8")
    validate(tmp_path / "p.zarr")
    assert [i.well for i in open_readout(tmp_path / "p.zarr").images] == ["C05"]


def test_a_transformation_of_all_levels_is_applied_after_that_of_the_first(tmp_path: Path) -> None:
    """NGFF 0.4 and 0.5, multiscales metadata: coordinateTransformations may stand beside datasets too."""
    listing = written(tmp_path / "source", [("C05", 7, "DNA", None, None)], x_um=12.5, y_um=-40.0, pixel_size_um=0.65)
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    path = tmp_path / "p.zarr" / "C" / "5" / "7" / "zarr.json"
    said = read_json(path)
    said["attributes"].pop("nextplate")
    scales = said["attributes"]["ome"]["multiscales"][0]
    n = len(scales["axes"])
    move = [0.0] * (n - 2) + [-3.0, 5.0]
    scales["coordinateTransformations"] = [
        {"type": "scale", "scale": [1.0] * (n - 2) + [2.0, 2.0]},
        {"type": "translation", "translation": move},
    ]
    path.write_text(json.dumps(said), encoding="utf-8")
    image = open_readout(tmp_path / "p.zarr").images[0]
    assert image.pixel_size_um == pytest.approx(1.3)
    assert (image.x_um, image.y_um) == (pytest.approx(2 * 12.5 + 5), pytest.approx(2 * -40.0 + 3))


def test_without_our_notes_the_positions_are_read_from_the_translation(tmp_path: Path) -> None:
    listing = written(tmp_path / "source", [("C05", 7, "DNA", None, None)], x_um=12.5, y_um=-40.0, pixel_size_um=0.65)
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    for path in (tmp_path / "p.zarr" / "zarr.json", tmp_path / "p.zarr" / "C" / "5" / "7" / "zarr.json"):
        said = read_json(path)
        said["attributes"].pop("nextplate")
        path.write_text(json.dumps(said), encoding="utf-8")
    image = open_readout(tmp_path / "p.zarr").images[0]
    assert (image.field, image.z, image.t, image.pixel_size_um) == (1, None, None, 0.65)
    assert (image.x_um, image.y_um) == (pytest.approx(12.5), pytest.approx(-40.0))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"format": 1', '"format": 2', "are of format 2, this version reads 1"),
        ('"t": [null]', '"t": [1, 2]', "say 2 for t, the array has 1"),
        ('"field": 7', '"field": -7', "no whole number"),
        ('"field": 7', '"feld": 7', "not as OME-Zarr needs them"),
    ],
)
def test_notes_that_do_not_fit_are_one_clear_error(tmp_path: Path, old: str, new: str, words: str) -> None:
    listing = written(tmp_path / "source", [("C05", 7, "DNA", None, None)])
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    path = tmp_path / "p.zarr" / "C" / "5" / "7" / "zarr.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=words):
        open_readout(tmp_path / "p.zarr")


def plate_of(folder: Path, n: int = 6) -> Listing:
    return written(folder, [("A01", f, c, None, None) for f in range(1, n + 1) for c in ("DNA", "GFP")])


@pytest.mark.parametrize("what", ["file", "other folder", "other plate", "other options", "changed source"])
def test_a_target_that_is_something_else_is_never_touched(tmp_path: Path, what: str) -> None:
    listing, target = plate_of(tmp_path / "source"), tmp_path / "p.zarr"
    options = ExportOptions()
    if what == "file":
        target.write_bytes(b"x")
    elif what == "other folder":
        target.mkdir()
        (target / "thesis.docx").write_bytes(b"x")
    else:
        export_plate(replace(listing, plate="P0") if what == "other plate" else listing, tmp_path / "source", target)
        options = ExportOptions(n_levels=1 if what == "other options" else None)
        if what == "changed source":
            tifffile.imwrite(tmp_path / "source" / "0.tif", noise(99, (20, 30)))
    before = state(target) if target.is_dir() else target.read_bytes()
    with pytest.raises(DataError, match=r"choose another folder"):
        export_plate(listing, tmp_path / "source", target, options)
    assert before == (state(target) if target.is_dir() else target.read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.zarr", "source"]


def test_a_finished_export_is_not_made_again(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    first = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "p.zarr").rglob("*")}
    again = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert again == replace(first, n_kept=6)
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "p.zarr").rglob("*")}


def test_the_validator_sees_an_array_that_is_not_there(tmp_path: Path) -> None:
    """Not about the export: the judge of the other tests does judge."""
    export_plate(plate_of(tmp_path / "source"), tmp_path / "source", tmp_path / "p.zarr")
    (tmp_path / "p.zarr" / "A" / "1" / "2" / "0" / "zarr.json").unlink()
    with pytest.raises(Exception, match=r"not[ _]found"):
        validate(tmp_path / "p.zarr")


def test_an_export_neither_lies_in_its_source_nor_in_another_export(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    for target in (tmp_path / "source" / "p.zarr", tmp_path / "source", tmp_path):
        with pytest.raises(DataError, match="may not lie in each other"):
            export_plate(listing, tmp_path / "source", target)
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    with pytest.raises(DataError, match="is a Zarr group of its own"):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr" / "A" / "q.zarr")


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be written"):
        export_plate(listing, tmp_path / "source", tmp_path / "file" / "p.zarr")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_is_one_clear_error(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(DataError, match="cannot be written"):
        export_plate(listing, tmp_path / "source", tmp_path / "locked" / "p.zarr")


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = plate_of(tmp_path / "source")
    export_plate(listing, tmp_path / "source", tmp_path / "good.zarr")
    write, calls = field_module.write_plane, []

    def full(*arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(field_module, "write_plane", full)
    with pytest.raises(DiskFull, match="run the same command again"):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr", n_threads=1)
    assert not (tmp_path / "p.zarr").exists()
    monkeypatch.setattr(field_module, "write_plane", write)
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert exported.n_kept >= 3
    assert state(tmp_path / "p.zarr") == state(tmp_path / "good.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.zarr", "p.zarr", "source"]


def test_a_source_that_vanishes_is_no_plate_of_bad_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = plate_of(tmp_path / "source")
    away = tmp_path / "away"

    def vanish(done: int, _total: int) -> None:
        if done == 1:
            (tmp_path / "source").rename(away)

    with pytest.raises(DataError, match="is the drive still there"):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr", progress=vanish, n_threads=1)
    away.rename(tmp_path / "source")
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert (exported.missing, exported.n_images) == ((), 12)
    assert exported.n_kept >= 1


KILLED = """
import os, signal, sys
from pathlib import Path
from nextplate.imaging import export_plate, omezarr_export, omezarr_field, omezarr_staging
from tests.nextplate.imaging.test_omezarr_export import plate_listing
module, name, count = {"plane": (omezarr_field, "write_plane", 7), "array": (omezarr_field, "write_array", 3),
    "record": (omezarr_staging, "write_whole", 4), "well": (omezarr_export, "write_group", 1),
    "plate": (omezarr_export, "write_group", 3), "publish": (omezarr_export, "publish", 1)}[sys.argv[1]]
whole, calls = getattr(module, name), []
def stop(*arguments):
    calls.append(1)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments)
setattr(module, name, stop)
folder = Path(sys.argv[2])
export_plate(plate_listing(folder / "source"), folder / "source", folder / "p.zarr", n_threads=1)
"""


def plate_listing(folder: Path) -> Listing:
    """List what `plate_of` wrote."""
    places = [("A01", f, c) for f in range(1, 7) for c in ("DNA", "GFP")]
    planes = tuple(Plane(*place, folder / f"{n}.tif") for n, place in enumerate(places))
    return Listing("pattern", "P1", ("DNA", "GFP"), planes)


@pytest.mark.parametrize(
    ("moment", "n_kept"),
    [
        ("plane", 3),
        ("record", 2),
        ("publish", 6),
        *(pytest.param(*more, marks=pytest.mark.long) for more in (("array", 2), ("well", 6), ("plate", 6))),
    ],
)
def test_killed_at_any_moment_the_same_call_goes_on(tmp_path: Path, moment: str, n_kept: int) -> None:
    listing = plate_of(tmp_path / "source")
    assert listing == plate_listing(tmp_path / "source")
    export_plate(listing, tmp_path / "source", tmp_path / "good.zarr")
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    ended = subprocess.run([sys.executable, "-c", KILLED, moment, tmp_path], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "p.zarr").exists()
    assert not any(p.name == "p.zarr" for p in tmp_path.iterdir())
    exported = export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert exported.n_kept == n_kept
    assert state(tmp_path / "p.zarr") == state(tmp_path / "good.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.zarr", "p.zarr", "source"]


def interrupted(listing: Listing, folder: Path, target: Path) -> Path:
    """Leave an export behind that ended after its third field."""

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_plate(listing, folder, target, progress=stop, n_threads=1)
    return target.with_name(f".{target.name}.part")


@pytest.mark.parametrize("harm", ["chunk lost", "chunk cut", "record cut", "source changed", "stranger"])
def test_what_does_not_fit_any_more_is_converted_again(tmp_path: Path, harm: str) -> None:
    listing = plate_of(tmp_path / "source")
    part = interrupted(listing, tmp_path / "source", tmp_path / "p.zarr")
    chunk = part / "plate" / "A" / "1" / "2" / "0" / "c" / "0" / "0" / "0"
    if harm == "chunk lost":
        chunk.unlink()
    elif harm == "chunk cut":
        chunk.write_bytes(chunk.read_bytes()[:-1])
    elif harm == "record cut":
        (part / "done" / "A01.2.json").write_bytes(b'{"dig')
    elif harm == "source changed":
        tifffile.imwrite(tmp_path / "source" / "2.tif", noise(99, (20, 30)))
    else:
        (part / "plate" / "H" / "9" / "1").mkdir(parents=True)
    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert_kept(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert sorted(p.name for p in (tmp_path / "p.zarr").iterdir()) == ["A", "zarr.json"]


def test_an_unfinished_export_of_another_plate_is_not_thrown_away(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    part = interrupted(listing, tmp_path / "source", tmp_path / "p.zarr")
    before = state(part)
    with pytest.raises(DataError, match="holds an unfinished export of plate P1"):
        export_plate(replace(listing, plate="P2"), tmp_path / "source", tmp_path / "p.zarr")
    assert state(part) == before


def test_two_processes_do_not_write_one_export(tmp_path: Path) -> None:
    listing = plate_of(tmp_path / "source")
    seen: list[str] = []

    def second(done: int, _total: int) -> None:
        if done == 1:
            with pytest.raises(DataError, match="another process is writing") as caught:
                export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
            seen.append(str(caught.value))

    export_plate(listing, tmp_path / "source", tmp_path / "p.zarr", progress=second)
    assert len(seen) == 1


def test_the_lock_is_held_until_the_last_thread_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = plate_of(tmp_path / "source")
    log: list[str] = []
    convert, stage = export_module.convert_field, export_module.staging
    slow_has_begun = threading.Event()

    def converted(plan: ExportPlan, field: FieldPlan, *more: Any) -> FieldRecord:
        if field == plan.fields[0]:
            slow_has_begun.wait(5)
            raise OSError(errno.ENOSPC, "No space left on device")
        slow_has_begun.set()
        time.sleep(0.2)
        record = convert(plan, field, *more)
        log.append("written")
        return record

    @contextmanager
    def staged(*arguments: Any) -> Iterator[Path]:
        with stage(*arguments) as part:
            try:
                yield part
            finally:
                log.append("unlocked")

    monkeypatch.setattr(export_module, "convert_field", converted)
    monkeypatch.setattr(export_module, "staging", staged)
    with pytest.raises(DiskFull):
        export_plate(listing, tmp_path / "source", tmp_path / "p.zarr")
    assert log[-1] == "unlocked"
    assert "written" in log


def test_memory_does_not_grow_with_the_plate(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for n in (2, 20):
        folder = tmp_path / f"s{n}"
        listing = written(
            folder, [("A01", f, "DNA", z, 1) for f in range(n) for z in (1, 2)], lambda s: noise(s, (500, 500))
        )
        tracemalloc.start()
        export_plate(listing, folder, tmp_path / f"{n}.zarr", n_threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
