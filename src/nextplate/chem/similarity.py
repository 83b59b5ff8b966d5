"""Similarity to known hits."""

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import count_bits, max_tanimoto, tanimoto

__all__ = ["count_bits", "max_similarity", "rank_by_similarity", "tanimoto"]

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


def rank_by_similarity(packed: Packed, hits: Packed) -> Floats:
    """Score compounds by similarity to the nearest known hit: the baseline any belief has to beat.

    Args:
        packed: shape (n, n_bytes).
        hits: shape (h, n_bytes).

    Returns:
        Shape (n,), float32; 0 everywhere when no hit is known yet.
    """
    return np.nan_to_num(max_similarity(packed, hits), nan=0.0)
