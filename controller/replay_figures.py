"""What a replay's campaigns come to: figures over seeds, per strategy and per batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nextplate.acquisition.replay import FDR, ReplayCurve, ReplayRound
from nextplate.conformal.coverage import wilson_interval


@dataclass(frozen=True, slots=True)
class Campaign:
    """One seed of one strategy."""

    curve: ReplayCurve
    seconds: float


def strategy_figures(strategy: str, campaigns: Sequence[Campaign]) -> dict[str, Any]:
    """Sum a strategy up: final figures, coverage, hit lists, and the curve."""
    curves = [campaign.curve for campaign in campaigns]
    points = [_point(curves, number) for number in range(min(len(curve.rounds) for curve in curves))]
    return {
        "strategy": strategy,
        **points[-1],
        **_covered(curves),
        **_listed(curves),
        "notes": sorted({note for curve in curves for r in curve.rounds for note in r.notes})[:20],
        "seconds_mean": round(float(np.mean([campaign.seconds for campaign in campaigns])), 3),
        "curve": points,
    }


def _covered(curves: Sequence[ReplayCurve]) -> dict[str, Any]:
    """Coverage on the picked compounds: of our intervals with its 95 % interval, and of a plain split."""
    rounds = [r for curve in curves for r in curve.rounds if r.n_covered_of]
    n = sum(r.n_covered_of for r in rounds)
    inside = round(sum(r.coverage * r.n_covered_of for r in rounds))
    plain = round(sum(r.coverage_plain * r.n_covered_of for r in rounds))
    low, high = wilson_interval(inside, n) if n else (None, None)
    return {
        "coverage_90": inside / n if n else None,
        "coverage_90_low": low,
        "coverage_90_high": high,
        "coverage_90_plain": plain / n if n else None,
        "n_covered_of": n,
    }


def _listed(curves: Sequence[ReplayCurve]) -> dict[str, Any]:
    """False discoveries among hit lists, an empty list counting as none false; and how many hits they hold."""
    lists = [r.listed for curve in curves for r in curve.rounds if r.listed is not None]
    if not lists:
        return {"fdr_nominal": None, "fdr_mean": None, "fdr_error": None, "n_listed_mean": None, "power_mean": None}
    false = np.array([one.n_false / max(one.n_listed, 1) for one in lists])
    power = [(one.n_listed - one.n_false) / max(one.n_hits_left, 1) for one in lists]
    return {
        "fdr_nominal": FDR,
        "fdr_mean": float(false.mean()),
        "fdr_error": float(false.std(ddof=1) / np.sqrt(len(false))) if len(false) > 1 else None,
        "n_listed_mean": float(np.mean([one.n_listed for one in lists])),
        "power_mean": float(np.mean(power)),
    }


def _point(curves: Sequence[ReplayCurve], number: int) -> dict[str, Any]:
    rounds = [curve.rounds[number] for curve in curves]
    chance = [r.n_tested * c.n_hits / c.n_compounds for r, c in zip(rounds, curves, strict=True)]
    columns = {
        "recall_structures": [r.recall_structures for r in rounds],
        "recall_scores": [r.recall_scores for r in rounds],
        "hits": [float(r.n_hits) for r in rounds],
        "scaffolds": [float(r.n_scaffolds) for r in rounds],
        "enrichment": [r.n_hits / by_chance for r, by_chance in zip(rounds, chance, strict=True)],
    }
    point: dict[str, Any] = {"tested": rounds[0].n_tested}
    for name, numbers in columns.items():
        point[f"{name}_mean"] = float(np.mean(numbers))
        point[f"{name}_sd"] = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return {**point, **_promised(rounds)}


def _promised(rounds: Sequence[ReplayRound]) -> dict[str, float | None]:
    """Tell of one batch how well promises held: share inside the intervals, share of false hits listed."""
    n = sum(r.n_covered_of for r in rounds)
    inside = sum(r.coverage * r.n_covered_of for r in rounds if r.n_covered_of)
    false = [r.listed.n_false / max(r.listed.n_listed, 1) for r in rounds if r.listed is not None]
    return {"coverage": inside / n if n else None, "fdr": float(np.mean(false)) if false else None}
