"""What a replay's campaigns come to: figures over seeds, per strategy and per batch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nextplate.acquisition.replay import ReplayCurve, ReplayRound
from nextplate.acquisition.retrospect import Kept, Listed
from nextplate.conformal import FDR, between_interval

_MOST_NOTES = 20
_NUMBER = re.compile(r"\d+(\.\d+)?")


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
        **_foretold([r for curve in curves for r in curve.rounds]),
        "notes": _first_notes(sorted({note for curve in curves for r in curve.rounds for note in r.notes})),
        "seconds_mean": round(float(np.mean([campaign.seconds for campaign in campaigns])), 3),
        "curve": points,
    }


def _first_notes(notes: Sequence[str]) -> list[str]:
    """Keep the first notes, one of those that differ in their numbers alone, and say how many others there were."""
    alike: dict[str, list[str]] = {}
    for note in notes:
        alike.setdefault(_NUMBER.sub("#", note), []).append(note)
    told = [first + (f" ({len(more)} more like it)" if more else "") for first, *more in alike.values()]
    n_more = len(told) - _MOST_NOTES
    return [*told[:_MOST_NOTES], *([f"... and {n_more} more notes"] if n_more > 0 else [])]


def _covered(curves: Sequence[ReplayCurve]) -> dict[str, Any]:
    """Coverage on the picked compounds: by what was promised of them, and by a plain split.

    Beside every share stands the share that was inside whatever was measured (infinite intervals, sets of both
    labels). The 95 % interval is made between seeds, of one seed between its rounds: wells of a round are not
    independent. None where nothing was promised, and for the interval of a single round of a single seed.
    """
    kept = [[r.kept for r in curve.rounds if r.kept is not None] for curve in curves]
    flat = [one for rounds in kept for one in rounds]
    plain = [r.kept_plain for curve in curves for r in curve.rounds if r.kept_plain is not None]
    groups, by = (kept, "seeds") if sum(map(bool, kept)) > 1 else ([[one] for one in flat], "rounds")
    found = between_interval([_inside(group) for group in groups], [_n(group) for group in groups])
    low, high = (None, None) if found is None else found
    return {
        **_shares(flat, "coverage_90"),
        "coverage_90_low": low,
        "coverage_90_high": high,
        "coverage_90_interval": None if found is None else f"t between {len(groups)} {by}",
        **_shares(plain, "coverage_90_plain"),
        "n_covered_of": _n(flat),
    }


def _shares(kept: Sequence[Kept], name: str) -> dict[str, float | None]:
    """Share inside, of hits inside, of the rest inside, and of what was inside whatever was measured."""
    n, n_hits, inside, hits_inside = (
        _n(kept),
        sum(k.n_hits for k in kept),
        _inside(kept),
        sum(k.n_hits_inside for k in kept),
    )
    return {
        name: _share(inside, n),
        f"{name}_hits": _share(hits_inside, n_hits),
        f"{name}_rest": _share(inside - hits_inside, n - n_hits),
        f"{name}_trivial": _share(sum(k.n_trivial for k in kept), n),
    }


def _share(part: int, n: int) -> float | None:
    return part / n if n else None


def _n(kept: Sequence[Kept]) -> int:
    return sum(one.n for one in kept)


def _inside(kept: Sequence[Kept]) -> int:
    return sum(one.n_inside for one in kept)


def _listed(curves: Sequence[ReplayCurve]) -> dict[str, Any]:
    """False discoveries among hit lists, an empty list counting as none false; and how many hits they hold.

    Lists of one campaign share most of what calibrates them, so the standard error is between the seeds' means; None
    for one seed. Where every list is empty there is no rate: ``fdr_reason`` says so, and is None otherwise.
    """
    lists = [r.listed for curve in curves for r in curve.rounds if r.listed is not None]
    none = {"fdr_nominal": None, "fdr_mean": None, "fdr_error": None, "n_listed_mean": None, "power_mean": None}
    if not lists:
        return {**none, "fdr_reason": "no belief was fitted that hits could be listed by"}
    if not any(_is_rated(one) for one in lists):
        why = f"all {len(lists)} hit lists are empty or of unscored compounds alone: nothing can be false"
        return {**none, "fdr_nominal": FDR, "n_listed_mean": 0.0, "power_mean": 0.0, "fdr_reason": why}
    each = [[_false_share(r.listed) for r in curve.rounds if r.listed is not None] for curve in curves]
    false = np.array([np.mean(shares) for shares in each if shares])
    power = [(one.n_listed - one.n_false) / max(one.n_hits_left, 1) for one in lists]
    return {
        "fdr_nominal": FDR,
        "fdr_mean": float(false.mean()),
        "fdr_error": float(false.std(ddof=1) / np.sqrt(len(false))) if len(false) > 1 else None,
        "n_listed_mean": float(np.mean([one.n_listed for one in lists])),
        "power_mean": float(np.mean(power)),
        "fdr_reason": None,
    }


def _is_rated(listed: Listed) -> bool:
    """Tell whether anything was listed that can be false."""
    return listed.n_listed > 0


def _false_share(listed: Listed) -> float:
    return listed.n_false / max(listed.n_listed, 1)


def _foretold(rounds: Sequence[ReplayRound]) -> dict[str, float | None]:
    """Hits of a plate as foretold with a 90 % interval, and as found: share inside, mean foretold, mean found."""
    told = [r.foretold for r in rounds if r.foretold is not None]
    if not told:
        return {"yield_90": None, "yield_foretold_mean": None, "yield_found_mean": None}
    return {
        "yield_90": float(np.mean([one.count.low <= one.n_hits <= one.count.high for one in told])),
        "yield_foretold_mean": float(np.mean([one.count.expected for one in told])),
        "yield_found_mean": float(np.mean([one.n_hits for one in told])),
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
    return {**point, **_promised(rounds), **_foretold(rounds)}


def _promised(rounds: Sequence[ReplayRound]) -> dict[str, float | None]:
    """Tell of one batch how well promises held: share inside the intervals, share of false hits listed.

    None where nothing was promised, and for false hits where every list was empty.
    """
    kept = [r.kept for r in rounds if r.kept is not None]
    lists = [r.listed for r in rounds if r.listed is not None]
    false = [_false_share(listed) for listed in lists] if any(_is_rated(listed) for listed in lists) else []
    n_trivial = sum(one.n_trivial for one in kept)
    return {
        "coverage": _share(_inside(kept), _n(kept)),
        "coverage_trivial": _share(n_trivial, _n(kept)),
        "fdr": float(np.mean(false)) if false else None,
    }
