"""What is computed for all objects at once is what a plain loop over pixels or objects computes."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import ConvexHull

from nextplate.features.geodesic import distance_from
from nextplate.features.hull import feret
from nextplate.features.reconstruct import reconstruct
from nextplate.features.regions import Regions, find_regions
from nextplate.features.segments import dense_rank, quantile, sorted_within
from tests.nextplate.features.feature_scene import scene

small_labels = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 6)), st.integers(0, 99)
)
def test_reconstruction_is_what_dilating_until_nothing_changes_gives(mask: npt.NDArray[np.uint8], seed: int) -> None:
    under = mask.astype(np.float32)
    drops = np.random.default_rng(seed).integers(0, 4, (*mask.shape, 3)).astype(np.float32)
    markers = np.maximum(under[:, :, None] - drops, 0)
    for i, grown in enumerate(np.moveaxis(reconstruct(markers, under), 2, 0)):
        np.testing.assert_array_equal(grown, _dilated_until_still(markers[:, :, i], under))


def _dilated_until_still(marker: npt.NDArray[np.float32], mask: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    cross = ndimage.generate_binary_structure(2, 1)
    while True:
        grown = np.minimum(ndimage.grey_dilation(marker, footprint=cross, mode="nearest"), mask)
        if np.array_equal(grown, marker):
            return grown
        marker = grown


@settings(max_examples=60, deadline=None)
@given(small_labels)
def test_distances_along_paths_inside_an_object_are_dijkstras(labels: npt.NDArray[np.int32]) -> None:
    regions = find_regions(labels)
    if regions.n:
        np.testing.assert_allclose(distance_from(regions, regions.starts), _dijkstra(regions))


def test_distances_in_a_labyrinth_end_and_are_dijkstras_too() -> None:
    labels = np.zeros((41, 41), np.uint8)
    labels[::2] = 1
    labels[1::4, -1] = labels[3::4, 0] = 1
    regions = find_regions(labels)
    np.testing.assert_allclose(distance_from(regions, regions.starts), _dijkstra(regions))


def _dijkstra(regions: Regions) -> npt.NDArray[np.float64]:
    """Distances from the first pixel of each object over a graph of all pixels."""
    dy, dx = np.subtract.outer(regions.y, regions.y), np.subtract.outer(regions.x, regions.x)
    is_joined = (np.maximum(abs(dy), abs(dx)) == 1) & np.equal.outer(regions.owner, regions.owner)
    graph = sparse.csr_matrix(np.where(is_joined, np.hypot(dy, dx), 0))
    distances = dijkstra(graph, indices=regions.starts)
    return distances[regions.owner, np.arange(len(regions.owner))]


@settings(max_examples=60, deadline=None)
@given(small_labels)
def test_distances_to_the_edge_are_those_of_each_object_alone(labels: npt.NDArray[np.int32]) -> None:
    regions = find_regions(labels)
    for i, label in enumerate(regions.ids):
        alone = ndimage.distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
        np.testing.assert_allclose(regions.edge_distance[regions.owner == i], alone[labels == label])


def test_feret_diameters_are_those_of_the_convex_hull() -> None:
    labels, _, _ = scene(3)
    narrow, wide = feret(find_regions(labels))
    for i, label in enumerate(np.unique(labels)[1:]):
        corners = np.argwhere(labels == label).astype(float)
        hull = ConvexHull(corners)
        widths = [np.ptp(corners @ equation[:2]) for equation in hull.equations]
        assert narrow[i] == pytest.approx(min(widths))
        far = corners[hull.vertices]
        assert wide[i] == pytest.approx(np.hypot(*(far[:, None] - far[None]).T).max())


@settings(max_examples=60, deadline=None)
@given(small_labels, st.integers(0, 99))
def test_quantiles_and_ranks_are_numpys_of_each_object(labels: npt.NDArray[np.int32], seed: int) -> None:
    regions = find_regions(labels)
    values = np.random.default_rng(seed).integers(-5, 5, len(regions.owner)) / 4
    in_order, ranks = sorted_within(regions, values), dense_rank(regions, values)
    quartiles = quantile(regions, in_order, 0.25)
    for i in range(regions.n):
        own = values[regions.owner == i]
        assert quartiles[i] == np.quantile(own, 0.25)
        np.testing.assert_array_equal(ranks[regions.owner == i], np.unique(own, return_inverse=True)[1])
