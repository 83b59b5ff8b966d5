"""Do replicates on one plate agree? The correlation of one number between wells that hold the same."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.assay.statistics import Values

_FEWEST = 4
_N_DRAWS = 1000
_SEED = 20260105
"""A constant, so that the same plate gives the same interval whenever it is judged."""


@dataclass(frozen=True, slots=True)
class ReplicateAgreement:
    """The intraclass correlation of replicates; None with its reason."""

    correlation: float | None
    low: float | None
    """Of the 95 % bootstrap interval over treatments."""
    high: float | None
    n_treatments: int
    """With two good wells or more."""
    n_wells: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, keys in field order."""
        return asdict(self)


def replicate_agreement(values: Values, treatment: Sequence[str]) -> ReplicateAgreement:
    """Correlate every ordered pair of wells of one treatment (Fisher 1925, Statistical Methods, section 38).

    Args:
        values: shape (n,); NaN is left out.
        treatment: what each well holds, compound and dose; wells of equal names are replicates.
    """
    known = np.isfinite(values)
    code = np.unique(np.asarray(treatment, dtype=np.str_)[known], return_inverse=True)[1]
    many = np.bincount(code)[code] > 1 if len(code) else np.zeros(0, np.bool_)
    x, code = values[known][many], np.unique(code[many], return_inverse=True)[1]
    n = int(code.max(initial=-1)) + 1
    if n < _FEWEST:
        why = f"{n} treatments with two good wells or more, {_FEWEST} are needed"
        return ReplicateAgreement(None, None, None, n, len(x), why)
    sums = _sums(x - x.mean(), code)
    found = _correlation(sums.sum(axis=0))
    if found is None:
        return ReplicateAgreement(None, None, None, n, len(x), "all wells read the same")
    drawn = np.random.default_rng(_SEED).integers(0, n, (_N_DRAWS, n))
    again = [r for rows in drawn if (r := _correlation(sums[rows].sum(axis=0))) is not None]
    low, high = np.percentile(again, [2.5, 97.5])
    return ReplicateAgreement(found, float(low), float(high), n, len(x), "")


def _sums(x: Values, code: npt.NDArray[np.int64]) -> Values:
    """Return for each treatment the sums over ordered pairs of (1, x, x^2, x x'), shape (treatments, 4)."""
    n, total, square = np.bincount(code), np.bincount(code, x), np.bincount(code, x * x)
    sums = [n * (n - 1), total * (n - 1), square * (n - 1), total**2 - square]
    return np.asarray(np.stack(sums, axis=1), dtype=np.float64)


def _correlation(sums: Values) -> float | None:
    pairs, first, square, product = sums
    mean = first / pairs
    variance = square / pairs - mean**2
    return float((product / pairs - mean**2) / variance) if variance > 1e-24 else None
