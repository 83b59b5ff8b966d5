"""Choose a batch: the best scores, not too alike, plus a share by lot; and a first batch without any score."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from nextplate.chem.similarity import count_bits, max_similarity, sparse_bits
from nextplate.compound import Features
from nextplate.errors import PlanError
from nextplate.prediction import Pick, Prediction

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Packed = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp]

# Cold start: two ECFP4 fingerprints less alike than this rarely share a scaffold.
_COLD_SIMILARITY = 0.35
_COLD_CANDIDATES = 20


def choose(
    scores: FloatArray,
    prediction: Prediction,
    features: Features,
    *,
    available: Mask,
    n_picks: int,
    rng: np.random.Generator,
    exploration_share: float = 0.1,
    diversity_weight: float = 0.1,
    tested_fingerprints: Packed | None = None,
    n_wells: int = 1,
) -> tuple[Pick, ...]:
    """Choose the compounds of the next plate.

    Exploit picks are taken one by one by score less diversity_weight * (highest Tanimoto similarity to an
    exploit pick already in the batch), the score scaled so that 1 is the distance from the median to the best.
    Explore picks are drawn by lot from the rest: picks by lot keep the calibration honest (they are the only ones
    exchangeable with the library) and on real assays find more than picks by spread. Ties are broken by lot.

    Args:
        scores: shape (n,), of ``score``.
        prediction: of the same n compounds, in the order of the features.
        features: of the library.
        available: shape (n,): stock left, not tested, not pending.
        n_picks: how many compounds; fewer are returned when fewer are available.
        rng: for lots and ties.
        exploration_share: of the picks, in [0, 1], rounded to whole picks.
        diversity_weight: 0 takes the best scores whatever they are like.
        tested_fingerprints: shape (t, 256), packed, of compounds tested before; None when there are none.
        n_wells: wells of the plate each pick gets.

    Returns:
        Exploit picks in the order chosen, then explore picks.

    Raises:
        PlanError: nothing is available, n_picks is below 1, a share or weight is out of range, or lengths differ.
    """
    _check_shares(exploration_share, diversity_weight)
    n = _n_possible(features, available, n_picks)
    if not len(scores) == len(prediction.mean) == len(available):
        raise PlanError(f"{len(scores)} scores, {len(prediction.mean)} predictions, {len(available)} compounds")
    n_explore = round(exploration_share * n)
    exploit = _exploit(scores, features, np.flatnonzero(available), n - n_explore, diversity_weight, rng)
    rest = np.setdiff1d(np.flatnonzero(available), exploit)
    explore = rng.permutation(rest)[:n_explore]
    rows = np.concatenate([exploit, explore]).astype(np.intp)
    nearest = _nearest_tested(features, rows, tested_fingerprints)
    reasons = ["exploit"] * len(exploit) + ["explore"] * len(explore)
    return tuple(
        _pick(int(row), reason, scores, prediction, features, near, n_wells)
        for row, reason, near in zip(rows, reasons, nearest, strict=True)
    )


def _check_shares(exploration_share: float, diversity_weight: float) -> None:
    if not 0 <= exploration_share <= 1:
        raise PlanError(f"exploration_share is {exploration_share}; it must lie between 0 and 1")
    if not (np.isfinite(diversity_weight) and diversity_weight >= 0):
        raise PlanError(f"diversity_weight is {diversity_weight}; it must be 0 or more")


def _n_possible(features: Features, available: Mask, n_picks: int) -> int:
    if available.shape != (len(features.compound_ids),):
        raise PlanError(f"available has {len(available)} entries, the library {len(features.compound_ids)}")
    if n_picks < 1:
        raise PlanError(f"{n_picks} picks were asked for; ask for at least 1")
    n_available = int(available.sum())
    if n_available == 0:
        raise PlanError(
            "no compound is available: every one is tested, pending, or out of stock; add stock or end the campaign"
        )
    return min(n_picks, n_available)


def _exploit(
    scores: FloatArray, features: Features, rows: Index, n: int, weight: float, rng: np.random.Generator
) -> Index:
    shuffled = rng.permutation(rows)
    utility = scores[shuffled] / _scale(scores[shuffled])
    order = np.argsort(-utility, kind="stable")
    if n == 0 or weight == 0:
        best: Index = shuffled[order[:n]]
        return best
    # A compound further than the weight below the n-th best cannot win even against the same structure.
    reach = order[utility[order] >= utility[order[n - 1]] - weight]
    bits = sparse_bits(np.asarray(features.fingerprints[shuffled[reach]]))
    chosen: Index = shuffled[reach[_diverse(utility[reach], bits, n, weight)]]
    return chosen


def _scale(scores: FloatArray) -> float:
    """Distance from the median score to the best, so that one diversity weight suits every rule."""
    distance = float(scores.max() - np.median(scores))
    return distance if distance > 0 else 1.0


def _diverse(utility: FloatArray, bits: sparse.csr_matrix, n: int, weight: float) -> Index:
    """Take n rows greedily by utility - weight * similarity to the nearest row taken (running maximum)."""
    nearest = np.zeros(len(utility))
    left = utility.astype(np.float64, copy=True)
    taken = np.empty(n, dtype=np.intp)
    n_set = np.asarray(bits.sum(axis=1)).ravel()
    for i in range(n):
        taken[i] = int(np.argmax(left - weight * nearest))
        left[taken[i]] = -np.inf
        np.maximum(nearest, _similarity_to(bits, n_set, taken[i]), out=nearest)
    return taken


def _similarity_to(bits: sparse.csr_matrix, n_set: FloatArray, row: np.intp) -> FloatArray:
    one = np.zeros(bits.shape[1], dtype=np.float32)
    one[bits.indices[bits.indptr[row] : bits.indptr[row + 1]]] = 1
    shared = bits @ one
    similarity: FloatArray = shared / np.maximum(n_set + n_set[row] - shared, 1)
    return similarity


def _nearest_tested(features: Features, rows: Index, tested: Packed | None) -> FloatArray:
    if tested is None or len(tested) == 0:
        return np.full(len(rows), np.nan)
    return max_similarity(np.asarray(features.fingerprints[rows]), tested).astype(np.float64)


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


def cold_start(
    features: Features,
    available: Mask,
    n_picks: int,
    rng: np.random.Generator,
    *,
    n_wells: int = 1,
) -> tuple[Pick, ...]:
    """Choose a first plate, when nothing is known.

    Compounds are drawn by lot and taken unless one taken before is more alike than 0.35 (Tanimoto, ECFP4); when
    the draw runs out, the ones passed over follow. So dense regions of the library are seen, but not twice. MaxMin
    would take the oddest structures first: they teach little about the rest.

    Args:
        features: of the library.
        available: shape (n,): stock left, not pending.
        n_picks: how many; fewer are returned when fewer are available.
        rng: decides; the same generator state gives the same picks.
        n_wells: wells of the plate each pick gets.

    Raises:
        PlanError: nothing is available, or n_picks is below 1.
    """
    n = _n_possible(features, available, n_picks)
    drawn = rng.permutation(np.flatnonzero(available))
    head, tail = drawn[: _COLD_CANDIDATES * n], drawn[_COLD_CANDIDATES * n :]
    rows = np.concatenate([_spread_first(np.asarray(features.fingerprints[head]), head, n), tail])[:n]
    nan = float("nan")
    return tuple(
        Pick(features.compound_ids[row], "cold-start", nan, nan, nan, nan, nan, nan, nan, n_wells) for row in rows
    )


def _spread_first(packed: Packed, rows: Index, n: int) -> Index:
    """Order rows so that those unlike every earlier one come first (n of them are enough), then the others."""
    bits, n_set = sparse_bits(packed), count_bits(packed).astype(np.float64)
    is_taken = np.zeros(len(rows), dtype=bool)
    is_near = np.zeros(len(rows), dtype=bool)
    n_taken = 0
    for i in range(len(rows)):
        if n_taken < n and not is_near[i]:
            is_taken[i] = True
            n_taken += 1
            is_near |= _similarity_to(bits, n_set, np.intp(i)) > _COLD_SIMILARITY
    return np.concatenate([rows[is_taken], rows[~is_taken]])
