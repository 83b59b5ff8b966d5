"""Pick one by one by the highest gain, under caps per cluster and a cost per source plate newly opened."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nextplate.errors import PlanError

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class Gain(Protocol):
    """What each of m candidates would add to the picks made so far."""

    @property
    def values(self) -> FloatArray:
        """Shape (m,): the gain, or a bound no gain lies above (a submodular gain only falls)."""
        ...

    def is_exact(self, row: int) -> bool:
        """Tell whether values[row] is the gain and not a bound."""
        ...

    def sharpen(self, first: Index) -> None:
        """Make the values of these rows exact."""
        ...

    def take(self, row: int) -> None:
        """Add a row to the picks."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch of m candidates may hold, apart from gain."""

    clusters: Index | None = None
    """Shape (m,): cluster of each candidate, 0, 1, ...; -1 = of no cluster, never capped. None: no caps."""
    cap: int = 1
    """Most picks of a cluster."""
    taken: Index | None = None
    """Shape (n_clusters,): members counted already, such as pending ones; None: none."""
    plates: Index | None = None
    """Shape (m,): source plate of each candidate, 0, 1, ...; None: opening plates costs nothing."""
    plate_cost: float = 0.0
    """Taken off the gain of every candidate whose source plate no pick has opened yet."""


def greedy(gain: Gain, n_picks: int, limits: Limits | None = None) -> Index:
    """Take the candidate of the highest gain less the cost of its source plate, again and again.

    A gain that is only a bound is made exact before its row can be taken (lazy greedy; Minoux 1978), so the picks
    are those of the plain greedy. The first of equals is taken.

    Args:
        gain: of m candidates; it is used up.
        n_picks: fewer are returned when the candidates or the caps give no more.
        limits: None sets none.

    Returns:
        Rows in the order picked, distinct.

    Raises:
        PlanError: n_picks is below 0, or the limits do not fit the candidates.
    """
    m, chosen = len(gain.values), limits or Limits()
    _check(chosen, m, n_picks)
    counts = _counts(chosen)
    blocked = np.zeros(m) if chosen.clusters is None else _full(chosen.clusters, counts, chosen.cap)
    cost = np.zeros(m) if chosen.plates is None else np.full(m, chosen.plate_cost)
    picks: list[int] = []
    while len(picks) < min(n_picks, m):
        row = _best(gain, blocked, cost)
        if row < 0:
            break
        picks.append(row)
        gain.take(row)
        blocked[row] = np.inf
        _spend(chosen, row, counts, blocked, cost)
    return np.array(picks, dtype=np.intp)


def _best(gain: Gain, blocked: FloatArray, cost: FloatArray) -> int:
    while True:
        net = gain.values - cost - blocked
        row = int(np.argmax(net))
        if net[row] == -np.inf:
            return -1
        if gain.is_exact(row):
            return row
        gain.sharpen(_highest(net))


def _highest(net: FloatArray, n: int = 16) -> Index:
    """Give the rows of the n highest values, finite ones only."""
    rows = np.argpartition(-net, n)[:n] if len(net) > n else np.arange(len(net))
    finite: Index = rows[np.isfinite(net[rows])]
    return finite


def _spend(limits: Limits, row: int, counts: Index, blocked: FloatArray, cost: FloatArray) -> None:
    if limits.clusters is not None and (cluster := limits.clusters[row]) >= 0:
        counts[cluster] += 1
        if counts[cluster] >= limits.cap:
            blocked[limits.clusters == cluster] = np.inf
    if limits.plates is not None:
        cost[limits.plates == limits.plates[row]] = 0


def _counts(limits: Limits) -> Index:
    if limits.clusters is None:
        return np.zeros(0, dtype=np.intp)
    n = int(limits.clusters.max(initial=-1)) + 1
    counts = np.zeros(n, dtype=np.intp)
    if limits.taken is not None:
        counts[: len(limits.taken)] = limits.taken[:n]
    return counts


def _full(clusters: Index, counts: Index, cap: int) -> FloatArray:
    full = (clusters >= 0) & (np.append(counts, 0)[clusters] >= cap)
    return np.where(full, np.inf, 0.0)


def _check(limits: Limits, m: int, n_picks: int) -> None:
    if n_picks < 0:
        raise PlanError(f"{n_picks} picks were asked for; ask for at least 0")
    for name, codes in (("clusters", limits.clusters), ("plates", limits.plates)):
        if codes is not None and codes.shape != (m,):
            raise PlanError(f"{name} has {len(codes)} entries for {m} candidates; give one for each")
    if limits.clusters is not None and limits.cap < 1:
        raise PlanError(f"the cap per cluster is {limits.cap}; it must be at least 1")
    if not (np.isfinite(limits.plate_cost) and limits.plate_cost >= 0):
        raise PlanError(f"the cost of a source plate is {limits.plate_cost}; it must be 0 or more")
