"""Size and form of every object."""

from collections.abc import Mapping

import numpy as np

from nextplate.features.hull import convex_area, feret
from nextplate.features.moments import central_moments, ellipse
from nextplate.features.regions import CORNERS, CROSS, Regions, Values
from nextplate.features.segments import median

_STRAIGHT, _SLANTED = 1.0, np.sqrt(2.0)
_WEIGHTS = np.zeros(64)
_WEIGHTS[[5, 7, 15, 17, 25, 27]] = _STRAIGHT
_WEIGHTS[[21, 33]] = _SLANTED
_WEIGHTS[[13, 23]] = (_STRAIGHT + _SLANTED) / 2


def shape(regions: Regions) -> Mapping[str, Values]:
    """Return area, box, perimeter, ellipse and radii; names as in CellProfiler MeasureObjectSizeShape."""
    area, around = regions.area, perimeter(regions)
    centre_y, centre_x = regions.centre
    with np.errstate(divide="ignore"):
        form = 4 * np.pi * area / around**2
    return {
        "Area": area,
        "Perimeter": around,
        "FormFactor": form,
        "Compactness": around**2 / (4 * np.pi * area),
        "EquivalentDiameter": np.sqrt(4 * area / np.pi),
        "Center_X": centre_x,
        "Center_Y": centre_y,
        **_box(regions),
        **ellipse(central_moments(regions)),
        **_radii(regions),
    }


def hull(regions: Regions) -> Mapping[str, Values]:
    """Return what the convex hulls say."""
    convex = convex_area(regions)
    narrow, wide = feret(regions)
    return {
        "ConvexArea": convex,
        "Solidity": regions.area / convex,
        "MinFeretDiameter": narrow,
        "MaxFeretDiameter": wide,
    }


def perimeter(regions: Regions) -> Values:
    """Length of the line through the centres of the edge pixels (those with a 4-neighbour outside), pixels.

    An edge pixel counts 1, sqrt(2) or their mean by how many edge pixels lie straight and slanted beside it.
    Source: Benkrid & Crookes, "Design and FPGA Implementation of a Perimeter Estimator"; scikit-image `perimeter`,
    neighborhood=4.
    """
    width = regions.montage.shape[1]
    at = regions.montage.at[regions.is_edge]
    owner = regions.owner[regions.is_edge]
    edges = np.zeros(len(regions.montage.inside), np.bool_)
    edges[at] = True
    code = np.ones(len(at), np.intp)
    for steps, weight in ((CROSS, 2), (CORNERS, 10)):
        for dy, dx in steps:
            code += weight * edges[at + (dy * width + dx)]
    return np.bincount(owner, _WEIGHTS[code], minlength=regions.n).astype(np.float64)


def _box(regions: Regions) -> dict[str, Values]:
    top, left, bottom, right = (side.astype(np.float64) for side in regions.box)
    box = (bottom - top) * (right - left)
    return {
        "BoundingBoxMinimum_X": left,
        "BoundingBoxMinimum_Y": top,
        "BoundingBoxMaximum_X": right,
        "BoundingBoxMaximum_Y": bottom,
        "BoundingBoxArea": box,
        "Extent": regions.area / box,
    }


def _radii(regions: Regions) -> dict[str, Values]:
    distance = regions.edge_distance
    return {
        "MaximumRadius": regions.max(distance),
        "MeanRadius": regions.mean(distance),
        "MedianRadius": median(regions, distance),
    }
