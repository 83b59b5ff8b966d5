"""Decision trees as arrays: taken out of scikit-learn, walked by ourselves, kept as npz."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Trees:
    """Binary decision trees, one after the other; all arrays but roots have shape (n_nodes,)."""

    feature: npt.NDArray[np.int32]
    """Column asked: below the number of bits a bit, else a descriptor. Of a leaf 0."""
    threshold: FloatArray
    """Values up to it go left."""
    left: npt.NDArray[np.int32]
    """Node; -1 of a leaf."""
    right: npt.NDArray[np.int32]
    nan_left: npt.NDArray[np.uint8]
    """Whether a value that is not a number goes left."""
    value: FloatArray
    """Mean of the training labels in the node, less the level."""
    variance: FloatArray
    """Variance of the training labels in the node."""
    roots: npt.NDArray[np.int64]
    """Shape (n_trees,): first node of each tree."""

    def arrays(self) -> dict[str, Any]:
        """Return the arrays by name, to be saved."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def from_arrays(arrays: Mapping[str, Any]) -> Trees:
    """Rebuild trees from saved arrays.

    Raises:
        ValueError: an array is missing, of another length, or a child is not a later node: not trees.
    """
    missing = [f.name for f in fields(Trees) if f.name not in arrays]
    if missing:
        raise ValueError(f"no array {missing[0]!r}")
    trees = Trees(**{f.name: np.ascontiguousarray(arrays[f.name]) for f in fields(Trees)})
    n = len(trees.feature)
    nodes = np.arange(n)
    inner = trees.left >= 0
    children = np.concatenate([trees.left[inner], trees.right[inner]])
    ends_later = (children > np.tile(nodes[inner], 2)).all() and (children < n).all()
    lengths = {len(array) for name, array in trees.arrays().items() if name != "roots"}
    if lengths != {n} or not ends_later or not ((trees.roots >= 0) & (trees.roots < n)).all():
        raise ValueError("the arrays are not trees: a child or a root is not among the nodes")
    if (trees.feature < 0).any():
        raise ValueError("the arrays are not trees: a column is negative")
    return trees


def take_trees(fitted: Sequence[Any], columns: Index, level: float, hit_weight: float | None) -> Trees:
    """Copy the trees out of a scikit-learn forest.

    Args:
        fitted: the forest's ``estimators_``: regressors, or classifiers of two classes.
        columns: which columns the forest saw, in its order.
        level: subtracted from the leaves, which keeps digits where labels lie far from 0.
        hit_weight: of classifiers: how much more a hit weighed than another compound when they were grown. A leaf's
            share p of the weight is taken back to the share of compounds, p / (p + w (1 - p)). None: regressors.
    """
    parts = [_one_tree(tree.tree_, columns, hit_weight) for tree in fitted]
    sizes = np.array([len(part["feature"]) for part in parts])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    shift = np.repeat(roots, sizes).astype(np.int32)
    for side in ("left", "right"):
        joined[side] = np.where(joined[side] < 0, -1, joined[side] + shift).astype(np.int32)
    joined["value"] = joined["value"] - level
    return Trees(roots=roots, **joined)


def _one_tree(tree: Any, columns: Index, hit_weight: float | None) -> dict[str, Any]:
    is_leaf = tree.children_left < 0
    if hit_weight is None:
        value, variance = tree.value[:, 0, 0].copy(), np.maximum(tree.impurity, 0.0)
    else:
        share = tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1)
        value = share / (share + hit_weight * (1 - share))
        variance = value * (1 - value)
    return {
        "feature": np.where(is_leaf, 0, columns[np.maximum(tree.feature, 0)]).astype(np.int32),
        "threshold": np.where(is_leaf, 0.0, tree.threshold),
        "left": tree.children_left.astype(np.int32),
        "right": tree.children_right.astype(np.int32),
        "nan_left": np.asarray(tree.missing_go_to_left).astype(np.uint8),
        "value": value,
        "variance": variance,
    }


def walk_trees(
    trees: Trees, bits: npt.NDArray[np.uint8], numbers: npt.NDArray[np.float32], n_threads: int = 1
) -> FloatArray:
    """Ask every tree about every compound.

    Args:
        trees: of ``take_trees``.
        bits: shape (n, n_bytes), packed.
        numbers: shape (n, n_numbers).
        n_threads: rows are shared out among them; the result does not depend on how many.

    Returns:
        Shape (n, 3): mean over trees of the leaf's value (less the level), variance over trees of it, and mean over
        trees of the variance within the leaf. The last two add up to the variance of a label drawn from a tree
        drawn at random (law of total variance).
    """
    from nextplate.models.walk import walk

    flat_bits, flat_numbers = np.ascontiguousarray(bits), np.ascontiguousarray(numbers)
    sums = np.zeros((len(flat_bits), 3))
    edges = np.linspace(0, len(sums), max(1, n_threads) + 1).astype(int)
    order = ("feature", "threshold", "left", "right", "nan_left", "value", "variance", "roots")
    arrays: list[Any] = [getattr(trees, name) for name in order]
    ask: Callable[..., None] = walk

    def part(a: int, b: int) -> None:
        ask(flat_bits[a:b], flat_numbers[a:b], *arrays, sums[a:b])

    with ThreadPoolExecutor(max(1, n_threads)) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))
    sums /= len(trees.roots)
    sums[:, 1] = np.maximum(sums[:, 1] - sums[:, 0] ** 2, 0.0)
    return sums
