"""The simulated microscope writes what cells do, in the layout of an ImageXpress."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from drivers.ports import AcquirePlate, Move, MovePlates, Report, Status
from nextplate.errors import DiskFull
from sim.biology import Phenotype
from sim.lab import FaultKind, FaultSettings, SimLab
from sim.render import Renderer
from tests.sim.rig import do, night, open_lab, snapshot

RESTING = Phenotype(0.0, 1.0, 1.0, 0.01)
RESPONDING = Phenotype(1.0, 1.0, 1.0, 0.01)
POISONED = Phenotype(0.0, 0.3, 0.47, 0.37)


def _nuclei(dna: np.ndarray) -> tuple[np.ndarray, int]:
    smooth = ndimage.gaussian_filter(dna.astype(np.float32), 1.5)
    return ndimage.label(smooth > np.percentile(smooth, 20) + 1500)  # type: ignore[no-any-return]


def _log_ratio(dna: np.ndarray, reporter: np.ndarray) -> float:
    """Return a crude median log2(nucleus / ring)."""
    labels, n = _nuclei(dna)
    signal = reporter.astype(np.float32) - np.percentile(reporter, 1)
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    ring = np.where((distance > 2) & (distance <= 7), labels[tuple(nearest)], 0)
    index = np.arange(1, n + 1)
    inside, outside = (ndimage.mean(signal, where, index) for where in (labels, ring))
    return float(np.median(np.log2(np.maximum(inside, 1) / np.maximum(outside, 1))))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(5, 540, 135.0)


def test_fields_look_like_what_the_cells_do(renderer: Renderer) -> None:
    night_ = renderer.night("P1")
    field = {
        name: renderer.field(night_, shows, "P1", "B02", is_blurred=False)
        for name, shows in {"resting": RESTING, "responding": RESPONDING, "poisoned": POISONED}.items()
    }
    counts = {name: _nuclei(dna)[1] for name, (dna, _) in field.items()}
    assert 70 < counts["resting"] < 170
    assert counts["poisoned"] < 0.75 * counts["resting"]
    ratios = {name: _log_ratio(*images) for name, images in field.items()}
    assert ratios["responding"] - ratios["resting"] > 1.2
    for dna, reporter in field.values():
        assert dna.shape == reporter.shape == (540, 540)
        assert dna.dtype == np.uint16
        assert 200 < np.percentile(dna, 5) < 900
        assert max(dna.max(), reporter.max()) < 65_535
    assert np.percentile(field["poisoned"][0], 99.9) > 8_000


def test_the_corners_are_darker_and_nights_differ(renderer: Renderer) -> None:
    one, other = renderer.night("P1"), renderer.night("P2")
    assert one.illumination[0][0, 0] < 0.9 < one.illumination[0][270, 270]
    assert one.gain != other.gain
    images = [renderer.field(n, RESTING, "P1", "C03", is_blurred=False)[0] for n in (one, other)]
    assert not np.array_equal(*images)


def test_fields_depend_on_names_only_not_on_order(renderer: Renderer) -> None:
    night_ = renderer.night("P1")
    first = renderer.field(night_, RESTING, "P1", "B02", is_blurred=False)
    renderer.field(night_, RESPONDING, "P1", "B03", is_blurred=False)
    fresh = Renderer(5, 540, 135.0)
    again = fresh.field(fresh.night("P1"), RESTING, "P1", "B02", is_blurred=False)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_blurred_field_has_no_sharp_edges(renderer: Renderer) -> None:
    sharp, blurred = (
        renderer.field(renderer.night("P1"), RESTING, "P1", "D04", is_blurred=b)[0] for b in (False, True)
    )
    edges = [float(np.abs(np.diff(ndimage.gaussian_filter(i.astype(float), 2.0))).max()) for i in (sharp, blurred)]
    assert edges[1] < 0.4 * edges[0]


def _image(lab: SimLab, key: str = "image", hours: float = 0.0) -> Report:
    if lab.where("P1") != "imager":
        do(lab, lab.mover, MovePlates((Move("P1", "stack/new", "imager"),)), "to-imager")
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=hours))
    return do(lab, lab.imager, AcquirePlate("P1"), key)


def test_an_acquisition_is_a_whole_imagexpress_folder(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    report = _image(lab)
    assert report.status is Status.DONE
    assert report.result == {"folder": "readouts/P1", "images": 192}
    folder = tmp_path / "readouts" / "P1"
    assert sorted(p.name for p in folder.iterdir()) == ["P1.HTD", "TimePoint_1"]
    assert len(list((folder / "TimePoint_1").glob("P1_???_s1_w?.TIF"))) == 192
    htd = (folder / "P1.HTD").read_text().splitlines()
    assert htd[0] == '"HTSInfoFile", Version 1.0'
    assert {'"XWells", 12', '"YWells", 8', '"WaveName1", "DNA"', '"WaveName2", "Reporter"', '"EndFile"'} <= set(htd)
    with tifffile.TiffFile(folder / "TimePoint_1" / "P1_B02_s1_w2.TIF") as file:
        plane = file.metaseries_metadata["PlaneInfo"]
        assert file.pages[0].compression == 1
    assert plane["spatial-calibration-x"] == 0.65
    assert plane["stage-label"] == "B02 : Site 1"


def test_the_htd_file_comes_last(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    do(lab, lab.mover, MovePlates((Move("P1", "stack/new", "imager"),)), "to-imager")
    lab.imager.submit(AcquirePlate("P1"), "image")
    ready = lab.imager.poll("image").ready_at
    assert ready is not None
    lab.clock.wait_until(ready - timedelta(seconds=60))
    folder = tmp_path / "readouts" / "P1"
    assert 40 < len(list((folder / "TimePoint_1").iterdir())) < 192
    assert not (folder / "P1.HTD").exists()
    lab.clock.wait_until(ready)
    assert (folder / "P1.HTD").exists()


def test_a_second_acquisition_does_not_touch_the_first(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    _image(lab)
    before = dict(snapshot(tmp_path).files)
    assert _image(lab, "again").result["folder"] == "readouts/P1_2"
    after = snapshot(tmp_path).files
    assert all(after[name] == digest for name, digest in before.items())


@pytest.mark.parametrize(
    ("kind", "images"),
    [(FaultKind.MISSING_IMAGE, 191), (FaultKind.TRUNCATED_IMAGE, 192), (FaultKind.OUT_OF_FOCUS, 192)],
)
def test_file_faults_hit_one_well(tmp_path: Path, kind: FaultKind, images: int) -> None:
    lab = open_lab(tmp_path, faults=FaultSettings(out_of_focus=0.0))
    do(lab, lab.mover, MovePlates((Move("P1", "stack/new", "imager"),)), "to-imager")
    lab.break_device("imager", kind)
    assert _image(lab).result["images"] == images
    files = list((tmp_path / "readouts" / "P1" / "TimePoint_1").iterdir())
    assert len(files) == images
    short = [path.name for path in files if path.stat().st_size < 96 * 96 * 2]
    assert short == (["P1_A01_s1_w1.TIF"] if kind is FaultKind.TRUNCATED_IMAGE else [])
    assert [row["note"] for row in lab.log("imager") if row["note"]] == [kind.value]


def test_a_stall_says_nothing_and_then_goes_on(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    do(lab, lab.mover, MovePlates((Move("P1", "stack/new", "imager"),)), "to-imager")
    lab.break_device("imager", FaultKind.STALL)
    lab.imager.submit(AcquirePlate("P1"), "image")
    assert lab.imager.poll("image").ready_at is None
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=3))
    assert lab.imager.poll("image").status is Status.RUNNING
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=3))
    assert lab.imager.poll("image").status is Status.DONE


def test_nothing_is_imaged_when_another_plate_stands_there(tmp_path: Path) -> None:
    lab = open_lab(tmp_path)
    do(lab, lab.mover, MovePlates((Move("P2", "stack/new", "imager"),)), "to-imager")
    report = do(lab, lab.imager, AcquirePlate("P1"), "image")
    assert report.status is Status.FAILED
    assert "P2 stands on the imager's stage, not P1" in report.message
    assert report.result == {"folder": "readouts/P1", "images": 0}


def test_a_full_disk_leaves_no_half_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab(tmp_path)
    do(lab, lab.mover, MovePlates((Move("P1", "stack/new", "imager"),)), "to-imager")
    lab.imager.submit(AcquirePlate("P1"), "image")

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:4])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull, match="free some space"):
            lab.clock.wait_until(lab.clock.now() + timedelta(hours=2))
    assert not list((tmp_path / "readouts").rglob("*.part"))
    lab.clock.wait_until(lab.clock.now() + timedelta(hours=2))
    assert lab.imager.poll("image").result["images"] == 192


def test_a_night_shows_the_reference_compound_at_work(tmp_path: Path) -> None:
    lab = open_lab(tmp_path / "lab", field_px=256)
    night(lab, tmp_path)
    folder = tmp_path / "lab" / "readouts" / "P1" / "TimePoint_1"
    ratio = {
        w: _log_ratio(*(tifffile.imread(folder / f"P1_{w}_s1_w{k}.TIF") for k in (1, 2))) for w in ("A01", "A02", "D06")
    }
    assert ratio["A02"] - ratio["A01"] > 1.0
    assert abs(ratio["D06"] - ratio["A01"]) < 0.6
