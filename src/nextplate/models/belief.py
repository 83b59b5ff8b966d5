"""The noun: a fitted model of the response."""

from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Belief:
    """A fitted model of the response."""

    members: tuple[lgb.Booster, ...]
    """Empty for a mean-only belief."""
    columns: npt.NDArray[np.intp]
    """Columns of the design matrix the members see, in their order."""
    n_columns: int
    """Width of the design matrix it was fitted on."""
    level: float
    """Weighted mean of the labels: what a mean-only belief predicts."""
    level_spread: float
    """Standard deviation of the labels: a mean-only belief's spread."""
    n_labels: int
    seed: int
    data_digest: str
    """sha256 over the training matrix, labels and weights."""
    notes: tuple[str, ...] = field(default=())
    """What an operator should know, e.g. 'mean-only belief: all labels equal'."""

    @property
    def is_mean_only(self) -> bool:
        """Whether it predicts the same for every compound."""
        return not self.members
