"""Similarity of packed rows at the speed of the machine.

Rows of bits (``Features.fingerprints``) give the Tanimoto similarity, rows of thermometer-coded counts
(``Features.counts``) the MinMax similarity, by the same arithmetic: shared bits over bits set in either. The loops
are in ``popcount``, which is imported (and compiled, two seconds once per machine) on the first call.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

Packed = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_WORD_BYTES = 8
_ROW_BYTES = 4 * _WORD_BYTES
# Below this many pairs (a millisecond) starting threads costs more than they save.
_FEWEST_FOR_THREADS = 1 << 19


def tanimoto(a_packed: Packed, b_packed: Packed, *, n_threads: int | None = None) -> Floats:
    """Give the similarity of every row of one set to every row of another.

    Args:
        a_packed: shape (a, n_bytes), packed bits; memory-mapped rows are read where they lie.
        b_packed: shape (b, n_bytes).
        n_threads: None takes every core this process may use. The result does not depend on it.

    Returns:
        Shape (a, b), float32, in [0, 1]; two empty rows have similarity 0.

    Raises:
        DataError: the rows are not bytes, or of different widths.
    """
    a, b = _words(a_packed), _words(b_packed)
    _refuse_unequal(a_packed, b_packed)
    if min(len(a), len(b)) == 0:
        return np.zeros((len(a), len(b)), dtype=np.float32)
    from nextplate.chem import popcount

    if len(a) <= popcount.FEW:
        return _few_to_many(a, b, n_threads)
    if len(b) <= popcount.FEW:
        return np.ascontiguousarray(_few_to_many(b, a, n_threads).T)
    return _many_to_many(a, b, n_threads)


def max_tanimoto(
    queries: Packed, reference: Packed, *, n_threads: int | None = None
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Find the most similar reference of every query, without holding all pairs.

    Args:
        queries: shape (q, n_bytes), packed bits.
        reference: shape (r, n_bytes).
        n_threads: None takes every core this process may use. The result does not depend on it.

    Returns:
        Similarities, shape (q,), float32, and rows of ``reference``, shape (q,), the first of equals. Without any
        reference NaN and -1.

    Raises:
        DataError: the rows are not bytes, or of different widths.
    """
    rows, others = _words(queries), _words(reference)
    _refuse_unequal(queries, reference)
    values = np.full(len(rows), np.nan, dtype=np.float32)
    indices = np.full(len(rows), -1, dtype=np.intp)
    if min(len(rows), len(others)) == 0:
        return values, indices
    from nextplate.chem import popcount

    n_others = popcount.counted(others)
    if len(others) <= popcount.FEW:
        strips = _strips(len(rows), len(rows) * len(others), n_threads)
        _in_threads(lambda i, j: popcount.nearest_of_few(others, n_others, rows, i, j, values, indices), strips)
    elif len(rows) <= popcount.FEW:
        similarity = _few_to_many(rows, others, n_threads)
        indices = similarity.argmax(axis=1)
        values = similarity[np.arange(len(rows)), indices]
    else:
        n_rows = popcount.counted(rows)
        strips = _strips(len(rows), len(rows) * len(others), n_threads)
        _in_threads(
            lambda i, j: popcount.nearest_of_many(rows, n_rows, i, j, others, n_others, values, indices), strips
        )
    return values, indices


def count_bits(packed: Packed) -> npt.NDArray[np.int64]:
    """Count the bits set in each row of (n, n_bytes)."""
    from nextplate.chem import popcount

    return popcount.counted(_words(packed)).astype(np.int64)


def _few_to_many(few: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint64], n_threads: int | None) -> Floats:
    from nextplate.chem import popcount

    out = np.empty((len(few), len(rows)), dtype=np.float32)
    n_few = popcount.counted(few)
    strips = _strips(len(rows), out.size, n_threads)
    _in_threads(lambda start, stop: popcount.few_to_many(few, n_few, rows, start, stop, out), strips)
    return out


def _many_to_many(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64], n_threads: int | None) -> Floats:
    from nextplate.chem import popcount

    out = np.empty((len(a), len(b)), dtype=np.float32)
    n_a, n_b = popcount.counted(a), popcount.counted(b)
    if len(a) >= len(b):
        strips = _strips(len(a), out.size, n_threads)
        _in_threads(lambda i, j: popcount.many_to_many(a, n_a, i, j, b, n_b, 0, len(b), out), strips)
    else:
        strips = _strips(len(b), out.size, n_threads)
        _in_threads(lambda i, j: popcount.many_to_many(a, n_a, 0, len(a), b, n_b, i, j, out), strips)
    return out


def _words(packed: Packed) -> npt.NDArray[np.uint64]:
    """View rows of bytes as rows of words, padded with zeros only where the width asks for it."""
    rows = np.asarray(packed)
    if rows.ndim != 2 or rows.dtype != np.uint8:
        raise DataError(f"packed rows are uint8 of shape (n, n_bytes), not {rows.dtype} of shape {rows.shape}")
    if rows.shape[1] % _ROW_BYTES:
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % _ROW_BYTES)))
    rows = np.ascontiguousarray(rows)
    if rows.ctypes.data % _WORD_BYTES:
        rows = rows.copy()
    return rows.view(np.ndarray).view(np.uint64)


def _refuse_unequal(a: Packed, b: Packed) -> None:
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"rows of {a.shape[1]} bytes cannot be compared with rows of {b.shape[1]} bytes; take both from the "
            "same field of Features"
        )


def _strips(n: int, n_pairs: int, n_threads: int | None) -> list[tuple[int, int]]:
    """Cut range(n) into one strip per thread, or leave it whole when the work is small."""
    n_parts = n_threads if n_threads is not None else len(os.sched_getaffinity(0))
    n_parts = max(1, min(n_parts, n)) if n_pairs >= _FEWEST_FOR_THREADS else 1
    edges = [n * part // n_parts for part in range(n_parts + 1)]
    return list(pairwise(edges))


def _in_threads(work: Callable[[int, int], None], strips: list[tuple[int, int]]) -> None:
    if len(strips) == 1:
        work(*strips[0])
        return
    with ThreadPoolExecutor(len(strips)) as pool:
        for done in [pool.submit(work, *strip) for strip in strips]:
            done.result()
