"""A network is kept fed: batches are cut from the cache by threads while the batch before is computed on.

Batch s of a training depends on nothing but (seed, s): the rows are a slice of the epoch's permutation, and each row's
augmentation is drawn from (seed, epoch, row). So a resumed training sees what an uninterrupted one would, and two
processes that share every batch see together what one process would. Pixels travel to a GPU as they lie in the cache
(a quarter or half of float32), from pinned memory, without blocking; they are scaled there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nextplate.imaging.networks.augmentation import Augmentation, augmented
from nextplate.imaging.networks.normalisation import Scale

Rows = npt.NDArray[np.int64]
_AHEAD = 3
"""Batches prepared ahead."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every batch this process computes."""

    rank: int = 0
    n_workers: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows every step of a training sees."""

    rows: Rows
    """The training rows."""
    batch: int
    """Fields of one step over all workers."""
    n_epochs: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every row is seen once; the last is filled up from the front of the permutation."""
        return max(1, -(-len(self.rows) // self.batch))

    @property
    def n_steps(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.n_epochs

    def at(self, step: int, share: Share) -> tuple[int, Rows]:
        """Return (epoch, rows) of a 0-based step, for one of the workers: every worker gets as many."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.rows)
        places = np.arange(place * self.batch, (place + 1) * self.batch) % len(order)
        return epoch, order[places[share.rank :: share.n_workers]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pixels as they lie in the cache, and how to scale them."""

    rows: Rows
    pixels: Any
    """Tensor (n, h, w, channels), uint8 or int16 that holds uint16; pinned when a GPU is to take it."""
    offset: Any
    """Tensor (n, channels, 1, 1), float32."""
    factor: Any


def cut(
    pixels: npt.NDArray[Any],
    scale: Scale,
    rows: Rows,
    augmentation: Augmentation,
    rngs: Iterable[np.random.Generator],
    *,
    pins: bool,
) -> Batch:
    """Gather rows of a cache (rows, channels, h, w) into one batch, channels last."""
    h, w = augmentation.size(*pixels.shape[2:])
    out = np.empty((len(rows), h, w, pixels.shape[1]), pixels.dtype)
    for target, row, rng in zip(out, rows, rngs, strict=True):
        target[:] = augmented(pixels[row], augmentation, rng).transpose(1, 2, 0)
    return to_batch(out, rows, scale.offset[rows], scale.factor[rows], pins=pins)


def to_batch(
    pixels: npt.NDArray[Any],
    rows: Rows,
    offset: npt.NDArray[np.float32],
    factor: npt.NDArray[np.float32],
    *,
    pins: bool,
) -> Batch:
    """Wrap pixels (n, h, w, channels) and their scales (n, channels)."""
    # torch computes little with uint16; the bits travel as int16 and are read as unsigned at the far end.
    raw = torch.from_numpy(pixels.view(np.int16) if pixels.dtype == np.uint16 else pixels)
    parts = (raw, torch.from_numpy(offset[:, :, None, None]), torch.from_numpy(factor[:, :, None, None]))
    return Batch(rows, *(part.pin_memory() if pins else part for part in parts))


def on_device(batch: Batch, device: Any, limit: float) -> Any:
    """Return scaled images (n, channels, h, w), float32 and channels_last, on a device."""
    raw, offset, factor = (part.to(device, non_blocking=True) for part in (batch.pixels, batch.offset, batch.factor))
    values = raw.to(torch.int32).bitwise_and_(0xFFFF).float() if raw.dtype == torch.int16 else raw.float()
    return values.permute(0, 3, 1, 2).sub_(offset).mul_(factor).clamp_(-limit, limit)


def training_batches(
    pixels: npt.NDArray[Any],
    scale: Scale,
    plan: Plan,
    augmentation: Augmentation,
    *,
    first: int,
    share: Share,
    n_threads: int,
    pins: bool,
) -> Iterator[Batch]:
    """Yield the batches of steps first .. n_steps - 1, prepared ahead by threads."""

    def prepare(step: int) -> Batch:
        epoch, rows = plan.at(step, share)
        rngs = (np.random.default_rng([plan.seed, 2, epoch, int(row)]) for row in rows)
        return cut(pixels, scale, rows, augmentation, rngs, pins=pins)

    return ahead(prepare, range(first, plan.n_steps), n_threads)


def ahead(prepare: Callable[[Any], Any], items: Iterable[Any], n_threads: int) -> Iterator[Any]:
    """Yield prepare(item) in order while threads work on the next few; at most a few results wait."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(prepare, item))
                if len(waiting) > max(n_threads, _AHEAD):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
