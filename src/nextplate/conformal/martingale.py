"""An alarm for drift: a conformal test martingale with a named rate of false alarms.

Under exchangeability smoothed online p-values are independent and uniform, so capital that is bet on them is a
martingale, and Ville's inequality bounds the chance that it ever reaches 1 / rate by rate, however long one watches.
The bets are those of the simple jumper (Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman: Retrain or not
retrain, PMLR 152, 2021), averaged over jump rates: a mean of martingales is one.

Compounds that a rule picked are not exchangeable with the rest, which is no drift of the assay. Give scores of
compounds chosen alike: control wells, the random share of every plate, or picks of one rule against its earlier picks.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.conformal.arrays import FloatArray, check_level, vector

JUMP_RATES = (0.001, 0.01, 0.1, 1.0)
_SLOPES = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """What betting against exchangeability has earned."""

    log_capital: FloatArray
    """Shape (m,): natural logarithm of the capital after each new score; begins at 0 before the first."""
    rounds: npt.NDArray[np.intp]
    """Shape (m,): round of each new score."""
    threshold: float
    """Capital at which the alarm is raised: 1 / false_alarm_rate."""
    false_alarm_rate: float
    """Without drift the alarm is ever raised with at most this probability (Ville 1939)."""
    alarmed_at: int | None
    """Which new score raised it; None: no alarm."""
    notes: tuple[str, ...]

    @property
    def is_alarmed(self) -> bool:
        """Tell whether the alarm was ever raised; capital lost later does not take it back."""
        return self.alarmed_at is not None

    @property
    def alarmed_round(self) -> int | None:
        """Give the round in which it was raised; None: no alarm."""
        return None if self.alarmed_at is None else int(self.rounds[self.alarmed_at])


def drift_alarm(
    cal_scores: npt.ArrayLike,
    rounds: Sequence[npt.ArrayLike],
    rng: np.random.Generator,
    *,
    false_alarm_rate: float = 0.01,
) -> DriftAlarm:
    """Bet that later scores do not follow the law of the earlier ones.

    Args:
        cal_scores: shape (n,), nonconformity scores known before the first round, e.g. |residual| / difficulty or
            signed residuals; not bet on. With few of them the first bets are blind.
        rounds: scores of each round, in order; each shape (m_r,), made as those of cal_scores. Within a round they
            are shuffled, so that the order of wells on a plate cannot raise the alarm.
        rng: breaks ties and shuffles.
        false_alarm_rate: in (0, 1).

    Raises:
        DataError: NaN or infinite scores, or a rate out of range.
    """
    check_level(false_alarm_rate, "false_alarm_rate")
    known = vector(cal_scores, "calibration scores")
    batches = [rng.permutation(vector(scores, f"scores of round {k}")) for k, scores in enumerate(rounds)]
    new = np.concatenate(batches) if batches else np.zeros(0)
    number = np.repeat(np.arange(len(batches)), [len(b) for b in batches])
    path = log_capital(online_p_values(known, new, rng))
    above = np.flatnonzero(path >= -np.log(false_alarm_rate))
    notes = ("no score to bet on: no alarm could be raised",) if not len(new) else ()
    return DriftAlarm(
        path, number, 1 / false_alarm_rate, false_alarm_rate, int(above[0]) if len(above) else None, notes
    )  # fmt: skip


def online_p_values(cal_scores: npt.ArrayLike, scores: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
    """Rank each score among all before it and itself: (#{greater} + u #{equal}) / count, u uniform.

    Returns:
        Shape (m,): independent and uniform on (0, 1) when all scores are exchangeable (Vovk et al. 2005, Theorem 8.2).
    """
    seen = np.sort(vector(cal_scores, "calibration scores")).tolist()
    new, shares = vector(scores, "scores"), rng.random(len(np.asarray(scores)))
    p = np.empty(len(new))
    for i, score in enumerate(new.tolist()):
        n_greater = len(seen) - bisect_right(seen, score)
        n_equal = len(seen) - n_greater - bisect_left(seen, score) + 1
        insort(seen, score)
        p[i] = (n_greater + shares[i] * n_equal) / len(seen)
    return p


def log_capital(p_values: npt.ArrayLike, jump_rates: Sequence[float] = JUMP_RATES) -> FloatArray:
    """Bet on p-values by simple jumpers: shape (m,), logarithm of the mean capital over the jump rates.

    Each jumper splits its capital over the bets f(p) = 1 + e (p - 1/2), e in -1, 0, 1, and moves a share of it
    between them before every bet.
    """
    p = vector(p_values, "p-values")
    rates = np.asarray(jump_rates, dtype=np.float64)
    # Capital is kept as a logarithm and a share, or a long drift would overflow.
    shares, logs = np.full((len(rates), len(_SLOPES)), 1 / len(_SLOPES)), np.zeros(len(rates))
    path = np.empty(len(p))
    for i, value in enumerate(p):
        shares = (1 - rates[:, None]) * shares + rates[:, None] / len(_SLOPES)
        shares = shares * (1 + _SLOPES * (value - 0.5))
        gained = shares.sum(axis=1)
        shares, logs = shares / gained[:, None], logs + np.log(gained)
        path[i] = np.logaddexp.reduce(logs) - np.log(len(rates))
    return path
