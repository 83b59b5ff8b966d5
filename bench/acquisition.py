"""Acquisition: what scoring a million compounds costs by rule, and how often the stopping intervals hold.

python -m bench.acquisition            # all
python -m bench.acquisition rules
python -m bench.acquisition stopping
"""

import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.conformal_data import library
from bench.table import Figure, markdown
from bench.timing import seconds
from nextplate.acquisition import RULES, Knobs, scored
from nextplate.acquisition.stopping import Count, Yield, count_hits
from nextplate.acquisition.top import TopK
from nextplate.chem.kernel import tanimoto
from nextplate.conformal import p_hit
from nextplate.prediction import Prediction

COMMAND = "python -m bench.acquisition"
N, N_DRAWS, N_PICKS = 1_000_000, 32, 384
N_ROUNDS, LOT_SHARE = 6, 0.1
SETS = (("enamine", 100, 200, 30), ("aldh1", 64, None, 30), ("tyk2", 100, 200, 30), ("mapk1", 300, None, 16))
"""Name, compounds per plate, how many of the best values are hits (None: the labels are hits), campaigns. The width of
the priors was set on the first three; mapk1 was only looked at afterwards."""


def figures() -> list[Figure]:
    """Measure both."""
    return [*rules(), *stopping()]


def rules() -> list[Figure]:
    """Score a million compounds and keep the best 384, by every rule; with joint draws where a rule takes them."""
    rng = np.random.default_rng(1)
    plain = _belief(rng, None)
    drawn = _belief(rng, rng.standard_normal((N_DRAWS, N), dtype=np.float32))
    shown = [_rule_figure(name, plain, "mean and spread") for name in RULES]
    return shown + [_rule_figure(name, drawn, f"{N_DRAWS} joint draws") for name in ("thompson", "top-k", "bald")]


def _belief(rng: np.random.Generator, draws: npt.NDArray[np.float32] | None) -> Prediction:
    mean, spread = rng.normal(size=N), rng.random(N)
    return Prediction(("",) * N, mean, spread, mean - spread, mean + spread, 0.9, rng.beta(0.2, 4, N), draws)


def _rule_figure(name: str, prediction: Prediction, given: str) -> Figure:
    rng = np.random.default_rng(2)
    cal = rng.normal(size=2000)
    knobs = Knobs(1.0, n_top=1000, threshold=2.0, noise=0.3, cal_scores=cal, cal_is_hit=cal + rng.normal(size=2000) > 2)

    def work() -> None:
        best = TopK(N_PICKS)
        best.add(scored(name, prediction, knobs, rng).scores, 0)

    best_s = seconds(work)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return Figure(f"rule {name}, {given}: 1 M scored, 384 kept", f"{best_s:.2f} s, {peak:.0f} MB more", "-", COMMAND)


@dataclass(frozen=True, slots=True)
class _Seen:
    left: Count
    plate: Count
    n_left: int
    n_plate: int


def stopping() -> list[Figure]:
    """Run campaigns on real data and count how often the 90 % intervals hold the truth."""
    return [_set_figure(*known) for known in SETS]


def _set_figure(name: str, n_batch: int, n_top: int | None, n_seeds: int) -> Figure:
    seen = [s for seed in range(n_seeds) for s in _campaign(name, seed, n_batch, n_top)]
    left = [(s.left, s.n_left) for s in seen]
    plate = [(s.plate, s.n_plate) for s in seen]
    bare = np.mean([_poisson_binomial_holds(c, true) for c, true in plate])
    text = f"hits left {_held(left):.0%} (width {_width(left):.1f} x truth), next plate {_held(plate):.0%}"
    return Figure(
        f"stopping, 90 % intervals hold the truth: {name}, {n_seeds} campaigns x {N_ROUNDS} plates of {n_batch}",
        text, f"next plate, independent compounds (mean -+ 1.64 sqrt(mean)): {bare:.0%}", COMMAND,
    )  # fmt: skip


def _held(pairs: Sequence[tuple[Count, int]]) -> float:
    return float(np.mean([c.low <= true <= c.high for c, true in pairs]))


def _width(pairs: Sequence[tuple[Count, int]]) -> float:
    return float(np.mean([(c.high - c.low) / max(true, 1) for c, true in pairs]))


def _poisson_binomial_holds(c: Count, true: int) -> bool:
    return abs(true - c.uncorrected) <= 1.64 * np.sqrt(c.uncorrected) + 0.5


def _campaign(name: str, seed: int, n_batch: int, n_top: int | None) -> list[_Seen]:
    """Kernel regression on Tanimoto similarity, leave-one-out Venn-Abers; 9 of 10 picks by the mean, one by lot."""
    data = library(name)
    X, y = data["X"], data["y"]
    is_hit = y >= (0.5 if n_top is None else np.sort(y)[-n_top])
    rng, n_lot = np.random.default_rng(seed), round(LOT_SHARE * n_batch)
    tested = rng.permutation(len(y))[:n_batch]
    by_lot, kernel = np.ones(n_batch, dtype=bool), tanimoto(X, X[tested])
    history: list[Yield] = []
    seen: list[_Seen] = []
    for _ in range(N_ROUNDS):
        mean, own = _kernel_regression(kernel, tested, y)
        left = np.setdiff1d(np.arange(len(y)), tested)
        p, p_own = (p_hit(own, is_hit[tested], scores).probability for scores in (mean[left], own))
        lots = [Yield(float(p_own[by_lot].sum()), int(is_hit[tested][by_lot].sum()))]
        order = np.argsort(-mean[left], kind="stable")
        best, rest = order[: n_batch - n_lot], rng.permutation(order[n_batch - n_lot :])[:n_lot]
        found = int(is_hit[left[best]].sum())
        counts = count_hits(p, lots, by_lot=True), count_hits(p[best], history)
        seen.append(_Seen(*counts, int(is_hit[left].sum()), found))
        history.append(Yield(float(p[best].sum()), found))
        new = left[np.concatenate([best, rest])]
        kernel = np.hstack([kernel, tanimoto(X, X[new])])
        tested = np.concatenate([tested, new])
        by_lot = np.concatenate([by_lot, np.arange(n_batch) >= n_batch - n_lot])
    return seen


def _kernel_regression(
    kernel: npt.NDArray[np.float32], tested: npt.NDArray[np.intp], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give the mean of all compounds, and of the tested ones leaving each out."""
    offset = float(y[tested].mean())
    inverse = np.linalg.inv(kernel[tested].astype(np.float64) + 0.3 * np.eye(len(tested)))
    weights = inverse @ (y[tested] - offset)
    return kernel @ weights + offset, y[tested] - weights / np.diag(inverse)


if __name__ == "__main__":
    print(markdown({"rules": rules, "stopping": stopping}.get("".join(sys.argv[1:]), figures)()))
