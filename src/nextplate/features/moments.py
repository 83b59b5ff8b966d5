"""Spatial, central, normalised and Hu moments, and what an ellipse of the same second moments says."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nextplate.features.regions import Regions, Values, changes

Matrix = npt.NDArray[np.float64]
"""Shape (n, 4, 4): element [i, p, q] is the moment of order p in rows and q in columns of object i."""

_ORDER = 4


def moments(regions: Regions) -> Mapping[str, Values]:
    """Return the moments of all objects.

    Coordinates of spatial moments count from the object's bounding box. Names and orders as in CellProfiler
    MeasureObjectSizeShape; formulas as in scikit-image regionprops (moments_normalized is divided by
    mu00 ** ((p + q) / 2 + 1)); Hu, IRE Trans. Inf. Theory 8 (1962) 179.
    """
    top, left, _, _ = regions.box
    spatial, central = _raw(regions, top.astype(np.float64), left.astype(np.float64)), central_moments(regions)
    normalised = _normalised(central)
    found = {f"SpatialMoment_{p}_{q}": spatial[:, p, q] for p in range(3) for q in range(_ORDER)}
    found |= {f"CentralMoment_{p}_{q}": central[:, p, q] for p in range(3) for q in range(_ORDER)}
    found |= {
        f"NormalizedMoment_{p}_{q}": normalised[:, p, q] for p in range(_ORDER) for q in range(_ORDER) if p + q >= 2
    }
    return found | _hu(normalised) | _inertia(central)


def central_moments(regions: Regions) -> Matrix:
    """Moments about the centre of each object."""
    return _raw(regions, *regions.centre)


def ellipse(central: Matrix) -> Mapping[str, Values]:
    """Axes, eccentricity and orientation of the ellipse with the object's second central moments.

    Source: scikit-image regionprops; the orientation is the angle from the rows' axis to the major axis, degrees.
    """
    tensor = _inertia(central)
    major, minor = tensor["InertiaTensorEigenvalues_0"], tensor["InertiaTensorEigenvalues_1"]
    t00, t01, t11 = (tensor[f"InertiaTensor_{at}"] for at in ("0_0", "0_1", "1_1"))
    with np.errstate(invalid="ignore", divide="ignore"):
        eccentricity = np.where(major == 0, 0.0, np.sqrt(1 - minor / major))
    angle = np.where(t00 == t11, np.where(t01 < 0, np.pi / 4, -np.pi / 4), 0.5 * np.arctan2(-2 * t01, t11 - t00))
    return {
        "MajorAxisLength": 4 * np.sqrt(major),
        "MinorAxisLength": 4 * np.sqrt(minor),
        "Eccentricity": eccentricity,
        "Orientation": np.degrees(angle),
    }


def _raw(regions: Regions, y0: Values, x0: Values) -> Matrix:
    """Sum (y - y0)^p (x - x0)^q per object: first over each row, where y is the same, then over the rows."""
    x = regions.x - x0[regions.owner]
    first = regions.row_starts
    owner = regions.owner[first]
    starts = np.flatnonzero(changes(owner))
    y = regions.y[first] - y0[owner]
    y_powers = _powers(y)
    found = np.empty((regions.n, _ORDER, _ORDER))
    for q, power in enumerate(_powers(x)):
        of_row = np.add.reduceat(power, first)
        for p in range(_ORDER):
            found[:, p, q] = np.add.reduceat(y_powers[p] * of_row, starts)
    return found


def _powers(values: Values) -> tuple[Values, Values, Values, Values]:
    square = values * values
    return np.ones_like(values), values, square, square * values


def _normalised(central: Matrix) -> Matrix:
    p, q = np.mgrid[:_ORDER, :_ORDER]
    return np.asarray(central / central[:, :1, :1] ** ((p + q) / 2 + 1))


def _hu(nu: Matrix) -> dict[str, Values]:
    n20, n02, n11 = nu[:, 2, 0], nu[:, 0, 2], nu[:, 1, 1]
    n30, n03, n21, n12 = nu[:, 3, 0], nu[:, 0, 3], nu[:, 2, 1], nu[:, 1, 2]
    a, b, c, d = n30 + n12, n21 + n03, n30 - 3 * n12, 3 * n21 - n03
    invariants = (
        n20 + n02,
        (n20 - n02) ** 2 + 4 * n11**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    )
    return {f"HuMoment_{i}": value for i, value in enumerate(invariants)}


def _inertia(central: Matrix) -> dict[str, Values]:
    """Inertia tensor and its eigenvalues, larger first; the two mixed elements are one."""
    rows, mixed, columns = (central[:, p, q] / central[:, 0, 0] for p, q in ((2, 0), (1, 1), (0, 2)))
    middle, reach = (rows + columns) / 2, np.hypot((columns - rows) / 2, mixed)
    return {
        "InertiaTensor_0_0": columns,
        "InertiaTensor_0_1": -mixed,
        "InertiaTensor_1_1": rows,
        "InertiaTensorEigenvalues_0": middle + reach,
        "InertiaTensorEigenvalues_1": np.maximum(middle - reach, 0.0),
    }
