"""Real plates of every microscope, exported and read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextplate.imaging import export_plate, list_planes, open_readout, with_positions
from nextplate.imaging.zarr_array import read_json
from tests.nextplate.imaging.omezarr_plates import assert_kept
from tests.nextplate.imaging.vendor_plates import sample

CV8000 = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
SAMPLES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "3420": (("imagexpress", "9987_Plate_3420"), {}),
    "3434": (("imagexpress", "9987_Plate_3434"), {}),
    "phenix": (("opera-phenix", "Version1"), {}),
    "nf1": (("nf1-cellpainting", "Plate_2_images"), {}),
    "cv8000": (("yokogawa-cv8000", "CV8000", f"{CV8000}_20230918_135839", CV8000), {}),
    "bbbc013": (("bbbc013", "images"), {"pattern": r"Channel(?P<channel>\d)-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in ("3420", "bbbc013") else []) for name in SAMPLES]
)
def test_a_real_plate_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    parts, how = SAMPLES[name]
    folder, target = sample(*parts), tmp_path / "plate.ome.zarr"
    listing = list_planes(folder, **how)
    exported = export_plate(listing, folder, target)
    assert exported.n_images == len(listing.planes)
    assert_kept(listing, folder, target)
    before, after = open_readout(folder, **how), open_readout(target)
    assert before.missing == after.missing
    assert [i.pixel_size_um for i in before.images] == [i.pixel_size_um for i in after.images]
    # Which step stands for a stack is the opener's choice, and nothing that is missing.
    assert {m for m in before.missing if not m.reason.startswith("no-projection")} == set(exported.missing)
    placed = with_positions(before)
    assert [(i.x_um, i.y_um) for i in placed.images] == [(i.x_um, i.y_um) for i in after.images]


def test_a_projection_lies_beside_its_stack_as_an_acquisition_of_its_own(tmp_path: Path) -> None:
    folder = sample("imagexpress", "9987_Plate_3434")
    export_plate(list_planes(folder), folder, tmp_path / "p.zarr")
    plate = read_json(tmp_path / "p.zarr" / "zarr.json")["attributes"]["ome"]["plate"]
    assert [(a["id"], a["name"]) for a in plate["acquisitions"]] == [(0, "stacks"), (1, "projections")]
    well = read_json(tmp_path / "p.zarr" / "B" / "2" / "zarr.json")["attributes"]["ome"]["well"]
    assert [(i["path"], i["acquisition"]) for i in well["images"]] == [
        ("1", 0),
        ("1projection", 1),
        ("2", 0),
        ("2projection", 1),
    ]


def test_other_software_sees_where_a_field_lies(tmp_path: Path) -> None:
    parts, _ = SAMPLES["cv8000"]
    folder = sample(*parts)
    export_plate(list_planes(folder), folder, tmp_path / "p.zarr")
    scales = read_json(tmp_path / "p.zarr" / "D" / "8" / "1" / "zarr.json")["attributes"]["ome"]["multiscales"][0]
    assert [(a["name"], a.get("unit")) for a in scales["axes"]] == [
        ("c", None),
        ("z", "micrometer"),
        ("y", "micrometer"),
        ("x", "micrometer"),
    ]
    scale, start = scales["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [1.0, 3.0, 0.325, 0.325]
    # The centre is at x -567.1, y +402.9 upwards; the field is 2000 pixels wide and high.
    assert np.allclose(start["translation"], [0, 0, -402.9 - 999.5 * 0.325, -567.1 - 999.5 * 0.325])
    coarse, moved = scales["datasets"][1]["coordinateTransformations"]
    assert coarse["scale"] == [1.0, 3.0, 0.65, 0.65]
    assert np.allclose(np.subtract(moved["translation"], start["translation"]), [0, 0, 0.1625, 0.1625])


def test_windows_are_percentiles_of_the_real_pixels(tmp_path: Path) -> None:
    folder = sample("opera-phenix", "Version1")
    export_plate(list_planes(folder), folder, tmp_path / "p.zarr")
    omero = read_json(tmp_path / "p.zarr" / "A" / "1" / "1" / "zarr.json")["attributes"]["ome"]["omero"]
    by_label = {c["label"]: c for c in omero["channels"]}
    dna = next(i for i in open_readout(folder).images if i.channel == "HOECHST 33342")
    import tifffile

    low, high = np.percentile(tifffile.imread(dna.path), [1, 99.9], method="inverted_cdf")
    assert (by_label["HOECHST 33342"]["window"]["start"], by_label["HOECHST 33342"]["window"]["end"]) == (low, high)
    assert by_label["HOECHST 33342"]["color"] == "0000FF"
    assert by_label["Brightfield"]["color"] == "FFFFFF"
