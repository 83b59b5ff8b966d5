"""Counted environments of structures, packed so that one popcount kernel compares bits and counts alike.

A *thermometer* code sets c bits for an environment that occurs c times: the hashes of (environment, 1), ...,
(environment, c). Two structures then share min(c, c') bits of it and hold max(c, c') together, so the Tanimoto
similarity of the bits is the MinMax similarity of the counts (Ralaivola et al., Neural Networks 2005, 18, 1093),
but for hash collisions: with 4096 bits 0.007 on average over
19,900 drug-like pairs, 0.056 at worst (the usual fold of present environments into 2048 bits: 0.010 and 0.087).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from nextplate.errors import DataError

N_COUNT_BITS = 4096
N_PAIR_BITS = 8192
"""Of atom pairs: a structure has a few hundred, so that 4096 bits would hold many collisions."""

# rdkit's binary form of a count vector (Code/DataStructs/SparseIntVect.h): version, width of an index in bytes,
# length, number of entries, then (index, value) pairs. Reading it skips building a dict per structure.
_HEADER = struct.Struct("<IIQQ")
_ENTRY = np.dtype([("key", "<u8"), ("count", "<i4")])


@dataclass(frozen=True, slots=True)
class Environments:
    """Which environments occur how often in k structures, as three columns of equal length."""

    n_structures: int
    rows: npt.NDArray[np.intp]
    """Which structure, ascending."""
    keys: npt.NDArray[np.uint64]
    """rdkit's hash of the environment, unfolded."""
    counts: npt.NDArray[np.int32]
    """How often, 1 or more."""


def parsed(smiles: str) -> Chem.Mol:
    """Read a structure in standard form.

    Raises:
        DataError: it does not parse, so it did not come from ``standardise``.
    """
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"{smiles!r} is not a standardised structure; read the library with read_library")
    return mol


def count_environments(mols: Sequence[Chem.Mol], generator: Any) -> Environments:
    """Count the environments that an rdkit fingerprint generator sees in each structure."""
    entries = [_entries(generator.GetSparseCountFingerprint(mol)) for mol in mols]
    joined = np.concatenate(entries) if entries else np.empty(0, _ENTRY)
    rows = np.repeat(np.arange(len(mols)), [len(part) for part in entries])
    return Environments(len(mols), rows, joined["key"].astype(np.uint64), joined["count"].astype(np.int32))


def _entries(vector: Any) -> npt.NDArray[Any]:
    binary = vector.ToBinary()
    version, width, _, n_entries = _HEADER.unpack_from(binary)
    if (version, width) == (1, 8) and len(binary) == _HEADER.size + n_entries * _ENTRY.itemsize:
        return np.frombuffer(binary, _ENTRY, offset=_HEADER.size)
    return np.array(sorted(vector.GetNonzeroElements().items()), dtype=_ENTRY)


def folded_bits(environments: Environments, n_bits: int) -> npt.NDArray[np.uint8]:
    """Set bit (key modulo n_bits) of each environment present: rdkit's own folding of a Morgan fingerprint.

    Returns:
        Shape (n_structures, n_bits / 8), packed with numpy.packbits.
    """
    positions = (environments.keys % np.uint64(n_bits)).astype(np.intp)
    return _packed(environments.n_structures, environments.rows, positions, n_bits)


def thermometer(environments: Environments, n_bits: int = N_COUNT_BITS) -> npt.NDArray[np.uint8]:
    """Set c bits for each environment that occurs c times.

    Args:
        environments: of k structures.
        n_bits: a power of two.

    Returns:
        Shape (n_structures, n_bits / 8), packed with numpy.packbits.
    """
    counts = environments.counts
    before = np.cumsum(counts) - counts
    nth = np.arange(counts.sum(), dtype=np.uint64) - np.repeat(before, counts).astype(np.uint64)
    hashes = _hashed(np.repeat(environments.keys, counts), nth)
    positions = (hashes >> np.uint64(65 - n_bits.bit_length())).astype(np.intp)
    return _packed(environments.n_structures, np.repeat(environments.rows, counts), positions, n_bits)


def _hashed(keys: npt.NDArray[np.uint64], nth: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix key and ordinal by the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    z: npt.NDArray[np.uint64] = keys * np.uint64(0xD1342543DE82EF95) + (nth + np.uint64(1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _packed(n: int, rows: npt.NDArray[np.intp], positions: npt.NDArray[np.intp], n_bits: int) -> npt.NDArray[np.uint8]:
    bits = np.zeros((n, n_bits), dtype=np.uint8)
    bits[rows, positions] = 1
    return np.packbits(bits, axis=1)
