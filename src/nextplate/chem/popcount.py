"""The inner loops of similarity, compiled by numba. Import it late: importing compiles (or loads) them.

Rows are packed bits viewed as uint64 words, a multiple of four per row. Two ways to walk the pairs:

* **few against many** reads each row of the long side once and holds it against the few while it is in registers:
  one query against a library runs at the speed of memory.
* **many against many** transposes 128 rows of one side into the first-level cache, so that a vector lane is a row
  and nothing has to be summed across lanes, and holds four rows of the other side against them at once, so that
  each load serves four pairs. That runs at the speed of the vector popcount.

LLVM turns ``ctpop`` into vpopcntq where the processor has it (AVX512-VPOPCNTDQ), into shuffles or popcnt elsewhere.
Everything releases the interpreter lock. The counts of set bits are taken from rows already in registers: reading
them from memory would cost more than counting again.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Words = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound=Callable[..., Any])

N_COLUMNS = 128
"""Rows transposed at a time: 32 kB of 2048-bit rows, two thirds of a first-level cache."""
FEW = 16
"""Up to so many rows on one side, transposing costs more than it saves."""
_LANES = 32
# A stride that is no power of two spreads a row's words over the sets of the cache.
_STRIDE = N_COLUMNS + 8
# Rows asked for ahead of use. The processor's own prefetching follows a row too late: 17 GB/s instead of 38.
_AHEAD = 8

_ROWS = types.Array(types.uint64, 2, "C", readonly=True)
_COUNTS = types.Array(types.float32, 1, "C", readonly=True)
_INTP = types.intp


def _compiled(signature: Any, **options: Any) -> Callable[[Function], Function]:
    """Compile now, through numba's cache on disk (__pycache__, or NUMBA_CACHE_DIR) unless that cannot be used.

    A folder that cannot be written, a full disk or a damaged cache file must not stop a lab: then the function is
    compiled for this process alone.
    """

    def decorate(function: Function) -> Function:
        try:
            compiled: Function = njit(signature, cache=True, nogil=True, **options)(function)
        except Exception:  # numba raises RuntimeError, OSError, EOFError, UnpicklingError, ... for a bad cache
            compiled = njit(signature, nogil=True, **options)(function)
        return compiled

    return decorate


@intrinsic  # type: ignore[untyped-decorator]
def _n_set(_context: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_context: Any, rows: Any, _row: Any, _word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        at = cgutils.get_item_pointer(context, builder, signature.args[0], array, arguments[1:], wraparound=False)
        address, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, flag, flag, flag])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address], kind)
        is_write, locality, is_data = 0, 3, 1
        builder.call(prefetch, [builder.bitcast(at, address), *map(flag, (is_write, locality, is_data))])
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp), generate


@_compiled(types.float32[::1](_ROWS))
def counted(rows: Words) -> npt.NDArray[np.float32]:
    """Count the bits set in each row."""
    out = np.empty(rows.shape[0], np.float32)
    for i in range(rows.shape[0]):
        n = np.uint64(0)
        for w in range(rows.shape[1]):
            n += _n_set(rows[i, w])
        out[i] = n
    return out


@_compiled(types.void(_ROWS, _COUNTS, _ROWS, _INTP, _INTP, types.float32[:, ::1]))
def few_to_many(
    few: Words, n_few: npt.NDArray[np.float32], rows: Words, start: int, stop: int, out: npt.NDArray[np.float32]
) -> None:
    """Write the similarity of each of a few rows to rows[start:stop] into out[:, start:stop]."""
    for j in range(start, stop):
        ahead = min(j + _AHEAD, stop - 1)
        for w in range(0, rows.shape[1], 8):
            _prefetch(rows, ahead, w)
        n_row = np.uint64(0)
        for w in range(rows.shape[1]):
            n_row += _n_set(rows[j, w])
        for i in range(few.shape[0]):
            shared = np.uint64(0)
            for w in range(rows.shape[1]):
                shared += _n_set(few[i, w] & rows[j, w])
            both = np.float32(shared)
            union = n_few[i] + np.float32(n_row) - both
            out[i, j] = both / max(union, np.float32(1))


@_compiled(types.void(_ROWS, _COUNTS, _ROWS, _INTP, _INTP, types.float32[::1], types.intp[::1]))
def nearest_of_few(
    few: Words,
    n_few: npt.NDArray[np.float32],
    rows: Words,
    start: int,
    stop: int,
    values: npt.NDArray[np.float32],
    indices: npt.NDArray[np.intp],
) -> None:
    """Find for each of rows[start:stop] the most similar of a few; the first of equals."""
    for j in range(start, stop):
        ahead = min(j + _AHEAD, stop - 1)
        for w in range(0, rows.shape[1], 8):
            _prefetch(rows, ahead, w)
        n_row = np.uint64(0)
        for w in range(rows.shape[1]):
            n_row += _n_set(rows[j, w])
        best = np.float32(-1)
        at = 0
        for i in range(few.shape[0]):
            shared = np.uint64(0)
            for w in range(rows.shape[1]):
                shared += _n_set(few[i, w] & rows[j, w])
            both = np.float32(shared)
            union = n_few[i] + np.float32(n_row) - both
            similarity = both / max(union, np.float32(1))
            if similarity > best:
                best, at = similarity, i
        values[j] = best
        indices[j] = at


@_compiled(types.intp(_ROWS, _INTP, _INTP, types.uint64[:, ::1]))
def _transpose(rows: Words, start: int, stop: int, columns: Words) -> int:
    """Lay rows[start:stop] out word by word, zeros behind them; say how many columns are to be worked on."""
    n = stop - start
    padded = (n + _LANES - 1) // _LANES * _LANES
    for j in range(n):
        for w in range(rows.shape[1]):
            columns[w, j] = rows[start + j, w]
    for w in range(rows.shape[1]):
        for j in range(n, padded):
            columns[w, j] = np.uint64(0)
    return padded


@_compiled(types.void(_ROWS, _INTP, _INTP, types.uint64[:, ::1], _INTP, types.uint64[:, ::1]))
def _four_rows(rows: Words, i: int, last: int, columns: Words, n_columns: int, shared: Words) -> None:
    """Count the bits that rows i to i + 3 (none after ``last``, which then stands in) share with each column."""
    i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
    for k in range(4):
        for j in range(n_columns):
            shared[k, j] = np.uint64(0)
    for w in range(0, rows.shape[1], 4):
        a0, a1, a2, a3 = rows[i, w], rows[i, w + 1], rows[i, w + 2], rows[i, w + 3]
        b0, b1, b2, b3 = rows[i1, w], rows[i1, w + 1], rows[i1, w + 2], rows[i1, w + 3]
        c0, c1, c2, c3 = rows[i2, w], rows[i2, w + 1], rows[i2, w + 2], rows[i2, w + 3]
        d0, d1, d2, d3 = rows[i3, w], rows[i3, w + 1], rows[i3, w + 2], rows[i3, w + 3]
        for j in range(n_columns):
            x0, x1, x2, x3 = columns[w, j], columns[w + 1, j], columns[w + 2, j], columns[w + 3, j]
            shared[0, j] += (_n_set(a0 & x0) + _n_set(a1 & x1)) + (_n_set(a2 & x2) + _n_set(a3 & x3))
            shared[1, j] += (_n_set(b0 & x0) + _n_set(b1 & x1)) + (_n_set(b2 & x2) + _n_set(b3 & x3))
            shared[2, j] += (_n_set(c0 & x0) + _n_set(c1 & x1)) + (_n_set(c2 & x2) + _n_set(c3 & x3))
            shared[3, j] += (_n_set(d0 & x0) + _n_set(d1 & x1)) + (_n_set(d2 & x2) + _n_set(d3 & x3))


@_compiled(
    types.void(_ROWS, _COUNTS, _INTP, _INTP, _ROWS, _COUNTS, _INTP, _INTP, types.float32[:, ::1]), error_model="numpy"
)
def many_to_many(
    rows: Words,
    n_rows: npt.NDArray[np.float32],
    start: int,
    stop: int,
    others: Words,
    n_others: npt.NDArray[np.float32],
    others_start: int,
    others_stop: int,
    out: npt.NDArray[np.float32],
) -> None:
    """Write the similarities of rows[start:stop] to others[others_start:others_stop] to their place in out."""
    columns = np.empty((rows.shape[1], _STRIDE), np.uint64)
    shared = np.empty((4, N_COLUMNS), np.uint64)
    for block in range(others_start, others_stop, N_COLUMNS):
        n = min(others_stop - block, N_COLUMNS)
        n_columns = _transpose(others, block, block + n, columns)
        for i in range(start, stop, 4):
            _four_rows(rows, i, stop - 1, columns, n_columns, shared)
            for k in range(min(4, stop - i)):
                n_row = n_rows[i + k]
                for j in range(n):
                    both = np.float32(shared[k, j])
                    union = n_row + n_others[block + j] - both
                    out[i + k, block + j] = both / max(union, np.float32(1))


@_compiled(types.float32(types.float32[::1], _INTP), fastmath={"nnan", "nsz"})
def _largest(values: npt.NDArray[np.float32], n: int) -> float:
    """Give the largest of the first n; the flags (no NaN, no signed zero) let LLVM use vectors."""
    largest = np.float32(-1)
    for j in range(n):
        largest = max(largest, values[j])
    return float(largest)


@_compiled(
    types.void(_ROWS, _COUNTS, _INTP, _INTP, _ROWS, _COUNTS, types.float32[::1], types.intp[::1]), error_model="numpy"
)
def nearest_of_many(
    rows: Words,
    n_rows: npt.NDArray[np.float32],
    start: int,
    stop: int,
    others: Words,
    n_others: npt.NDArray[np.float32],
    values: npt.NDArray[np.float32],
    indices: npt.NDArray[np.intp],
) -> None:
    """Find for each of rows[start:stop] the most similar of the others; the first of equals."""
    columns = np.empty((rows.shape[1], _STRIDE), np.uint64)
    shared = np.empty((4, N_COLUMNS), np.uint64)
    similarity = np.empty(N_COLUMNS, np.float32)
    values[start:stop] = np.float32(-1)
    for block in range(0, others.shape[0], N_COLUMNS):
        n = min(others.shape[0] - block, N_COLUMNS)
        n_columns = _transpose(others, block, block + n, columns)
        for i in range(start, stop, 4):
            _four_rows(rows, i, stop - 1, columns, n_columns, shared)
            for k in range(min(4, stop - i)):
                n_row = n_rows[i + k]
                for j in range(n):
                    both = np.float32(shared[k, j])
                    union = n_row + n_others[block + j] - both
                    similarity[j] = both / max(union, np.float32(1))
                largest = _largest(similarity, n)
                if largest > values[i + k]:
                    values[i + k] = largest
                    j = 0
                    while similarity[j] != largest:
                        j += 1
                    indices[i + k] = block + j
