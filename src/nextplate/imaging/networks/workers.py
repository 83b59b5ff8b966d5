"""Several processes train one network: started by torchrun, joined by gloo on CPUs and NCCL on GPUs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from nextplate.errors import ModelError
from nextplate.imaging.networks.batches import Share


@dataclass(frozen=True, slots=True)
class Worker:
    """This process among those that train together."""

    rank: int = 0
    n_workers: int = 1
    local_rank: int = 0
    """Among those of this machine: the number of its GPU."""
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Tell whether this process writes files."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """The part of every batch that is computed here."""
        return Share(self.rank, self.n_workers)


def worker_of(environment: Mapping[str, str], device: str = "auto") -> Worker:
    """Return who this process is, from torchrun's variables; alone without them.

    Args:
        environment: os.environ.
        device: 'auto' (a GPU when there is one), 'cpu' or 'cuda'.

    Raises:
        ModelError: a GPU is asked for and there is none, or torchrun started more processes than there are GPUs.
    """
    try:
        numbers = [int(environment.get(name, default)) for name, default in _VARIABLES]
    except ValueError as error:
        raise ModelError(f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers, as torchrun sets them ({error})") from error
    rank, n_workers, local_rank = numbers
    if device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"device is {device!r}; it can be auto, cpu or cuda")
    has_gpu = torch.cuda.is_available()
    if device == "cpu" or (device == "auto" and not has_gpu):
        return Worker(rank, n_workers, local_rank, "cpu")
    if local_rank >= torch.cuda.device_count():
        raise ModelError(f"process {local_rank} of this machine has no GPU; there are {torch.cuda.device_count()}")
    return Worker(rank, n_workers, local_rank, f"cuda:{local_rank}")


_VARIABLES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


@contextmanager
def joined(worker: Worker) -> Iterator[None]:
    """Join the other processes while the block runs; alone, do nothing."""
    if worker.n_workers == 1 or distributed.is_initialized():
        yield
        return
    if worker.device != "cpu":
        torch.cuda.set_device(worker.device)
    # The first process evaluates and writes while the others wait for the next training.
    distributed.init_process_group("gloo" if worker.device == "cpu" else "nccl", timeout=timedelta(hours=12))
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait_for_all(worker: Worker) -> None:
    """Go on when every process is here."""
    if worker.n_workers > 1:
        distributed.barrier()


def summed(value: Any, worker: Worker) -> Any:
    """Return a tensor added up over all processes."""
    if worker.n_workers > 1:
        distributed.all_reduce(value)
    return value


def spread_out(module: Any, worker: Worker) -> Any:
    """Wrap a module so that gradients are averaged over the processes; alone, return it as it is."""
    if worker.n_workers == 1:
        return module
    ids = None if worker.device == "cpu" else [worker.local_rank]
    return torch.nn.parallel.DistributedDataParallel(module, device_ids=ids, gradient_as_bucket_view=True)


def has_bfloat16(device: str) -> bool:
    """Tell whether a device multiplies bfloat16 natively: a GPU from Ampere on, a CPU with AVX512-BF16 or AMX."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test)() for test in tests if hasattr(torch.cpu, test))
