"""Gates: what a belief has to pass before anybody picks by it."""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt

from nextplate.conformal.coverage import wilson_interval

FEWEST = 10
"""With fewer compounds than this a gate does not judge: it would shut and open by luck."""
_Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, and how it went."""

    name: str
    is_passed: bool
    told: str
    """What was found, with its error, for an operator."""


def coverage_gate(n_inside: int, n: int, nominal: float, tolerance: float = 0.03) -> Gate:
    """Ask whether intervals hold what they promise, out of fold.

    Args:
        n_inside: labels inside their interval.
        n: labels in all.
        nominal: coverage promised.
        tolerance: how far below is bearable. Shut only if even the upper end of the share's 95 % Wilson interval
            lies further below. Intervals that hold more than they promise are wide, not wrong.
    """
    if n < FEWEST:
        return Gate("coverage", True, f"not judged: {n} labels, {FEWEST} are needed")
    low, high = wilson_interval(n_inside, n)
    told = f"{nominal:.0%} intervals held {n_inside} of {n} out of fold (95 % interval {low:.1%} to {high:.1%})"
    return Gate("coverage", high >= nominal - tolerance, told)


def not_worse_gate(new: npt.ArrayLike, deployed: npt.ArrayLike, measured: npt.ArrayLike) -> Gate:
    """Ask whether a belief is no worse than the deployed one on wells that neither has seen.

    Args:
        new: shape (n,): the new belief's predictions, out of fold.
        deployed: shape (n,): the deployed belief's, made before the wells were measured.
        measured: shape (n,): labels.

    Returns:
        Shut if the mean of the paired differences of squared error is above 0 by more than 1.96 of its standard
        errors.
    """
    ours, theirs, y = (np.asarray(a, dtype=np.float64) for a in (new, deployed, measured))
    known = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(y)
    n = int(known.sum())
    if n < FEWEST:
        return Gate("not worse", True, f"not judged: {n} wells that neither belief has seen, {FEWEST} are needed")
    squares = [(a[known] - y[known]) ** 2 for a in (ours, theirs)]
    worse = squares[0] - squares[1]
    error = float(worse.std(ddof=1)) / sqrt(n)
    before, now = (sqrt(float(s.mean())) for s in (squares[1], squares[0]))
    told = (
        f"RMSE {now:.3g} on {n} wells that neither belief has seen, of the deployed one {before:.3g} "
        f"(mean square {float(worse.mean()):+.2g} +- {error:.2g})"
    )
    return Gate("not worse", not (isfinite(error) and float(worse.mean()) > _Z_95 * error), told)
