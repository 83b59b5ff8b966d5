"""Flags for people to weigh: assay interference (PAINS) and reactive groups. Nothing is ever dropped for one.

A filter is matched only where two cheap necessary conditions hold: the structure's SMILES writes at least as many
of each atom and bond symbol as the filter asks for, and its rdkit pattern fingerprint has all the filter's bits.
The answer is that of ``FilterCatalog.GetMatches``, six times sooner.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rdkit import Chem, DataStructs, RDConfig
from rdkit.Chem import FilterCatalog

REACTIVE = {
    "acyl halide": "[CX3](=[OX1])[F,Cl,Br,I]",
    "sulfonyl halide": "[SX4](=[OX1])(=[OX1])[F,Cl,Br,I]",
    "phosphoryl halide": "[PX4](=[OX1])[F,Cl,Br,I]",
    "anhydride": "[CX3](=[OX1])[OX2][CX3]=[OX1]",
    "isocyanate": "[NX2]=C=[OX1]",
    "isothiocyanate": "[NX2]=C=[SX1]",
    "carbodiimide": "[NX2]=C=[NX2]",
    "aldehyde": "[CX3H1](=[OX1])[#6]",
    "primary or secondary alkyl halide": "[CX4;H1,H2]([#6])[Cl,Br,I]",
    "alpha-halo carbonyl": "[CX4;H1,H2]([F,Cl,Br,I])[CX3]=[OX1]",
    "epoxide": "C1OC1",
    "thiirane": "C1SC1",
    "aziridine": "C1[NX3]C1",
    "beta-lactone": "C1C(=O)OC1",
    "Michael acceptor: ketone, aldehyde or ester": "[CX3;H1,H2]=[CX3;H1,H0][CX3](=[OX1])[#6,#1,OX2]",
    "Michael acceptor: nitro": "[CX3;H1,H2]=[CX3][NX3+](=O)[O-]",
    "Michael acceptor: nitrile": "[CX3;H1,H2]=[CX3][CX2]#[NX1]",
    "Michael acceptor: sulfone": "[CX3;H1,H2]=[CX3][SX4](=[OX1])=[OX1]",
    "alkyl sulfonate": "[CX4][OX2][SX4](=[OX1])(=[OX1])[#6]",
    "peroxide": "[OX2][OX2]",
    "diazo": "[CX3]=[NX2+]=[NX1-]",
    "azide": "[NX2]=[NX2+]=[NX1-]",
    "acyl cyanide": "[CX3](=[OX1])[CX2]#[NX1]",
    "thiol": "[SX2H][#6]",
    "disulfide": "[SX2][SX2]",
    "N-halide": "[NX3][Cl,Br,I]",
}
"""Electrophiles and other groups that react with protein or reagent (Rishton, Drug Discov. Today 1997, 2, 382)."""

_N_BITS = 2048
_SYMBOLS = ("c", "n", "o", "s", "N", "O", "S", "#", "=")
_PLAIN_ATOM = re.compile(r"\[?(#7|#8|#16|c|n|o|s|N|O|S)(?![a-z0-9])[^,$]*$")
_ANY_FORM = {"n": "N", "#7": "N", "o": "O", "#8": "O", "s": "S", "#16": "S"}


@dataclass(frozen=True, slots=True)
class _Screen:
    names: tuple[str, ...]
    entries: tuple[FilterCatalog.FilterCatalogEntry, ...]
    symbols: npt.NDArray[np.uint8]
    """Shape (n_filters, len(_SYMBOLS)): how many of each a SMILES must write before the filter can match."""
    bits: npt.NDArray[np.uint64]
    """Shape (n_filters, 32): the bits a structure must have before the filter can match."""


def find_alerts(mols: Sequence[Chem.Mol], smiles: Sequence[str]) -> tuple[str, ...]:
    """Name the filters that each structure matches.

    PAINS by their names in rdkit's catalog (Baell & Holloway, J. Med. Chem. 2010, 53, 2719), reactive groups as
    'reactive: ...' (``REACTIVE``).

    Args:
        mols: k structures.
        smiles: their canonical SMILES as rdkit writes it.

    Returns:
        k texts: names joined by ';', '' where nothing matches.
    """
    screen = _screen()
    written = np.array([_written(s) for s in smiles], dtype=np.int64).reshape(len(mols), len(_SYMBOLS))
    enough = (np.minimum(written, 255)[:, None, :] >= screen.symbols).all(axis=2)
    return tuple(_names(screen, mol, possible) for mol, possible in zip(mols, enough, strict=True))


def _written(smiles: str) -> tuple[int, ...]:
    n, o, s = smiles.count("n"), smiles.count("o"), smiles.count("s")
    return (
        smiles.count("c"), n, o, s, n + smiles.count("N"), o + smiles.count("O"), s + smiles.count("S"),
        smiles.count("#"), smiles.count("="),
    )  # fmt: skip


def _names(screen: _Screen, mol: Chem.Mol, possible: npt.NDArray[np.bool_]) -> str:
    candidates = np.flatnonzero(possible)
    own = _pattern_bits(mol)
    candidates = candidates[~(screen.bits[candidates] & ~own).any(axis=1)]
    return ";".join(screen.names[i] for i in candidates if screen.entries[i].HasFilterMatch(mol))


def _pattern_bits(mol: Chem.Mol) -> npt.NDArray[np.uint64]:
    fingerprint = Chem.PatternFingerprint(mol, _N_BITS)
    return np.frombuffer(DataStructs.BitVectToBinaryText(fingerprint), dtype=np.uint64)


@cache
def _screen() -> _Screen:
    """Build the filters once per process (0.2 s)."""
    entries = (*_pains(), *_reactive())
    names = tuple(entry.GetDescription() for entry in entries)
    patterns = {**_pains_patterns(), **{_named(n): Chem.MolFromSmarts(smarts) for n, smarts in REACTIVE.items()}}
    nothing = np.zeros(_N_BITS // 64, np.uint64)
    bits = [_pattern_bits(patterns[name]) if name in patterns else nothing for name in names]
    symbols = [_needed(patterns[name]) if name in patterns else [0] * len(_SYMBOLS) for name in names]
    return _Screen(names, entries, np.array(symbols, np.uint8), np.stack(bits))


def _pains() -> list[FilterCatalog.FilterCatalogEntry]:
    catalogs = FilterCatalog.FilterCatalogParams.FilterCatalogs
    params = FilterCatalog.FilterCatalogParams()
    for part in (catalogs.PAINS_A, catalogs.PAINS_B, catalogs.PAINS_C):
        params.AddCatalog(part)
    catalog = FilterCatalog.FilterCatalog(params)
    return [catalog.GetEntryWithIdx(i) for i in range(catalog.GetNumEntries())]


def _reactive() -> list[FilterCatalog.FilterCatalogEntry]:
    return [
        FilterCatalog.FilterCatalogEntry(_named(name), FilterCatalog.SmartsMatcher(name, smarts))
        for name, smarts in REACTIVE.items()
    ]


def _named(name: str) -> str:
    return f"reactive: {name}"


def _pains_patterns() -> dict[str, Chem.Mol]:
    """Read the SMARTS behind the catalog: it does not hand out its own queries."""
    path = Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(smarts, tag.removeprefix("<regId=").removesuffix(">")) for smarts, tag in csv.reader(file)]
    return {name: Chem.MergeQueryHs(Chem.MolFromSmarts(smarts)) for smarts, name in rows}


def _needed(pattern: Chem.Mol) -> list[int]:
    """Count the symbols any match must write; an atom or bond with a choice counts as none."""
    needed: Counter[str] = Counter()
    for atom in pattern.GetAtoms():
        if plain := _PLAIN_ATOM.match(atom.GetSmarts().rstrip("]")):
            symbol = plain.group(1)
            needed.update({symbol, _ANY_FORM.get(symbol, symbol)})
    written = [bond.GetSmarts() for bond in pattern.GetBonds()]  # type: ignore[call-arg]
    needed.update(bond[0] for bond in written if bond in ("=", "#", "=&!@", "=&@"))
    return [needed[symbol] for symbol in _SYMBOLS]
