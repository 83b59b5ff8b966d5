"""Map a function over chunks in worker processes that cannot outlive their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

# Below this a worker takes longer to start (about a second: it imports rdkit) than the work takes.
_FEWEST_FOR_WORKERS = 1000


def map_chunks(
    function: Callable[[Sequence[Item]], Result],
    items: Sequence[Item],
    *,
    n_jobs: int,
    progress: Progress | None = None,
    chunk_size: int = 500,
) -> Iterator[Result]:
    """Yield function(chunk) for each chunk of items, in order.

    Args:
        function: importable by name; it and the items travel to spawned processes.
        items: everything to be worked on.
        n_jobs: processes; 1, a short list, or a daemonic parent (which may have no children) means this one.
        progress: called with (items done, items in all) after each chunk.
        chunk_size: items per call.
    """
    chunks = [items[i : i + chunk_size] for i in range(0, len(items), chunk_size)]
    n_workers = min(n_jobs, len(chunks))
    is_alone = multiprocessing.current_process().daemon or len(items) < _FEWEST_FOR_WORKERS
    results = map(function, chunks) if n_workers < 2 or is_alone else _in_workers(function, chunks, n_workers)
    n_done = 0
    for chunk, result in zip(chunks, results, strict=True):
        n_done += len(chunk)
        if progress is not None:
            progress(n_done, len(items))
        yield result


def _in_workers(
    function: Callable[[Sequence[Item]], Result], chunks: list[Sequence[Item]], n_workers: int
) -> Iterator[Result]:
    # spawn, not fork: the parent may hold threads (OpenMP, device workers), and a forked lock never opens again.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_die_with_parent)
    try:
        yield from pool.map(function, chunks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent() -> None:
    """Leave Ctrl-C to the parent, and exit when the parent is gone, even killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, name="exit-after-parent", daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
