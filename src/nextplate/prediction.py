"""Predictions and picks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BY_LOT = "explore"
"""The reason of picks drawn by lot: they are exchangeable with what is left of the library, and nothing else is."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a belief says about n compounds, row i belonging to compound_ids[i].

    All values are on the response scale: 0 = the plate's negative control, 1 = its positive control.
    """

    compound_ids: Sequence[str]
    mean: FloatArray
    """Shape (n,)."""
    spread: FloatArray
    """Shape (n,): one standard deviation of the belief, never the interval."""
    lower: FloatArray
    """Shape (n,): lower end of the calibrated interval; -inf where too little data calibrates it."""
    upper: FloatArray
    """Shape (n,): upper end, likewise."""
    confidence: float
    """Nominal coverage of [lower, upper], 0.9 by default."""
    p_hit: FloatArray
    """Shape (n,): calibrated probability that the response reaches the hit threshold."""
    draws: npt.NDArray[np.float32] | None = None
    """Shape (n_draws, n): joint samples of the belief, or what each member of an ensemble says; None: not known."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A compound chosen for the next plate, with what was believed when it was chosen."""

    compound_id: str
    reason: str
    """cold-start, exploit, over-cap, explore, confirm or dose-response."""
    score: float
    """The acquisition rule's score; NaN for a random or cold-start pick, and where the rule has none."""
    mean: float
    spread: float
    lower: float
    upper: float
    p_hit: float
    nearest_tested: float
    """Tanimoto similarity to the nearest compound tested before; NaN when none was."""
    n_wells: int
    """How many wells of the plate it gets."""
    doses_um: tuple[float, ...] = ()
    """Final concentrations of its wells, micromolar, one each; empty: all get the dose of the plate."""
