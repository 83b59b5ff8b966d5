"""The referee: after a campaign it tells, from the hidden truth, how well the campaign did - in aggregate only.

It never says which untested compounds are hits.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError
from sim.seeds import generator
from sim.truth import Truths, is_hit
from sim.world import World

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RoundCurve:
    """Cumulative counts after one round."""

    round: int
    """Counting from 1."""
    n_tested: int
    n_true_hits: int
    """True hits among the compounds tested so far, whether the assay called them or not."""
    random_expected: float
    """Hits expected among as many compounds drawn at random."""
    random_sd: float
    similarity_mean: float
    """Hits found by similarity search with the same batches, mean over tie-breaking seeds."""
    similarity_sd: float


@dataclass(frozen=True, slots=True)
class RefereeReport:
    """What the referee tells about a campaign."""

    n_library: int
    n_true_hits: int
    hit_dose_um: float
    hit_effect: float
    n_seeds: int
    rounds: tuple[RoundCurve, ...]
    origin: dict[str, str]
    """How each number was made, for the foot of a table."""

    def to_json(self) -> str:
        """Write the report down; same campaign, same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Confusion:
    """Called hits against true hits, among tested compounds only."""

    n_tested: int
    n_true_hits: int
    n_called: int
    n_right: int
    n_missed: int
    """True hits that were tested and not called."""
    n_false: int
    """Compounds called that are no true hits."""


_ORIGIN = {
    "n_true_hits": "hidden truth of the simulated lab: effect at the hit dose at least the hit effect, "
    "fewer than half of the cells killed",
    "random": "hypergeometric mean and standard deviation for as many compounds drawn without replacement",
    "similarity": "same first round and batch sizes; then untested compounds ranked by their highest Tanimoto "
    "similarity (Morgan radius 2, 2048 bits) to the true hits tested so far; seeds break ties and rounds without a hit",
}


class Referee:
    """Reads the hidden truth of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def curves(self, tested_by_round: Sequence[Sequence[str]], n_seeds: int = 5) -> RefereeReport:
        """Return hits against compounds tested, round by round, beside two baselines.

        A compound tested again in a later round counts once.

        Raises:
            DataError: a compound was never delivered to this lab.
        """
        ids, smiles, hits = self._library()
        batches = _first_tests(tested_by_round, {name: i for i, name in enumerate(ids)})
        searched = _similarity_search(batches, smiles, hits, self._world.settings.seed, n_seeds)
        rounds, tested = [], 0
        found = 0
        for k, batch in enumerate(batches):
            tested, found = tested + len(batch), found + int(hits[batch].sum())
            expected, sd = _hypergeometric(len(ids), int(hits.sum()), tested)
            column = searched[:, k]
            rounds.append(RoundCurve(k + 1, tested, found, expected, sd, float(column.mean()), float(column.std())))
        settings = self._world.settings
        return RefereeReport(
            len(ids), int(hits.sum()), settings.hit_dose_um, settings.hit_effect, n_seeds, tuple(rounds), dict(_ORIGIN)
        )

    def confusion(self, called_hits: Collection[str], tested: Collection[str]) -> Confusion:
        """Compare what the campaign called hits with the truth, among the compounds it tested.

        Raises:
            DataError: a compound was never delivered, or called without having been tested.
        """
        ids, _, hits = self._library()
        true = {name for name, is_true in zip(ids, hits, strict=True) if is_true}
        asked, called = set(tested), set(called_hits)
        if unknown := sorted(asked - set(ids)):
            raise DataError(f"compound {unknown[0]} was never delivered to the simulated lab")
        if untested := sorted(called - asked):
            raise DataError(f"compound {untested[0]} is called a hit but was not tested")
        right = len(called & true)
        n_true = len(asked & true)
        return Confusion(len(asked), n_true, len(called), right, n_true - right, len(called) - right)

    def _library(self) -> tuple[list[str], list[str], Bools]:
        sql = (
            "SELECT c.compound_id, c.smiles, t.pec50, t.efficacy, t.hill, t.tox_pec50 FROM compounds c "
            "JOIN truth t ON t.compound_id = c.compound_id WHERE c.role = 'sample' ORDER BY c.compound_id"
        )
        rows = self._world.rows(sql)
        numbers = np.array([tuple(row)[2:] for row in rows], dtype=float).reshape(len(rows), 4)
        truths = Truths(*numbers.T)
        return (
            [row["compound_id"] for row in rows],
            [row["smiles"] for row in rows],
            is_hit(truths, self._world.settings),
        )


def _first_tests(tested_by_round: Sequence[Sequence[str]], index: dict[str, int]) -> list[list[int]]:
    seen: set[str] = set()
    batches: list[list[int]] = []
    for names in tested_by_round:
        if unknown := [name for name in names if name not in index]:
            raise DataError(f"compound {unknown[0]} was never delivered to the simulated lab")
        fresh = sorted(set(names) - seen)
        seen.update(fresh)
        batches.append([index[name] for name in fresh])
    return batches


def _hypergeometric(n_library: int, n_hits: int, n_drawn: int) -> tuple[float, float]:
    if n_library < 2:
        return float(n_hits * n_drawn), 0.0
    share = n_hits / n_library
    variance = n_drawn * share * (1 - share) * (n_library - n_drawn) / (n_library - 1)
    return n_drawn * share, float(np.sqrt(variance))


def _similarity_search(
    batches: Sequence[Sequence[int]], smiles: Sequence[str], hits: Bools, seed: int, n_seeds: int
) -> npt.NDArray[np.float64]:
    """Return cumulative hits of a similarity search, shape (n_seeds, n_rounds)."""
    near = _Neighbours(smiles)
    counts = np.zeros((n_seeds, len(batches)))
    for k in range(n_seeds):
        rng = generator(seed, "referee", k)
        is_tested = np.zeros(len(hits), dtype=bool)
        for number, batch in enumerate(batches):
            chosen = np.array(batch, dtype=int)
            if number:
                order = near.closest(is_tested & hits) + 1e-6 * rng.random(len(hits))
                order[is_tested] = -1.0
                chosen = np.argsort(-order, kind="stable")[: len(batch)]
            is_tested[chosen] = True
            counts[k, number] = int((is_tested & hits).sum())
    return counts


class _Neighbours:
    """Similarities of every compound to hits, each row computed when it is first needed."""

    def __init__(self, smiles: Sequence[str]) -> None:
        self._smiles = smiles
        self._fingerprints: list[Any] = []
        self._rows: dict[int, npt.NDArray[np.float64]] = {}

    def closest(self, references: Bools) -> npt.NDArray[np.float64]:
        """Return every compound's highest similarity to the references, shape (n,); 0 without references."""
        best = np.zeros(len(self._smiles))
        for i in np.flatnonzero(references):
            best = np.maximum(best, self._row(int(i)))
        return best

    def _row(self, i: int) -> npt.NDArray[np.float64]:
        from rdkit import DataStructs

        if not self._fingerprints:
            self._fingerprints = _fingerprints(self._smiles)
        if i not in self._rows:
            similarities = DataStructs.BulkTanimotoSimilarity(self._fingerprints[i], self._fingerprints)
            self._rows[i] = np.array(similarities)
        return self._rows[i]


def _fingerprints(smiles: Sequence[str]) -> list[Any]:
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(text) or Chem.MolFromSmiles("") for text in smiles]
    return list(maker.GetFingerprints(mols, numThreads=2))
