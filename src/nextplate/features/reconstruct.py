"""Grey reconstruction by dilation of many markers under one mask, exact, without sweeping until nothing changes.

Vincent (IEEE Trans. Image Processing 2 (1993) 176) defines the reconstruction at x as the highest, over all pixels y,
of the lower of marker(y) and the best path from x to y, a path being as high as the lowest mask pixel on it.

Here the pixels are a graph whose edges are as high as the lower of their two ends. Let w(b) be the highest edge of
node b and follow such edges from node to node: they never fall, and end in a pair that point at each other, of which
one is the root c(b). Everything reaches b through an edge of at most w(b), and c(b) is joined to b at w(b), so

    R(b) = max(marker(b), min(w(b), R(c(b))))

and for R at the roots it is enough to lift each b's marker, cut at w(b), to c(b), and to keep the edges between
different roots. Each round (Boruvka's) leaves at most half of the nodes; all markers go through it together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.features.regions import Index, changes

Stack = npt.NDArray[np.float32]
"""Shape (h, w, n) or (n_nodes, n): n markers."""
Heights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of a graph, lowest first."""

    a: Index
    b: Index
    height: Heights


def reconstruct(markers: Stack, mask: npt.NDArray[np.float32]) -> Stack:
    """Grow every marker, nowhere above the mask, shape (h, w), along 4 neighbours under the mask."""
    n_nodes = mask.size
    nodes = _grow(markers.reshape(n_nodes, -1), grid_edges(mask))
    return nodes.reshape(markers.shape)


def grid_edges(mask: npt.NDArray[np.float32]) -> Edges:
    """Return the edges between 4 neighbours, sorted by height; mask must not be negative."""
    number = np.arange(mask.size, dtype=np.intp).reshape(mask.shape)
    a = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    b = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    low = np.concatenate([np.minimum(mask[:-1], mask[1:]).ravel(), np.minimum(mask[:, :-1], mask[:, 1:]).ravel()])
    # The bits of floats from 0 up sort as whole numbers; with the edge's number below them one fast sort is enough.
    bits = (low + np.float32(0)).view(np.uint32).astype(np.uint64) << np.uint64(32)
    order = (np.sort(bits | np.arange(len(a), dtype=np.uint64)) & np.uint64(0xFFFFFFFF)).astype(np.intp)
    return Edges(a[order], b[order], low[order])


def _grow(markers: Stack, edges: Edges) -> Stack:
    if not len(edges.a):
        return markers
    top, height = _highest(len(markers), edges)
    root = _roots(edges, top)
    is_root = root == np.arange(len(root))
    number = (np.cumsum(is_root) - 1)[root]
    cut = np.where(is_root, np.float32(np.inf), height)[:, None]
    # Whole numbers of 16 bits are sorted by radix.
    order = np.argsort(number.astype(np.uint16) if is_root.sum() <= 65536 else number, kind="stable")
    lifted = markers[order]
    np.minimum(lifted, cut[order], out=lifted)
    grown = _grow(_greatest(lifted, number[order]), _between_roots(edges, number))[number]
    np.minimum(grown, cut, out=grown)
    return np.maximum(grown, markers, out=grown)


def _greatest(rows: Stack, group: Index) -> Stack:
    """Maximum over the rows of each group; groups are contiguous; rows are overwritten.

    A tournament: rows at even places of a group meet the next one, the winners each other. numpy's reduceat does the
    same four times slower, as it calls the ufunc for every row.
    """
    first = np.flatnonzero(changes(group))
    size = np.diff(np.append(first, len(group)))
    place = np.arange(len(group)) - np.repeat(first, size)
    left = np.repeat(size, size) - place
    live, step = np.arange(len(group)), 1
    while len(live) > len(first):
        live = live[place[live] & step == 0]
        meets = live[left[live] > step]
        rows[meets] = np.maximum(rows[meets], rows[meets + step])
        step *= 2
    return rows[first]


def _highest(n_nodes: int, edges: Edges) -> tuple[Index, Heights]:
    """Return each node's last (highest) edge and its height; -1 and -inf for a node alone."""
    position = np.arange(len(edges.a))
    of_a, of_b = np.full(n_nodes, -1, np.intp), np.full(n_nodes, -1, np.intp)
    of_a[edges.a] = position  # of equal indices the last assignment stays
    of_b[edges.b] = position
    top = np.maximum(of_a, of_b)
    return top, np.where(top >= 0, edges.height[top], np.float32(-np.inf)).astype(np.float32)


def _roots(edges: Edges, top: Index) -> Index:
    """Follow every node's highest edge to the pair at its end; of the pair the first is the root."""
    node = np.arange(len(top))
    to = np.where(top >= 0, edges.a[top] + edges.b[top] - node, node)
    to = np.where((to[to] == node) & (node < to), node, to)
    while True:
        further = to[to]
        if np.array_equal(further, to):
            return to
        to = further


def _between_roots(edges: Edges, number: Index) -> Edges:
    a, b = number[edges.a], number[edges.b]
    is_kept = a != b
    return Edges(a[is_kept], b[is_kept], edges.height[is_kept])
