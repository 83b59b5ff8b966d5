"""What calibrates and what is asked about: the two nouns of every promise.

Out of fold, earlier picks flatter themselves: compounds like them were picked with them and sit in the other folds.
So every measured compound calibrates once, as it was predicted before it was measured where that is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import BoolArray, FloatArray, Index


@dataclass(frozen=True, slots=True)
class Known:
    """Measured compounds as they were predicted without their measurement; every array has shape (n,)."""

    ids: npt.NDArray[Any]
    """Names, or rows of the library; each once."""
    mean: FloatArray
    spread: FloatArray
    similarity: FloatArray
    """To the nearest compound tested by then, itself not counted; NaN where there was none."""
    y: FloatArray
    """Measured."""
    is_hit: BoolArray
    is_foreseen: BoolArray
    """True: predicted before its plate was made; False: out of fold."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, which: BoolArray | Index) -> "Known":
        """Keep some of the compounds."""
        return Known(*(getattr(self, one.name)[which] for one in fields(self)))

    def finite(self) -> "Known":
        """Keep those with a finite prediction and measurement; a lone compound cannot be predicted out of fold."""
        return self.take(np.isfinite(self.mean) & np.isfinite(self.spread) & np.isfinite(self.y))

    @property
    def features(self) -> FloatArray:
        """Give what selection looks at, as ``selection_features`` does."""
        return selection_features(self.mean, self.spread, self.similarity)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A library as a belief predicts it; every array has shape (m,)."""

    mean: FloatArray
    spread: FloatArray
    similarity: FloatArray
    """To the nearest tested compound, itself not counted; NaN where there is none."""
    is_open: BoolArray
    """Not tested: may be picked."""

    @property
    def features(self) -> FloatArray:
        """Give what selection looks at, as ``selection_features`` does."""
        return selection_features(self.mean, self.spread, self.similarity)

    def likely(self, n_picks: int, beta: float) -> Index:
        """Give the rows an upper confidence bound, mean + beta spread, would pick, best first; at most n_picks.

        Rules differ little in their top, so these stand for what any of them is about to pick.
        """
        bound = np.where(self.is_open, self.mean + beta * self.spread, -np.inf)
        n = min(n_picks, int(self.is_open.sum()))
        rows: Index = np.argsort(-bound, kind="stable")[:n]
        return rows


def selection_features(mean: FloatArray, spread: FloatArray, similarity: FloatArray) -> FloatArray:
    """Give what selection looks at, shape (n, 3): mean, spread, similarity to what is tested (0 if nothing is)."""
    return np.column_stack([mean, spread, np.nan_to_num(similarity, nan=0.0)])


def no_known(ids: npt.ArrayLike = ()) -> Known:
    """Give what is known before anything was measured; ids set the type of later ones."""
    nothing, nobody = np.empty(0), np.empty(0, dtype=bool)
    return Known(np.asarray(ids)[:0], nothing, nothing, nothing, nothing, nobody, nobody)


def joined(parts: Sequence[Known]) -> Known:
    """Put several together, in their order; at least one."""
    return Known(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Known)))


def once_each(out_of_fold: Known, foreseen: Known) -> Known:
    """Take every measured compound once: as it was predicted before it was measured, else out of fold.

    Args:
        out_of_fold: every compound measured so far.
        foreseen: predicted before their plate was made, oldest first; of one that was on several plates the first
            prediction counts.

    Returns:
        First those out of fold only, then those foreseen.
    """
    _, first = np.unique(foreseen.ids, return_index=True)
    before = foreseen.take(np.sort(first))
    is_new = ~np.isin(out_of_fold.ids, before.ids) if len(before) else np.ones(len(out_of_fold), dtype=bool)
    return joined([out_of_fold.take(is_new), before]) if len(before) else out_of_fold
