"""Map a function over chunks in worker processes that cannot outlive their parent."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

# Below this a worker takes longer to start (about a second: it imports rdkit) than the work takes.
FEWEST_FOR_WORKERS = 1000
# Chunks under way per worker: enough that none waits for the parent.
_AHEAD = 3


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
    chunks = (items[i : i + chunk_size] for i in range(0, len(items), chunk_size))
    n_workers = 1 if len(items) < FEWEST_FOR_WORKERS else n_jobs
    n_done = 0
    for chunk, result in map_stream(function, chunks, n_jobs=n_workers):
        n_done += len(chunk)
        if progress is not None:
            progress(n_done, len(items))
        yield result


def map_stream(
    function: Callable[[Sequence[Item]], Result], chunks: Iterable[Sequence[Item]], *, n_jobs: int
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Yield (chunk, function(chunk)) in order, drawing only a few chunks ahead of what was taken.

    Args:
        function: importable by name; it and the items travel to spawned processes.
        chunks: drawn lazily, so that neither the work nor the results are ever there as a whole.
        n_jobs: processes; 1, or a daemonic parent (which may have no children), means this one.
    """
    if n_jobs < 2 or multiprocessing.current_process().daemon:
        for chunk in chunks:
            yield chunk, function(chunk)
    else:
        yield from _in_workers(function, chunks, n_jobs)


def _in_workers(
    function: Callable[[Sequence[Item]], Result], chunks: Iterable[Sequence[Item]], n_workers: int
) -> Iterator[tuple[Sequence[Item], Result]]:
    # spawn, not fork: the parent may hold threads (OpenMP, device workers), and a forked lock never opens again.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_die_with_parent)
    pending: deque[tuple[Sequence[Item], Future[Result]]] = deque()
    try:
        for chunk in chunks:
            pending.append((chunk, pool.submit(function, chunk)))
            if len(pending) >= _AHEAD * n_workers:
                first, result = pending.popleft()
                yield first, result.result()
        while pending:
            first, result = pending.popleft()
            yield first, result.result()
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
