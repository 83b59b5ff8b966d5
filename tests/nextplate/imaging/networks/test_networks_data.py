"""Decoded pixels, grey levels, views and batches: nothing lost, nothing left to chance."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_plates import WELLS, tiny_readout, write_plate

from nextplate.errors import DataError
from nextplate.imaging.networks import cache as cache_module
from nextplate.imaging.networks.augment import random_view
from nextplate.imaging.networks.cache import GAIN, build_cache, downscaled, open_cache
from nextplate.imaging.networks.scaling import pixel_scale
from nextplate.imaging.pixels import read_image


@pytest.fixture
def plate(tmp_path):
    return write_plate(tmp_path / "P1")


@pytest.fixture
def cache(plate, tmp_path):
    return build_cache([tiny_readout(plate)], tmp_path / "pixels")


def test_the_cache_holds_every_field_s_pixels_channel_by_channel(cache, plate):
    images = {(i.well, i.field, i.channel): i for i in tiny_readout(plate).images}
    assert cache.channels == ("DNA", "GFP")
    assert len(cache.fields) == len(cache.usable) == 2 * len(WELLS)
    for row, field in enumerate(cache.fields):
        for c, channel in enumerate(cache.channels):
            expected = read_image(images[field.well, field.field, channel])
            assert np.array_equal(cache.pixels[row, :, :, c], expected)


def test_an_interrupted_build_goes_on_where_it_was(plate, tmp_path, monkeypatch):
    readout, folder, read = tiny_readout(plate), tmp_path / "pixels", []
    monkeypatch.setattr(cache_module, "_FLUSH_FIELDS", 4)

    def stop(done, _total):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache([readout], folder, progress=stop)
    monkeypatch.setattr(cache_module, "read_image", lambda i, kind: read.append(i.well) or read_image(i, kind))
    resumed = build_cache([readout], folder)
    whole = build_cache([readout], tmp_path / "other")
    assert len(read) == 2 * (12 - 4) + 24
    assert np.array_equal(resumed.pixels, whole.pixels)
    assert resumed.digest(resumed.usable) == whole.digest(whole.usable)


def test_a_field_that_cannot_be_read_is_told_and_not_used(plate, tmp_path):
    (plate / "A02_s1_GFP.tif").unlink()
    whole = (plate / "B01_s2_DNA.tif").read_bytes()
    (plate / "B01_s2_DNA.tif").write_bytes(whole[: len(whole) // 2])
    cache = build_cache([tiny_readout(plate)], tmp_path / "pixels")
    found = {(p.well, p.field): p.reason for p in cache.problems}
    assert set(found) == {("A02", 1), ("B01", 2)}
    assert found["A02", 1].startswith("field-missing: no image of channel GFP")
    assert found["B01", 2].startswith("unreadable: ")
    assert len(cache.usable) == 10


def test_a_cache_of_images_that_have_changed_since_is_refused(plate, tmp_path):
    moved = (plate / "A02_s1_GFP.tif").rename(tmp_path / "kept.tif")
    build_cache([tiny_readout(plate)], tmp_path / "pixels")
    moved.rename(plate / "A02_s1_GFP.tif")
    with pytest.raises(DataError, match="have changed; remove it"):
        build_cache([tiny_readout(plate)], tmp_path / "pixels")


def test_plates_of_one_name_or_of_different_sizes_are_refused(plate, tmp_path):
    readout = tiny_readout(plate)
    other = tiny_readout(write_plate(tmp_path / "P2", size=(40, 40)))
    with pytest.raises(DataError, match="a plate called P1"):
        build_cache([readout, readout], tmp_path / "a")
    with pytest.raises(DataError, match="48 x 40 uint16; P2: 40 x 40 uint16"):
        build_cache([readout, other], tmp_path / "b")
    with pytest.raises(DataError, match="no channel 'RNA'; it has DNA, GFP"):
        build_cache([readout], tmp_path / "c", channels=["RNA"])


def test_a_damaged_or_foreign_folder_is_refused(cache, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds no pixel cache"):
        build_cache([tiny_readout(tmp_path / "P1")], tmp_path / "mine")
    (cache.folder / "pixels.npy").write_bytes(b"\x93NUMPY cut")
    with pytest.raises(DataError, match=r"pixels\.npy: cannot be opened"):
        open_cache(cache.folder)


@settings(deadline=None)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(2, 6), st.sampled_from(["uint8", "uint16"]))
def test_downscaling_averages_tiles(height, width, factor, dtype):
    pixels = (
        np.random.default_rng(height).integers(0, np.iinfo(dtype).max, (height, width), endpoint=True).astype(dtype)
    )
    found = downscaled(pixels, factor)
    gain = GAIN if dtype == "uint8" else 1
    assert found.dtype == np.uint16
    assert found.shape == (-(-height // factor), -(-width // factor))
    if height >= factor and width >= factor:
        assert abs(float(found[0, 0]) - gain * pixels[:factor, :factor].mean()) <= 0.5001
    assert found.max() <= gain * int(pixels.max())


def test_a_plate_s_scale_makes_each_channel_mean_0_and_deviation_1_and_keeps_wells_apart(cache):
    scale = pixel_scale(cache, "plate")
    scaled = (cache.pixels[:] - scale.offset[:, None, None]) * scale.gain[:, None, None]
    assert scaled.mean(axis=(0, 1, 2)) == pytest.approx([0, 0], abs=0.05)
    assert scaled.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=0.05)
    bright = [f.well[0] == "B" for f in cache.fields]
    assert scaled[bright, ..., 1].mean() - scaled[np.logical_not(bright), ..., 1].mean() > 1


def test_an_image_s_scale_takes_differences_in_brightness_away(cache):
    scale = pixel_scale(cache, "image")
    scaled = (cache.pixels[:] - scale.offset[:, None, None]) * scale.gain[:, None, None]
    assert np.allclose(scaled.mean(axis=(1, 2)), 0, atol=1e-3)
    assert np.allclose(scaled.std(axis=(1, 2)), 1, atol=1e-3)


def test_a_channel_without_contrast_becomes_zeros_not_nan(cache):
    flat = replace(cache, pixels=np.full(cache.pixels.shape, 7, np.uint16))
    for scaling in ("plate", "image"):
        assert not pixel_scale(flat, scaling).gain.any()
    with pytest.raises(DataError, match="there are plate, image"):
        pixel_scale(cache, "well")


@settings(deadline=None)
@given(st.integers(3, 12), st.integers(3, 12), st.one_of(st.none(), st.integers(1, 20)), st.integers(0, 99))
def test_a_view_is_a_turned_cut_of_the_field_in_one_size(height, width, crop, seed):
    pixels = np.arange(height * width * 2, dtype=np.uint16).reshape(height, width, 2)
    view = random_view(pixels, crop, np.random.default_rng(seed))
    side = None if crop is None else min(crop, height, width)
    assert view.shape[:2] == ((height, width) if side is None else (side, side))
    assert np.isin(view, pixels).all()
    assert len(np.unique(view)) == view.size
    assert np.array_equal(view[..., 1], view[..., 0] + 1)
    assert np.shares_memory(view, pixels)


def test_all_eight_views_of_a_square_come():
    pixels = np.arange(9).reshape(3, 3, 1)
    rng = np.random.default_rng(1)
    assert len({random_view(pixels, None, rng).tobytes() for _ in range(200)}) == 8


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_is_shared_out_whole_and_evenly(n, world, epoch):
    pytest.importorskip("torch")
    from nextplate.imaging.networks.loader import Share, epoch_rows

    shares = [epoch_rows(np.arange(n), 3, epoch, Share(rank, world)) for rank in range(world)]
    assert len({len(s) for s in shares}) == 1
    assert set(np.concatenate(shares).tolist()) == set(range(n))
    assert sum(map(len, shares)) < n + world


def test_batches_do_not_depend_on_the_number_of_threads(cache):
    pytest.importorskip("torch")
    from nextplate.imaging.networks.loader import Loader, Share, Waiting

    def drawn(n_threads, epoch):
        loader = Loader(cache, pixel_scale(cache, "plate"), n_threads, n_ahead=3)
        return list(loader.training(cache.usable, 5, 16, 1, epoch, Share(), Waiting(), time.perf_counter))

    one, many, next_epoch = drawn(1, 0), drawn(4, 0), drawn(1, 1)
    assert [b.rows.tolist() for b in one] == [b.rows.tolist() for b in many]
    assert all(bool((a.counts.numpy() == b.counts.numpy()).all()) for a, b in zip(one, many, strict=True))
    assert [b.rows.tolist() for b in one] != [b.rows.tolist() for b in next_epoch]
    assert sorted(np.concatenate([b.rows for b in one]).tolist()) == cache.usable.tolist()


def test_the_time_spent_waiting_is_what_the_clock_says(cache):
    pytest.importorskip("torch")
    from nextplate.imaging.networks.loader import Loader, Waiting

    waiting, ticks = Waiting(), iter(range(100))
    loader = Loader(cache, pixel_scale(cache, "plate"), 1)
    n = len(list(loader.whole(cache.usable, 4, waiting, lambda: float(next(ticks)))))
    assert n == 3
    # Two looks at the clock around each batch, one before all and one after.
    assert waiting.waited_s == 3
    assert waiting.total_s == 7
    assert waiting.share == pytest.approx(3 / 7)
