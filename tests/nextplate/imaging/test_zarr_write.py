"""Zarr 3 arrays as written, and the pyramid's arithmetic."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nextplate.imaging.pyramid import halved, level_shape, n_levels
from nextplate.imaging.zarr_array import open_array, read_plane
from nextplate.imaging.zarr_write import ArraySpec, write_array, write_plane
from tests.nextplate.imaging.omezarr_plates import noise

PIXELS = st.sampled_from(["uint8", "uint16"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=17))
)


@given(PIXELS)
def test_a_level_is_the_mean_of_two_by_two_rounded_half_to_even(plane: np.ndarray) -> None:
    odd = [n % 2 for n in plane.shape]
    even = np.pad(plane, ((0, odd[0]), (0, odd[1])), mode="edge").astype(float)
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
    small = halved(plane)
    assert small.dtype == plane.dtype
    assert np.array_equal(small, np.rint(blocks.mean(axis=(1, 3))))


def test_halving_makes_an_image_neither_brighter_nor_darker() -> None:
    plane = noise(1, (1000, 1000))
    assert abs(halved(plane).mean() - plane.mean()) < 1e-3


@pytest.mark.parametrize(
    ("shape", "shapes"),
    [
        ((1080, 1080), [(1080, 1080), (540, 540), (270, 270)]),
        ((2160, 2160), [(2160, 2160), (1080, 1080), (540, 540), (270, 270)]),
        ((904, 1224), [(904, 1224), (452, 612), (226, 306)]),
        ((601, 3001), [(601, 3001), (301, 1501), (151, 751)]),
        ((256, 256), [(256, 256)]),
        ((1, 5000), [(1, 5000)]),
    ],
)
def test_levels_end_at_about_256_pixels(shape: tuple[int, int], shapes: list[tuple[int, int]]) -> None:
    assert [level_shape(shape, n) for n in range(n_levels(shape))] == shapes
    assert n_levels(shape, 1) == 1
    assert n_levels(shape, 2) == min(2, len(shapes))


@settings(max_examples=40, deadline=None)
@given(PIXELS, st.integers(1, 3), st.integers(1, 2))
def test_every_plane_comes_back(plane: np.ndarray, n_channels: int, n_steps: int) -> None:
    spec = ArraySpec((n_channels, n_steps, *plane.shape), plane.dtype.name, ("c", "z", "y", "x"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_array(path, spec)
        n = write_plane(path, spec, (n_channels - 1, n_steps - 1), plane)
        array = open_array(path)
        assert np.array_equal(read_plane(array, array.n_pages - 1), plane)
        assert array.n_pages == 1 or not read_plane(array, 0).any()
        assert n == sum(p.stat().st_size for p in (path / "c").rglob("*") if p.is_file())


def test_large_planes_are_cut_evenly(tmp_path: Path) -> None:
    plane = noise(2, (1537, 3200), "uint8")
    spec = ArraySpec((1, *plane.shape), "uint8", ("c", "y", "x"))
    assert spec.chunks == (1, 769, 1067)
    write_array(tmp_path, spec)
    write_plane(tmp_path, spec, (0,), plane)
    assert np.array_equal(read_plane(open_array(tmp_path), 0), plane)


def test_a_plane_of_another_kind_is_refused(tmp_path: Path) -> None:
    spec = ArraySpec((1, 4, 4), "uint8", ("c", "y", "x"))
    with pytest.raises(ValueError, match="for an array of"):
        write_plane(tmp_path, spec, (0,), noise(1, (4, 4), "uint16"))
