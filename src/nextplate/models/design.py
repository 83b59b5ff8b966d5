"""The matrix the models see: fingerprint bits, then descriptors."""

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features

Matrix = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
Rows = Index | slice


def design_matrix(features: Features, rows: Rows | None = None) -> Matrix:
    """Unpack the ECFP4 bits and append the descriptors.

    Args:
        features: of a library.
        rows: which compounds, as indices or a slice; None takes all (8 kB a compound: mind 200,000 of them).

    Returns:
        Shape (len(rows), n_bits + n_descriptors), float32; NaN where a descriptor is undefined.
    """
    chosen = slice(None) if rows is None else rows
    bits = np.unpackbits(np.asarray(features.fingerprints[chosen]), axis=1)
    matrix = np.empty((len(bits), bits.shape[1] + features.descriptors.shape[1]), dtype=np.float32)
    matrix[:, : bits.shape[1]] = bits
    matrix[:, bits.shape[1] :] = features.descriptors[chosen]
    return matrix


def column_names(features: Features) -> tuple[str, ...]:
    """Name the columns of the design matrix: bit_0, bit_1, ..., then the descriptors."""
    n_bits = features.fingerprints.shape[1] * 8
    return (*(f"bit_{i}" for i in range(n_bits)), *features.descriptor_names)


def useful_columns(X: Matrix) -> Index:
    """Find the columns that can split: a bit set in two rows and unset in two, any other that varies."""
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    is_bit = np.logical_or(X == 0, X == 1).all(axis=0)
    n_set = np.where(is_bit, X, 0).sum(axis=0)
    varies = high > low
    return np.flatnonzero(np.where(is_bit, (n_set >= 2) & (n_set <= len(X) - 2), varies))
