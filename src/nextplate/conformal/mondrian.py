"""Categories that are calibrated apart: class, scaffold cluster, plate (Mondrian conformal, Vovk et al. 2005).

Coverage holds within each category, at the price of fewer compounds per quantile. A category with too few
calibrating compounds is merged with the others of its kind, and the notes say which.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import Index, Names, names
from nextplate.errors import DataError

N_LEAST = 30
"""Calibrating compounds a category needs to stand alone: enough for a finite interval at 95 % that is not the range."""
MERGED = "(merged)"
"""Name of what the small categories become together."""
_N_NAMED = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """Categories after the small ones were merged."""

    calibrating: Names
    """Shape (n,)."""
    new: Names
    """Shape (m,)."""
    is_pooled: bool
    """True: even merged there are too few, so the merged ones are calibrated by all n compounds."""
    notes: tuple[str, ...]
    """Which categories were merged; empty when none."""

    def groups(self) -> Iterator[tuple[Index, Index]]:
        """Yield the calibrating rows and the new rows of each category that has new rows."""
        for name in np.unique(self.new):
            own = np.flatnonzero(self.calibrating == name)
            is_all = self.is_pooled and name == MERGED
            yield (np.arange(len(self.calibrating)) if is_all else own), np.flatnonzero(self.new == name)


def merge_small(calibrating: npt.ArrayLike, new: npt.ArrayLike, n_least: int = N_LEAST) -> Merged:
    """Merge every category with fewer than n_least calibrating compounds, unseen ones included.

    Args:
        calibrating: shape (n,), category of each calibrating compound.
        new: shape (m,), category of each new compound.
        n_least: at least 1.

    Raises:
        DataError: not vectors, or n_least below 1.
    """
    if n_least < 1:
        raise DataError(f"n_least is {n_least}; a category needs at least 1 calibrating compound")
    known, asked = (np.asarray(a).astype(np.str_) for a in (calibrating, new))
    known = names(known, "categories of calibrating compounds", known.size)
    asked = names(asked, "categories of new compounds", asked.size)
    found, counts = np.unique(known, return_counts=True)
    large = found[counts >= n_least]
    is_small, is_small_new = ~np.isin(known, large), ~np.isin(asked, large)
    small = np.unique(np.concatenate([known[is_small], asked[is_small_new]]))
    is_pooled = bool(is_small.sum() < n_least)
    return Merged(
        np.where(is_small, MERGED, known), np.where(is_small_new, MERGED, asked), is_pooled,
        _told(small, n_least, is_pooled) if is_small_new.any() else (),
    )  # fmt: skip


def _told(small: Names, n_least: int, is_pooled: bool) -> tuple[str, ...]:
    shown = ", ".join(repr(str(name)) for name in small[:_N_NAMED])
    more = f" and {len(small) - _N_NAMED} more" if len(small) > _N_NAMED else ""
    where = "calibrated by all compounds" if is_pooled else "calibrated together"
    return (f"{len(small)} categories with fewer than {n_least} calibrating compounds {where}: {shown}{more}",)
