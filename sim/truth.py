"""The hidden structure-activity function. Nothing outside ``sim`` may import this.

A compound's potency is a sum of graded contributions of substructures (drawn from the seed out of a long list and
out of circular environments that occur in the delivered library), of pairs of them, of a window of size, polarity
and lipophilicity, of activity cliffs (a small substituent beside the right core that kills or boosts), and of
something no structure explains. Potency and efficacy give a Hill curve. Death of cells follows another such
function. Only two offsets are fitted: the shares of hits and of toxic compounds asked for in the settings.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.pharmacophores import BINDING, CLIFFS, TOXIC
from sim.seeds import chance, generator
from sim.settings import SimSettings

Floats = npt.NDArray[np.float64]

POTENCY_SPREAD = 0.62
"""Standard deviation of pEC50 over the library it was calibrated on."""
TOX_SPREAD = 0.50
UNEXPLAINED = 0.22
"""Standard deviation of pEC50 which no structure explains."""
N_BITS = 2048
_N_BINDING, _N_ENVIRONMENTS, _N_PAIRS, _N_CLIFFS, _N_EFFICACY = 12, 6, 6, 4, 3
_SAMPLE = 600


@dataclass(frozen=True, slots=True)
class Sar:
    """The function drawn for one world; plain numbers, stored as JSON in the world."""

    smarts: list[str]
    bits: list[int]
    """Circular environments, as bits of a 2048-bit Morgan fingerprint of radius 2; features after the smarts."""
    weights: list[float]
    """One per smarts and bit."""
    pairs: list[list[float]]
    """[feature, feature, weight]."""
    cliffs: list[str]
    cliff_terms: list[list[float]]
    """[feature, index into cliffs, weight]."""
    efficacy_weights: list[float]
    """One per smarts and bit, most of them 0."""
    toxic: list[str]
    toxic_weights: list[float]
    potency: list[float]
    """[mean, scale, offset]: pEC50 = offset + scale * (sum - mean)."""
    tox_potency: list[float]

    def to_json(self) -> str:
        """Write the function down."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Sar":
        """Read what to_json wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the function sees of n molecules."""

    features: Floats
    """Shape (n, n_smarts + n_bits): square root of a count, at most 3 counted."""
    cliffs: Floats
    toxic: Floats
    properties: Floats
    """Shape (n, 3): lipophilicity, mass, polar surface."""
    unexplained: Floats
    """Shape (n, 4): standard normal numbers from each structure's own hash."""


@dataclass(frozen=True, slots=True)
class Truths:
    """The hidden truth about n compounds; arrays of shape (n,)."""

    pec50: Floats
    efficacy: Floats
    hill: Floats
    tox_pec50: Floats


def inert(n: int) -> Truths:
    """Return the truth about compounds that do nothing."""
    return Truths(np.full(n, 0.0), np.full(n, 0.0), np.full(n, 1.0), np.full(n, 0.0))


def draw_sar(smiles: Sequence[str], settings: SimSettings) -> tuple[Sar, Truths]:
    """Draw the function for a delivered library, calibrate it on it, and evaluate it.

    A structure that cannot be parsed is inert.
    """
    mols, is_read = _parse(smiles)
    blank = _choose(mols, settings.seed)
    seen = _look(blank, mols, settings.seed)
    sar = _calibrated(blank, seen, settings)
    return sar, _spread_out(_evaluate(sar, seen), is_read)


def evaluate(sar: Sar, smiles: Sequence[str], settings: SimSettings) -> Truths:
    """Evaluate a function drawn before on more compounds."""
    mols, is_read = _parse(smiles)
    return _spread_out(_evaluate(sar, _look(sar, mols, settings.seed)), is_read)


def effect_at(truths: Truths, dose_um: float) -> Floats:
    """Return the true response of every compound at a dose, shape (n,)."""
    return np.asarray(truths.efficacy * _hill(dose_um, truths.pec50, truths.hill))


def kill_at(truths: Truths, dose_um: float) -> Floats:
    """Return the true share of cells killed at a dose, shape (n,)."""
    return _hill(dose_um, truths.tox_pec50, np.full_like(truths.tox_pec50, 1.6))


def _hill(dose_um: float, pec50: Floats, slope: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + 10.0 ** (slope * (6.0 - np.log10(dose_um) - pec50))))


def _parse(smiles: Sequence[str]) -> tuple[list[Any], npt.NDArray[np.bool_]]:
    """Return the parsed molecules (largest part of a salt) and which of the structures could be read."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(max(text.split("."), key=len)) for text in smiles]
    is_read = np.array([mol is not None and mol.GetNumAtoms() > 0 for mol in mols], dtype=bool)
    return [mol for mol, ok in zip(mols, is_read, strict=True) if ok], is_read


def _spread_out(truths: Truths, is_read: npt.NDArray[np.bool_]) -> Truths:
    full = inert(len(is_read))
    for name in ("pec50", "efficacy", "hill", "tox_pec50"):
        getattr(full, name)[is_read] = getattr(truths, name)
    return full


def _counts(mols: Sequence[Any], smarts: Sequence[str]) -> Floats:
    """Return how often each pattern occurs in each molecule, square root, at most 3; shape (n, n_smarts)."""
    from rdkit import Chem

    def count(pattern: str) -> list[int]:
        query = Chem.MolFromSmarts(pattern)
        return [len(mol.GetSubstructMatches(query, maxMatches=3)) for mol in mols]

    # rdkit lets go of the interpreter while it matches
    with ThreadPoolExecutor(2) as pool:
        columns = list(pool.map(count, smarts))
    return np.asarray(np.sqrt(np.array(columns, dtype=float).reshape(len(smarts), len(mols)).T))


def _environments(mols: Sequence[Any]) -> npt.NDArray[np.uint8]:
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=N_BITS)
    return np.array([maker.GetFingerprintAsNumPy(mol) for mol in mols], dtype=np.uint8).reshape(len(mols), N_BITS)


def _choose(mols: list[Any], seed: int) -> Sar:
    """Draw substructures and weights; the offsets stay open."""
    rng = generator(seed, "structure-activity")
    sample = [mols[i] for i in sorted(rng.choice(len(mols), min(_SAMPLE, len(mols)), replace=False))]
    binding = _common(_counts(sample, BINDING) > 0, BINDING, _N_BINDING, rng)
    share = _environments(sample).mean(axis=0) if sample else np.zeros(N_BITS)
    bits = _some(np.flatnonzero((share > 0.01) & (share < 0.12)), _N_ENVIRONMENTS, rng)
    toxic = _common(_counts(sample, TOXIC) > 0, TOXIC, 8, rng, lowest=0.002)
    n = len(binding) + len(bits)
    weights = _weights(n, rng)
    features = np.hstack([_counts(sample, binding), _environments(sample)[:, bits]]) > 0
    cliffs = [str(name) for name in rng.permutation(CLIFFS)[:_N_CLIFFS]]
    efficacy = np.zeros(n)
    efficacy[rng.permutation(n)[:_N_EFFICACY]] = rng.normal(-0.3, 0.9, min(n, _N_EFFICACY))
    terms = _cliff_terms(weights, len(cliffs), rng)
    tox_weights = [float(w) for w in rng.uniform(0.25, 1.2, len(toxic))]
    pairs = _pairs(features, weights, rng)
    return Sar(
        binding, bits, [float(w) for w in weights], pairs, cliffs, terms, efficacy.tolist(), toxic, tox_weights, [], []
    )


def _common(
    has: npt.NDArray[np.bool_], names: Sequence[str], n: int, rng: np.random.Generator, lowest: float = 0.012
) -> list[str]:
    """Draw n patterns that are neither rare nor everywhere in the sample."""
    share = has.mean(axis=0) if len(has) else np.zeros(len(names))
    return [names[i] for i in _some(np.flatnonzero((share >= lowest) & (share <= 0.16)), n, rng)]


def _some(candidates: npt.NDArray[np.intp], n: int, rng: np.random.Generator) -> list[int]:
    return sorted(int(i) for i in rng.permutation(candidates)[:n])


def _weights(n: int, rng: np.random.Generator) -> Floats:
    """Draw about half helpful substructures, some of them strongly, and as many that matter little or harm."""
    weights = rng.normal(-0.1, 0.3, n)
    helpful = rng.permutation(n)[: (n + 1) // 2]
    weights[helpful] = rng.gamma(3.0, 0.24, len(helpful))
    return np.asarray(weights)


def _pairs(features: npt.NDArray[np.bool_], weights: Floats, rng: np.random.Generator) -> list[list[float]]:
    """Draw pairs of substructures that meet in the library and then add to, or spoil, each other."""
    together = features.T.astype(float) @ features.astype(float)
    meeting = [(i, j) for i in range(len(weights)) for j in range(i) if together[i, j] >= 0.004 * len(features)]
    chosen = [meeting[k] for k in rng.permutation(len(meeting))[:_N_PAIRS]]
    strengths = rng.normal(0.25, 0.7, len(chosen))
    return [[float(i), float(j), float(w)] for (i, j), w in zip(chosen, strengths, strict=True)]


def _cliff_terms(weights: Floats, n_cliffs: int, rng: np.random.Generator) -> list[list[float]]:
    """Put cliffs beside the substructures that matter most: two that kill for each that boosts."""
    cores = np.argsort(-np.abs(weights), kind="stable")[: 2 * n_cliffs]
    chosen = rng.permutation(cores)[:n_cliffs]
    strengths = [-1.5, 0.9, -1.2, -1.0]
    return [[float(core), float(k), strengths[k % 4]] for k, core in enumerate(chosen)]


def _look(sar: Sar, mols: Sequence[Any], seed: int) -> _Seen:
    environments = _environments(mols)
    features = np.hstack([_counts(mols, sar.smarts), environments[:, sar.bits].astype(float)])
    return _Seen(
        features,
        _counts(mols, sar.cliffs),
        _counts(mols, sar.toxic),
        _properties(mols),
        _unexplained(environments, seed),
    )


def _properties(mols: Sequence[Any]) -> Floats:
    """Return lipophilicity, mass and polar surface, shape (n, 3).

    Lipophilicity is logP = 1.46 + 0.11 n_C - 0.11 n_hetero (Mannhold et al., J Pharm Sci 2009, 98, 861).
    """
    from rdkit.Chem import rdMolDescriptors

    rows = []
    for mol in mols:
        n_hetero = rdMolDescriptors.CalcNumHeteroatoms(mol)
        lipophilicity = 1.46 + 0.11 * (mol.GetNumHeavyAtoms() - 2 * n_hetero)
        rows.append((lipophilicity, rdMolDescriptors.CalcExactMolWt(mol), rdMolDescriptors.CalcTPSA(mol)))
    return np.array(rows, dtype=float).reshape(len(rows), 3)


def _unexplained(environments: npt.NDArray[np.uint8], seed: int) -> Floats:
    from scipy.special import ndtri

    packed = np.packbits(environments, axis=1)
    uniform = [[chance(seed, "unexplained", k, row.tobytes()) for k in range(4)] for row in packed]
    return np.asarray(ndtri(np.clip(np.array(uniform).reshape(len(packed), 4), 1e-9, 1 - 1e-9)))


def _sum(sar: Sar, seen: _Seen) -> Floats:
    """Return everything structure says about potency, on its own scale; shape (n,)."""
    total = seen.features @ np.array(sar.weights)
    present = seen.features > 0
    for i, j, weight in sar.pairs:
        total = total + weight * (present[:, int(i)] & present[:, int(j)])
    for core, cliff, weight in sar.cliff_terms:
        total = total + weight * (present[:, int(core)] & (seen.cliffs[:, int(cliff)] > 0))
    return np.asarray(total + _window(seen.properties))


def _window(properties: Floats) -> Floats:
    """Penalise what is too small, too big, too greasy or too polar to bind and enter cells."""
    best, width = np.array([3.0, 365.0, 68.0]), np.array([1.1, 95.0, 38.0])
    return np.asarray(-0.28 * np.clip(((properties - best) / width) ** 2, 0.0, 4.0).sum(axis=1))


def _tox_sum(sar: Sar, seen: _Seen) -> Floats:
    grease = np.clip(seen.properties[:, 0] - 2.6, 0.0, None)
    alerts = (seen.toxic > 0) @ np.array(sar.toxic_weights)
    return np.asarray(0.5 * grease + alerts * (0.6 + 0.4 * grease))


def _evaluate(sar: Sar, seen: _Seen) -> Truths:
    mean, scale, offset = sar.potency
    tox_mean, tox_scale, tox_offset = sar.tox_potency
    pec50 = offset + scale * (_sum(sar, seen) - mean) + UNEXPLAINED * seen.unexplained[:, 0]
    lean = 1.2 + seen.features @ np.array(sar.efficacy_weights) + 0.5 * seen.unexplained[:, 1]
    efficacy = 0.45 + 0.65 / (1.0 + np.exp(-lean))
    hill = np.exp(0.1 + 0.18 * seen.unexplained[:, 2])
    tox = tox_offset + tox_scale * (_tox_sum(sar, seen) - tox_mean) + 0.2 * seen.unexplained[:, 3]
    return Truths(np.clip(pec50, 1.0, 8.5), efficacy, hill, np.clip(tox, 1.0, 8.0))


def _calibrated(sar: Sar, seen: _Seen, settings: SimSettings) -> Sar:
    """Set the scales, then shift both potencies until the shares asked for are met."""
    if not len(seen.properties):
        return _with(sar, [0.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    total, tox_total = _sum(sar, seen), _tox_sum(sar, seen)
    potency = [float(total.mean()), _scale(total, POTENCY_SPREAD)]
    tox = [float(tox_total.mean()), _scale(tox_total, TOX_SPREAD)]
    dose = settings.hit_dose_um

    def toxic_share(offset: float) -> float:
        return float((kill_at(_evaluate(_with(sar, [*potency, 1.0], [*tox, offset]), seen), dose) >= 0.5).mean())

    tox.append(_offset(toxic_share, settings.toxic_share))

    def hit_share(offset: float) -> float:
        truths = _evaluate(_with(sar, [*potency, offset], tox), seen)
        return float(is_hit(truths, settings).mean())

    return _with(sar, [*potency, _offset(hit_share, settings.hit_share)], tox)


def is_hit(truths: Truths, settings: SimSettings) -> npt.NDArray[np.bool_]:
    """Tell which compounds are true hits: the effect asked for at the dose asked for, most cells alive."""
    dose = settings.hit_dose_um
    return np.asarray((effect_at(truths, dose) >= settings.hit_effect) & (kill_at(truths, dose) < 0.5))


def _scale(values: Floats, spread: float) -> float:
    return spread / max(float(values.std()), 1e-6)


def _with(sar: Sar, potency: list[float], tox_potency: list[float]) -> Sar:
    return replace(sar, potency=potency, tox_potency=tox_potency)


def _offset(share: Callable[[float], float], wanted: float) -> float:
    """Bisect the offset at which a growing share reaches what is wanted."""
    low, high = -2.0, 9.0
    for _ in range(26):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) < wanted else (low, middle)
    return high
