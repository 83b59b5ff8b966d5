"""Similarity to known hits."""

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import count_bits, max_tanimoto, tanimoto

__all__ = ["count_bits", "max_similarity", "nearest_other", "rank_by_similarity", "tanimoto"]

_BLOCK = 1_024

Packed = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def max_similarity(packed: Packed, reference: Packed) -> Floats:
    """Give each fingerprint's similarity to the nearest reference.

    Args:
        packed: shape (n, n_bytes).
        reference: shape (r, n_bytes).

    Returns:
        Shape (n,), float32; NaN everywhere when there is no reference.
    """
    return max_tanimoto(packed, reference)[0]


def nearest_other(packed: Packed) -> Floats:
    """Give each fingerprint's similarity to the nearest other one, 1,024 at a time.

    Args:
        packed: shape (n, n_bytes).

    Returns:
        Shape (n,), float32; NaN where there is no other.
    """
    n = len(packed)
    nearest = np.full(n, np.nan, dtype=np.float32)
    for start in range(0, n if n > 1 else 0, _BLOCK):
        block = tanimoto(packed[start : start + _BLOCK], packed)
        block[np.arange(len(block)), start + np.arange(len(block))] = -1.0
        nearest[start : start + _BLOCK] = block.max(axis=1)
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
