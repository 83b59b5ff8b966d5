"""How two channels go together within every object (CellProfiler MeasureColocalization)."""

from collections.abc import Mapping

import numpy as np

from nextplate.features.regions import Regions, Values
from nextplate.features.segments import dense_rank

THRESHOLD = 0.15
"""Share of an object's maximum from which a pixel counts as bright (CellProfiler's default, 15 %)."""


def colocalisation(regions: Regions, first: Values, second: Values) -> Mapping[str, Values]:
    """Return correlation, regression slope, Manders, overlap and rank weighted coefficients of two channels.

    NaN where a channel is constant or an object has no bright pixel. Manders et al., J. Microscopy 169 (1993) 375;
    rank weights: Singan et al., BMC Bioinformatics 12 (2011) 407.
    """
    bright_1 = first >= THRESHOLD * regions.max(first)[regions.owner]
    bright_2 = second >= THRESHOLD * regions.max(second)[regions.owner]
    both = (bright_1 & bright_2).astype(np.float64)
    total = regions.sum(first * bright_1), regions.sum(second * bright_2)
    weight = both * _rank_weight(regions, first, second)
    squares = regions.sum(both * first**2), regions.sum(both * second**2)
    product = regions.sum(both * first * second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            **_regression(regions, first, second),
            "Overlap": product / np.sqrt(squares[0] * squares[1]),
            "K_1": product / squares[0],
            "K_2": product / squares[1],
            "Manders_1": regions.sum(both * first) / total[0],
            "Manders_2": regions.sum(both * second) / total[1],
            "RWC_1": regions.sum(weight * first) / total[0],
            "RWC_2": regions.sum(weight * second) / total[1],
        }


def _regression(regions: Regions, first: Values, second: Values) -> dict[str, Values]:
    off_1 = first - regions.mean(first)[regions.owner]
    off_2 = second - regions.mean(second)[regions.owner]
    var_1, var_2, cov = regions.sum(off_1**2), regions.sum(off_2**2), regions.sum(off_1 * off_2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"Correlation": cov / np.sqrt(var_1 * var_2), "Slope": cov / var_1}


def _rank_weight(regions: Regions, first: Values, second: Values) -> Values:
    """1 where a pixel has the same rank in both channels, down to 1 / R where the ranks are farthest apart."""
    rank_1, rank_2 = dense_rank(regions, first), dense_rank(regions, second)
    n_ranks = (np.maximum(regions.max(rank_1), regions.max(rank_2)) + 1)[regions.owner]
    return np.asarray((n_ranks - np.abs(rank_1 - rank_2)) / n_ranks)
