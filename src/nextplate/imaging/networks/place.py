"""Where training runs: one process, or several that `torchrun` started, on CPUs or GPUs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nextplate.imaging.networks.loader import Share

_PATIENCE = timedelta(hours=6)
"""Processes wait for rank 0 while it decodes the plates."""


@dataclass(frozen=True, slots=True)
class Place:
    """The device of this process, and its share of the work."""

    device: str = "cpu"
    share: Share = field(default_factory=Share)

    @property
    def is_first(self) -> bool:
        """Say whether this process writes files and talks to people."""
        return self.share.rank == 0

    @property
    def is_gpu(self) -> bool:
        """Say whether this is a GPU."""
        return self.device.startswith("cuda")


@contextmanager
def placed(environment: Mapping[str, str]) -> Iterator[Place]:
    """Join the processes that `torchrun` started, as RANK, WORLD_SIZE and LOCAL_RANK say; without them be alone.

    GPUs talk by nccl, CPUs by gloo.
    """
    has_gpu = torch.cuda.is_available()
    device = f"cuda:{environment.get('LOCAL_RANK', '0')}" if has_gpu else "cpu"
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        yield Place(device)
        return
    if has_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if has_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Place(device, Share(dist.get_rank(), dist.get_world_size()))
    finally:
        dist.destroy_process_group()


def wait_for_all(place: Place) -> None:
    """Wait until every process is here."""
    if place.share.world > 1:
        dist.barrier()


def wrapped(network: Any, place: Place) -> Any:
    """Average gradients over the processes, overlapped with the backward pass."""
    if place.share.world == 1:
        return network
    return DistributedDataParallel(network, device_ids=[place.device] if place.is_gpu else None)


def summed(values: Any, place: Place) -> list[float]:
    """Add a tensor's values up over all processes."""
    if place.share.world > 1:
        dist.all_reduce(values)
    return [float(v) for v in values.tolist()]
