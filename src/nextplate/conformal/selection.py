"""Hit lists whose false discovery rate is controlled: conformal selection.

Every candidate is tested against "is no hit" by a conformal p-value with the clipped score (Jin and Candes,
JMLR 24:244, 2023): (1 + number of calibrating non-hits that score as high) / (n + 1); Benjamini and Hochberg at rate q
then keeps the mean share of false hits in the list at or below q, for any belief. When calibrating compounds are
weighted (covariate shift, Jin and Candes, Biometrika 2025), BH on weighted p-values has no guarantee, so the list is
made by weighted conformalised selection with deterministic pruning, which has one. With out-of-fold scores in place
of a calibration set of their own, and with estimated weights, the bound is approximate.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import BoolArray, FloatArray, Index, check_level, flags, vector
from nextplate.conformal.shift import Weights
from nextplate.errors import DataError

_CHUNK = 2_000_000
"""Numbers held at once while auxiliary p-values are made."""


@dataclass(frozen=True, slots=True)
class HitList:
    """Candidates that may be called hits."""

    rows: Index
    """Shape (k,): rows of the candidates, best score first (ties: by row); may be empty."""
    p_values: FloatArray
    """Shape (m,): of every candidate, small = unlike any non-hit that calibrates."""
    fdr: float
    """Bound on the expected share of false hits in the list."""
    expected_hits: float
    """At least (1 - fdr) * k on average."""
    notes: tuple[str, ...]
    """Why the list is empty, or what was given up."""


def hit_list(
    cal_scores: npt.ArrayLike,
    cal_is_hit: npt.ArrayLike,
    cand_scores: npt.ArrayLike,
    fdr: float = 0.2,
    weights: Weights | None = None,
) -> HitList:
    """Select the candidates that can be called hits at a false discovery rate.

    Args:
        cal_scores: shape (n,), higher = more likely a hit; predicted without having seen the measurement.
        cal_is_hit: shape (n,), 0 or 1.
        cand_scores: shape (m,), of compounds not measured, by the same belief.
        fdr: in (0, 1): the expected share of non-hits among those selected is at most this.
        weights: density ratios, candidates over calibrating; None: both were drawn alike.

    Returns:
        The list; empty, with a note that says why, when the calibrating compounds cannot support one.

    Raises:
        DataError: shapes, NaN, infinite values, labels other than 0 and 1, fdr out of range.
    """
    check_level(fdr, "fdr")
    known, asked = vector(cal_scores, "calibration scores"), vector(cand_scores, "scores of candidates")
    is_hit = flags(cal_is_hit, "calibration labels", len(known))
    if weights is not None and (len(weights.calibrating), len(weights.new)) != (len(known), len(asked)):
        raise DataError(
            f"weights of {len(weights.calibrating)} and {len(weights.new)} compounds, "
            f"where {len(known)} calibrate and {len(asked)} are candidates"
        )
    if not len(known) or not len(asked):
        return _empty(asked, fdr, f"{len(known)} compounds calibrate, {len(asked)} are candidates: no list")
    own, new = (np.ones(len(known)), np.ones(len(asked))) if weights is None else (weights.calibrating, weights.new)
    above = _mass_at_or_above(known[~is_hit], own[~is_hit], asked)
    total = own.sum() + new
    with np.errstate(invalid="ignore"):
        p_values = np.where(total > 0, (above + new) / total, 1.0)
    if weights is None or _is_constant(own, new):
        is_selected = benjamini_hochberg(p_values, fdr)
    else:
        is_selected = _weighted_selection(asked, above, own.sum(), new, p_values, fdr)
    rows = np.flatnonzero(is_selected)
    rows = rows[np.argsort(-asked[rows], kind="stable")]
    notes = _notes(is_hit, p_values, len(rows), fdr, () if weights is None else weights.notes)
    return HitList(rows, p_values, fdr, (1 - fdr) * len(rows), notes)


def benjamini_hochberg(p_values: npt.ArrayLike, fdr: float) -> BoolArray:
    """Select by Benjamini and Hochberg 1995: shape (m,), True where rejected."""
    p = vector(p_values, "p-values")
    ordered, m = np.sort(p), len(p)
    is_below = ordered <= fdr * np.arange(1, m + 1) / max(m, 1) * (1 + 1e-12)
    if not is_below.any():
        return np.zeros(m, dtype=bool)
    chosen: BoolArray = p <= ordered[np.flatnonzero(is_below)[-1]]
    return chosen


def _empty(asked: FloatArray, fdr: float, note: str) -> HitList:
    return HitList(np.zeros(0, dtype=np.intp), np.ones(len(asked)), fdr, 0.0, (note,))


def _is_constant(own: FloatArray, new: FloatArray) -> bool:
    return bool(own[0] > 0 and (own == own[0]).all() and (new == own[0]).all())


def _mass_at_or_above(known: FloatArray, own: FloatArray, asked: FloatArray) -> FloatArray:
    order = np.argsort(known, kind="stable")
    mass = np.concatenate([[0.0], np.cumsum(own[order])])
    found: FloatArray = np.maximum(mass[-1] - mass[np.searchsorted(known[order], asked, side="left")], 0.0)
    return found


def _weighted_selection(
    asked: FloatArray, above: FloatArray, mass: float, new: FloatArray, p_values: FloatArray, fdr: float
) -> BoolArray:
    """Select with weights: for each candidate, the size of the list that its own truth could not have changed.

    Auxiliary p-value of candidate l in the world of j: (above_l + w_j [score_j >= score_l, j != l]) / (mass + w_j),
    and 0 of j itself; R_j = size of the BH list of these. j is kept when p_j <= fdr R_j / m, then pruned to a list
    no longer than its smallest R_j allows. Only p_j <= fdr can be kept: the rest is skipped.
    """
    m, sizes = len(asked), np.zeros(len(asked))
    by_score = np.argsort(-asked, kind="stable")
    # Sorted by score the auxiliary p-values rise, so no list is sorted again; beyond the prefix none is small enough.
    prefix = int(np.searchsorted(above[by_score], fdr * (mass + new.max()) * (1 + 1e-12), side="right"))
    rising, scores = above[by_score[:prefix]], asked[by_score[:prefix]]
    places = np.flatnonzero(p_values[by_score[:prefix]] <= fdr * (1 + 1e-12))
    step = max(1, _CHUNK // max(prefix, 1))
    for start in range(0, len(places), step):
        block = places[start : start + step]
        sizes[by_score[block]] = _list_sizes(rising, scores, block, mass, new[by_score[block]], fdr / m)
    first = np.flatnonzero((sizes > 0) & (p_values <= fdr * sizes / m * (1 + 1e-12)))
    ordered = np.sort(sizes[first])
    n_kept = np.flatnonzero(ordered <= np.arange(1, len(first) + 1))
    selected = np.zeros(m, dtype=bool)
    if len(n_kept):
        selected[first[sizes[first] <= n_kept[-1] + 1]] = True
    return selected


def _list_sizes(
    rising: FloatArray, scores: FloatArray, block: Index, mass: float, new: FloatArray, rate: float
) -> npt.NDArray[np.intp]:
    """Give the size of the BH list in the world of each candidate of a block; shape (len(block),), at least 1."""
    place = np.arange(len(rising))
    added = np.where(scores[block][:, None] >= scores[None, :], new[:, None], 0.0)
    auxiliary = (rising[None, :] + added) / (mass + new)[:, None]
    # The candidate's own p-value is 0 and comes first: those that scored higher move back by one place.
    rank = np.where(place[None, :] < block[:, None], place + 2, place + 1)
    is_below = auxiliary <= rate * rank * (1 + 1e-12)
    is_below[np.arange(len(block)), block] = False
    sizes: npt.NDArray[np.intp] = np.max(np.where(is_below, rank, 1), axis=1)
    return sizes


def _notes(
    is_hit: BoolArray, p_values: FloatArray, n_selected: int, fdr: float, told: tuple[str, ...]
) -> tuple[str, ...]:
    if n_selected:
        return told
    n, n_hits, m = len(is_hit), int(is_hit.sum()), len(p_values)
    if n_hits == 0:
        return (*told, f"no hit among {n} calibrating compounds: no hit list at {fdr:.0%} false discoveries")
    needed = int(np.ceil(m * float(p_values.min()) / fdr))
    if needed > m:
        return (*told, f"no hit list at {fdr:.0%}: with {n} calibrating compounds no p-value can be small enough")
    return (
        *told,
        f"no hit list at {fdr:.0%}: the smallest p-value of {m} candidates is {p_values.min():.2g} from {n} "
        f"calibrating compounds ({n_hits} hits); {needed} candidates as good, or more to calibrate, are needed",
    )
