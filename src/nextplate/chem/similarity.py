"""Tanimoto similarity of packed fingerprints, and ranking by similarity to known hits.

Intersections are counted as a sparse-times-dense product: a fingerprint sets some 40 of its 2048 bits, so this
does a fiftieth of the work of a dense product and beats both it and a popcount table in numpy on one core.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse

Packed = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Dense side of the product: 512 queries x 2048 bits in float32 is 4 MB, about a core's share of cache.
_QUERY_BLOCK = 512
_ROW_BLOCK = 8192


def count_bits(packed: Packed) -> npt.NDArray[np.int64]:
    """Count the bits set in each row of (n, n_bytes)."""
    n_set = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
    counts: npt.NDArray[np.int64] = n_set[packed].sum(axis=1, dtype=np.int64)
    return counts


def tanimoto(query: Packed, packed: Packed) -> Floats:
    """Give the Tanimoto similarity of every query to every fingerprint.

    Args:
        query: shape (q, n_bytes), packed bits.
        packed: shape (n, n_bytes).

    Returns:
        Shape (q, n), float32, in [0, 1]; two empty fingerprints have similarity 0.
    """
    out = np.empty((len(query), len(packed)), dtype=np.float32)
    for start in range(0, len(packed), _ROW_BLOCK):
        rows = packed[start : start + _ROW_BLOCK]
        out[:, start : start + _ROW_BLOCK] = _block(query, rows).T
    return out


def _block(query: Packed, rows: Packed) -> Floats:
    """Similarity of rows (r, n_bytes) to queries, shape (r, q)."""
    sparse_rows, n_rows = sparse_bits(rows), count_bits(rows).astype(np.float32)
    out = np.empty((len(rows), len(query)), dtype=np.float32)
    for start in range(0, len(query), _QUERY_BLOCK):
        part = query[start : start + _QUERY_BLOCK]
        dense = np.ascontiguousarray(np.unpackbits(part, axis=1).T.astype(np.float32))
        shared = sparse_rows @ dense
        union = n_rows[:, None] + count_bits(part).astype(np.float32) - shared
        out[:, start : start + _QUERY_BLOCK] = shared / np.maximum(union, 1.0)
    return out


def sparse_bits(packed: Packed) -> sparse.csr_matrix:
    """Give the bits of packed fingerprints (n, n_bytes) as a sparse float32 matrix (n, n_bits)."""
    bits = np.unpackbits(packed, axis=1)
    column = np.flatnonzero(bits.ravel()) % bits.shape[1]
    starts = np.concatenate(([0], np.cumsum(count_bits(packed))))
    ones = np.ones(len(column), dtype=np.float32)
    return sparse.csr_matrix((ones, column.astype(np.int32), starts), shape=bits.shape)


def max_similarity(packed: Packed, reference: Packed) -> Floats:
    """Give each fingerprint's similarity to the nearest reference.

    Args:
        packed: shape (n, n_bytes).
        reference: shape (r, n_bytes).

    Returns:
        Shape (n,), float32; NaN everywhere when there is no reference.
    """
    if len(reference) == 0:
        return np.full(len(packed), np.nan, dtype=np.float32)
    out = np.empty(len(packed), dtype=np.float32)
    for start in range(0, len(packed), _ROW_BLOCK):
        rows = packed[start : start + _ROW_BLOCK]
        out[start : start + _ROW_BLOCK] = _nearest(rows, reference)
    return out


def _nearest(rows: Packed, reference: Packed) -> Floats:
    blocks = range(0, len(reference), _QUERY_BLOCK)
    nearest = np.zeros(len(rows), dtype=np.float32)
    for start in blocks:
        np.maximum(nearest, _block(reference[start : start + _QUERY_BLOCK], rows).max(axis=1), out=nearest)
    return nearest


def rank_by_similarity(packed: Packed, hits: Packed) -> Floats:
    """Score compounds by similarity to the nearest known hit: the baseline any belief has to beat.

    Args:
        packed: shape (n, n_bytes).
        hits: shape (h, n_bytes).

    Returns:
        Shape (n,), float32; 0 everywhere when no hit is known yet.
    """
    return np.nan_to_num(max_similarity(packed, hits), nan=0.0)
