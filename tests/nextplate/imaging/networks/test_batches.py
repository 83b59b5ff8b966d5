"""Batches: every field once per epoch, the same for any number of workers, scaled as said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed: pip install nextplate[deep]")

from nextplate.imaging.networks.augmentation import NOTHING, Augmentation  # noqa: E402
from nextplate.imaging.networks.batches import Plan, Share, ahead, on_device, training_batches  # noqa: E402
from nextplate.imaging.networks.normalisation import Scale  # noqa: E402


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=40)
def test_an_epoch_shows_every_field_and_workers_share_it(n, per_worker, n_workers):
    plan = Plan(np.arange(n) * 3, per_worker * n_workers, 2, seed=5)
    seen: list[int] = []
    for step in range(plan.steps_per_epoch):
        whole = plan.at(step, Share())[1]
        parts = [plan.at(step, Share(r, n_workers))[1] for r in range(n_workers)]
        assert {len(p) for p in parts} == {per_worker}
        assert sorted(np.concatenate(parts)) == sorted(whole)
        seen += whole.tolist()
    assert set(seen) == set(plan.rows.tolist())
    assert len(seen) < n + plan.batch


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_arrive_scaled_and_channels_last(dtype):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, np.iinfo(dtype).max, (5, 2, 64, 66), dtype, endpoint=True)
    scale = Scale(rng.uniform(0, 9, (5, 2)).astype(np.float32), rng.uniform(0, 1e-4, (5, 2)).astype(np.float32))
    plan = Plan(np.arange(5), 2, 1, seed=1)
    batches = training_batches(pixels, scale, plan, NOTHING, first=1, share=Share(), n_threads=2, pins=False)
    found = list(batches)
    assert len(found) == 2
    for batch in found:
        images = on_device(batch, "cpu", 4.0)
        assert images.is_contiguous(memory_format=torch.channels_last)
        r = batch.rows
        wanted = (pixels[r] - scale.offset[r][:, :, None, None]) * scale.factor[r][:, :, None, None]
        np.testing.assert_allclose(images.numpy(), np.clip(wanted, -4, 4), rtol=1e-5, atol=1e-5)


def test_batches_are_the_same_again_for_any_number_of_threads():
    pixels = np.random.default_rng(2).integers(0, 255, (6, 1, 80, 80), np.uint8)
    scale = Scale(np.zeros((6, 1), np.float32), np.ones((6, 1), np.float32))
    plan = Plan(np.arange(6), 4, 3, seed=7)
    fixed = {"first": 0, "share": Share(), "pins": False}
    runs = [list(training_batches(pixels, scale, plan, Augmentation(crop_px=64), n_threads=n, **fixed)) for n in (1, 3)]
    assert len(runs[0]) == 6
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a.pixels, b.pixels)


def test_an_error_while_preparing_reaches_the_training():
    def prepare(i: int) -> int:
        if i == 3:
            raise ValueError("torn")
        return i

    prepared = ahead(prepare, range(10), 2)
    assert [next(prepared) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="torn"):
        next(prepared)
