"""Choose a batch: the best scores, not too alike, under caps and costs, plus a share by lot."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.acquisition.diversity import DIVERSITY, gain_of
from nextplate.acquisition.greedy import Limits, greedy
from nextplate.chem.kernel import max_tanimoto
from nextplate.compound import Features
from nextplate.errors import PlanError
from nextplate.prediction import Pick, Prediction

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Packed = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp]

# MaxMin, dpp and facility choose among this many times as many of the best scores as there are picks.
_SHORTLIST = {"maxmin": 5, "dpp": 10, "facility": 10}
# Each pick is held against all that may still be picked: of a million that score alike this many, by lot.
_MOST_WEIGHED = 50_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Compounds chosen together."""

    picks: tuple[Pick, ...]
    notes: tuple[str, ...]
    """What was not looked at, and what was drawn by lot for want of anything better."""


def choose_batch(
    scores: FloatArray,
    prediction: Prediction,
    features: Features,
    *,
    available: Mask,
    n_picks: int,
    rng: np.random.Generator,
    exploration_share: float = 0.1,
    diversity_weight: float = 0.3,
    tested_fingerprints: Packed | None = None,
    n_wells: int = 1,
    diversity: str = "discount",
    pending: Mask | None = None,
    clusters: Index | None = None,
    cap_per_cluster: int | None = None,
    plate_of: Index | None = None,
    plate_cost: float = 0.0,
    exploit_from: Mask | None = None,
    explore_from: Mask | None = None,
) -> Batch:
    """Choose the compounds of the next plate.

    Exploit picks are taken one by one by the highest gain. Scores are scaled so that the median is 0 and the
    best 1; with the scaled score u and the weight w the gain is, by ``diversity``,

    * none: u;
    * discount: u - w * |u| * (highest Tanimoto similarity to a pick);
    * penalty: u - w * (highest Tanimoto similarity to a pick);
    * dpp: u + w * log(variance given the picks), among the best 10 * n_picks scores;
    * facility: u + w * (library coverage added, 1 = a pick's fair share), among the best 10 * n_picks;
    * maxmin: the distance to the nearest pick, among the best 5 * n_picks, the best score first.

    On ALDH1 (a forest of 1,000 labels, 336 picks, 5 seeds) none, penalty, dpp, facility and a cap of 1 per scaffold
    find 42 to 44 hits, all within the spread; maxmin finds 26: it is for mapping a library, not for hits.

    Explore picks are drawn by lot from the rest, whatever their cluster or source plate: picks by lot keep the
    calibration honest (they are the only ones exchangeable with the library) and on real assays find more than
    picks by spread. Ties are broken by lot, before anything else: the candidates are shuffled and sorted once, and
    the first of equals is taken. Of more than 50,000 that diversity could still bring in, the best 50,000 are weighed
    (of ties at the edge those that the lot put first), and the notes say so.

    Pending compounds are never picked, and count as picked already for the diversity and the caps, not for the
    source plates (a plate is opened anew each round).

    Args:
        scores: shape (n,), of ``score``; finite where available.
        prediction: of the same n compounds, in the order of the features.
        features: of the library.
        available: shape (n,): stock left, not tested.
        n_picks: how many compounds; fewer are returned when fewer are available.
        rng: for lots and ties.
        exploration_share: of the picks, in [0, 1], rounded to whole picks.
        diversity_weight: 0 takes the best scores whatever they are like.
        tested_fingerprints: shape (t, n_bytes), packed, of compounds tested before; None when there are none.
        n_wells: wells of the plate each pick gets.
        diversity: none, discount, penalty, maxmin, dpp or facility.
        pending: shape (n,): dispensed, without a result yet; None: none is.
        clusters: shape (n,): 0, 1, ... or -1 = in no cluster (``clusters.scaffold_clusters``).
        cap_per_cluster: most exploit picks of one cluster; None: no cap. Where the caps leave wells empty, the
            wells go to the best scores over the cap, under the reason "over-cap".
        plate_of: shape (n,): source plate of each compound, 0, 1, ...; None: not known.
        plate_cost: gain an exploit pick has to bring more to open another source plate.
        exploit_from: shape (n,): what may be picked for its score; None: all. Where too few of them are free, lots
            take the wells.
        explore_from: shape (n,): what lots are drawn from, itself an even draw from the library; None: all. Where too
            few of them are free, the lots are drawn from all that is.

    Returns:
        Exploit picks in the order chosen, then those over the cap, then explore picks; notes name every limit that cut
        something off.

    Raises:
        PlanError: nothing is available, n_picks is below 1, a share, weight, cap or cost is out of range, an
            available compound's score is not a number, or lengths differ.
    """
    _check_settings(exploration_share, diversity_weight, diversity, clusters, cap_per_cluster)
    is_pending = np.zeros(len(available), dtype=bool) if pending is None else pending
    _check_lengths(features, scores, prediction, available, is_pending, clusters, plate_of)
    free = available & ~is_pending
    n = n_possible(free, n_picks)
    _check_scores(scores, free, features)
    best = free if exploit_from is None else free & exploit_from
    n_exploit = min(n - round(exploration_share * n), int(best.sum()))
    limits = Limits(
        None if cap_per_cluster is None else clusters,
        cap_per_cluster or 1,
        None if cap_per_cluster is None or clusters is None else _members(clusters, is_pending),
        plate_of,
        plate_cost,
    )
    chosen = np.asarray(features.fingerprints[np.flatnonzero(is_pending)])
    exploit, over, told = _exploit(scores, features, best, n_exploit, diversity, diversity_weight, chosen, limits, rng)
    taken = np.concatenate([exploit, over])
    explore, beyond = _explore(free, explore_from, taken, n - len(taken), rng)
    short = n - round(exploration_share * n) - n_exploit
    rows = np.concatenate([taken, explore]).astype(np.intp)
    nearest = _nearest_tested(features, rows, tested_fingerprints)
    reasons = ["exploit"] * len(exploit) + ["over-cap"] * len(over) + ["explore"] * len(explore)
    picks = tuple(
        _pick(int(row), reason, scores, prediction, features, near, n_wells)
        for row, reason, near in zip(rows, reasons, nearest, strict=True)
    )
    return Batch(picks, (*told, *_by_lot_instead(short, n_exploit), *beyond))


def _by_lot_instead(n_short: int, n_exploit: int) -> tuple[str, ...]:
    if n_short <= 0:
        return ()
    return (f"only {n_exploit} compounds that may be picked for their score are left: {n_short} more are drawn by lot",)


def _explore(
    free: Mask, lot: Mask | None, taken: Index, n: int, rng: np.random.Generator
) -> tuple[Index, tuple[str, ...]]:
    """Draw n rows from the lot, and where it holds too few from all that is free."""
    first = np.setdiff1d(np.flatnonzero(free if lot is None else free & lot), taken)
    drawn = rng.permutation(first)[:n]
    if len(drawn) == n:
        return drawn, ()
    rest = np.setdiff1d(np.flatnonzero(free), np.concatenate([taken, drawn]))
    n_more = n - len(drawn)
    note = (
        f"{n_more} of {n} picks by lot are drawn from all that is free, as the lot holds no more: nothing is promised "
        "of those that were only screened"
    )
    return np.concatenate([drawn, rng.permutation(rest)[:n_more]]), (note,)


def _check_settings(
    share: float, weight: float, diversity: str, clusters: Index | None, cap_per_cluster: int | None
) -> None:
    if not 0 <= share <= 1:
        raise PlanError(f"exploration_share is {share}; it must lie between 0 and 1")
    if not (np.isfinite(weight) and weight >= 0):
        raise PlanError(f"diversity_weight is {weight}; it must be 0 or more")
    if diversity not in DIVERSITY:
        raise PlanError(f"there is no diversity {diversity!r}; choose one of: {', '.join(DIVERSITY)}")
    if cap_per_cluster is not None and clusters is None:
        raise PlanError("a cap per cluster needs the clusters: give one number per compound, -1 for none")
    if cap_per_cluster is not None and cap_per_cluster < 1:
        raise PlanError(f"the cap per cluster is {cap_per_cluster}; it must be at least 1")


def _check_lengths(
    features: Features,
    scores: FloatArray,
    prediction: Prediction,
    available: Mask,
    pending: Mask,
    clusters: Index | None,
    plate_of: Index | None,
) -> None:
    n = len(features.compound_ids)
    for name, rows in (("available", available), ("pending", pending), ("clusters", clusters), ("plate_of", plate_of)):
        if rows is not None and rows.shape != (n,):
            raise PlanError(f"{name} has {len(rows)} entries, the library {n}")
    if not len(scores) == len(prediction.mean) == n:
        raise PlanError(f"{len(scores)} scores, {len(prediction.mean)} predictions, {n} compounds")


def _check_scores(scores: FloatArray, free: Mask, features: Features) -> None:
    bad = np.flatnonzero(free & ~np.isfinite(scores))
    if len(bad):
        first = features.compound_ids[bad[0]]
        raise PlanError(
            f"{len(bad)} of {int(free.sum())} available compounds have a score that is not a finite number "
            f"(the first: {first}, {scores[bad[0]]}); score them by another rule, or mark them unavailable"
        )


def n_possible(free: Mask, n_picks: int) -> int:
    """Say how many of the picks asked for there are compounds for.

    Raises:
        PlanError: none is free, or n_picks is below 1.
    """
    if n_picks < 1:
        raise PlanError(f"{n_picks} picks were asked for; ask for at least 1")
    n_free = int(free.sum())
    if n_free == 0:
        raise PlanError(
            "no compound is available: every one is tested, pending, or out of stock; add stock or end the campaign"
        )
    return min(n_picks, n_free)


def _members(clusters: Index, is_member: Mask) -> Index:
    counted = clusters[is_member & (clusters >= 0)]
    return np.bincount(counted, minlength=int(clusters.max(initial=-1)) + 1).astype(np.intp)


def _exploit(
    scores: FloatArray,
    features: Features,
    free: Mask,
    n: int,
    diversity: str,
    weight: float,
    chosen: Packed,
    limits: Limits,
    rng: np.random.Generator,
) -> tuple[Index, Index, tuple[str, ...]]:
    """Give the rows picked within the limits, those that fill the wells the caps left empty, and notes."""
    none: Index = np.zeros(0, dtype=np.intp)
    if n == 0:
        return none, none, ()
    shuffled = rng.permutation(np.flatnonzero(free))
    utility = _utility(scores[shuffled])
    order = np.argsort(-utility, kind="stable")
    here = _of_rows(limits, shuffled)
    name = "none" if weight == 0 and diversity != "maxmin" else diversity
    n_short, told = _n_short(utility[order], _of_rows(here, order), n, name, weight)
    short = order[:n_short]
    packed = np.asarray(features.fingerprints[shuffled[short]])
    picks = short[greedy(gain_of(name, utility[short], packed, weight, n, chosen), n, _of_rows(here, short))]
    left = order[~np.isin(order, picks)][: n - len(picks)] if len(picks) < n else none
    return shuffled[picks], shuffled[left], told


def _of_rows(limits: Limits, rows: Index) -> Limits:
    clusters = None if limits.clusters is None else limits.clusters[rows]
    plates = None if limits.plates is None else limits.plates[rows]
    return Limits(clusters, limits.cap, limits.taken, plates, limits.plate_cost)


def _n_short(utility: FloatArray, limits: Limits, n: int, diversity: str, weight: float) -> tuple[int, tuple[str, ...]]:
    """Say how many of the best candidates are weighed; utility and limits are in order, best first.

    The n best that the caps allow together (a matroid) always hold one that may still be picked, at a loss of the
    weight and of one source plate at most: what lies further below the last of them never wins. Only ties and near
    ties make these too many; and MaxMin, dpp and facility could bring in any candidate. Both are cut, and told.
    """
    m = len(utility)
    edge = int(np.searchsorted(np.cumsum(_within_caps(limits, m)), n))
    if edge >= m:
        return m, ()
    if diversity in _SHORTLIST:
        n_short = min(m, max(edge + 1, _SHORTLIST[diversity] * n))
        why = f"{diversity}: the batch is chosen among the best {n_short:,} of {m:,} scores"
        return n_short, (why,) if n_short < m else ()
    loss = _most_lost(utility[edge], diversity, weight) + (limits.plate_cost if limits.plates is not None else 0.0)
    n_near = int(np.searchsorted(-utility, -(utility[edge] - loss), side="right")) if loss else edge + 1
    n_short = min(n_near, max(edge + 1, _MOST_WEIGHED))
    if n_short == n_near:
        return n_short, ()
    return n_short, (
        f"{n_near:,} compounds score so nearly alike that diversity or source plates could decide: the best "
        f"{n_short:,} of them, of ties by lot, were weighed",
    )


def _most_lost(utility: float, diversity: str, weight: float) -> float:
    if diversity == "discount":
        return weight * abs(utility)
    return weight if diversity == "penalty" else 0.0


def _within_caps(limits: Limits, m: int) -> Mask:
    """Tell of each candidate whether it is among the first of its cluster that the cap lets through."""
    if limits.clusters is None:
        return np.ones(m, dtype=bool)
    clusters = limits.clusters
    order = np.argsort(clusters, kind="stable")
    starts = np.searchsorted(clusters[order], clusters[order])
    place = np.empty(m, dtype=np.intp)
    place[order] = np.arange(m) - starts
    before = 0 if limits.taken is None else np.append(limits.taken, 0)[clusters]
    within: Mask = (clusters < 0) | (place + before < limits.cap)
    return within


def _utility(scores: FloatArray) -> FloatArray:
    """Scale scores so that the median is 0 and the best 1: one diversity weight suits every rule."""
    above: FloatArray = scores - np.median(scores)
    distance = float(above.max())
    return above / distance if distance > 0 else above


def _nearest_tested(features: Features, rows: Index, tested: Packed | None) -> FloatArray:
    if tested is None or len(tested) == 0:
        return np.full(len(rows), np.nan)
    return max_tanimoto(np.asarray(features.fingerprints[rows]), tested)[0].astype(np.float64)


def _pick(
    row: int,
    reason: str,
    scores: FloatArray,
    prediction: Prediction,
    features: Features,
    nearest: float,
    n_wells: int,
) -> Pick:
    return Pick(
        features.compound_ids[row],
        reason,
        float(scores[row]),
        float(prediction.mean[row]),
        float(prediction.spread[row]),
        float(prediction.lower[row]),
        float(prediction.upper[row]),
        float(prediction.p_hit[row]),
        float(nearest),
        n_wells,
    )
