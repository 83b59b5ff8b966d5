"""Retrospective campaigns: how fast would a strategy have found what is already known?

Pure: arrays in, curves out. The rounds are run by the functions of the live loop (cold_start, fit, cross_predict,
calibrate, score, choose), so a replay tests them and not a copy. Values are oriented so that higher is better.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.acquisition import RULES, choose, cold_start, score
from nextplate.chem.similarity import rank_by_similarity
from nextplate.compound import Features
from nextplate.conformal import calibrate, coverage, hit_probability, intervals
from nextplate.errors import DataError, PlanError
from nextplate.models import cross_predict, kind_of, predict_library
from nextplate.prediction import Pick, Prediction

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

SIMILARITY = "similarity"
"""Ranks by similarity to the nearest known hit (or, while there is none, to the best 1 % tested): the baseline."""
STRATEGIES = (*RULES, SIMILARITY)


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """How a retrospective campaign is run."""

    strategy: str
    """A name in STRATEGIES."""
    n_initial: int
    """Compounds of the first batch, chosen without any score."""
    n_batch: int
    """Compounds of each later batch."""
    n_rounds: int
    """Later batches."""
    top_k: int
    """Recall is counted over the k best values."""
    threshold: float | None = None
    """A value at or above it is a hit; None: the k-th best value."""
    seed: int = 0
    confidence: float = 0.9
    beta: float = 1.0
    tradeoff: float = 0.0
    exploration_share: float = 0.1
    diversity_weight: float = 0.1
    kind: str = "lightgbm"
    """Of belief: a name in KINDS."""


@dataclass(frozen=True, slots=True)
class ReplayRound:
    """Where a campaign stands after a batch."""

    n_tested: int
    """Compounds tested, unscored ones included: they cost a well too."""
    recall_structures: float
    """Share of the top-k compounds tested (ties at the edge: the first k in file order are the top-k)."""
    recall_scores: float
    """Share of the top-k values found, counted as a multiset: any compound with a tied value counts."""
    n_hits: int
    """Tested compounds with a value at or above the threshold."""
    coverage: float
    """Share of this batch's values inside the intervals predicted before; NaN where none was predicted."""
    n_covered_of: int
    """How many values that share is of."""


@dataclass(frozen=True, slots=True)
class ReplayCurve:
    """A retrospective campaign."""

    plan: ReplayPlan
    n_compounds: int
    n_hits: int
    """In the whole file."""
    rounds: tuple[ReplayRound, ...]
    """The first is the cold start."""
    tested: Index
    """Shape (n_tested,): rows in the order they were tested."""


@dataclass(frozen=True, slots=True)
class _Truth:
    values: FloatArray
    top: Index
    threshold: float
    """Hits reach it."""
    cutoff: float
    """The k-th best value."""


def replay(features: Features, values: npt.ArrayLike, plan: ReplayPlan) -> ReplayCurve:
    """Run one retrospective campaign.

    Args:
        features: of n compounds.
        values: shape (n,), higher is better; NaN = unscored: costs budget, gives no label.
        plan: strategy, sizes, seed.

    Raises:
        PlanError: an unknown strategy or an impossible size.
        DataError: no value, or as many values as compounds are not there.
    """
    truth = _truth(features, np.asarray(values, dtype=np.float64), plan)
    tested = _rows(features, cold_start(features, _left(features, ()), plan.n_initial, _rng(plan, 0)))
    rounds = [_round(truth, tested, float("nan"), 0)]
    for number in range(1, plan.n_rounds + 1):
        available = _left(features, tested)
        if not available.any():
            break
        batch, prediction = _next_batch(features, truth, plan, number, tested, available)
        tested = np.concatenate([tested, batch])
        rounds.append(_round(truth, tested, *_coverage(truth, batch, prediction)))
    n_hits = int((truth.values >= truth.threshold).sum())
    return ReplayCurve(plan, len(truth.values), n_hits, tuple(rounds), tested)


def _truth(features: Features, values: FloatArray, plan: ReplayPlan) -> _Truth:
    n, n_scored = len(features.compound_ids), int(np.isfinite(values).sum())
    if values.shape != (n,):
        raise DataError(f"{values.shape} values for {n} compounds; give one per compound, NaN where unknown")
    if plan.strategy not in STRATEGIES:
        raise PlanError(f"there is no strategy {plan.strategy!r}; the strategies are: {', '.join(STRATEGIES)}")
    if min(plan.n_initial, plan.n_batch) < 1 or plan.n_rounds < 0:
        raise PlanError(f"batches of {plan.n_initial} and {plan.n_batch}, {plan.n_rounds} rounds: too few")
    if not 1 <= plan.top_k <= n_scored:
        raise PlanError(f"top {plan.top_k} of {n_scored} scored compounds; ask for between 1 and {n_scored}")
    scored = np.where(np.isfinite(values), values, -np.inf)
    top = np.argsort(-scored, kind="stable")[: plan.top_k]
    cutoff = float(scored[top[-1]])
    return _Truth(
        np.where(np.isfinite(values), values, np.nan),
        top,
        cutoff if plan.threshold is None else plan.threshold,
        cutoff,
    )


def _rng(plan: ReplayPlan, number: int) -> np.random.Generator:
    """One stream per seed and round; the cold start is the same for every strategy of a seed."""
    return np.random.default_rng([plan.seed, number])


def _left(features: Features, tested: npt.ArrayLike) -> Mask:
    available = np.ones(len(features.compound_ids), dtype=bool)
    available[np.asarray(tested, dtype=np.intp)] = False
    return available


def _rows(features: Features, picks: tuple[Pick, ...]) -> Index:
    row_of = {name: row for row, name in enumerate(features.compound_ids)}
    return np.array([row_of[pick.compound_id] for pick in picks], dtype=np.intp)


def _next_batch(
    features: Features, truth: _Truth, plan: ReplayPlan, number: int, tested: Index, available: Mask
) -> tuple[Index, Prediction | None]:
    rng = _rng(plan, number)
    labelled = tested[np.isfinite(truth.values[tested])]
    n = min(plan.n_batch, int(available.sum()))
    if plan.strategy == "random" or len(labelled) == 0:
        return rng.permutation(np.flatnonzero(available))[:n], None
    if plan.strategy == SIMILARITY:
        return _most_similar(features, truth, labelled, available, n, rng), None
    prediction = believe(features, truth.values, labelled, plan, number, truth.threshold)
    best = float(truth.values[labelled].max())
    scores = score(plan.strategy, prediction, best, rng, beta=plan.beta, tradeoff=plan.tradeoff)
    picks = choose(
        scores,
        prediction,
        features,
        available=available,
        n_picks=n,
        rng=rng,
        exploration_share=plan.exploration_share,
        diversity_weight=plan.diversity_weight,
    )
    return _rows(features, picks), prediction


def _most_similar(
    features: Features, truth: _Truth, labelled: Index, available: Mask, n: int, rng: np.random.Generator
) -> Index:
    best_first = labelled[np.argsort(-truth.values[labelled], kind="stable")]
    n_hits = int((truth.values[labelled] >= truth.threshold).sum())
    hits = best_first[: n_hits or max(1, len(labelled) // 100)]
    packed = np.asarray(features.fingerprints)
    rows = rng.permutation(np.flatnonzero(available))
    nearest = rank_by_similarity(packed[rows], packed[hits])
    batch: Index = rows[np.argsort(-nearest, kind="stable")[:n]]
    return batch


def believe(
    features: Features, values: FloatArray, labelled: Index, plan: ReplayPlan, number: int, threshold: float
) -> Prediction:
    """Fit, calibrate and predict one round of a replay.

    Args:
        features: of the library.
        values: shape (n,); only values[labelled] is read.
        labelled: rows whose value is known by now.
        plan: kind of belief, seed and confidence.
        number: of the round; part of the seed.
        threshold: of a hit.
    """
    kind, y, seed = kind_of(plan.kind), values[labelled], plan.seed * 1000 + number
    belief = kind.fit(features, labelled, y, seed=seed)
    calibration = calibrate(*cross_predict(kind, features, labelled, y, seed=seed), y, plan.confidence)
    mean, spread = predict_library(kind, belief, features)
    lower, upper = intervals(calibration, mean, spread)
    p_hit = hit_probability(calibration, mean, spread, threshold)
    return Prediction(features.compound_ids, mean, spread, lower, upper, plan.confidence, p_hit)


def _coverage(truth: _Truth, batch: Index, prediction: Prediction | None) -> tuple[float, int]:
    if prediction is None:
        return float("nan"), 0
    return coverage(truth.values[batch], prediction.lower[batch], prediction.upper[batch])


def _round(truth: _Truth, tested: Index, covered: float, n_covered_of: int) -> ReplayRound:
    found = truth.values[tested]
    k = len(truth.top)
    n_above, n_at = int((found > truth.cutoff).sum()), int((found == truth.cutoff).sum())
    n_needed_at = k - int((truth.values[truth.top] > truth.cutoff).sum())
    return ReplayRound(
        len(tested),
        len(np.intersect1d(truth.top, tested)) / k,
        (n_above + min(n_at, n_needed_at)) / k,
        int((found >= truth.threshold).sum()),
        covered,
        n_covered_of,
    )
