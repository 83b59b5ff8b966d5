"""The matrix the models see: fingerprint bits, then descriptors."""

import numpy as np
import numpy.typing as npt

from nextplate.compound import Features

Rows = npt.NDArray[np.intp] | slice


def design_matrix(features: Features, rows: Rows | None = None) -> npt.NDArray[np.float32]:
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
