"""Retrospective campaigns over a file of known values, compared strategy by strategy."""

import io
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.files import write_bytes, write_text
from nextplate.acquisition.replay import FDR, ReplayCurve, ReplayPlan
from nextplate.acquisition.replay import replay as replay_campaign
from nextplate.acquisition.strategies import BASELINES, parse_strategy
from nextplate.chem.valued import ValuedStructures, read_valued
from nextplate.conformal.coverage import wilson_interval
from nextplate.errors import DataError, PlanError

Progress = Callable[[int, int], None]
GOALS = ("maximize", "minimize", "hits")


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What an operator asked to be replayed."""

    file: Path
    smiles_column: str
    value_column: str
    goal: str
    """maximize, minimize or hits."""
    threshold: float
    """With the goal hits: the least value of a hit; not read otherwise."""
    initial: str
    """Size of the first batch: a share ('1%') or a count ('64')."""
    batch: str
    rounds: int
    """Batches after the first."""
    seeds: int
    strategies: tuple[str, ...]
    """random and similarity are added where they are not named."""
    top: str
    """What recall is counted over; with the goal hits it is all the hits."""
    out: Path
    """Folder for replay.json and replay.png."""


@dataclass(frozen=True, slots=True)
class _Campaign:
    curve: ReplayCurve
    seconds: float


def parse_size(text: str, n: int) -> int:
    """Turn '1%' or '64' into a number of compounds, at least 1.

    Args:
        text: a count, or a share of n followed by %.
        n: compounds in the file.

    Raises:
        PlanError: it is neither, or not between 1 and n.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if match is None or (not match[2] and "." in match[1]):
        raise PlanError(f"{text!r} is not a size; write a share such as 1% or a count such as 64")
    size = max(1, round(float(match[1]) * n / 100)) if match[2] else int(match[1])
    if not 1 <= size <= n:
        raise PlanError(f"{text!r} means {size} compounds; the file holds {n}, so ask for between 1 and {n}")
    return size


def run_replay(request: ReplayRequest, progress: Progress) -> dict[str, Any]:
    """Replay every strategy with every seed, and write replay.json and replay.png.

    Args:
        request: what to replay.
        progress: called with (campaigns done, campaigns in all).

    Returns:
        The content of replay.json: the sizes, and per strategy the final figures and the curve, as mean and
        sample standard deviation over seeds, and the coverage with its 95 % Wilson interval; null where a figure
        does not exist (one seed has no deviation).

    Raises:
        DataError: the file cannot be used.
        PlanError: a size, strategy or goal cannot be meant.
    """
    strategies = _strategies(request)
    data = read_valued(request.file, smiles_column=request.smiles_column, value_column=request.value_column)
    plan, values = _plan(request, data)
    campaigns: dict[str, list[_Campaign]] = {}
    n_all = len(strategies) * request.seeds
    for number in range(n_all):
        strategy, seed = strategies[number // request.seeds], number % request.seeds
        campaign = _timed(data, values, replace(plan, strategy=strategy, seed=seed))
        campaigns.setdefault(strategy, []).append(campaign)
        progress(number + 1, n_all)
    body = _body(request, data, plan, campaigns)
    write_text(request.out / "replay.json", json.dumps(body, indent=1, sort_keys=True) + "\n")
    write_bytes(request.out / "replay.png", _picture(body))
    return body


def _strategies(request: ReplayRequest) -> tuple[str, ...]:
    names = tuple(dict.fromkeys((*request.strategies, *BASELINES)))
    for name in names:
        parse_strategy(name)
    if request.goal not in GOALS:
        raise PlanError(f"the goal is {request.goal!r}; it must be one of {', '.join(GOALS)}")
    if request.seeds < 1 or request.rounds < 0:
        raise PlanError(f"{request.seeds} seeds and {request.rounds} rounds; ask for at least 1 and 0")
    return names


def _plan(request: ReplayRequest, data: ValuedStructures) -> tuple[ReplayPlan, np.ndarray[Any, Any]]:
    values = -data.values if request.goal == "minimize" else data.values
    n, n_scored = len(values), int(np.isfinite(values).sum())
    if n_scored == 0:
        raise DataError(f"{request.file}: column {request.value_column!r} holds no value")
    threshold = request.threshold if request.goal == "hits" else None
    top_k = min(parse_size(request.top, n), n_scored) if threshold is None else int((values >= threshold).sum())
    if top_k == 0:
        raise DataError(
            f"{request.file}: no value reaches the threshold {threshold}; the highest is {np.nanmax(values):g}"
        )
    initial, batch = parse_size(request.initial, n), parse_size(request.batch, n)
    return ReplayPlan("random", initial, batch, request.rounds, top_k, threshold), values


def _timed(data: ValuedStructures, values: np.ndarray[Any, Any], plan: ReplayPlan) -> _Campaign:
    start = time.perf_counter()
    curve = replay_campaign(data.features, values, plan)
    return _Campaign(curve, time.perf_counter() - start)


def _body(
    request: ReplayRequest,
    data: ValuedStructures,
    plan: ReplayPlan,
    campaigns: Mapping[str, Sequence[_Campaign]],
) -> dict[str, Any]:
    first = next(iter(campaigns.values()))[0].curve
    sign = -1.0 if request.goal == "minimize" else 1.0
    cutoff = plan.threshold if plan.threshold is not None else float(np.sort(_known(sign * data.values))[-plan.top_k])
    return {
        "file": request.file.name,
        "goal": request.goal,
        "n_compounds": first.n_compounds,
        "n_unscored": int(np.isnan(data.values).sum()),
        "n_left_out": len(data.left_out),
        "left_out": list(data.left_out[:20]),
        "top_k": plan.top_k,
        "n_hits": first.n_hits,
        "hit_threshold": sign * cutoff,
        "n_initial": plan.n_initial,
        "n_batch": plan.n_batch,
        "n_rounds": plan.n_rounds,
        "n_seeds": request.seeds,
        "strategies": [_figures(name, done) for name, done in campaigns.items()],
    }


def _known(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known: np.ndarray[Any, Any] = values[np.isfinite(values)]
    return known


def _figures(strategy: str, campaigns: Sequence[_Campaign]) -> dict[str, Any]:
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
    return point


def _picture(body: Mapping[str, Any]) -> bytes:
    """Draw the share of the best found against compounds tested, one line and band per strategy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for entry in body["strategies"]:
        tested = [point["tested"] for point in entry["curve"]]
        mean = 100 * np.array([point["recall_structures_mean"] for point in entry["curve"]])
        sd = 100 * np.array([point["recall_structures_sd"] or 0.0 for point in entry["curve"]])
        style = "--" if entry["strategy"] in BASELINES else "-"
        (line,) = axes.plot(tested, mean, style, marker="o", markersize=3.5, label=entry["strategy"])
        axes.fill_between(tested, mean - sd, mean + sd, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="compounds tested", ylabel=_found_label(body), ylim=(0, None), xlim=(0, None))
    axes.set_title(f"{body['file']}: {body['n_compounds']:,} compounds, {body['n_seeds']} seeds", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _found_label(body: Mapping[str, Any]) -> str:
    what = f"{body['n_hits']} hits" if body["goal"] == "hits" else f"top {body['top_k']}"
    return f"% of the {what} found"


_UNCERTAINTY = (
    "±: sample standard deviation over seeds (FDR: standard error over hit lists); cover: 95 % Wilson interval of the\n"
    "share of picked compounds inside 90 % intervals given before, plain: of those by a plain split; FDR: false among\n"
    "hit lists at 20 %, listed: their mean length"
)


def replay_text(body: Mapping[str, Any]) -> str:
    """Set the final figures as a table for a terminal."""
    goal = "hits" if body["goal"] == "hits" else f"top {body['top_k']}"
    head = (
        f"{body['file']}: {body['n_compounds']} compounds, {body['n_unscored']} without a value, "
        f"{body['n_left_out']} left out; {body['n_hits']} hits (value {_side(body)} {body['hit_threshold']:g})"
    )
    title = (
        f"{'strategy':<12} {'tested':>6} {goal + ' found %':>18} {'scores %':>14} {'hits':>14} {'scaffolds':>14} "
        f"{'x chance':>14} {'cover 90%':>13} {'plain %':>7} {'FDR 20%':>13} {'listed':>6} {'seconds':>8}"
    )
    return "\n".join([head, "", title, *(_line(entry) for entry in body["strategies"]), _UNCERTAINTY])


def _side(body: Mapping[str, Any]) -> str:
    return "at most" if body["goal"] == "minimize" else "at least"


def _line(entry: Mapping[str, Any]) -> str:
    def told(name: str, scale: float = 1.0, digits: int = 1) -> str:
        mean, sd = entry[f"{name}_mean"], entry[f"{name}_sd"]
        return f"{scale * mean:.{digits}f}" + (" (1 seed)" if sd is None else f" ± {scale * sd:.{digits}f}")

    covered = entry["coverage_90"]
    ends = "" if covered is None else f"{100 * entry['coverage_90_low']:.1f} to {100 * entry['coverage_90_high']:.1f}"
    return (
        f"{entry['strategy']:<12} {entry['tested']:>6} {told('recall_structures', 100):>18} "
        f"{told('recall_scores', 100):>14} {told('hits'):>14} {told('scaffolds'):>14} "
        f"{told('enrichment', digits=2):>14} {ends:>13} {_plain(entry):>7} {_false(entry):>13} "
        f"{_number(entry['n_listed_mean']):>6} {entry['seconds_mean']:>8.1f}"
    )


def _plain(entry: Mapping[str, Any]) -> str:
    return "" if entry["coverage_90_plain"] is None else f"{100 * entry['coverage_90_plain']:.1f}"


def _false(entry: Mapping[str, Any]) -> str:
    if entry["fdr_mean"] is None:
        return ""
    error = entry["fdr_error"]
    return f"{100 * entry['fdr_mean']:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
