"""Murcko scaffolds: rings and what links them (Bemis & Murcko, J. Med. Chem. 1996, 39, 2887)."""

from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from nextplate.chem.environments import parsed


def scaffold_of(mol: Chem.Mol) -> str:
    """Return the scaffold's canonical SMILES; '' for an acyclic structure."""
    if not mol.GetRingInfo().NumRings():
        return ""
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol))  # type: ignore[no-untyped-call]


def murcko_scaffold(smiles: str) -> str:
    """Return the scaffold of a structure.

    Raises:
        DataError: the structure does not parse.
    """
    with rdBase.BlockLogs():
        return scaffold_of(parsed(smiles))
