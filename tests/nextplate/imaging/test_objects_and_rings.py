"""Segmentation and rings on drawn discs, where every number is known."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.imaging.flatfield import binned, fit_flat_field, survey_field
from nextplate.imaging.nuclei import Nuclei, SegmentRule, find_nuclei
from nextplate.imaging.objects import RingRule, measure_objects, ring_around
from nextplate.imaging.quality import excludes, focus_z, is_blurred, join_flags
from nextplate.imaging.threshold import otsu

RULE = SegmentRule(diameter_px=11, noise=5, plate_threshold=None)
RING = RingRule(gap_px=1, width_px=2, noise=1, min_reporter=10)
Image = npt.NDArray[np.float32]


def discs(places: list[tuple[float, float]], level: float = 1000, radius: float = 5.5, size: int = 120) -> Image:
    yy, xx = np.mgrid[:size, :size]
    image = np.zeros((size, size), np.float32)
    for y, x in places:
        image = np.maximum(image, level * np.clip(radius + 0.5 - np.hypot(yy - y, xx - x), 0, 1))
    return image.astype(np.float32)


def scattered(seed: int, n: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    places: list[tuple[float, float]] = []
    for y, x in rng.uniform(0, 119, (400, 2)):
        if len(places) < n and all(np.hypot(y - a, x - b) > 10.5 for a, b in places):
            places.append((float(y), float(x)))
    return places


@pytest.mark.parametrize("distance", [9.5, 11.0, 14.0])
def test_touching_nuclei_are_two(distance: float) -> None:
    assert find_nuclei(discs([(60, 50), (60, 50 + distance)]), RULE).n == 2


def test_a_bright_neighbour_does_not_swallow_a_dim_nucleus() -> None:
    image = np.maximum(discs([(60, 50)], level=6000), discs([(60, 61)], level=1500))
    assert find_nuclei(image, RULE).n == 2


def test_an_elongated_nucleus_is_one() -> None:
    yy, xx = np.mgrid[:120, :120]
    ellipse = 1000 * np.clip((1.1 - np.hypot((yy - 60) / 8.5, (xx - 60) / 4.5)) * 8, 0, 1)
    assert find_nuclei(ellipse.astype(np.float32), RULE).n == 1


def test_noise_and_debris_are_no_nuclei() -> None:
    noise = np.random.default_rng(0).normal(0, 5, (120, 120)).astype(np.float32)
    assert find_nuclei(noise, RULE).n == 0
    assert find_nuclei(noise + discs([(60, 60)], radius=1.0), RULE).n == 0


def labels_of(nuclei: Nuclei) -> npt.NDArray[np.int32]:
    return nuclei.labels


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
def test_rings_touch_nothing_but_their_own_cell(seed: int, n: int) -> None:
    nuclei = find_nuclei(discs(scattered(seed, n)), RULE)
    ring = ring_around(nuclei, RING)
    padded = nuclei.padded.ravel()
    assert len(np.unique(ring.pixels)) == len(ring.pixels)
    assert not padded[ring.pixels].any()
    width = nuclei.padded.shape[1]
    neighbours = [padded[ring.pixels + o] for o in (-width, width, -1, 1)]
    # One pixel of gap: no ring pixel touches a nucleus, its own or another's.
    assert all((side <= 0).all() for side in neighbours)
    assert set(np.unique(labels_of(nuclei))) <= set(range(nuclei.n + 1))
    assert np.array_equal(np.flatnonzero(padded > 0), nuclei.pixels)


def test_means_are_exact_on_flat_discs() -> None:
    places = [(30.0, 30.0), (30.0, 80.0), (90.0, 60.0)]
    dna = discs(places)
    nuclei = find_nuclei(dna, RULE)
    inside = discs(places, level=1, radius=6.5) > 0
    reporter = np.where(inside, 400, 100).astype(np.float32)
    objects = measure_objects(nuclei, ring_around(nuclei, RING), dna, reporter, RING)
    np.testing.assert_allclose(np.sort(objects.y_px), [30, 30, 90], atol=0.05)
    np.testing.assert_allclose(objects.reporter_nucleus, 400)
    np.testing.assert_allclose(objects.reporter_ring, 100, rtol=0.3)
    np.testing.assert_allclose(objects.nc_ratio, 2, atol=0.4)
    np.testing.assert_allclose(objects.area_px, np.pi * 5.5**2, rtol=0.2)


def test_a_cell_without_reporter_has_no_ratio() -> None:
    nuclei = find_nuclei(discs([(60, 60)]), RULE)
    dark = np.full((120, 120), 3, np.float32)
    assert np.isnan(measure_objects(nuclei, ring_around(nuclei, RING), dark, dark, RING).nc_ratio).all()


def test_an_empty_field_gives_empty_arrays() -> None:
    nothing = np.zeros((120, 120), np.float32)
    nuclei = find_nuclei(nothing, RULE)
    objects = measure_objects(nuclei, ring_around(nuclei, RING), nothing, nothing, RING)
    assert nuclei.n == 0
    assert objects.nc_ratio.shape == objects.area_px.shape == (0,)


@given(st.integers(1, 6), st.integers(20, 60), st.integers(20, 60))
def test_binning_is_the_mean_of_its_pixels(factor: int, h: int, w: int) -> None:
    raw = np.random.default_rng(h * w).integers(0, 65536, (h, w)).astype(np.uint16)
    small = binned(raw, factor)
    expected = raw[: h // factor * factor, : w // factor * factor].astype(np.float64)
    expected = expected.reshape(h // factor, factor, w // factor, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(small, expected, rtol=1e-5)


def test_otsu_parts_two_levels_and_leaves_a_constant_alone() -> None:
    two = np.repeat(np.array([1.0, 9.0], np.float32), [900, 100])
    assert 1 < otsu(two) < 9
    assert otsu(np.full(10, 4, np.float32)) == 4


def test_few_fields_leave_the_gain_alone_and_say_so() -> None:
    fields = [survey_field(discs([(60, 60)]) + 100) for _ in range(3)]
    flat = fit_flat_field("DNA", fields, (120, 120))
    assert flat.note == "3 sampled fields hold cells, 8 are needed: gain not corrected"
    np.testing.assert_allclose(flat.inverse_gain, 1)


@pytest.mark.parametrize(
    ("flags", "n_fields", "expected"),
    [
        ("", 1, False),
        ("", 0, True),
        ("out-of-focus", 1, True),
        ("reporter-out-of-focus", 1, False),
        ("unreadable", 2, False),
        ("unreadable;saturated", 2, True),
        ("not-dosed", 1, True),
    ],
)
def test_which_flags_exclude_a_well(flags: str, n_fields: int, expected: bool) -> None:
    assert excludes(flags, n_fields) is expected


def test_flags_are_joined_in_catalogue_order() -> None:
    assert join_flags({"saturated", "unreadable"}) == "unreadable;saturated"


def test_focus_needs_both_scores_and_eight_wells() -> None:
    sharp = np.linspace(-0.05, 0.05, 20)
    one, both = sharp.copy(), sharp.copy()
    one[3] = both[3] = -5.0
    assert not is_blurred(*focus_z(one, sharp), 4.0).any()
    assert np.flatnonzero(is_blurred(*focus_z(one, both), 4.0)).tolist() == [3]
    assert not is_blurred(*focus_z(one[:7], both[:7]), 4.0).any()
