"""How bright every object is, within and along its edge."""

from collections.abc import Mapping

import numpy as np

from nextplate.features.regions import Mask, Regions, Values, changes
from nextplate.features.segments import median, quantile, sorted_within


def intensity(regions: Regions, values: Values) -> Mapping[str, Values]:
    """Return brightness per object of values per pixel, shape (k,); names as in CellProfiler MeasureObjectIntensity."""
    total = regions.sum(values)
    mean = total / regions.area
    in_order = sorted_within(regions, values)
    middle = quantile(regions, in_order, 0.5)
    return {
        "IntegratedIntensity": total,
        "MeanIntensity": mean,
        "StdIntensity": np.sqrt(regions.mean((values - mean[regions.owner]) ** 2)),
        "MinIntensity": regions.min(values),
        "MaxIntensity": regions.max(values),
        "LowerQuartileIntensity": quantile(regions, in_order, 0.25),
        "MedianIntensity": middle,
        "UpperQuartileIntensity": quantile(regions, in_order, 0.75),
        "MADIntensity": median(regions, np.abs(values - middle[regions.owner])),
        **_edge(regions, values),
        **_location(regions, values, total),
    }


def _edge(regions: Regions, values: Values) -> dict[str, Values]:
    """Brightness of the pixels with a 4-neighbour of another object or background (the field's border is none)."""
    is_edge = regions.is_inner_boundary
    count = np.bincount(regions.owner[is_edge], minlength=regions.n).astype(np.float64)
    total = regions.sum(np.where(is_edge, values, 0.0))
    with np.errstate(invalid="ignore"):
        mean = total / count
    spread = regions.sum(np.where(is_edge, (values - mean[regions.owner]) ** 2, 0.0))
    with np.errstate(invalid="ignore"):
        return {
            "IntegratedIntensityEdge": total,
            "MeanIntensityEdge": mean,
            "StdIntensityEdge": np.sqrt(spread / count),
            "MinIntensityEdge": _extreme(regions, values, is_edge, 1.0),
            "MaxIntensityEdge": _extreme(regions, values, is_edge, -1.0),
        }


def _extreme(regions: Regions, values: Values, is_edge: Mask, sign: float) -> Values:
    least = regions.min(np.where(is_edge, sign * values, np.inf))
    return np.where(np.isfinite(least), sign * least, np.nan)


def _location(regions: Regions, values: Values, total: Values) -> dict[str, Values]:
    """Centre of mass, its distance from the centre, and the first brightest pixel in reading order."""
    centre_y, centre_x = regions.centre
    with np.errstate(invalid="ignore", divide="ignore"):
        mass_y, mass_x = regions.sum(regions.y * values) / total, regions.sum(regions.x * values) / total
    brightest = np.flatnonzero(values == regions.max(values)[regions.owner])
    first = brightest[changes(regions.owner[brightest])]
    return {
        "MassDisplacement": np.hypot(mass_y - centre_y, mass_x - centre_x),
        "CenterMassIntensity_X": mass_x,
        "CenterMassIntensity_Y": mass_y,
        "LocationMaxIntensity_X": regions.x[first].astype(np.float64),
        "LocationMaxIntensity_Y": regions.y[first].astype(np.float64),
    }
