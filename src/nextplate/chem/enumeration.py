"""A make-on-demand library: compounds cut at the bonds that parallel chemistry makes, and put together anew.

Amides, sulfonamides and amines alkylated by a benzylic or other CH2 are cut into an electrophile and an amine; any
electrophile may then meet any amine, as in the catalogues of hundreds of millions. By default the compounds cut are
the 10,000 of the WEHI screen that rdkit ships (Baell & Holloway, J. Med. Chem. 2010, 53, 2719). The library is for
measuring what scales; that a pair could be made in a flask is not claimed.
"""

import csv
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, islice
from math import gcd
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
from rdkit import Chem, RDConfig, rdBase

from nextplate.chem.workers import map_stream
from nextplate.errors import PlanError

Progress = Callable[[int, int], None]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

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
_HEAD = "compound_id,smiles"
_NAME = re.compile(r"E\d+-A\d+")


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


class Seen:
    """What was there already, as 64-bit hashes in sorted runs: 8 bytes a compound, 16 while two runs are merged.

    That two of a million compounds share a hash, and one is taken for the other, has a chance of 3 in 10^8.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        """Count what is held."""
        return sum(map(len, self._runs))

    def add(self, smiles: Sequence[str]) -> Mask:
        """Add structures; tell of each, shape (len(smiles),), whether it is the first of its kind."""
        digests = b"".join(hashlib.blake2b(s.encode(), digest_size=8).digest() for s in smiles)
        hashes = np.frombuffer(digests, dtype=np.uint64)
        is_new = np.zeros(len(hashes), dtype=bool)
        is_new[np.unique(hashes, return_index=True)[1]] = True
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            is_new &= run[at] != hashes
        self._keep(np.sort(hashes[is_new]))
        return is_new

    def _keep(self, run: Hashes) -> None:
        """Merge runs of about equal length, so that there are few and each hash is moved a few times only."""
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)


def recombine(
    blocks: BuildingBlocks, n: int, seed: int, *, n_jobs: int = 1, done: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[str, str]]:
    """Yield n distinct compounds as (id, canonical SMILES), pairs drawn at random without repetition.

    The id names the pair: 'E12-A345' is electrophile 12 with amine 345. Pairs that give no possible structure, more
    than 38 heavy atoms, or a compound that was there already are passed over. The same blocks and seed give the same
    compounds, whatever n_jobs; a longer library starts with the shorter one.

    Args:
        blocks: to be put together.
        n: compounds, those done included.
        seed: of the draw.
        n_jobs: worker processes.
        done: the first compounds of the same blocks and seed, which are not yielded again: the draw goes on where the
            last of them came from.

    Raises:
        PlanError: the blocks do not hold so many compounds.
    """
    seen = Seen()
    for start in range(0, len(done), _CHUNK):
        seen.add([smiles for _, smiles in done[start : start + _CHUNK]])
    last = _pair_of(done[-1][0], blocks) if done else None
    drawn = _drawn(blocks.n_pairs, np.random.default_rng(seed), last)
    chunks = iter(lambda: list(islice(drawn, _CHUNK)), [])
    n_yielded = len(done)
    for _, products in map_stream(partial(_products, blocks), chunks, n_jobs=n_jobs):
        if n_yielded >= n:
            return
        is_new = seen.add([smiles for _, smiles in products])
        for product in list(compress(products, is_new))[: n - n_yielded]:
            yield product
            n_yielded += 1
    if n_yielded < n:
        raise PlanError(
            f"{len(blocks.electrophiles)} electrophiles and {len(blocks.amines)} amines give {n_yielded} compounds, "
            f"not {n}; ask for fewer, or cut more compounds"
        )


def _pair_of(name: str, blocks: BuildingBlocks) -> int:
    electrophile, amine = name.removeprefix("E").split("-A")
    return int(electrophile) * len(blocks.amines) + int(amine)


def _drawn(n_pairs: int, rng: np.random.Generator, after: int | None = None) -> Iterator[int]:
    """Yield every number below n_pairs once, in an order that jumps about, without holding them; or those after one."""
    if n_pairs == 0:
        return
    step = int(rng.integers(1, n_pairs + 1))
    while gcd(step, n_pairs) != 1:
        step += 1
    first = int(rng.integers(n_pairs))
    n_done = 0 if after is None else (after - first) * pow(step, -1, n_pairs) % n_pairs + 1
    for i in range(n_done, n_pairs):
        yield (first + i * step) % n_pairs


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

    The file appears whole or not at all. Killed in between, the next call goes on from what was written to a hidden
    sibling (``.NAME.KEY.part``). A million takes minutes and 60 MB.

    Args:
        path: the file to write; one that is there is replaced.
        n: compounds.
        seed: of the draw.
        n_jobs: worker processes.
        progress: called with (compounds written, n) now and then.

    Raises:
        PlanError: the set does not hold so many compounds, or another process writes the same library.
    """
    blocks = building_blocks(wehi_smiles())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f".{path.name}.{_key(blocks, seed)}.part")
    with _locked(partial_path) as file:
        done = _resumed(file, n)
        try:
            for i, product in enumerate(recombine(blocks, n, seed, n_jobs=n_jobs, done=done), start=len(done) + 1):
                file.write(",".join(product) + "\n")
                if progress is not None and i % 10_000 == 0:
                    progress(i, n)
        except PlanError:
            partial_path.unlink()
            raise
        file.flush()
        os.fsync(file.fileno())
        partial_path.replace(path)
    return blocks


def _key(blocks: BuildingBlocks, seed: int) -> str:
    told = "\n".join((str(seed), *blocks.electrophiles, "", *blocks.amines))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _locked(path: Path) -> TextIO:
    """Open a file to append to, for this process alone.

    Between opening and locking another process may have finished the library and renamed the file: then what was
    locked is that library, and a new file is opened.
    """
    while True:
        file = path.open("a+", encoding="utf-8", newline="")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError:
            file.close()
            raise PlanError(f"{path}: another process writes this library; wait for it") from None
        file.close()


def _is_at(file: TextIO, path: Path) -> bool:
    """Tell whether an open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _resumed(file: TextIO, n: int) -> list[tuple[str, str]]:
    """Read the first n whole lines of an interrupted run and cut off what follows; a file that is none starts anew."""
    file.seek(0)
    text = file.read()
    head, *lines = text[: text.rfind("\n") + 1].splitlines(keepends=True) or [""]
    rows = [tuple(line.rstrip("\n").split(",")) for line in lines[:n]]
    if head.rstrip("\n") != _HEAD or not all(len(row) == 2 and _NAME.fullmatch(row[0]) for row in rows):
        file.truncate(0)
        file.write(_HEAD + "\n")
        return []
    # Names and SMILES are ASCII: characters are bytes.
    file.truncate(len(head) + sum(map(len, lines[:n])))
    return [(name, smiles) for name, smiles in rows]
