"""Nights of four campaigns on devices that fail: killed at any moment, and with and without the lab's policy.

The loop, its decisions and its journal are the real ones; devices and computing steps are those of the controller's
tests, which remember like real ones and need no time. What happens to liquids and images stands in the simulated lab's
own figures.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from bench.table import Figure
from controller.settings import FaultsSection, Settings
from tests.support.controller_fakes import FakeLab

NAMES = ("first", "second", "third", "fourth")
TASKS = ("deck-0", "run-0", "deck-1", "run-1", "clear", "store", "fetch", "stage", "acquire", "unstage")
RATES = {"refused": 0.02, "reply lost": 0.02, "failed": 0.015, "late": 0.01, "nobody can tell": 0.003}
"""Chance of each sort of fault per physical action; with ten actions of a plate these are 50 types."""
N_KILLS, N_NIGHTS, N_FAST = 500, 200, 30
POLICY = {
    "imager": ("retry", "retry", "park"),
    "incubator": ("retry", "retry", "park"),
    "plate-mover": ("retry", "retry"),
    "liquid-handler": ("retry", "retry"),
    "step": ("retry",),
}
ALONE = FaultsSection(policy=POLICY, partial_load="accept", failed_plate="discard")
HELPLESS = FaultsSection(max_attempts=1)


@dataclass(frozen=True, slots=True)
class Night:
    """How a night ended."""

    is_finished: bool
    n_saved: int
    n_doubled: int
    types: frozenset[tuple[str, str]]


def figures() -> Sequence[Figure]:
    """Measure."""
    return [*_kills(), *_faults(), *_fast()]


def night_lab(faults: FaultsSection, rounds: int = 1) -> FakeLab:
    """Make a lab of four campaigns."""
    lab = FakeLab(rounds=rounds, settings=Settings(faults=faults))
    for name in NAMES[1:]:
        lab.begin(name, beside=True)
    return lab


def afflict(lab: FakeLab, rng: np.random.Generator, rates: dict[str, float]) -> frozenset[tuple[str, str]]:
    """Draw what goes wrong, for every action and its first retries; return the types drawn for first tries."""
    drawn = set()
    for name in NAMES:
        for task in TASKS:
            for suffix in ("", ".1", ".2"):
                for kind, rate in rates.items():
                    if rng.random() < rate:
                        _strike(lab, f"{name}.r0.{task}{suffix}", kind, rng)
                        drawn |= {(task, kind)} if not suffix else set()
    return frozenset(drawn)


def _strike(lab: FakeLab, key: str, kind: str, rng: np.random.Generator) -> None:
    match kind:
        case "refused":
            lab.device.refuse[key] = int(rng.integers(1, 4))
        case "reply lost":
            lab.device.lose_reply.add(key)
        case "failed":
            lab.device.fail[key] = {}
        case "late":
            lab.device.delays[key] = timedelta(hours=float(rng.uniform(0.5, 5)))
        case "nobody can tell":
            lab.device.unknown.add(key)


def play(faults: FaultsSection, seed: int) -> Night:
    """Play a night with drawn faults."""
    lab = night_lab(faults)
    types = afflict(lab, np.random.default_rng(seed), RATES)
    state = lab.run()
    views = [state.focused(name) for name in NAMES]
    saved = sum((o := view.outcome("unstage", 0)) is not None and o.is_done for view in views)
    doubled = sum(n - 1 for n in Counter(key for key, _ in lab.device.log).values())
    return Night(all(view.is_finished for view in views) and not state.open_faults(), saved, doubled, types)


def _faults() -> list[Figure]:
    command = "python -m bench.run nights"
    alone = [play(ALONE, seed) for seed in range(N_NIGHTS)]
    helpless = [play(HELPLESS, seed) for seed in range(N_NIGHTS)]
    types = {t for night in alone for t in night.types}
    return [
        Figure("types of faults met", f"{len(types)} in {N_NIGHTS} nights of 4 plates", "at least 25", command),
        Figure("finished without a person", _share(alone), f"recovery off: {_share(helpless)}", command),
        Figure("plates saved", _saved(alone), f"recovery off: {_saved(helpless)}", command),
        Figure(
            "actions doubled",
            f"{sum(n.n_doubled for n in alone)}",
            f"off: {sum(n.n_doubled for n in helpless)}",
            command,
        ),
    ]


def _share(nights: Sequence[Night]) -> str:
    n = sum(night.is_finished for night in nights)
    error = np.sqrt(n * (len(nights) - n) / len(nights)) / len(nights)
    return f"{n / len(nights):.1%} +- {error:.1%}"


def _saved(nights: Sequence[Night]) -> str:
    return f"{sum(n.n_saved for n in nights) / (4 * len(nights)):.1%}"


def _kills() -> list[Figure]:
    lossy = {"refused": 0.05, "reply lost": 0.1}
    calm = night_lab(FaultsSection())
    afflict(calm, np.random.default_rng(1), lossy)
    wanted = calm.run()
    rng, bad = np.random.default_rng(7), 0
    for _ in range(N_KILLS):
        lab = night_lab(FaultsSection())
        afflict(lab, np.random.default_rng(1), lossy)
        lab.journal.die_at = int(rng.integers(5, calm.journal.n_appends))
        lab.journal.die_after_commit = bool(rng.integers(2))
        state = lab.run()
        is_same = Counter(k for k, _ in lab.device.log) == Counter(k for k, _ in calm.device.log)
        bad += not (is_same and dict(state.places) == dict(wanted.places))
    told = f"{bad} of {N_KILLS} with an action lost or doubled, or a plate elsewhere"
    return [Figure("killed at random commits of a lossy four-plate night", told, "0", "python -m bench.run nights")]


def _fast() -> list[Figure]:
    began = time.perf_counter()
    lab = night_lab(FaultsSection(), rounds=N_FAST)
    state = lab.run()
    took = time.perf_counter() - began
    n = sum(state.focused(name).is_finished for name in NAMES)
    again = night_lab(FaultsSection(), rounds=N_FAST)
    again.run()
    same = [e.payload for e in lab.journal.events] == [e.payload for e in again.journal.events]
    told = f"{took:.1f} s, {n} of 4 campaigns finished, {len(lab.journal.events)} events; twice the same: {same}"
    return [
        Figure(f"{N_FAST} nights of 4 plates, controller alone", told, "at most 60 s", "python -m bench.run nights")
    ]
