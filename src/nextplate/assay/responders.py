"""The share of cells that respond: a well's readout that a few odd cells cannot move, with its own error.

A cell responds when its ratio lies nearer to the positive controls than to the negative ones. The cut is the middle
between the two medians over the controls' wells, so that no number is set by hand and any window will do, also one
that falls. Bounded and counted cell by cell, the share has a binomial error, which a median of ratios has not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from nextplate.assay.statistics import Values
from nextplate.plate import Role

_Z = 1.959964
_MIN_WELLS = 2


@dataclass(frozen=True, slots=True)
class Cut:
    """Where cells are told apart."""

    value: float
    rises: bool
    """True: responding cells lie above."""


def responder_cut(medians: Values, roles: Sequence[Role]) -> Cut | None:
    """Put the cut half way between the controls.

    Args:
        medians: shape (n,), the median cell of each well; NaN where there is none.
        roles: of each well.

    Returns:
        None with fewer than two good wells of either control, or without a window between them.
    """
    role = np.array(roles)
    negative, positive = (medians[(role == r) & np.isfinite(medians)] for r in (Role.NEGATIVE, Role.POSITIVE))
    if min(len(negative), len(positive)) < _MIN_WELLS:
        return None
    low, high = float(np.median(negative)), float(np.median(positive))
    return None if low == high else Cut((low + high) / 2, high > low)


def responders(cells: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    """Count the cells beyond the cut.

    Args:
        cells: columns well and nc_ratio, a row per cell; null ratios do not count.
        cut: from `responder_cut`.

    Returns:
        One row per well with any counted cell, sorted: well, responders (share, 0 to 1), responders_low and
        responders_high (95 % Wilson interval, Wilson 1927, doi 10.1080/01621459.1927.10502953; of the cells alone, not
        of what differs from well to well).
    """
    beyond = (pl.col("nc_ratio") - cut.value) * (1 if cut.rises else -1) > 0
    counted = (
        cells.filter(pl.col("nc_ratio").is_not_null())
        .group_by("well")
        .agg(n=pl.len().cast(pl.Float64), share=beyond.mean())
        .sort("well")
    )
    n, p = pl.col("n"), pl.col("share")
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * (p * (1 - p) / n + _Z**2 / (4 * n**2)).sqrt()
    # Rounding may put an end a hair inside 0 or 1.
    low, high = (middle - half).clip(0, 1), (middle + half).clip(0, 1)
    return counted.select(
        "well", responders=p, responders_low=pl.min_horizontal(low, p), responders_high=pl.max_horizontal(high, p)
    )
