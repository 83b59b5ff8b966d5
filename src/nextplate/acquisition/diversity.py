"""Batches that are not too alike: score discounted or less a penalty, MaxMin, determinantal, facility location.

Each is a gain for ``greedy.greedy``. ``chosen`` are compounds on their way already, such as pending ones: they count
as picked before the first pick. (A constant liar or a believer would also need a made-up value of each and a refit;
being chosen needs neither and holds for every rule.)
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from nextplate.acquisition.greedy import Gain, Limits, greedy
from nextplate.chem.kernel import max_tanimoto, tanimoto
from nextplate.errors import PlanError

FloatArray = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]
Packed = npt.NDArray[np.uint8]

DIVERSITY = ("none", "discount", "penalty", "maxmin", "dpp", "facility")
"""The ways to keep a batch varied."""
# Twins leave a conditional variance of 0 and its logarithm -inf: below this a compound is a twin.
_LEAST_VARIANCE = 1e-9
_BLOCK_PAIRS = 1 << 24


class _Exact:
    """A gain that is always up to date."""

    def is_exact(self, row: int) -> bool:
        del row
        return True

    def sharpen(self, first: Index) -> None:
        del first


class Score(_Exact):
    """The utility alone."""

    def __init__(self, utility: FloatArray) -> None:
        """Take the utility, shape (m,)."""
        self.values = utility

    def take(self, row: int) -> None:
        """Leave the others as they are."""


class Penalty(_Exact):
    """Utility less weight * similarity to the nearest pick."""

    def __init__(self, utility: FloatArray, packed: Packed, weight: float, chosen: Packed | None = None) -> None:
        """Take the utility, shape (m,), and the fingerprints, shape (m, n_bytes)."""
        self._utility, self._packed, self._weight = utility, packed, weight
        self._nearest = _nearest(packed, chosen)
        self.values = utility - weight * self._nearest

    def take(self, row: int) -> None:
        """Move the nearest pick closer."""
        np.maximum(self._nearest, _similar(self._packed, row), out=self._nearest)
        self.values = self._utility - self._weight * self._nearest


class Discount(_Exact):
    """Utility of which the share weight * similarity to the nearest pick is taken off.

    What is far from the median loses most, so that a batch which reaches down to poor scores is still ordered by
    them: a penalty of one size outweighs there all differences of the scores.
    """

    def __init__(self, utility: FloatArray, packed: Packed, weight: float, chosen: Packed | None = None) -> None:
        """Take the utility, shape (m,), 0 at the median, and the fingerprints, shape (m, n_bytes)."""
        self._utility, self._packed, self._loss = utility, packed, weight * np.abs(utility)
        self._nearest = _nearest(packed, chosen)
        self.values = utility - self._loss * self._nearest

    def take(self, row: int) -> None:
        """Move the nearest pick closer."""
        np.maximum(self._nearest, _similar(self._packed, row), out=self._nearest)
        self.values = self._utility - self._loss * self._nearest


class Determinant(_Exact):
    """Utility plus weight * log(conditional variance given the picks), under the Tanimoto kernel.

    Summed over a batch it is utility + weight * log det of the batch's similarities: the log probability under the
    determinantal point process of quality exp(utility / (2 weight)). Incremental Cholesky after Chen, Zhang and
    Zhou, NeurIPS 2018.
    """

    def __init__(self, utility: FloatArray, packed: Packed, weight: float, chosen: Packed | None = None) -> None:
        """Take the utility, shape (m,), and the fingerprints, shape (m, n_bytes)."""
        self._utility, self._packed, self._weight = utility, packed, weight
        self._factor = _conditioned(packed, chosen)
        self._n = len(self._factor)
        self._variance = 1.0 - (self._factor**2).sum(axis=0)
        self.values = self._gain()

    def _gain(self) -> FloatArray:
        gain: FloatArray = self._utility + self._weight * np.log(np.maximum(self._variance, _LEAST_VARIANCE))
        return gain

    def take(self, row: int) -> None:
        """Condition on one more pick."""
        if self._n == len(self._factor):
            more = np.empty((max(16, self._n), len(self._utility)))
            self._factor = np.concatenate([self._factor, more])
        known = self._factor[: self._n]
        step = _similar(self._packed, row) - known[:, row] @ known
        self._factor[self._n] = step / np.sqrt(max(self._variance[row], _LEAST_VARIANCE))
        self._variance = self._variance - self._factor[self._n] ** 2
        self._n += 1
        self.values = self._gain()


class Facility:
    """Utility plus weight * what a pick adds to the library's similarity to its nearest pick.

    The sum over the clients is scaled by n_picks / n_clients: 1 is one pick's fair share of the library. Exact,
    lazy: only the rows that may win are held against all clients again.
    """

    def __init__(
        self,
        utility: FloatArray,
        packed: Packed,
        weight: float,
        n_picks: int,
        chosen: Packed | None = None,
        clients: Packed | None = None,
    ) -> None:
        """Take the utility, shape (m,), fingerprints, shape (m, n_bytes); clients None: the candidates themselves."""
        self._utility, self._packed = utility, packed
        self._clients = packed if clients is None else clients
        self._scale = weight * max(n_picks, 1) / max(len(self._clients), 1)
        self._covered = _nearest(self._clients, chosen).astype(np.float32)
        self._n_taken, self._exact_at = 0, np.full(len(packed), -1)
        self.values = np.empty(len(packed))
        step = max(1, _BLOCK_PAIRS // max(len(self._clients), 1))
        for start in range(0, len(packed), step):
            self.sharpen(np.arange(start, min(start + step, len(packed))))

    def is_exact(self, row: int) -> bool:
        """Tell whether the gain was computed after the last pick."""
        return bool(self._exact_at[row] == self._n_taken)

    def sharpen(self, first: Index) -> None:
        """Hold these rows against every client."""
        more = tanimoto(self._packed[first], self._clients)
        more -= self._covered
        np.maximum(more, 0, out=more)
        self.values[first] = self._utility[first] + self._scale * more.sum(axis=1, dtype=np.float64)
        self._exact_at[first] = self._n_taken

    def take(self, row: int) -> None:
        """Cover the clients near one more pick."""
        similar = tanimoto(self._packed[row : row + 1], self._clients)[0]
        np.maximum(self._covered, similar, out=self._covered)
        self._n_taken += 1


def gain_of(
    name: str, utility: FloatArray, packed: Packed, weight: float, n_picks: int, chosen: Packed | None = None
) -> Gain:
    """Make the gain of a name in DIVERSITY.

    Args:
        name: maxmin takes the utility for ties only.
        utility: shape (m,); 0 at the median for discount.
        packed: shape (m, n_bytes).
        weight: of the diversity against the utility; not used by none and maxmin.
        n_picks: scales facility.
        chosen: shape (c, n_bytes), on their way already.

    Raises:
        PlanError: no diversity of that name.
    """
    if name == "maxmin":
        return Penalty(_tie_break(utility), packed, 1.0, chosen)
    if name == "discount":
        return Discount(utility, packed, weight, chosen)
    if name == "penalty":
        return Penalty(utility, packed, weight, chosen)
    if name == "dpp":
        return Determinant(utility, packed, weight, chosen)
    if name == "facility":
        return Facility(utility, packed, weight, n_picks, chosen)
    if name == "none":
        return Score(utility)
    raise PlanError(f"there is no diversity {name!r}; choose one of: {', '.join(DIVERSITY)}")


def maxmin(packed: Packed, n_picks: int, *, chosen: Packed | None = None, limits: Limits | None = None) -> Index:
    """Pick the row furthest from every pick, again and again; the first row first, unless some are chosen already.

    Exact and incremental: one row against all per pick. Reference: Ashton et al., QSAR 21 (2002) 598.

    Args:
        packed: shape (m, n_bytes).
        n_picks: how many rows.
        chosen: shape (c, n_bytes), picked before.
        limits: caps and costs (on the scale of a Tanimoto distance).
    """
    return greedy(gain_of("maxmin", np.zeros(len(packed)), packed, 1.0, n_picks, chosen), n_picks, limits)


def dpp(
    packed: Packed,
    n_picks: int,
    *,
    utility: FloatArray | None = None,
    weight: float = 1.0,
    chosen: Packed | None = None,
    limits: Limits | None = None,
) -> Index:
    """Pick greedily the most probable batch of a determinantal point process; see Determinant.

    Args:
        packed: shape (m, n_bytes), a shortlist: the factor takes m * n_picks * 8 bytes.
        n_picks: how many rows.
        utility: shape (m,); None: all equal.
        weight: of log det against the utility.
        chosen: shape (c, n_bytes), picked before.
        limits: caps and costs (on the scale of the utility).
    """
    return greedy(Determinant(_or_zero(utility, packed), packed, weight, chosen), n_picks, limits)


def facility(
    packed: Packed,
    n_picks: int,
    *,
    utility: FloatArray | None = None,
    weight: float = 1.0,
    chosen: Packed | None = None,
    clients: Packed | None = None,
    limits: Limits | None = None,
) -> Index:
    """Pick rows that leave no client far from its nearest pick; see Facility.

    Args:
        packed: shape (m, n_bytes).
        n_picks: how many rows.
        utility: shape (m,); None: all equal.
        weight: of the coverage against the utility.
        chosen: shape (c, n_bytes), picked before.
        clients: shape (k, n_bytes), to be covered; None: the candidates.
        limits: caps and costs (on the scale of the utility).
    """
    return greedy(Facility(_or_zero(utility, packed), packed, weight, n_picks, chosen, clients), n_picks, limits)


def _or_zero(utility: FloatArray | None, packed: Packed) -> FloatArray:
    return np.zeros(len(packed)) if utility is None else np.asarray(utility, dtype=np.float64)


def _similar(packed: Packed, row: int) -> FloatArray:
    similar: FloatArray = tanimoto(packed[row : row + 1], packed)[0].astype(np.float64)
    return similar


def _nearest(packed: Packed, chosen: Packed | None) -> FloatArray:
    if chosen is None or len(chosen) == 0:
        return np.zeros(len(packed))
    nearest: FloatArray = max_tanimoto(packed, chosen)[0].astype(np.float64)
    return nearest


def _tie_break(utility: FloatArray) -> FloatArray:
    """Rank utilities within less than the least step between two similarities of 2048 bits (1 / 2048^2)."""
    rank = np.unique(utility, return_inverse=True)[1].reshape(-1)
    tied: FloatArray = rank * (1e-7 / max(len(utility), 1))
    return tied


def _conditioned(packed: Packed, chosen: Packed | None) -> FloatArray:
    """Give the Cholesky rows, shape (c, m), of the compounds on their way already."""
    if chosen is None or len(chosen) == 0:
        return np.empty((0, len(packed)))
    known = tanimoto(chosen, chosen).astype(np.float64)
    known[np.diag_indices(len(chosen))] = 1 + 1e-6
    factor = np.linalg.cholesky(known)
    rows: FloatArray = solve_triangular(factor, tanimoto(chosen, packed).astype(np.float64), lower=True)
    return rows
