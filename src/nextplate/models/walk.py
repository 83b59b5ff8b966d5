"""The walk down decision trees, compiled by numba. Import it late: importing compiles (or loads) it.

Rows are walked as they lie on disk: packed bits are asked bit by bit, descriptors as numbers, and nothing is
unpacked, so that a million compounds need no matrix. Trees are the outer loop: one fits into the first-level cache.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit, types

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(signature: Any) -> Callable[[Function], Function]:
    """Compile now, through numba's cache on disk unless that cannot be used: then for this process alone."""

    def decorate(function: Function) -> Function:
        try:
            compiled: Function = njit(signature, cache=True, nogil=True)(function)
        except Exception:  # numba raises RuntimeError, OSError, EOFError, UnpicklingError, ... for a bad cache
            compiled = njit(signature, nogil=True)(function)
        return compiled

    return decorate


def _read_only(kind: Any, n_dimensions: int) -> Any:
    return types.Array(kind, n_dimensions, "C", readonly=True)


@_compiled(
    types.void(
        _read_only(types.uint8, 2),
        _read_only(types.float32, 2),
        _read_only(types.int32, 1),
        _read_only(types.float64, 1),
        _read_only(types.int32, 1),
        _read_only(types.int32, 1),
        _read_only(types.uint8, 1),
        _read_only(types.float64, 1),
        _read_only(types.float64, 1),
        _read_only(types.int64, 1),
        types.Array(types.float64, 2, "C"),
    )
)
def walk(bits, numbers, feature, threshold, left, right, nan_left, value, variance, roots, sums):  # type: ignore[no-untyped-def]
    """Add up over the trees, for each row, the leaf's value, its square and its variance.

    Shapes: bits (n, n_bytes), numbers (n, n_numbers); feature .. variance (n_nodes,); roots (n_trees,);
    sums (n, 3). A node whose left child is negative is a leaf. Features below 8 n_bytes are bits, the others numbers.
    """
    n_bits = bits.shape[1] * 8
    for tree in range(roots.shape[0]):
        root = roots[tree]
        for row in range(bits.shape[0]):
            node = root
            while left[node] >= 0:
                column = feature[node]
                if column < n_bits:
                    is_left = ((bits[row, column >> 3] >> (7 - (column & 7))) & 1) <= threshold[node]
                else:
                    number = numbers[row, column - n_bits]
                    is_left = nan_left[node] != 0 if number != number else number <= threshold[node]
                node = left[node] if is_left else right[node]
            sums[row, 0] += value[node]
            sums[row, 1] += value[node] * value[node]
            sums[row, 2] += variance[node]
