"""One thread for each test process: `make test` runs as many processes as there are cores.

Networks of a few thousand weights take five times the processor on two threads that wait for each other while another
process is at work. Commands that tests start inherit it. Set OMP_NUM_THREADS to have it otherwise.
"""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure() -> None:
    """Say so before anything loads OpenMP or a BLAS, which look once."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A busy machine is slow at whatever it is asked; how fast something is, `make bench` tells.
    settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any-machine")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred processes of ours would each compile everything


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at what stays to the end: thousands of tests and the modules they use."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    """Take back what a command typed in this process said of torch's threads."""
    yield
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
