"""Levels that correct themselves from round to round: ACI and DtACI.

When compounds, assay or belief drift, no calibration set promises the level any more. After every round the asked
miscoverage moves against the misses seen: alpha <- alpha + gamma (target - share missed) (ACI, Gibbs and Candes,
NeurIPS 2021). DtACI (Gibbs and Candes, JMLR 25:162, 2024) runs several step sizes at once and weighs them by how well
each would have done. A round here is a batch of wells predicted at one level, so each round is one step and its loss
is the mean over its wells.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, check_level, vector
from nextplate.errors import DataError

STEP_SIZES = (0.01, 0.03, 0.1, 0.3)
"""Of the experts: a campaign has tens of rounds, so steps are larger than those of the paper."""
N_ROUNDS_MEMORY = 10
"""Rounds over which the experts' losses are compared."""


@dataclass(frozen=True, slots=True)
class AdaptiveLevel:
    """State of the adaptive level between two rounds."""

    target: float
    """Miscoverage wanted, 1 - nominal level."""
    steps: FloatArray
    """Shape (k,): step size of each expert."""
    alphas: FloatArray
    """Shape (k,): miscoverage each expert asks for; may leave [0, 1]."""
    shares: FloatArray
    """Shape (k,): weight of each expert, summing to 1."""
    n_rounds: int
    """Rounds seen."""

    @property
    def alpha(self) -> float:
        """Give the miscoverage to ask for next: the weighted mean of the experts."""
        return float(self.shares @ self.alphas)

    @property
    def level(self) -> float:
        """Give the level to ask for next, in [0, 1]: 1 means an infinite interval, 0 an empty one."""
        return min(1.0, max(0.0, 1.0 - self.alpha))


def start_adaptive(level: float, steps: npt.ArrayLike = STEP_SIZES) -> AdaptiveLevel:
    """Begin at the nominal level; one step size is ACI, several are DtACI; DataError when a step is not positive."""
    check_level(level)
    sizes = vector(steps, "step sizes")
    if not len(sizes) or (sizes <= 0).any():
        raise DataError(f"step sizes {sizes.tolist()}: give at least one, all positive")
    k = len(sizes)
    return AdaptiveLevel(1 - level, sizes, np.full(k, 1 - level), np.full(k, 1 / k), 0)


def adapt(state: AdaptiveLevel, p_values: npt.ArrayLike) -> AdaptiveLevel:
    """Learn from a round.

    Args:
        state: in use when the round's compounds were predicted.
        p_values: shape (m,), conformal p-values of the round's measurements (measured_p_values): an expert missed a
            compound exactly when its p-value is at most the expert's alpha. Empty: nothing was measured, no change.

    Raises:
        DataError: a p-value is NaN or outside of [0, 1].
    """
    p = vector(p_values, "p-values")
    if ((p < 0) | (p > 1)).any():
        raise DataError("p-values: one lies outside of 0 to 1")
    if not len(p):
        return state
    gap = p[None, :] - state.alphas[:, None]
    losses = (state.target * gap - np.minimum(gap, 0)).mean(axis=1)
    missed = (gap <= 0).mean(axis=1)
    alphas = state.alphas + state.steps * (state.target - missed)
    return AdaptiveLevel(state.target, state.steps, alphas, _weighed(state, losses), state.n_rounds + 1)


def _weighed(state: AdaptiveLevel, losses: FloatArray) -> FloatArray:
    """Weigh experts by exponentiated losses, and share a little of the weight among all (fixed share)."""
    k, a, memory = len(losses), state.target, N_ROUNDS_MEMORY
    shared = 1 / (2 * memory)
    rate = sqrt(3 / memory) * sqrt((log(memory * k) + 2) / ((1 - a) ** 2 * a**3 + a**2 * (1 - a) ** 3))
    raw = state.shares * np.exp(-rate * (losses - losses.min()))
    mixed: FloatArray = (1 - shared) * raw / raw.sum() + shared / k
    return mixed
