"""Keep the best k of a stream of scores, so that ten million candidates need no more memory than one chunk."""

import numpy as np
import numpy.typing as npt

from nextplate.errors import ModelError, PlanError

FloatArray = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class TopK:
    """The k highest of all scores added; of equal scores the lower row is kept, whatever the chunks were."""

    def __init__(self, k: int) -> None:
        """Start empty.

        Raises:
            PlanError: k is below 1.
        """
        if k < 1:
            raise PlanError(f"the best {k} were asked for; ask for at least 1")
        self._k = k
        self._scores = np.empty(0, dtype=np.float32)
        self._rows = np.empty(0, dtype=np.int64)

    def add(self, scores: npt.ArrayLike, first_row: int) -> None:
        """Add a chunk.

        Args:
            scores: shape (m,), compared as float32; -inf is never kept.
            first_row: of the library, of scores[0].

        Raises:
            ModelError: a score is NaN or +inf.
        """
        chunk = np.asarray(scores, dtype=np.float32)
        if np.isnan(chunk).any() or np.isposinf(chunk).any():
            raise ModelError(f"the chunk from row {first_row} on holds scores that are NaN or +inf")
        local = _best(chunk, self._k)
        both = np.concatenate([self._scores, chunk[local]])
        rows = np.concatenate([self._rows, local + first_row])
        order = np.lexsort((rows, -both))[: self._k]
        self._scores, self._rows = both[order], rows[order]

    @property
    def rows(self) -> Rows:
        """Shape (at most k,), best first."""
        return self._rows

    @property
    def scores(self) -> FloatArray:
        """Shape (at most k,), of ``rows``."""
        return self._scores


def _best(scores: FloatArray, k: int) -> Rows:
    """Give the rows that reach the k-th best score: those above it, then the lowest rows at it."""
    if len(scores) <= k:
        return np.flatnonzero(scores > -np.inf).astype(np.int64)
    edge = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > edge)
    at = np.flatnonzero((scores == edge) & (scores > -np.inf))[: k - len(above)]
    return np.concatenate([above, at]).astype(np.int64)
