"""Clusters for caps: spheres of like fingerprints, or scaffolds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nextplate.chem.kernel import tanimoto
from nextplate.errors import PlanError

Index = npt.NDArray[np.intp]
Packed = npt.NDArray[np.uint8]


def sphere_clusters(packed: Packed, similarity: float = 0.5) -> Index:
    """Cluster by sphere exclusion: the first row without a cluster gathers every such row as similar as this.

    The order of the rows decides, as it does in a list sorted by score: the best of a neighbourhood leads it.
    Reference: Butina, J. Chem. Inf. Comput. Sci. 39 (1999) 747, with the leaders in the order given.

    Args:
        packed: shape (n, n_bytes).
        similarity: least Tanimoto similarity to the leader, in (0, 1].

    Returns:
        Shape (n,): 0, 1, ... in the order of the leaders.

    Raises:
        PlanError: the similarity is out of range.
    """
    if not 0 < similarity <= 1:
        raise PlanError(f"a cluster's similarity is {similarity}; it must lie above 0 and up to 1")
    clusters = np.full(len(packed), -1, dtype=np.intp)
    left, n = np.arange(len(packed)), 0
    while len(left):
        is_near = tanimoto(packed[left[:1]], packed[left])[0] >= np.float32(similarity)
        is_near[0] = True  # a structure without any bit is not even similar to itself
        clusters[left[is_near]] = n
        left, n = left[~is_near], n + 1
    return clusters


def scaffold_clusters(scaffolds: Sequence[str | None]) -> Index:
    """Number the scaffolds; compounds without one (acyclic, or not computed) get -1: of no cluster, never capped.

    Args:
        scaffolds: Murcko SMILES of n compounds, '' or None where there is none.

    Returns:
        Shape (n,): 0, 1, ... in the order of first sight.
    """
    number: dict[str, int] = {}
    return np.array([number.setdefault(s, len(number)) if s else -1 for s in scaffolds], dtype=np.intp)
