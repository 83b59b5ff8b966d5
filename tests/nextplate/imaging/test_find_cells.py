"""Cells on drawn scenes, where every pixel's owner is known, and on the real cells of NF1."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nextplate.errors import DataError
from nextplate.imaging.cells import CellRule, cytoplasm_image, cytoplasm_threshold, field_threshold, find_cells
from nextplate.imaging.flatfield import FlatField, binned, corrected, fit_flat_field, survey_field
from nextplate.imaging.nuclei import Nuclei, SegmentRule, find_nuclei
from tests.nextplate.imaging.cell_scene import NOISE, CellScene, Image, Labels, draw_cells, f1

DNA = SegmentRule(diameter_px=11, noise=NOISE, plate_threshold=None)
RULE = CellRule(max_radius_px=25, threshold=None)
RINGS = CellRule(max_radius_px=4, threshold=None, has_cytoplasm=False)


def nuclei_at(*places: tuple[int, int], size: int = 100) -> Nuclei:
    yy, xx = np.mgrid[:size, :size]
    image = np.zeros((size, size), np.float32)
    for y, x in places:
        image = np.maximum(image, 1000 * np.clip(6.0 - np.hypot(yy - y, xx - x), 0, 1))
    found = find_nuclei(image.astype(np.float32), DNA)
    assert found.n == len(places)
    return found


def segment(scene: CellScene, rule: CellRule = RULE) -> tuple[Nuclei, Labels]:
    nuclei = find_nuclei(scene.dna, DNA)
    return nuclei, find_cells(nuclei, cytoplasm_image([scene.body], [NOISE]), rule)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), has_cytoplasm=st.booleans())
def test_every_cell_is_one_piece_around_its_own_nucleus(seed: int, has_cytoplasm: bool) -> None:
    nuclei, cells = segment(draw_cells(np.random.default_rng(seed)), replace(RULE, has_cytoplasm=has_cytoplasm))
    assert cells.dtype == np.int32
    assert set(np.unique(cells)) - {0} == set(range(1, nuclei.n + 1))
    inside = nuclei.labels > 0
    np.testing.assert_array_equal(cells[inside], nuclei.labels[inside])
    for label in range(1, nuclei.n + 1):
        n_nucleus, n_cell = (ndimage.label(image == label, np.ones((3, 3)))[1] for image in (nuclei.labels, cells))
        assert n_cell <= n_nucleus


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cells_end_where_the_light_ends_and_at_the_radius(seed: int) -> None:
    scene = draw_cells(np.random.default_rng(seed))
    nuclei, cells = segment(scene, replace(RULE, max_radius_px=6, min_ring_px=0))
    distance = ndimage.distance_transform_edt(nuclei.labels == 0)
    assert distance[cells > 0].max() <= 6.1
    dark = ndimage.maximum_filter(scene.body, 3) < 4 * NOISE
    assert not (cells[dark & (nuclei.labels == 0)] > 0).any()


def test_drawn_cells_are_found() -> None:
    scores = [f1(segment(scene)[1], scene.cells) for scene in map(draw_cells, map(np.random.default_rng, range(6)))]
    assert np.mean(scores) > 0.97


def test_cells_meet_in_the_valley_between_them_not_half_way() -> None:
    nuclei = nuclei_at((50, 30), (50, 70))
    x = np.arange(100)
    profile = np.where(x < 40, 100.0, 400.0) * np.clip(np.abs(x - 40) / 6, 0.2, 1)
    image = np.tile(profile, (100, 1)).astype(np.float32)
    cells = find_cells(nuclei, image, replace(RULE, threshold=20, max_radius_px=40))
    left = cells[50, 30]
    border = np.flatnonzero(cells[50] == left).max()
    assert abs(border - 40) <= 2
    assert cells[50, 70] != left


def test_a_flat_sheet_is_parted_half_way() -> None:
    nuclei = nuclei_at((50, 30), (50, 70))
    cells = find_cells(nuclei, np.full((100, 100), 500, np.float32), replace(RULE, threshold=20))
    counts = np.bincount(cells.ravel())[1:]
    assert abs(counts[0] - counts[1]) < 0.05 * counts.sum()


def test_without_cytoplasm_cells_are_rings_of_fixed_width() -> None:
    nuclei = nuclei_at((30, 30), (30, 70), (70, 40))
    cells = find_cells(nuclei, np.zeros((100, 100), np.float32), RINGS)
    distance = ndimage.distance_transform_edt(nuclei.labels == 0)
    assert (cells[distance < 3.7] > 0).all()
    assert not cells[distance > 4.2].any()


def test_a_cell_without_light_still_has_some_cytoplasm() -> None:
    nuclei = nuclei_at((50, 50))
    dark = np.zeros((100, 100), np.float32)
    areas = [np.count_nonzero(find_cells(nuclei, dark, replace(RULE, min_ring_px=k))) for k in (0, 2)]
    assert areas[0] == len(nuclei.pixels)
    assert areas[1] > 1.4 * areas[0]


def test_a_vacuole_belongs_to_the_cell_a_gap_between_cells_does_not() -> None:
    nuclei = nuclei_at((50, 50))
    yy, xx = np.mgrid[:100, :100]
    body = np.where(np.hypot(yy - 50, xx - 50) < 22, 300.0, 0)
    vacuole, gap = np.hypot(yy - 50, xx - 63) < 2.5, np.hypot(yy - 50, xx - 38) < 5
    body[vacuole | gap] = 0
    cells = find_cells(nuclei, body.astype(np.float32), replace(RULE, threshold=100, min_ring_px=0))
    assert cells[50, 63] == 1
    assert cells[50, 38] == 0


def test_a_field_without_nuclei_has_no_cells() -> None:
    none = find_nuclei(np.zeros((60, 60), np.float32), DNA)
    assert not find_cells(none, np.full((60, 60), 900, np.float32), RULE).any()


def test_the_same_field_gives_the_same_cells() -> None:
    scene = draw_cells(np.random.default_rng(3))
    np.testing.assert_array_equal(segment(scene)[1], segment(scene)[1])


def test_a_channel_four_times_as_deep_and_an_empty_one_hide_no_cell() -> None:
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:120, :120]
    bright, dim = np.hypot(yy - 60, xx - 30) < 20, np.hypot(yy - 60, xx - 90) < 20
    signals = [
        (level * mask + rng.normal(0, noise, mask.shape)).astype(np.float32)
        for level, noise, mask in ((2_000, 10, bright), (100, 2, dim), (0, 30, dim))
    ]
    image = cytoplasm_image(signals, [10, 2, 30])
    nuclei = nuclei_at((60, 30), (60, 90), size=120)
    cells = find_cells(nuclei, image, replace(RULE, threshold=None, max_radius_px=40))
    for mask in (bright, dim):
        assert np.count_nonzero((cells > 0) & mask) > 0.9 * np.count_nonzero(mask)
    assert np.count_nonzero((cells > 0) & ~(bright | dim)) < 0.1 * np.count_nonzero(bright | dim)


def test_noise_alone_stays_below_every_threshold() -> None:
    noise = np.random.default_rng(1).normal(0, 7, (200, 200)).astype(np.float32)
    image = cytoplasm_image([noise, noise[::-1]], [7, 7])
    assert np.quantile(image, 0.999) < 4
    nuclei = nuclei_at((50, 50), size=200)
    assert field_threshold(image, nuclei) == 4.0
    assert cytoplasm_threshold([(image, nuclei)] * 3) == 4.0
    assert cytoplasm_threshold([]) is None


@pytest.mark.parametrize(("n_signals", "noises"), [(0, []), (1, []), (1, [0.0]), (2, [1.0, float("nan")])])
def test_a_cytoplasm_image_needs_channels_and_their_noise(n_signals: int, noises: list[float]) -> None:
    with pytest.raises(DataError, match="one positive noise for each"):
        cytoplasm_image([np.zeros((9, 9), np.float32)] * n_signals, noises)


@pytest.fixture(scope="module")
def nf1() -> Path:
    folder = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "nf1-cellpainting"
    if not folder.is_dir():
        pytest.skip(f"NF1 is not here ({folder}); set NEXTPLATE_DATA")
    return folder


FACTOR = 6


def images_of(folder: Path, channel: str) -> list[Image]:
    return [binned(tifffile.imread(p), FACTOR) for p in sorted(folder.glob(f"Plate_2_images/*_{channel}_001.tif"))]


def masks_of(folder: Path, kind: str) -> list[npt.NDArray[np.bool_]]:
    paths = sorted(folder.glob(f"Plate_2_masks/*_Mask{kind}.tiff"))
    return [binned(tifffile.imread(p), FACTOR) > 127 for p in paths]


def flat_of(images: list[Image]) -> FlatField:
    return fit_flat_field("", [survey_field(i) for i in images], images[0].shape)


def border_labels(labels: Labels) -> set[int]:
    return set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist()) - {0}


def without(labels: Labels, dropped: set[int]) -> Labels:
    return np.where(np.isin(labels, list(dropped)), 0, labels)


def test_nf1_nuclei_and_cells_are_those_of_its_masks(nf1: Path) -> None:
    """The masks hold no object that touches the border, and no border between cells: pixels are compared."""
    signals, noises = {}, {}
    for channel in ("DAPI", "GFP", "RFP"):
        images = images_of(nf1, channel)
        flat = flat_of(images)
        signals[channel] = [corrected(i, flat)[0] for i in images]
        noises[channel] = flat.noise
        if channel == "DAPI":
            rule = SegmentRule(10.5, flat.noise, flat.threshold)
    common = total = 0
    scores = []
    cell_masks, nucleus_masks = masks_of(nf1, "Cells"), masks_of(nf1, "Nuclei")
    for i, dna in enumerate(signals["DAPI"]):
        nuclei = find_nuclei(dna, rule)
        true = ndimage.label(nucleus_masks[i])[0].astype(np.int32)
        # One pixel of the edge: the masks drop what CellProfiler saw touch it at full resolution.
        scores.append(f1(without(nuclei.labels, border_labels(nuclei.labels)), without(true, border_labels(true))))
        image = cytoplasm_image([signals[c][i] for c in ("GFP", "RFP")], [noises[c] for c in ("GFP", "RFP")])
        cells = find_cells(nuclei, image, CellRule(3 * 10.5, None))
        share = ndimage.mean(nucleus_masks[i] & cell_masks[i], nuclei.labels, np.arange(nuclei.n + 1))
        kept = np.flatnonzero(share > 0.4)
        ours, theirs = np.isin(cells, kept[kept > 0]), cell_masks[i]
        common += np.count_nonzero(ours & theirs)
        total += np.count_nonzero(ours | (theirs & (cells == 0)))
    assert np.mean(scores) > 0.95
    assert common / total > 0.8
