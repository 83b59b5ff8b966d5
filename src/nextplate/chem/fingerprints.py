"""Fingerprints by name, packed for ``kernel``: circular, functional-class, atom pairs, torsions; bits or counts."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator as generators

from nextplate.chem.environments import N_COUNT_BITS, count_environments, parsed, thermometer
from nextplate.errors import DataError

N_BITS = 2048


def _ecfp(radius: int) -> Callable[[], Any]:
    return lambda: generators.GetMorganGenerator(radius=radius, fpSize=N_BITS)


def _fcfp(radius: int) -> Callable[[], Any]:
    features = generators.GetMorganFeatureAtomInvGen
    return lambda: generators.GetMorganGenerator(radius=radius, fpSize=N_BITS, atomInvariantsGenerator=features())


def _atom_pairs() -> Any:
    return generators.GetAtomPairGenerator(fpSize=N_BITS, countSimulation=False)


def _torsions() -> Any:
    return generators.GetTopologicalTorsionGenerator(fpSize=N_BITS, countSimulation=False)


GENERATORS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "ecfp2": _ecfp(1),
        "ecfp4": _ecfp(2),
        "ecfp6": _ecfp(3),
        "fcfp4": _fcfp(2),
        "fcfp6": _fcfp(3),
        "atom-pairs": _atom_pairs,
        "torsions": _torsions,
    }
)
"""Name -> a maker of rdkit's generator. References: Rogers & Hahn, J. Chem. Inf. Model. 2010, 50, 742 (ECFP, FCFP);
Carhart et al., J. Chem. Inf. Comput. Sci. 1985, 25, 64 (atom pairs); Nilakantan et al., ibid. 1987, 27, 82."""
NAMES: tuple[str, ...] = tuple(name + kind for name in GENERATORS for kind in ("", "-counts"))
"""Each of ``GENERATORS`` as bits, and with '-counts' as counts."""


def fingerprint(smiles: Sequence[str], name: str) -> npt.NDArray[np.uint8]:
    """Compute one kind of fingerprint.

    Args:
        smiles: k structures in standard form.
        name: one of ``NAMES``.

    Returns:
        Packed rows for ``kernel.tanimoto``: shape (k, 256), 2048 bits of what is present, or for '-counts' shape
        (k, 512), the thermometer code of ``environments`` in 4096 bits.

    Raises:
        DataError: no such fingerprint, or a structure does not parse.
    """
    with rdBase.BlockLogs():
        return fingerprint_of([parsed(s) for s in smiles], name)


def fingerprint_of(mols: Sequence[Chem.Mol], name: str, *, n_count_bits: int = N_COUNT_BITS) -> npt.NDArray[np.uint8]:
    """Compute what ``fingerprint`` does, of structures already parsed.

    Atom pairs are many (a few hundred per structure): more ``n_count_bits``, a power of two, means fewer collisions.
    """
    make = GENERATORS.get(name.removesuffix("-counts"))
    if make is None:
        raise DataError(f"there is no fingerprint {name!r}; choose one of: {', '.join(NAMES)}")
    generator = make()
    if name.endswith("-counts"):
        return thermometer(count_environments(mols, generator), n_count_bits)
    bits = [generator.GetFingerprintAsNumPy(mol) for mol in mols]
    return np.packbits(np.array(bits, dtype=np.uint8).reshape(len(mols), N_BITS), axis=1)
