"""Retrospective campaigns over a file of known values, compared strategy by strategy."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from controller.files import write_bytes, write_text
from controller.replay_figures import Campaign, strategy_figures
from controller.replay_shown import replay_picture
from nextplate.acquisition.replay import ReplayPlan
from nextplate.acquisition.replay import replay as replay_campaign
from nextplate.acquisition.strategies import BASELINES, parse_strategy
from nextplate.chem.columns import usual_id
from nextplate.chem.delimited import read_header
from nextplate.chem.valued import ValuedStructures, read_valued
from nextplate.errors import DataError, PlanError
from nextplate.models.kinds import CELL_COUNT, FUSED_CHEMISTRY, OF_IMAGES
from nextplate.models.profile_file import ReadProfiles, read_profiles, told_overlap
from nextplate.profiles import Profiles

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
    encoding: str = "utf-8"
    """Of a file without byte-order mark."""
    profiles: Path | None = None
    """Image profiles of an earlier screen; then lightgbm (what fusion knows without them) and, where they tell of cell
    counts, cell-count are added too."""
    id_column: str | None = None
    """Of the compounds' names, as the profiles call them; None: a column with a usual name."""
    count_column: str | None = None
    """Of the profiles, the cell count; None: one with a usual name."""
    told: tuple[str, ...] = ()
    """What was made of the profiles; set once they are read."""


def parse_size(text: str, n: int, option: str = "") -> int:
    """Turn '1%' or '64' into a number of compounds, at least 1; a count beyond n means all of them.

    Args:
        text: a count, or a share of n followed by %.
        n: compounds in the file.
        option: that it was given as, for the message.

    Raises:
        PlanError: it is neither, nothing, or more than 100%.
    """
    what = f"{option} {text!r}".strip()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if match is None or (not match[2] and "." in match[1]):
        raise PlanError(f"{what} is not a size; write a share such as 1% or a count such as 64")
    amount = float(match[1])
    if amount == 0 or (match[2] and amount > 100):
        raise PlanError(f"{what} is not a size of {n} compounds; ask for between 1 and {n}, or up to 100%")
    return max(1, round(amount * n / 100)) if match[2] else min(int(amount), n)


def run_replay(request: ReplayRequest, progress: Progress) -> dict[str, Any]:
    """Replay every strategy with every seed, and write replay.json and replay.png.

    Args:
        request: what to replay.
        progress: called with (campaigns done, campaigns in all).

    Returns:
        The content of replay.json: the sizes, and per strategy the final figures and the curve, as mean and
        sample standard deviation over seeds, and the coverage with its 95 % interval between seeds (of one seed:
        between rounds); null where a figure does not exist (one seed has no deviation).

    Raises:
        DataError: the file cannot be used.
        PlanError: a size, strategy or goal cannot be meant.
    """
    strategies = _strategies(request)
    imaged = None if request.profiles is None else read_profiles(request.profiles, count_column=request.count_column)
    data = read_valued(
        request.file,
        smiles_column=request.smiles_column,
        value_column=request.value_column,
        id_column=_id_column(request),
        encoding=request.encoding,
    )
    if imaged is not None:
        strategies = _beside(strategies, imaged.profiles)
        data, told = _with_profiles(request, data, imaged)
        request = replace(request, told=told)
    plan, values = _plan(request, data)
    with _folder(request.out):
        return _run(request, data, plan, values, strategies, progress)


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make the folder now, as minutes of computing shall not end where nothing can be written; none stays empty."""
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made a folder ({error.strerror}); name another with --out") from error
    try:
        yield
    except BaseException:
        if is_new and not any(out.iterdir()):
            out.rmdir()
        raise


def _run(
    request: ReplayRequest,
    data: ValuedStructures,
    plan: ReplayPlan,
    values: np.ndarray[Any, Any],
    strategies: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    campaigns: dict[str, list[Campaign]] = {}
    n_all = len(strategies) * request.seeds
    for number in range(n_all):
        strategy, seed = strategies[number // request.seeds], number % request.seeds
        campaign = _timed(data, values, replace(plan, strategy=strategy, seed=seed))
        campaigns.setdefault(strategy, []).append(campaign)
        progress(number + 1, n_all)
    body = _body(request, data, plan, campaigns)
    write_text(request.out / "replay.json", json.dumps(body, indent=1, sort_keys=True) + "\n")
    write_bytes(request.out / "replay.png", replay_picture(body))
    return body


def _file_notes(request: ReplayRequest, data: ValuedStructures) -> list[str]:
    """Name what was made of the file and of the sizes asked for."""
    n, notes = len(data.values), list(request.told)
    for what, size in (("--initial", request.initial), ("--batch", request.batch), ("--top", request.top)):
        if size.strip().isdigit() and int(size) > n:
            notes.append(f"{what} {size}: the file holds {n} compounds, so all of them are taken")
    seen: dict[str, set[float]] = {}
    for smiles, value in zip(data.features.smiles, data.values, strict=True):
        if np.isfinite(value):
            seen.setdefault(smiles, set()).add(float(value))
    if n_conflicts := sum(len(values) > 1 for values in seen.values()):
        notes.append(f"{n_conflicts} structures occur more than once with different values: each row counts by itself")
    return notes


def _strategies(request: ReplayRequest) -> tuple[str, ...]:
    if not request.strategies:
        raise PlanError("no strategy is named; ask for auto, or for others joined by commas")
    names = tuple(dict.fromkeys((*request.strategies, *BASELINES)))
    for name in names:
        if parse_strategy(name).kind in OF_IMAGES and request.profiles is None:
            raise PlanError(f"{name} learns from image profiles, and none are given; name their file: --profiles FILE")
    if request.profiles is None and (request.id_column or request.count_column):
        raise PlanError("--id and --cell-count tell of image profiles, and none are given; name their file: --profiles")
    if request.goal not in GOALS:
        raise PlanError(f"the goal is {request.goal!r}; it must be one of {', '.join(GOALS)}")
    if not np.isfinite(request.threshold):
        raise PlanError(f"--threshold {request.threshold:g} is not a number that a value can reach")
    if request.seeds < 1 or request.rounds < 0:
        raise PlanError(f"{request.seeds} seeds and {request.rounds} rounds; ask for at least 1 and 0")
    return names


def _beside(strategies: tuple[str, ...], profiles: Profiles) -> tuple[str, ...]:
    """Add what every image result is shown beside: the chemistry in it, and the count of cells alone."""
    asked = [name for name in strategies if name not in BASELINES]
    if not profiles.count_names and (unknown := [n for n in asked if parse_strategy(n).kind == CELL_COUNT]):
        raise PlanError(f"{unknown[0]}: no column of the profiles is called like a cell count; name it: --cell-count")
    counted = [CELL_COUNT] if profiles.count_names else []
    return tuple(dict.fromkeys((*asked, FUSED_CHEMISTRY, *counted, *BASELINES)))


def _id_column(request: ReplayRequest) -> str | None:
    if request.profiles is None or request.id_column is not None:
        return request.id_column
    header = read_header(request.file, encoding=request.encoding)
    if (found := usual_id(header)) is None:
        raise DataError(
            f"{request.file}: no column is called like a compound's name, by which its image profile is found; name it "
            f"(--id); the columns are: {', '.join(header)}"
        )
    return found


def _with_profiles(
    request: ReplayRequest, data: ValuedStructures, imaged: ReadProfiles
) -> tuple[ValuedStructures, tuple[str, ...]]:
    """Give the compounds of the file their profiles, by name, and say how many have one."""
    assert request.profiles is not None
    told = told_overlap(request.profiles, imaged.profiles, data.names, request.file.name)
    profiles = imaged.profiles.named(data.names, data.features.compound_ids)
    return replace(data, features=replace(data.features, profiles=profiles)), (*imaged.notes, told)


def _plan(request: ReplayRequest, data: ValuedStructures) -> tuple[ReplayPlan, np.ndarray[Any, Any]]:
    values = _higher_is_better(data.values) if request.goal == "minimize" else data.values
    n, n_scored = len(values), int(np.isfinite(values).sum())
    if n_scored == 0:
        what = f" ({data.n_infinite} are infinite, which no assay measures)" if data.n_infinite else ""
        raise DataError(f"{request.file}: column {request.value_column!r} holds no value{what}; name another (--value)")
    threshold = request.threshold if request.goal == "hits" else None
    top_k = (
        min(parse_size(request.top, n, "--top"), n_scored) if threshold is None else int((values >= threshold).sum())
    )
    if top_k == 0:
        raise DataError(
            f"{request.file}: no value reaches the threshold {threshold:g}; the highest is {np.nanmax(values):g}; set "
            "a lower one (--threshold)"
        )
    initial, batch = parse_size(request.initial, n, "--initial"), parse_size(request.batch, n, "--batch")
    return ReplayPlan("random", initial, batch, request.rounds, top_k, threshold), values


def _higher_is_better(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turn values that are to be minimised round; of 0/1 values the others become the hits."""
    return 1 - values if np.isin(_known(values), (0.0, 1.0)).all() else -values


def _timed(data: ValuedStructures, values: np.ndarray[Any, Any], plan: ReplayPlan) -> Campaign:
    start = time.perf_counter()
    curve = replay_campaign(data.features, values, plan)
    return Campaign(curve, time.perf_counter() - start)


def _body(
    request: ReplayRequest,
    data: ValuedStructures,
    plan: ReplayPlan,
    campaigns: Mapping[str, Sequence[Campaign]],
) -> dict[str, Any]:
    first = next(iter(campaigns.values()))[0].curve
    sign = -1.0 if request.goal == "minimize" else 1.0
    cutoff = plan.threshold if plan.threshold is not None else float(np.sort(_known(sign * data.values))[-plan.top_k])
    return {
        "file": request.file.name,
        "goal": request.goal,
        "n_compounds": first.n_compounds,
        "n_unscored": int(np.isnan(data.values).sum()),
        "n_infinite": data.n_infinite,
        "notes": _file_notes(request, data),
        "n_left_out": len(data.left_out),
        "left_out": list(data.left_out[:20]),
        "top_k": plan.top_k,
        "n_hits": first.n_hits,
        "hit_threshold": sign * cutoff,
        "n_initial": plan.n_initial,
        "n_batch": plan.n_batch,
        "n_rounds": plan.n_rounds,
        "n_seeds": request.seeds,
        "strategies": [strategy_figures(name, done) for name, done in campaigns.items()],
    }


def _known(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known: np.ndarray[Any, Any] = values[np.isfinite(values)]
    return known
