"""Where every object stands among the others (CellProfiler MeasureObjectNeighbors, method "within a distance")."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from nextplate.features.regions import Index, Mask, Regions, Values


def neighbours(regions: Regions, distance_px: int) -> Mapping[str, Values]:
    """Return counts, contact and distances of the objects around each.

    NumberOfNeighbors: others with a pixel at most distance_px from one of its own. PercentTouching: share, percent,
    of its outline with a pixel of another within distance_px + 0.5. Distances are between centres; NaN without a
    first or second other object.
    """
    outline = np.flatnonzero(regions.is_outline)
    pairs, touches = _meetings(regions, outline, distance_px)
    n_touching = np.bincount(regions.owner[outline[touches]], minlength=regions.n)
    n_outline = np.bincount(regions.owner[outline], minlength=regions.n)
    return {
        "NumberOfNeighbors": np.bincount(pairs // max(regions.n, 1), minlength=regions.n).astype(np.float64),
        "PercentTouching": 100.0 * n_touching / n_outline,
        **_closest(regions),
    }


def _meetings(regions: Regions, outline: Index, distance_px: int) -> tuple[Index, Mask]:
    """Look at all steps within the distance from all outlines.

    Returns the meeting objects as number * n + other, each once, and which outline pixels touch another object.
    """
    reach = distance_px
    row = regions.shape[1] + 2 * reach
    at = (regions.y[outline] + reach) * row + regions.x[outline] + reach
    owner = regions.owner[outline]
    # An outline is always as near as what lies behind it: the other objects' outlines are enough.
    field, touches = np.full((regions.shape[0] + 2 * reach) * row, -1, np.int32), np.zeros(len(at), np.bool_)
    field[at] = owner
    found = [np.empty(0, np.intp)]
    for dy, dx in _steps(reach + 0.5):
        other = field[at + (dy * row + dx)]
        hit = np.flatnonzero((other >= 0) & (other != owner))
        touches[hit] = True
        if dy * dy + dx * dx <= reach * reach:
            found.append(owner[hit].astype(np.intp) * regions.n + other[hit])
    return np.unique(np.concatenate(found)), touches


def _steps(radius: float) -> list[tuple[int, int]]:
    reach = range(-int(radius), int(radius) + 1)
    return [(dy, dx) for dy in reach for dx in reach if 0 < dy * dy + dx * dx <= radius * radius]


def _closest(regions: Regions) -> dict[str, Values]:
    centres = np.column_stack(regions.centre)
    found = np.full((regions.n, 2), np.nan)
    vectors = np.full((regions.n, 2, 2), np.nan)
    n_others = min(regions.n - 1, 2)
    if n_others > 0:
        distance, index = cKDTree(centres).query(centres, n_others + 1)
        found[:, :n_others] = distance[:, 1:]
        vectors[:, :n_others] = centres[index[:, 1:]] - centres[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (vectors[:, 0] * vectors[:, 1]).sum(axis=1) / (found[:, 0] * found[:, 1])
    return {
        "FirstClosestDistance": found[:, 0],
        "SecondClosestDistance": found[:, 1],
        "AngleBetweenNeighbors": np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))),
    }
