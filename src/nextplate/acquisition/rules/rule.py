"""What every rule is given and what it gives back.

A rule turns a prediction into one number per compound; the higher, the sooner the compound is tested.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError, PlanError
from nextplate.prediction import Prediction

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BETA = 1.0
"""Weight of the spread in an upper confidence bound, at night and in a replay alike."""
N_TOP = 100
"""How many compounds count as the top in the rule top-k, likewise."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a rule may be told beside the prediction; each rule reads what it needs."""

    best: float
    """Highest response measured so far; NaN when none was."""
    beta: float = BETA
    """Weight of the spread in an upper confidence bound."""
    tradeoff: float = 0.0
    """Improvement over best that counts for nothing, on the response scale."""
    available: Mask | None = None
    """Shape (n,): compounds that may be picked; None: all. Only top-k, thompson and hits-at-fdr look at it."""
    n_top: int = N_TOP
    """How many compounds count as the top in the rule top-k."""
    threshold: float = float("nan")
    """A response at or above it is a hit; NaN: mean and draws are probabilities of a hit already (0/1 labels)."""
    noise: float = 0.0
    """Standard deviation of a measurement about the true response, on the response scale (bald)."""
    fdr: float = 0.2
    """Share of false hits that the list of hits-at-fdr may hold."""
    level: float = 0.9
    """Coverage, within hits and within the rest, of the label sets of set-size."""
    cal_scores: FloatArray | None = None
    """Shape (t,): out-of-fold means of the tested compounds, on the scale of prediction.mean; None: not known."""
    cal_is_hit: Mask | None = None
    """Shape (t,): which of them are hits; None exactly when cal_scores is."""


@dataclass(frozen=True, slots=True)
class Told:
    """Scores of a rule that could not do all its name says."""

    scores: FloatArray
    """Shape (n,)."""
    notes: tuple[str, ...]
    """What was done instead, and why."""


class Rule(Protocol):
    """Scores compounds."""

    def __call__(self, prediction: Prediction, knobs: Knobs, rng: np.random.Generator) -> FloatArray | Told:
        """Give one score per compound, shape (n,); the highest is tested first. Told, when it had to fall back."""
        ...


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule and what the loop has to know of it; every file of rules/ ends with one, ``SPEC``."""

    name: str
    """As lab.toml and ``replay --strategy`` write it."""
    score: Rule
    wants_draws: bool = False
    """It compares compounds, or asks what an outcome teaches: joint draws of the belief are made for it."""
    calibrates: bool = False
    """It reads Knobs.cal_scores and cal_is_hit."""
    reads_noise: bool = False
    """It reads Knobs.noise, unless labels are 0/1."""
    is_weighed: bool = True
    """Where viability is an endpoint its scores are weighed by P(viable). False: it goes by lot, or by P(hit), which
    holds viability already."""


NO_DRAWS = "the belief gives no joint draws: compounds are taken as independent, normal with its mean and spread"


def open_rows(prediction: Prediction, knobs: Knobs) -> Mask:
    """Give the mask of compounds that may be picked, shape (n,).

    Raises:
        PlanError: the mask has another length, or nothing is available.
    """
    n = len(prediction.mean)
    mask = np.ones(n, dtype=bool) if knobs.available is None else np.asarray(knobs.available, dtype=bool)
    if mask.shape != (n,):
        raise PlanError(f"available has shape {mask.shape} for {n} compounds; give one entry per compound")
    if not mask.any():
        raise PlanError("no compound is available to be scored: every one is tested, pending or out of stock")
    return mask


def draws_of(prediction: Prediction) -> npt.NDArray[np.float32] | None:
    """Give the joint draws, shape (n_draws, n), None when the belief has none.

    Raises:
        DataError: another shape, or no draw.
    """
    draws = prediction.draws
    if draws is not None and (draws.ndim != 2 or len(draws) == 0 or draws.shape[1] != len(prediction.mean)):
        raise DataError(f"draws have shape {draws.shape} for {len(prediction.mean)} compounds; (n_draws, n) is needed")
    return draws


def chances(prediction: Prediction) -> FloatArray:
    """Give the probabilities of a hit, shape (n,).

    Raises:
        DataError: one is NaN or outside [0, 1].
    """
    p = np.asarray(prediction.p_hit, dtype=np.float64)
    n_bad = int((~((p >= 0) & (p <= 1))).sum())
    if n_bad:
        raise DataError(f"{n_bad} of {len(p)} probabilities of a hit are NaN or outside 0 to 1; calibrate the belief")
    return p


def between_0_and_1(values: FloatArray) -> FloatArray:
    """Squash values, shape (n,), into (0, 1) in their order: what settles ties without changing anything else."""
    centre, scale = float(np.mean(values)), float(np.std(values))
    squashed: FloatArray = 0.5 + np.arctan((values - centre) / (scale if scale > 0 else 1.0)) / np.pi
    return squashed
