"""Label sets of picks, where what is measured is 0 or 1: class-conditional, and valid on what was picked.

Picks are the top of a library. Among them a compound that is no hit scores as high as it needs to be picked, while
those of the first plate score low; by their scores nearly every pick would be called a hit (MAPK1, first predicted
plate: in four of six campaigns 26 to 74 % of sets were right where 90 % was promised). Nor do scores of one belief
mean what they meant under the belief before. What lasts is where among the likely picks a compound stands, its
*place*: hits stand in the front, and within each class places of one round are much like those of the next. So sets
rest on the places of earlier picks, and before there are any on scores weighted for our own selection.
"""

import numpy as np

from nextplate.conformal.arrays import BoolArray, FloatArray, Index
from nextplate.conformal.known import Candidates, Known
from nextplate.conformal.label_sets import LabelSets, label_sets
from nextplate.conformal.shift import density_ratio


def places(library: Candidates, rows: Index, *, n_picks: int, beta: float) -> FloatArray:
    """Tell where compounds stand among those likely to be picked.

    Args:
        library: as it is predicted now.
        rows: shape (r,), of the library.
        n_picks: compounds of the next plate.
        beta: of the upper confidence bound that stands for the rule.

    Returns:
        Shape (r,): share of the likely picks with a lower mean, ties counted half; 0 where nothing can be picked.
    """
    ordered = np.sort(library.mean[library.likely(n_picks, beta)])
    asked = library.mean[rows]
    below, up_to = (np.searchsorted(ordered, asked, side=side) for side in ("left", "right"))
    found: FloatArray = (below + up_to) / max(2 * len(ordered), 1)
    return found


def pick_sets(
    known: Known,
    earlier_places: FloatArray,
    earlier_is_hit: BoolArray,
    library: Candidates,
    rows: Index,
    *,
    level: float,
    n_picks: int,
    beta: float,
) -> LabelSets:
    """Give label sets of picks, made before they are measured.

    Args:
        known: all that was measured, each compound once (``once_each``); used before there are earlier picks.
        earlier_places: shape (e,), of earlier picks when they were picked (``places``).
        earlier_is_hit: shape (e,).
        library: as it is predicted now.
        rows: shape (r,), the picks.
        level: coverage within each class.
        n_picks: compounds of the next plate.
        beta: of the upper confidence bound that stands for the rule.

    Raises:
        DataError: as label_sets.
    """
    if len(earlier_places):
        asked = places(library, rows, n_picks=n_picks, beta=beta)
        return label_sets(earlier_places, earlier_is_hit, asked, level=level)
    told, features = known.finite(), library.features
    weights = density_ratio(told.features, features[library.likely(n_picks, beta)], features[rows])
    return label_sets(told.mean, told.is_hit, library.mean[rows], level=level, weights=weights)
