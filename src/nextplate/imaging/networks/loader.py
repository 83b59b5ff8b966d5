"""Batches drawn ahead of the network by threads.

Threads copy crops out of the memory map, which lets go of Python's lock; counts travel as they are, a half or a
quarter of their size as floats, and are scaled on the device. Each batch has a random generator of its own, made from
(seed, epoch, batch, rank), so what is drawn depends neither on the number of threads nor on where training was
resumed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nextplate.imaging.networks.augment import random_view
from nextplate.imaging.networks.cache import PixelCache
from nextplate.imaging.networks.scaling import PixelScale

Rows = npt.NDArray[np.intp]
Clock = Callable[[], float]
"""Seconds that only grow; given by the caller, as the science has no clock."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every epoch is ours."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Some fields, or crops of them."""

    rows: Rows
    """Of the cache."""
    counts: Any
    """Tensor (batch, height, width, channels) of the cache's number format."""
    offset: Any
    """Tensor (batch, channels)."""
    gain: Any

    def scaled(self, device: str, dtype: Any) -> Any:
        """Move to the device without waiting, and scale; (batch, channels, height, width), channels last in memory."""
        counts, offset, gain = (t.to(device, non_blocking=True) for t in (self.counts, self.offset, self.gain))
        scaled = (counts.to(torch.float32) - offset[:, None, None]) * gain[:, None, None]
        return scaled.to(dtype).permute(0, 3, 1, 2)


@dataclass(slots=True)
class Waiting:
    """How long the network waited for data, in seconds of the clock given."""

    waited_s: float = 0.0
    total_s: float = 0.0

    @property
    def share(self) -> float:
        """Return the share of time spent waiting; NaN when nothing was timed."""
        return self.waited_s / self.total_s if self.total_s > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Loader:
    """Draws batches of a cache."""

    cache: PixelCache
    scale: PixelScale
    n_threads: int = 2
    n_ahead: int = 4
    """Batches drawn before they are asked for."""
    is_pinned: bool = False
    """Keep counts in page-locked memory, which a GPU fetches by itself."""

    def training(self, rows: Rows, batch_size: int, crop_px: int | None, seed: int, epoch: int, share: Share,
                 waiting: Waiting, clock: Clock) -> Iterator[Batch]:  # fmt: skip
        """Yield one epoch of augmented batches in random order, our share of them."""
        mine = epoch_rows(rows, seed, epoch, share)
        batches = split(mine, batch_size)

        def draw(i: int) -> Batch:
            rng = np.random.default_rng((seed, epoch, i, share.rank))
            return self._batch(batches[i], [random_view(self.cache.pixels[r], crop_px, rng) for r in batches[i]])

        return self._ahead(draw, len(batches), waiting, clock)

    def whole(self, rows: Rows, batch_size: int, waiting: Waiting, clock: Clock) -> Iterator[Batch]:
        """Yield whole fields in the order of the rows."""
        batches = split(rows, batch_size)
        return self._ahead(
            lambda i: self._batch(batches[i], [self.cache.pixels[r] for r in batches[i]]), len(batches), waiting, clock
        )

    def _batch(self, rows: Rows, views: Sequence[npt.NDArray[Any]]) -> Batch:
        counts = torch.empty(
            (len(views), *views[0].shape), dtype=_TYPES[views[0].dtype.name], pin_memory=self.is_pinned
        )
        target = counts.numpy()
        for i, view in enumerate(views):
            target[i] = view
        return Batch(rows, counts, torch.from_numpy(self.scale.offset[rows]), torch.from_numpy(self.scale.gain[rows]))

    def _ahead(self, draw: Callable[[int], Batch], n: int, waiting: Waiting, clock: Clock) -> Iterator[Batch]:
        started = clock()
        with ThreadPoolExecutor(self.n_threads) as executor:
            drawn: deque[Future[Batch]] = deque(executor.submit(draw, i) for i in range(min(n, self.n_ahead)))
            for i in range(len(drawn), n + len(drawn)):
                before = clock()
                batch = drawn.popleft().result()
                waiting.waited_s += clock() - before
                if i < n:
                    drawn.append(executor.submit(draw, i))
                yield batch
        waiting.total_s += clock() - started


_TYPES = {"uint8": torch.uint8, "uint16": torch.uint16}


def epoch_rows(rows: Rows, seed: int, epoch: int, share: Share) -> Rows:
    """Shuffle the rows for an epoch and return our share; every share is as long, the first rows filling up the last.

    All processes must give the same rows and seed. Where there are fewer rows than processes, rows repeat.
    """
    order = np.random.default_rng((seed, epoch)).permutation(rows)
    n_each = -(-len(order) // share.world)
    return np.resize(order, n_each * share.world)[share.rank :: share.world]


def split(rows: Rows, size: int) -> list[Rows]:
    """Cut rows into batches as equal as can be, none above the size."""
    return list(np.array_split(rows, max(1, -(-len(rows) // size)))) if len(rows) else []
