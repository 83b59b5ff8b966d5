"""Retrospective campaigns: how fast would a strategy have found what is already known?

Pure: arrays in, curves out. The rounds are run by the functions of the live loop (cold_start, fit_and_cross,
promise_picks, knobs_for, draw, score_open, choose_batch), so a replay tests them and not a copy. One thing differs: a
replay knows no noise of a well, which bald is told at night. Values are oriented so that higher is better.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.acquisition import Knobs, choose_batch, cold_start
from nextplate.acquisition.drawn import Drawn, draw, score_open
from nextplate.acquisition.retrospect import (
    Foretold,
    Kept,
    Listed,
    Memory,
    Prospect,
    Terms,
    foretell,
    judge,
    list_hits,
    look_ahead,
    no_memory,
    remember,
)
from nextplate.acquisition.rules import rule_named
from nextplate.acquisition.rules.rule import BETA
from nextplate.acquisition.strategies import RANDOM, SIMILARITY, Strategy, parse_strategy
from nextplate.acquisition.telling import knobs_for
from nextplate.chem.scaffolds import murcko_scaffold
from nextplate.chem.similarity import rank_by_similarity
from nextplate.compound import Features
from nextplate.conformal import FDR
from nextplate.errors import DataError, PlanError
from nextplate.prediction import BY_LOT, Pick

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_DRAWS = 1
"""The stream of a round's joint draws, apart from that of its picks."""
_NO_NOISE = "{rule}: no noise of a well is known and none is assumed; nights tell it where they know it"
_BY_LOT_UNLABELLED = "no compound tested so far has a value: the batch is drawn by lot"


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """How a retrospective campaign is run."""

    strategy: str
    """As ``parse_strategy`` reads it."""
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
    beta: float = BETA
    tradeoff: float = 0.0
    exploration_share: float = 0.0
    """By lot: a live campaign spends a tenth of its wells so; a replay is asked what can be found."""
    diversity_weight: float = 0.3


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
    n_scaffolds: int
    """Murcko scaffolds among the hits tested."""
    kept: Kept | None
    """How intervals promised of this batch before it was measured were kept; of 0/1 values, class-conditional label
    sets. None: nothing was promised."""
    kept_plain: Kept | None
    """The same for what all out-of-fold predictions alike would have promised."""
    foretold: Foretold | None
    """Hits this batch was to give, and gave, at the threshold known then; None: no belief, or no scored compound."""
    listed: Listed | None
    """The hit list at a false discovery rate of 20 % over the compounds left before this batch; None: no belief."""
    notes: tuple[str, ...] = ()
    """Of the belief and the rule that chose this batch, or of what was done in their place."""


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
    scaffolds: dict[int, str]
    """Of each hit, by row."""


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: Index
    picked: Index
    """Rows picked for what was predicted: not those drawn by lot."""
    prospect: Prospect | None = None
    """None: drawn by lot or by similarity, so that nothing was foreseen of it."""
    listed: Listed | None = None
    notes: tuple[str, ...] = ()
    """Of the rule, or what was done in its place."""


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
    truth, strategy = _truth(features, np.asarray(values, dtype=np.float64), plan), parse_strategy(plan.strategy)
    tested = _rows(features, cold_start(features, _left(features, ()), plan.n_initial, _rng(plan, 0)))
    memory = no_memory()
    rounds = [_round(truth, tested, _Batch(tested, tested[:0]), memory)]
    for number in range(1, plan.n_rounds + 1):
        available = _left(features, tested)
        if not available.any():
            break
        batch, memory = _next_batch(features, truth, plan, strategy, number, tested, available, memory)
        tested = np.concatenate([tested, batch.rows])
        rounds.append(_round(truth, tested, batch, memory))
        if batch.prospect is not None:
            memory = remember(memory, batch.prospect, batch.rows, batch.picked, truth.values)
    n_hits = int((truth.values >= truth.threshold).sum())
    return ReplayCurve(plan, len(truth.values), n_hits, tuple(rounds), tested)


def _truth(features: Features, values: FloatArray, plan: ReplayPlan) -> _Truth:
    n, n_scored = len(features.compound_ids), int(np.isfinite(values).sum())
    if values.shape != (n,):
        raise DataError(f"{values.shape} values for {n} compounds; give one per compound, NaN where unknown")
    if min(plan.n_initial, plan.n_batch) < 1 or plan.n_rounds < 0:
        raise PlanError(f"batches of {plan.n_initial} and {plan.n_batch}, {plan.n_rounds} rounds: too few")
    if not 1 <= plan.top_k <= n_scored:
        raise PlanError(f"top {plan.top_k} of {n_scored} scored compounds; ask for between 1 and {n_scored}")
    scored = np.where(np.isfinite(values), values, -np.inf)
    top = np.argsort(-scored, kind="stable")[: plan.top_k]
    cutoff = float(scored[top[-1]])
    threshold = cutoff if plan.threshold is None else plan.threshold
    hits = np.flatnonzero(scored >= threshold)
    scaffolds = {int(row): murcko_scaffold(features.smiles[row]) for row in hits}
    return _Truth(np.where(np.isfinite(values), values, np.nan), top, threshold, cutoff, scaffolds)


def _rng(plan: ReplayPlan, *purpose: int) -> np.random.Generator:
    """One stream per seed and purpose, a round or more; the cold start is the same for every strategy of a seed."""
    return np.random.default_rng([plan.seed, *purpose])


def _left(features: Features, tested: npt.ArrayLike) -> Mask:
    available = np.ones(len(features.compound_ids), dtype=bool)
    available[np.asarray(tested, dtype=np.intp)] = False
    return available


def _rows(features: Features, picks: tuple[Pick, ...]) -> Index:
    row_of = {name: row for row, name in enumerate(features.compound_ids)}
    return np.array([row_of[pick.compound_id] for pick in picks], dtype=np.intp)


def _next_batch(
    features: Features,
    truth: _Truth,
    plan: ReplayPlan,
    strategy: Strategy,
    number: int,
    tested: Index,
    available: Mask,
    memory: Memory,
) -> tuple[_Batch, Memory]:
    rng = _rng(plan, number)
    labelled = tested[np.isfinite(truth.values[tested])]
    n = min(plan.n_batch, int(available.sum()))
    if strategy.rule == RANDOM or len(labelled) == 0:
        rows = rng.permutation(np.flatnonzero(available))[:n]
        return _Batch(rows, rows[:0], notes=() if strategy.rule == RANDOM else (_BY_LOT_UNLABELLED,)), memory
    if strategy.rule == SIMILARITY:
        rows = _most_similar(features, truth, plan, labelled, available, n, rng)
        return _Batch(rows, rows[:0]), memory
    y, seed = truth.values[labelled], plan.seed * 1000 + number
    threshold = _threshold(truth, plan, y)
    terms = Terms(strategy.kind, plan.confidence, n, plan.beta)
    prospect, memory = look_ahead(features, labelled, y, terms, memory, available, threshold, seed)
    rule = strategy.rule_for(prospect.is_binary)
    knobs = knobs_for(
        rule,
        prospect.known,
        available,
        best=float(y.max()),
        beta=plan.beta,
        threshold=float("nan") if prospect.is_binary else threshold,
        tradeoff=plan.tradeoff,
    )
    drawn, told = _draws(features, prospect, rule, knobs, _rng(plan, number, _DRAWS))
    n_by_score = n - round(plan.exploration_share * n)
    found = score_open(rule, prospect.prediction, drawn, knobs, rng, n_by_score=n_by_score)
    chosen = choose_batch(
        found.scores,
        prospect.prediction,
        features,
        available=available,
        n_picks=n,
        rng=rng,
        exploration_share=plan.exploration_share,
        diversity_weight=plan.diversity_weight,
        exploit_from=found.among,
    )
    picks, notes = chosen.picks, (*told, *found.notes, *chosen.notes)
    rows, is_by_lot = _rows(features, picks), np.array([pick.reason == BY_LOT for pick in picks], dtype=bool)
    return _Batch(rows, rows[~is_by_lot], prospect, list_hits(prospect, truth.values, FDR), notes), memory


def _draws(
    features: Features, prospect: Prospect, rule: str, knobs: Knobs, rng: np.random.Generator
) -> tuple[Drawn | None, tuple[str, ...]]:
    """Make the joint draws that a night keeps beside the fit, where the rule wants them; say what it goes without."""
    spec = rule_named(rule)
    if not spec.wants_draws:
        return None, ()
    believed = prospect.prediction.mean, prospect.prediction.spread
    rows = np.flatnonzero(prospect.library.is_open)
    drawn, told = draw(rule, prospect.terms.kind, prospect.belief, features, believed, rows, knobs.threshold, rng)
    without = (_NO_NOISE.format(rule=rule),) if spec.reads_noise and not prospect.is_binary else ()
    return drawn, (*told, *without)


def _threshold(truth: _Truth, plan: ReplayPlan, y: FloatArray) -> float:
    """Tell what counts as a hit while the campaign runs: the threshold given, or the best labels seen so far.

    The k-th best value of the whole file is not known to a campaign; the same share of its own labels is.
    """
    if plan.threshold is not None:
        return plan.threshold
    rank = max(1, round(len(y) * plan.top_k / int(np.isfinite(truth.values).sum())))
    return float(np.partition(y, -rank)[-rank])


def _most_similar(
    features: Features,
    truth: _Truth,
    plan: ReplayPlan,
    labelled: Index,
    available: Mask,
    n: int,
    rng: np.random.Generator,
) -> Index:
    best_first = labelled[np.argsort(-truth.values[labelled], kind="stable")]
    n_hits = 0 if plan.threshold is None else int((truth.values[labelled] >= plan.threshold).sum())
    hits = best_first[: n_hits or max(1, len(labelled) // 100)]
    packed = np.asarray(features.fingerprints)
    rows = rng.permutation(np.flatnonzero(available))
    nearest = rank_by_similarity(packed[rows], packed[hits])
    batch: Index = rows[np.argsort(-nearest, kind="stable")[:n]]
    return batch


def _round(truth: _Truth, tested: Index, batch: _Batch, memory: Memory) -> ReplayRound:
    kept: tuple[Kept | None, Kept | None] = (None, None)
    foretold = None
    if batch.prospect is not None:
        kept = judge(memory, batch.prospect, batch.picked, truth.values)
        foretold = foretell(memory, batch.prospect, batch.rows, truth.values)
    found = truth.values[tested]
    k = len(truth.top)
    n_above, n_at = int((found > truth.cutoff).sum()), int((found == truth.cutoff).sum())
    n_needed_at = k - int((truth.values[truth.top] > truth.cutoff).sum())
    return ReplayRound(
        len(tested),
        len(np.intersect1d(truth.top, tested)) / k,
        (n_above + min(n_at, n_needed_at)) / k,
        int((found >= truth.threshold).sum()),
        _n_scaffolds(truth, tested.tolist()),
        *kept,
        foretold,
        batch.listed,
        (*(() if batch.prospect is None else batch.prospect.notes), *batch.notes),
    )


def _n_scaffolds(truth: _Truth, tested: Iterable[int]) -> int:
    return len({truth.scaffolds[row] for row in tested if row in truth.scaffolds})
