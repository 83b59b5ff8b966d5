"""Labels brought back to the raw resolution: nothing lost, nothing grown, outlines smooth."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from nextplate.errors import DataError
from nextplate.imaging.cells import CellRule, cytoplasm_image, find_cells
from nextplate.imaging.full_resolution import at_full_resolution, cytoplasm, nuclei_and_cells
from nextplate.imaging.nuclei import SegmentRule, find_nuclei
from tests.nextplate.imaging.cell_scene import NOISE, Labels, draw_cells

shapes = st.tuples(st.integers(1, 7), st.integers(3, 20), st.integers(3, 20), st.integers(0, 6), st.integers(0, 6))


def areas(labels: Labels, n: int) -> npt.NDArray[np.intp]:
    return np.bincount(labels.ravel(), minlength=n + 1)[1:]


def segmented(seed: int) -> tuple[Labels, Labels]:
    scene = draw_cells(np.random.default_rng(seed))
    nuclei = find_nuclei(scene.dna, SegmentRule(11, NOISE, None))
    cells = find_cells(nuclei, cytoplasm_image([scene.body], [NOISE]), CellRule(25, None))
    return np.ascontiguousarray(nuclei.labels), cells


def inner(labels: Labels) -> npt.NDArray[np.bool_]:
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return ~np.isin(np.arange(1, labels.max() + 1), border)


@given(shapes, st.integers(0, 10_000))
def test_any_labels_keep_every_object_at_any_size(case: tuple[int, int, int, int, int], seed: int) -> None:
    """Wild labels, one pixel large or in pieces: harder than any segmentation."""
    factor, h, w, extra_y, extra_x = case
    labels = np.random.default_rng(seed).integers(0, 9, (h, w)).astype(np.int32)
    shape = (h * factor + extra_y % factor, w * factor + extra_x % factor)
    full = at_full_resolution(labels, factor, shape)
    assert full.shape == shape
    assert full.dtype == np.int32
    assert set(np.unique(full)) - {0} == set(np.unique(labels)) - {0}


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_areas_stay_within_two_percent(factor: int) -> None:
    for labels in segmented(factor):
        n = int(labels.max())
        full = at_full_resolution(labels, factor, (200 * factor, 200 * factor))
        error = areas(full, n)[inner(labels)] / (areas(labels, n)[inner(labels)] * factor**2) - 1
        assert np.quantile(np.abs(error), 0.95) < 0.02
        assert abs(np.median(error)) < 0.005


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_disc_comes_back_rounder_than_its_blocks(factor: int) -> None:
    size, wrong_smooth, wrong_blocks = 40, 0, 0
    yy, xx = np.mgrid[: size * factor, : size * factor]
    for y, x in np.random.default_rng(0).uniform(19 * factor, 21 * factor, (20, 2)):
        truth = np.hypot(yy - y, xx - x) < 7 * factor
        small = truth.reshape(size, factor, size, factor).mean(axis=(1, 3)) > 0.5
        smooth = at_full_resolution(small.astype(np.int32), factor, truth.shape) > 0
        wrong_smooth += np.count_nonzero(smooth ^ truth)
        wrong_blocks += np.count_nonzero(np.repeat(np.repeat(small, factor, 0), factor, 1) ^ truth)
    # A shift by a single raw pixel would already fail this.
    assert wrong_smooth < 0.8 * wrong_blocks


@pytest.mark.parametrize("label", [0, 4])
def test_one_label_everywhere_stays_everywhere(label: int) -> None:
    full = at_full_resolution(np.full((5, 7), label, np.int32), 3, (17, 21))
    np.testing.assert_array_equal(full, np.full((17, 21), label))


def test_straight_borders_stay_where_they_are() -> None:
    labels = np.repeat(np.array([1, 2, 0], np.int32), 10)[None, :].repeat(30, 0)
    full = at_full_resolution(labels, 4, (120, 120))
    np.testing.assert_array_equal(full, np.repeat(np.repeat(labels, 4, 0), 4, 1))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.integers(2, 5))
def test_nuclei_stay_inside_their_cells(seed: int, factor: int) -> None:
    nuclei, cells = segmented(seed)
    inside, whole = nuclei_and_cells(nuclei, cells, factor, (200 * factor + 1, 200 * factor))
    np.testing.assert_array_equal(whole[inside > 0], inside[inside > 0])
    body = cytoplasm(whole, inside)
    np.testing.assert_array_equal(body, np.where(inside > 0, 0, whole))
    assert not (body[inside > 0]).any()


def test_an_object_stays_one_piece() -> None:
    nuclei, _ = segmented(11)
    full = at_full_resolution(nuclei, 3, (600, 600))
    for label in range(1, int(nuclei.max()) + 1):
        assert ndimage.label(full == label)[1] <= ndimage.label(nuclei == label, np.ones((3, 3)))[1]


def test_a_ragged_edge_continues_what_lies_beside_it() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[15:, 5:12] = 3
    full = at_full_resolution(labels, 5, (104, 103))
    assert (full[100:, 30:55] == 3).all()
    assert not full[:, 100:].any()


@pytest.mark.parametrize(("factor", "shape"), [(0, (20, 20)), (3, (65, 60)), (3, (60, 59)), (2, (60, 60))])
def test_labels_of_another_image_are_refused(factor: int, shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"labels of shape \(20, 20\)"):
        at_full_resolution(np.zeros((20, 20), np.int32), factor, shape)
