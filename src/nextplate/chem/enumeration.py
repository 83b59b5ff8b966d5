"""A make-on-demand library: compounds cut at the bonds that parallel chemistry makes, and put together anew.

Amides, sulfonamides and amines alkylated by a benzylic or other CH2 are cut into an electrophile and an amine; any
electrophile may then meet any amine, as in the catalogues of hundreds of millions. By default the compounds cut are
the 10,000 of the WEHI screen that rdkit ships (Baell & Holloway, J. Med. Chem. 2010, 53, 2719). The library is for
measuring what scales; that a pair could be made in a flask is not claimed.
"""

import csv
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import gcd
from pathlib import Path

import numpy as np
from rdkit import Chem, RDConfig, rdBase

from nextplate.chem.workers import map_stream
from nextplate.errors import PlanError

Progress = Callable[[int, int], None]

# Atom 0 is the electrophile's, atom 1 the amine's; the bond between them is cut. The nitrogen is bonded to nothing
# else that would make it another group (imide, sulfonylurea, hydrazide).
_AMINE = "[NX3;H0,H1;+0;!$(N-[!#6]);!$(N(C=O)C=O)]"
_CUTS = (
    f"[CX3;!R;$(C(=O)[#6])]-!@{_AMINE}",
    "[SX4;!R;$(S(=O)(=O)[#6])]-!@[NX3;H0,H1;+0;!$(N(S)[!#6;!S]);!$(N(S)C=O)]",
    f"[CX4;H2;!R;$(C[#6])]-!@{_AMINE[:-1]};!$(NC=[O,S,N])]",
)
_FEWEST_ATOMS, _MOST_ATOMS, _MOST_OF_PRODUCT = 3, 22, 38
_FIRST_ATOM = re.compile(r"^\*(\[[^\]]+\]|Br|Cl|[A-Za-z])")
_CLOSURE = "%99"
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class BuildingBlocks:
    """Halves of compounds as SMILES that end in an open ring closure, so that 'a.b' is the compound of a and b."""

    electrophiles: tuple[str, ...]
    amines: tuple[str, ...]

    @property
    def n_pairs(self) -> int:
        """How many compounds they can give at most."""
        return len(self.electrophiles) * len(self.amines)


def wehi_smiles() -> list[str]:
    """Read the 10,000 structures of the WEHI screening set from rdkit's data folder."""
    path = Path(RDConfig.RDDataDir) / "Pains" / "test_data" / "wehi_mols.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return [row[0] for row in csv.reader(file)]


def building_blocks(smiles: Sequence[str]) -> BuildingBlocks:
    """Cut structures into electrophiles and amines of 3 to 22 heavy atoms, each once, in the order of the alphabet.

    Structures that do not parse or have no such bond give nothing.
    """
    queries = [Chem.MolFromSmarts(cut) for cut in _CUTS]
    halves: tuple[set[str], set[str]] = (set(), set())
    with rdBase.BlockLogs():
        for mol in filter(None, map(Chem.MolFromSmiles, smiles)):
            for query in queries:
                for first, second in mol.GetSubstructMatches(query):
                    for kind, half in enumerate(_cut(mol, first, second)):
                        halves[kind].update(half)
    return BuildingBlocks(tuple(sorted(halves[0])), tuple(sorted(halves[1])))


def _cut(mol: Chem.Mol, first: int, second: int) -> tuple[list[str], list[str]]:
    """Give the electrophile's and the amine's writing, each a list of one, or of none where it will not do."""
    bond = mol.GetBondBetweenAtoms(first, second).GetIdx()
    # The dummy on one side carries the number of the atom it stands for on the other: 1 electrophile, 2 amine.
    cut = Chem.FragmentOnBonds(mol, [bond], addDummies=True, dummyLabels=[(1, 2)])
    is_first = mol.GetBondWithIdx(bond).GetBeginAtomIdx() == first
    found: dict[int, list[str]] = {1: [], 2: []}
    for fragment in Chem.GetMolFrags(cut, asMols=True):
        dummies = [atom for atom in fragment.GetAtoms() if atom.GetAtomicNum() == 0]
        if len(dummies) == 1 and _FEWEST_ATOMS <= fragment.GetNumHeavyAtoms() <= _MOST_ATOMS:
            found[dummies[0].GetIsotope()].extend(_open(fragment, dummies[0]))
    # FragmentOnBonds puts the first label on the dummy bonded to the bond's *end* atom.
    return (found[2], found[1]) if is_first else (found[1], found[2])


def _open(fragment: Chem.Mol, dummy: Chem.Atom) -> list[str]:
    """Write a fragment from its cut bond on, with a ring closure in the place of the dummy."""
    dummy.SetIsotope(0)
    written = Chem.MolToSmiles(fragment, rootedAtAtom=dummy.GetIdx())
    start = _FIRST_ATOM.match(written)
    if start is None or "%" in written or "@" in start.group(1):
        return []
    return [start.group(1) + _CLOSURE + written[start.end() :]]


def recombine(blocks: BuildingBlocks, n: int, seed: int, *, n_jobs: int = 1) -> Iterator[tuple[str, str]]:
    """Yield n distinct compounds as (id, canonical SMILES), pairs drawn at random without repetition.

    The id names the pair: 'E12-A345' is electrophile 12 with amine 345. Pairs that give no possible structure, more
    than 38 heavy atoms, or a compound that was there already are passed over. The same blocks and seed give the same
    compounds, whatever n_jobs; a longer library starts with the shorter one.

    Raises:
        PlanError: the blocks do not hold so many compounds.
    """
    seen: set[bytes] = set()
    work = partial(_products, blocks)
    drawn = _drawn(blocks.n_pairs, np.random.default_rng(seed))
    chunks = iter(lambda: list(islice(drawn, _CHUNK)), [])
    for _, products in map_stream(work, chunks, n_jobs=n_jobs):
        for name, smiles in products:
            if len(seen) == n:
                return
            key = hashlib.blake2b(smiles.encode(), digest_size=8).digest()
            if key not in seen:
                seen.add(key)
                yield name, smiles
    if len(seen) < n:
        raise PlanError(
            f"{len(blocks.electrophiles)} electrophiles and {len(blocks.amines)} amines give {len(seen)} compounds, "
            f"not {n}; ask for fewer, or cut more compounds"
        )


def _drawn(n_pairs: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield every number below n_pairs once, in an order that jumps about, without holding them."""
    if n_pairs == 0:
        return
    step = int(rng.integers(1, n_pairs + 1))
    while gcd(step, n_pairs) != 1:
        step += 1
    at = int(rng.integers(n_pairs))
    for _ in range(n_pairs):
        yield at
        at = (at + step) % n_pairs


def _products(blocks: BuildingBlocks, drawn: Sequence[int]) -> list[tuple[str, str]]:
    products: list[tuple[str, str]] = []
    with rdBase.BlockLogs():
        for pair in drawn:
            e, a = divmod(pair, len(blocks.amines))
            mol = Chem.MolFromSmiles(f"{blocks.electrophiles[e]}.{blocks.amines[a]}")
            if mol is not None and mol.GetNumHeavyAtoms() <= _MOST_OF_PRODUCT:
                products.append((f"E{e}-A{a}", Chem.MolToSmiles(mol)))
    return products


def write_library(
    path: Path, n: int, seed: int, *, n_jobs: int = 2, progress: Progress | None = None
) -> BuildingBlocks:
    """Write n compounds recombined from the WEHI set to a CSV with the columns compound_id and smiles.

    The file appears whole or not at all. A million takes minutes and 60 MB.

    Args:
        path: the file to write; one that is there is replaced.
        n: compounds.
        seed: of the draw.
        n_jobs: worker processes.
        progress: called with (compounds written, n) now and then.

    Raises:
        PlanError: the set does not hold so many compounds.
    """
    blocks = building_blocks(wehi_smiles())
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write("compound_id,smiles\n")
            for i, (compound_id, smiles) in enumerate(recombine(blocks, n, seed, n_jobs=n_jobs), start=1):
                file.write(f"{compound_id},{smiles}\n")
                if progress is not None and i % 10_000 == 0:
                    progress(i, n)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return blocks
