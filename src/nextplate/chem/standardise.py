"""Bring a structure to the one form in which the lab knows it.

Parent fragment, metals disconnected, functional groups normalised, charges neutralised, canonical SMILES with
stereochemistry kept (the steps of rdMolStandardize). Each step runs only where it can change something: its own
check for "nothing to do" costs more than the step is worth on a screening library.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from nextplate.errors import DataError

# Everything an organic library may covalently hold; any other element sends the structure to the disconnector.
_NON_METALS = (1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54, 85, 86)
_METAL = "&".join(f"!#{number}" for number in _NON_METALS)
# What any of the steps needs to act on: a charge, a metal, or (for the normaliser) a neutral sulfoxide. One query
# instead of four steps: 88 % of a screening library has none of it. Checked against all steps on every compound of
# the data sets at hand (tests/nextplate/chem/test_standardise.py on some of them).
_SOMETHING_TO_DO = f"[!+0,{_METAL},$([SX3]=O)]"


@dataclass(frozen=True, slots=True)
class Standardised:
    """A structure in standard form."""

    smiles: str
    """Canonical, isomeric, of the neutral parent."""
    change: str
    """What was changed, steps joined by '; '; '' when only the writing changed or nothing."""


@dataclass(frozen=True, slots=True)
class _Tools:
    something_to_do: Chem.Mol
    metal: Chem.Mol
    charge: Chem.Mol
    metals: rdMolStandardize.MetalDisconnector
    normalizer: rdMolStandardize.Normalizer
    fragments: rdMolStandardize.LargestFragmentChooser
    uncharger: rdMolStandardize.Uncharger


@cache
def _tools() -> _Tools:
    """Build the rdkit tools once per process: parsing their rule tables takes longer than 100 structures."""
    return _Tools(
        Chem.MolFromSmarts(_SOMETHING_TO_DO),
        Chem.MolFromSmarts(f"[{_METAL}]"),
        Chem.MolFromSmarts("[!+0]"),
        rdMolStandardize.MetalDisconnector(),
        rdMolStandardize.Normalizer(),
        rdMolStandardize.LargestFragmentChooser(preferOrganic=True),
        rdMolStandardize.Uncharger(),
    )


def standardise(smiles: str) -> Standardised:
    """Give the standard form of one structure.

    Raises:
        DataError: it is not SMILES, or chemically impossible; the message says which and why.
    """
    return standard_mol(smiles)[1]


def standard_mol(smiles: str) -> tuple[Chem.Mol, Standardised]:
    """Give the standard form of one structure, as a molecule too, so that it need not be parsed again.

    Raises:
        DataError: as ``standardise``.
    """
    with rdBase.BlockLogs():
        mol = _parse(smiles)
        try:
            return _standardise(mol)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(f"{smiles!r} cannot be standardised: {reason}") from error


def standardise_all(smiles: Sequence[str]) -> list[Standardised | str]:
    """Standardise many structures; for one that cannot be, give the reason instead."""
    return [_standardise_or_say(s) for s in smiles]


def _standardise_or_say(smiles: str) -> Standardised | str:
    try:
        return standardise(smiles)
    except DataError as error:
        return str(error)


def _parse(smiles: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise DataError(f"{smiles!r} is {_why_not(smiles)}")
    if mol.GetNumAtoms() == 0:
        raise DataError("the structure is empty")
    return mol


def _why_not(smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    problems = [] if mol is None else [p.Message() for p in Chem.DetectChemistryProblems(mol)]
    return f"not possible chemically: {problems[0]}" if problems else "not valid SMILES"


def _standardise(mol: Chem.Mol) -> tuple[Chem.Mol, Standardised]:
    tools = _tools()
    if not mol.HasSubstructMatch(tools.something_to_do) and len(Chem.GetMolFrags(mol)) == 1:
        return mol, Standardised(Chem.MolToSmiles(mol), "")
    changes: list[str] = []
    if mol.HasSubstructMatch(tools.metal):
        mol = _step(mol, tools.metals.Disconnect(mol), "metal disconnected", changes)
    mol = _step(mol, tools.normalizer.normalize(mol), "groups normalised", changes)
    if len(Chem.GetMolFrags(mol)) > 1:
        mol = _parent(mol, changes)
    if mol.HasSubstructMatch(tools.charge):
        mol = _step(mol, tools.uncharger.uncharge(mol), "neutralised", changes)
    smiles = Chem.MolToSmiles(mol)
    standard = Chem.MolFromSmiles(smiles)
    if standard is None:
        raise ValueError("the neutral parent is not a possible structure")
    return standard, Standardised(smiles, "; ".join(changes))


def _step(before: Chem.Mol, after: Chem.Mol, name: str, changes: list[str]) -> Chem.Mol:
    if _key(before) != _key(after):
        changes.append(name)
    return after


def _key(mol: Chem.Mol) -> list[tuple[int, int, int, int]]:
    """Tell two forms of one molecule apart without writing SMILES; atoms may come back in another order."""
    return sorted((a.GetAtomicNum(), a.GetFormalCharge(), a.GetTotalNumHs(), a.GetDegree()) for a in mol.GetAtoms())


def _parent(mol: Chem.Mol, changes: list[str]) -> Chem.Mol:
    parent = _tools().fragments.choose(mol)
    rest = sorted(Chem.MolToSmiles(fragment) for fragment in Chem.GetMolFrags(mol, asMols=True))
    rest.remove(Chem.MolToSmiles(parent))
    changes.append("removed " + ", ".join(rest))
    return parent
