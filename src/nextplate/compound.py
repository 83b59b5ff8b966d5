"""Compounds and libraries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.profiles import Profiles


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
    fingerprints.npy and counts.npy (packed ECFP4), pairs.npy (packed atom pairs), descriptors.npy (all
    memory-mapped), card.json.
    """

    folder: Path
    digest: str
    """sha256 over ids and standardised structures; names the cache."""
    compound_ids: Sequence[str]
    """n of them; of a library on disk a column that is read when asked for."""
    smiles: Sequence[str]
    """Standardised; likewise."""
    fingerprints: npt.NDArray[np.uint8]
    """Shape (n, 256): 2048 bits packed with numpy.packbits."""
    descriptors: npt.NDArray[np.float32]
    """Shape (n, len(descriptor_names)); NaN where a descriptor is undefined."""
    descriptor_names: tuple[str, ...]
    counts: npt.NDArray[np.uint8]
    """Shape (n, 512): 4096 bits packed, counted ECFP4 as a thermometer code (chem/environments.py): Tanimoto of
    these rows is the MinMax similarity of the counts."""
    pairs: npt.NDArray[np.uint8]
    """Shape (n, 1024): 8192 bits packed, counted atom pairs as a thermometer code likewise."""
    profiles: Profiles | None = None
    """What images say of some of the compounds, found by compound id; None: nothing. Not part of the folder."""
