"""Compounds and libraries."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Compound:
    """One entry of a library."""

    compound_id: str
    smiles: str
    """The standardised parent structure."""
    raw_smiles: str
    """As the vendor wrote it."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the models see of a library, row i belonging to compound_ids[i].

    On disk it is a folder: compounds.parquet (compound_id, smiles, raw_smiles, scaffold, change, alerts),
    fingerprints.npy and counts.npy (packed ECFP4, memory-mapped), descriptors.npy, card.json.
    """

    folder: Path
    digest: str
    """sha256 over ids and standardised structures; names the cache."""
    compound_ids: tuple[str, ...]
    smiles: tuple[str, ...]
    fingerprints: npt.NDArray[np.uint8]
    """Shape (n, 256): 2048 bits packed with numpy.packbits."""
    descriptors: npt.NDArray[np.float32]
    """Shape (n, len(descriptor_names)); NaN where a descriptor is undefined."""
    descriptor_names: tuple[str, ...]
    counts: npt.NDArray[np.uint8]
    """Shape (n, 512): 4096 bits packed, counted ECFP4 as a thermometer code (chem/environments.py): Tanimoto of
    these rows is the MinMax similarity of the counts."""
