"""Does the response follow the dose, and always in one direction? Order-restricted tests on dose means.

E2 = sum n (isotonic - mean)^2 / sum (y - mean)^2 tests a trend against a constant; M = sum n (dose mean - isotonic)^2 /
sum (y - isotonic)^2 tests a bend back against a trend, for which the constant is the least favourable truth
(Robertson, Wright, Dykstra 1988, Order Restricted Statistical Inference, chapter 2). Both null distributions are drawn
with normal noise at the design in hand. Wells far off their dose's median are pulled in first.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from nextplate.assay.statistics import MAD_TO_SD, Values

_LIMIT_SD = 4.0
_EQUAL, _TINY = 1e-12, 1e-100
_N_DRAWS = 2000
_SEED = 20260105
"""A constant, so that the same wells give the same p whenever they are judged."""


class Direction(StrEnum):
    """Where the response goes as the dose rises."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Monotonicity:
    """What the dose means say before any curve is fitted."""

    direction: Direction
    """The better of the two, by E2."""
    trend_p: float
    """Chance of such a trend, in either direction, without any effect."""
    bend_p: float | None
    """Chance of such a departure from the trend when the truth is monotone; None without replicates."""

    def is_monotone(self, alpha: float = 0.05) -> bool:
        """Say whether there is a trend and no proof against its being monotone."""
        return self.trend_p <= alpha and (self.bend_p is None or self.bend_p > alpha)


def monotonicity(dose: Values, response: Values) -> Monotonicity | None:
    """Test the wells of one compound, arrays of shape (n,), finite responses.

    Returns:
        None with fewer than three doses, or when all responses are equal but for rounding.
    """
    _, code, count = np.unique(dose, return_inverse=True, return_counts=True)
    spread = float(np.ptp(response))
    if len(count) < 3 or spread <= max(_EQUAL * float(np.abs(response).max()), _TINY):
        return None
    rng = np.random.default_rng(_SEED)
    null = rng.standard_normal((_N_DRAWS, len(response)))
    # The drawn rows too, so that the level stays exact.
    y = winsorised(np.vstack([(response - response.mean()) / spread, null]), code)
    means = _dose_means(y, code, len(count))
    up, down = (_statistics(y, sign * means, count.astype(np.float64)) for sign in (1, -1))
    is_up = bool(up[0][0] >= down[0][0])
    trend = np.maximum(up[0], down[0])
    bend = (up if is_up else down)[1]
    return Monotonicity(
        Direction.UP if is_up else Direction.DOWN,
        _p(trend),
        _p(bend) if int(count.max()) > 1 else None,
    )


def isotonic(means: Values, weight: Values) -> Values:
    """Return the rising least-squares fit of each row, (draws, doses), by the max-min formula of weighted means."""
    n_doses = means.shape[1]
    zero = np.zeros((len(means), 1))
    total = np.hstack([zero, np.cumsum(means * weight, axis=1)])
    mass = np.concatenate([[0.0], np.cumsum(weight)])
    fitted = np.empty_like(means)
    # lowest[:, a] = min over b >= i of the mean of doses a..b, for a <= i; then the largest over a.
    block = np.full((len(means), n_doses, n_doses), np.inf)
    for a in range(n_doses):
        block[:, a, a:] = (total[:, a + 1 :] - total[:, [a]]) / (mass[a + 1 :] - mass[a])
    lowest = np.minimum.accumulate(block[:, :, ::-1], axis=2)[:, :, ::-1]
    for i in range(n_doses):
        fitted[:, i] = lowest[:, : i + 1, i].max(axis=1)
    return fitted


def winsorised(y: Values, code: npt.NDArray[np.int64]) -> Values:
    """Pull each row's wells, shape (rows, n), in to 4 robust sd about the median of their dose.

    `code` numbers the doses; nothing happens without replicates, or where more than half of them agree exactly.
    """
    centre = np.empty_like(y)
    for i in range(int(code.max()) + 1):
        centre[:, code == i] = np.median(y[:, code == i], axis=1, keepdims=True)
    many = np.bincount(code)[code] > 1
    if not many.any():
        return y
    limit = _LIMIT_SD * MAD_TO_SD * np.median(np.abs(y - centre)[:, many], axis=1, keepdims=True)
    limit = np.where(limit > 0, limit, np.inf)
    return np.asarray(np.clip(y, centre - limit, centre + limit))


def _dose_means(y: Values, code: npt.NDArray[np.int64], n_doses: int) -> Values:
    indicator = np.zeros((y.shape[1], n_doses))
    indicator[np.arange(y.shape[1]), code] = 1.0
    return np.asarray(y @ (indicator / indicator.sum(axis=0)))


def _statistics(y: Values, means: Values, count: Values) -> tuple[Values, Values]:
    """Return (E2, M) of each row; `means` are already turned so that a trend rises."""
    rising = isotonic(means, count)
    centre = (means * count).sum(axis=1, keepdims=True) / count.sum()
    total = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    explained = (count * (rising - centre) ** 2).sum(axis=1)
    bent = (count * (means - rising) ** 2).sum(axis=1)
    # The isotonic fit is a projection: total = explained + residual, and the residual holds the bend.
    residual = np.maximum(total - explained, 1e-12 * total)
    return explained / total, bent / residual


def _p(statistic: Values) -> float:
    """First row against the drawn ones."""
    return (1 + int((statistic[1:] >= statistic[0] * (1 - 1e-12)).sum())) / len(statistic)
