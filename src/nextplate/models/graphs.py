"""Structures as graphs, and the few environments that many of them share.

The message along a directed bond after t steps of message passing depends on nothing but the tree of atoms and bonds
within t steps behind it. Compounds of one library share most such trees (the same rings, linkers and amides), so each
is computed once: trees are told apart by a 64-bit hash refined step by step (Weisfeiler & Lehman 1968), the sum of
mixed hashes standing for the set of neighbours. This changes no number and does a small part of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import ModelError

Index = npt.NDArray[np.intp]
Codes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]

_ELEMENTS = (6, 7, 8, 16, 9, 17, 35, 15, 53, 5, 14, 34)
_ELEMENT = {number: code + 1 for code, number in enumerate(_ELEMENTS)}
# How many codes each feature has; a value beyond takes the last. Chemprop's (Yang et al. 2019, table 1), with a code
# for any other element, and whether an atom is in a ring.
ATOM_SIZES = (len(_ELEMENTS) + 1, 7, 5, 4, 5, 8, 2, 2)
"""Element, degree with hydrogens, charge + 2, chirality, hydrogens, hybridisation, aromatic, in a ring."""
BOND_SIZES = (5, 2, 2, 6)
"""Single / double / triple / aromatic / other, conjugated, in a ring, stereo."""
N_ATOM_COLUMNS, N_BOND_COLUMNS = sum(ATOM_SIZES), sum(BOND_SIZES)
_BOND_TYPES = {1: 0, 2: 1, 3: 2, 12: 3}
_N_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Graph:
    """One structure."""

    atoms: Codes
    """Shape (n_atoms, 8): a code for each of ATOM_SIZES."""
    ends: npt.NDArray[np.uint16]
    """Shape (n_bonds, 2): the atoms a bond joins."""
    bonds: Codes
    """Shape (n_bonds, 4): a code for each of BOND_SIZES."""


@lru_cache(maxsize=_N_REMEMBERED)
def graph_of(smiles: str) -> Graph:
    """Read a structure; the last 20,000 are remembered (about 1.5 kB each), as every round asks for them again.

    Raises:
        ModelError: it is not SMILES.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ModelError(f"{smiles!r} is not a standardised structure; read the library with read_library")
    atoms = [_atom_codes(atom) for atom in mol.GetAtoms()]
    bonds = [_bond_codes(bond) for bond in mol.GetBonds()]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    limit = np.array(ATOM_SIZES, dtype=np.int64) - 1
    return Graph(
        np.clip(np.array(atoms, dtype=np.int64).reshape(-1, len(ATOM_SIZES)), 0, limit).astype(np.uint8),
        np.array(ends, dtype=np.uint16).reshape(-1, 2),
        np.array(bonds, dtype=np.uint8).reshape(-1, len(BOND_SIZES)),
    )


def _atom_codes(atom: Any) -> tuple[int, ...]:
    return (
        _ELEMENT.get(atom.GetAtomicNum(), 0),
        atom.GetTotalDegree(),
        atom.GetFormalCharge() + 2,
        int(atom.GetChiralTag()),
        atom.GetTotalNumHs(),
        int(atom.GetHybridization()),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
    )


def _bond_codes(bond: Any) -> tuple[int, ...]:
    return (
        _BOND_TYPES.get(int(bond.GetBondType()), 4),
        int(bond.GetIsConjugated()),
        int(bond.IsInRing()),
        min(int(bond.GetStereo()), BOND_SIZES[3] - 1),
    )


@dataclass(frozen=True, slots=True)
class Gathering:
    """Sums over sets of rows of the step before: set i is sources[starts[i] : starts[i + 1]]."""

    own: Index
    """Shape (n,): the row of the first inputs (bond types, or atom types at the end) that set i belongs to."""
    sources: Index
    """Rows of the step before."""
    starts: Index
    """Shape (n,): where each set begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be computed for a batch of structures, every distinct environment once."""

    bond_inputs: npt.NDArray[np.float32]
    """Shape (n_bond_types, N_ATOM_COLUMNS + N_BOND_COLUMNS): one-hot codes of the first atom and of the bond."""
    atom_inputs: npt.NDArray[np.float32]
    """Shape (n_atom_types, N_ATOM_COLUMNS)."""
    steps: tuple[Gathering, ...]
    """Messages of one step from those of the step before."""
    last: Gathering
    """Atoms' states from the last messages."""
    members: Gathering
    """Structures from their atoms' states; own is not used."""
    n_messages: int
    """What would have been computed without sharing: directed bonds, over all steps."""


def plan_of(graphs: Sequence[Graph], depth: int) -> Plan:
    """Plan the message passing of a batch.

    Args:
        graphs: of ``graph_of``.
        depth: messages are updated depth - 1 times, as in Chemprop.
    """
    n_atoms = np.array([len(graph.atoms) for graph in graphs], dtype=np.intp)
    first = np.cumsum(n_atoms) - n_atoms
    atoms = np.concatenate([graph.atoms for graph in graphs])
    bonds = np.repeat(np.concatenate([graph.bonds for graph in graphs]), 2, axis=0)
    n_bonds = np.array([len(graph.bonds) for graph in graphs], dtype=np.intp)
    ends = np.concatenate([graph.ends for graph in graphs]).astype(np.intp) + np.repeat(first, n_bonds)[:, None]
    # Directed bond 2 i runs along bond i, 2 i + 1 against it: the reverse of e is e ^ 1.
    source, target = ends.reshape(-1), ends[:, ::-1].reshape(-1)
    into = np.argsort(target, kind="stable")
    n_into = np.bincount(target, minlength=len(atoms))
    start_into = np.cumsum(n_into) - n_into
    atom_hash = _mix(_packed(atoms))
    bond_hash = _mix(atom_hash[source] + _mix(_packed(bonds) + np.uint64(0x51)))
    _, bond_first, bond_type = _distinct(bond_hash)
    state, kind, steps = bond_hash, bond_type, []
    every = np.arange(len(source))
    for _ in range(depth - 1):
        behind = _sums(state[into], n_into)[source] - state[every ^ 1]
        state = _refined(bond_hash, behind)
        _, chosen, new_kind = _distinct(state)
        edges, sizes = _ragged(into, start_into[source[chosen]], n_into[source[chosen]])
        keep = edges != np.repeat(chosen ^ 1, sizes)
        starts = np.cumsum(sizes - 1) - (sizes - 1)
        steps.append(Gathering(bond_type[chosen], kind[edges[keep]], starts))
        kind = new_kind
    whole = _refined(atom_hash, _sums(state[into], n_into))
    _, chosen, place = _distinct(whole)
    _, atom_first, atom_type = _distinct(atom_hash)
    edges, sizes = _ragged(into, start_into[chosen], n_into[chosen])
    return Plan(
        np.concatenate([_one_hot(atoms[source[bond_first]], ATOM_SIZES), _one_hot(bonds[bond_first], BOND_SIZES)], 1),
        _one_hot(atoms[atom_first], ATOM_SIZES),
        tuple(steps),
        Gathering(atom_type[chosen], kind[edges], np.cumsum(sizes) - sizes),
        Gathering(np.zeros(0, dtype=np.intp), place, first),
        depth * len(source),
    )


def _packed(codes: Codes) -> Hashes:
    """Write each row of up to 8 codes as one number."""
    wide = np.zeros((len(codes), 8), dtype=np.uint8)
    wide[:, : codes.shape[1]] = codes
    return wide.view(np.uint64)[:, 0]


def _mix(x: Hashes) -> Hashes:
    """Scatter 64-bit numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = x ^ (x >> np.uint64(31))
    return mixed


def _refined(own: Hashes, neighbours: Hashes) -> Hashes:
    """Hash a bond or atom with its neighbours' sum; own is scattered once more, lest A behind B be B behind A."""
    return _mix(_mix(own) + neighbours)


def _distinct(hashes: Hashes) -> tuple[Hashes, Index, Index]:
    """Return the distinct values, where each occurs first, and which one each is."""
    values, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return values, first, inverse


def _sums(values: Hashes, sizes: Index) -> Hashes:
    """Sum consecutive runs of values, modulo 2**64; 0 for an empty run."""
    total = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values, dtype=np.uint64)])
    stops = np.cumsum(sizes)
    summed: Hashes = total[stops] - total[stops - sizes]
    return summed


def _ragged(order: Index, starts: Index, sizes: Index) -> tuple[Index, Index]:
    """Concatenate order[starts[i] : starts[i] + sizes[i]] for all i."""
    before = np.cumsum(sizes) - sizes
    at = np.arange(int(sizes.sum())) - np.repeat(before, sizes) + np.repeat(starts, sizes)
    return order[at], sizes


def _one_hot(codes: Codes, sizes: Sequence[int]) -> npt.NDArray[np.float32]:
    out = np.zeros((len(codes), sum(sizes)), dtype=np.float32)
    offsets = np.cumsum((0, *sizes[:-1]))
    np.put_along_axis(out, codes.astype(np.intp) + offsets, 1.0, axis=1)
    return out
