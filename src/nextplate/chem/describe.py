"""Turn standard structures into what the models see: ECFP4 bits, descriptors, scaffold, alerts."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, DataStructs, RDConfig, rdBase
from rdkit.Chem import FilterCatalog, rdFingerprintGenerator, rdMolDescriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from nextplate.chem.environments import N_COUNT_BITS, count_environments, folded_bits, thermometer
from nextplate.errors import DataError

N_BITS = 2048
RADIUS = 2
FINGERPRINT = f"ECFP4: Morgan radius {RADIUS}, {N_BITS} bits, without chirality, numpy.packbits"
COUNTS = f"ECFP4 counts: thermometer code of {N_COUNT_BITS} bits, SplitMix64, numpy.packbits"

# Name of ours -> name in rdkit's property registry. Chosen for being cheap (under 0.1 ms together per structure)
# and read by medicinal chemists; kappa2, kappa3 and Phi cost more than all of these and added nothing.
_PROPERTIES = {
    "mass_da": "exactmw",
    "heavy_atoms": "NumHeavyAtoms",
    "hetero_atoms": "NumHeteroatoms",
    "rotatable_bonds": "NumRotatableBonds",
    "h_donors": "NumHBD",
    "h_acceptors": "NumHBA",
    "amide_bonds": "NumAmideBonds",
    "fraction_csp3": "FractionCSP3",
    "rings": "NumRings",
    "aromatic_rings": "NumAromaticRings",
    "aliphatic_rings": "NumAliphaticRings",
    "saturated_rings": "NumSaturatedRings",
    "heterocycles": "NumHeterocycles",
    "aromatic_heterocycles": "NumAromaticHeterocycles",
    "spiro_atoms": "NumSpiroAtoms",
    "bridgehead_atoms": "NumBridgeheadAtoms",
    "stereo_centres": "NumAtomStereoCenters",
    "surface_area_a2": "labuteASA",
    "polar_surface_a2": "tpsa",
    "log_p": "CrippenClogP",
    "molar_refractivity": "CrippenMR",
    "hall_kier_alpha": "hallKierAlpha",
}
DESCRIPTOR_NAMES: tuple[str, ...] = tuple(_PROPERTIES)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the models see of k structures, row i belonging to structure i."""

    fingerprints: npt.NDArray[np.uint8]
    """Shape (k, 256): packed ECFP4."""
    counts: npt.NDArray[np.uint8]
    """Shape (k, 512): packed counted ECFP4, a thermometer code."""
    descriptors: npt.NDArray[np.float32]
    """Shape (k, len(DESCRIPTOR_NAMES)); NaN where undefined."""


@dataclass(frozen=True, slots=True)
class Described(Encoded):
    """And what people want to see of them."""

    scaffolds: tuple[str, ...]
    """Murcko SMILES; '' for an acyclic structure."""
    alerts: tuple[str, ...]
    """Names of the PAINS filters that match, joined by ';'."""


@dataclass(frozen=True, slots=True)
class _AlertScreen:
    names: tuple[str, ...]
    entries: tuple[FilterCatalog.FilterCatalogEntry, ...]
    bits: npt.NDArray[np.uint64]
    """Shape (n_filters, 32): the bits a structure must have before the filter can match."""


def describe(smiles: Sequence[str]) -> Described:
    """Compute fingerprints, descriptors, scaffolds and alerts of structures in standard form.

    Raises:
        DataError: a structure does not parse (it did not come from ``standardise``).
    """
    with rdBase.BlockLogs():
        mols = [_mol(s) for s in smiles]
        return Described(
            *packed_ecfp4(mols),
            _descriptors(mols),
            tuple(_scaffold(mol) for mol in mols),
            tuple(pains_alerts(mol) for mol in mols),
        )


def encode(smiles: Sequence[str]) -> Encoded:
    """Compute fingerprints and descriptors alone: a third of the work of ``describe``.

    Raises:
        DataError: a structure does not parse.
    """
    with rdBase.BlockLogs():
        mols = [_mol(s) for s in smiles]
        return Encoded(*packed_ecfp4(mols), _descriptors(mols))


def _mol(smiles: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"{smiles!r} is not a standardised structure; read the library with read_library")
    return mol


def _scaffold(mol: Chem.Mol) -> str:
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol))  # type: ignore[no-untyped-call]


def packed_ecfp4(mols: Sequence[Chem.Mol]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Give packed ECFP4 of k structures, (k, 256) of bits and (k, 512) of thermometer-coded counts.

    The environments are walked once for both: rdkit folds its bits by the same modulus.
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS)
    environments = count_environments(mols, generator)
    return folded_bits(environments, N_BITS), thermometer(environments)


def _descriptors(mols: Sequence[Chem.Mol]) -> npt.NDArray[np.float32]:
    properties = rdMolDescriptors.Properties(list(_PROPERTIES.values()))
    values = np.array([list(properties.ComputeProperties(mol)) for mol in mols], dtype=np.float32)
    values = values.reshape(len(mols), len(_PROPERTIES))
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def pains_alerts(mol: Chem.Mol) -> str:
    """Name the PAINS filters (Baell & Holloway 2010, rdkit's catalog) that a structure matches.

    The 480 filters are screened by rdkit's pattern fingerprint first: a filter whose bits are not all in the
    structure cannot match. It gives the same answer as FilterCatalog.GetMatches four times faster.
    """
    screen = _alert_screen()
    own = _pattern_bits(mol)
    candidates = np.flatnonzero(~(screen.bits & ~own).any(axis=1))
    return ";".join(screen.names[i] for i in candidates if screen.entries[i].HasFilterMatch(mol))


def _pattern_bits(mol: Chem.Mol) -> npt.NDArray[np.uint64]:
    fingerprint = Chem.PatternFingerprint(mol, N_BITS)
    return np.frombuffer(DataStructs.BitVectToBinaryText(fingerprint), dtype=np.uint64)


@cache
def _alert_screen() -> _AlertScreen:
    """Build the filters once per process (0.2 s)."""
    catalogs = FilterCatalog.FilterCatalogParams.FilterCatalogs
    params = FilterCatalog.FilterCatalogParams()
    for part in (catalogs.PAINS_A, catalogs.PAINS_B, catalogs.PAINS_C):
        params.AddCatalog(part)
    catalog = FilterCatalog.FilterCatalog(params)
    entries = tuple(catalog.GetEntryWithIdx(i) for i in range(catalog.GetNumEntries()))
    names = tuple(entry.GetDescription() for entry in entries)
    patterns = _pains_patterns()
    bits = [_pattern_bits(patterns[name]) if name in patterns else np.zeros(32, np.uint64) for name in names]
    return _AlertScreen(names, entries, np.stack(bits))


def _pains_patterns() -> dict[str, Chem.Mol]:
    """Read the SMARTS behind the catalog: it does not hand out its own queries."""
    path = Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(smarts, tag.removeprefix("<regId=").removesuffix(">")) for smarts, tag in csv.reader(file)]
    return {name: Chem.MergeQueryHs(Chem.MolFromSmarts(smarts)) for smarts, name in rows}
