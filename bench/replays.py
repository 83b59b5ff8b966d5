"""Retrospective campaigns on real sets: auto beside every single kind, random and similarity search.

``python -m bench.replays [--short] [--seeds N] [enamine] [tyk2] [aldh1] [mapk1]``: each set is the command of
``nextplate replay`` that it names, one campaign per strategy and seed. Every campaign is kept as a file when it is
done (``bench-out/replays/CODE/SET-STRATEGY-SEED.json``, CODE a digest of the science), so that an interrupted run goes
on and two runs may share the work; a change to the science measures anew. Seeds go first: after the first round over
all strategies there is a whole table of one seed. ``--short``: one seed of half the rounds, without the networks.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import Figure, markdown
from controller.replay import ReplayRequest, _plan, _timed
from controller.replay_figures import Campaign, strategy_figures
from nextplate.acquisition.replay import ReplayCurve, ReplayPlan, ReplayRound
from nextplate.acquisition.retrospect import Listed
from nextplate.chem.valued import ValuedStructures, read_valued

OUT = Path("bench-out") / "replays"
BASELINES = ("random", "similarity")
CHEAP = ("gp", "minmax-gp", "forest", "extra-trees", "lightgbm", "nearest", "committee")
NETWORKS = ("deep", "mpnn")
STRATEGIES = (*BASELINES, "auto", *CHEAP, *NETWORKS)
SEEDS = 5
_ROOMS = ("acquisition", "chem", "conformal", "models")
_SETS: Mapping[str, dict[str, Any]] = {
    "enamine": {
        "file": "molpal_enamine/Enamine10k_scores.csv.gz", "smiles_column": "smiles", "value_column": "score",
        "goal": "minimize", "initial": "1%", "batch": "1%", "rounds": 5, "top": "100",
    },
    "tyk2": {
        "file": "tyk2/tyk2_fep.csv", "smiles_column": "SMILES", "value_column": "dG_bind",
        "goal": "minimize", "initial": "1%", "batch": "1%", "rounds": 5, "top": "2%",
    },
    "aldh1": {
        "file": "litpcba_aldh1/ALDH1_test.csv", "smiles_column": "smiles", "value_column": "y",
        "goal": "hits", "initial": "64", "batch": "64", "rounds": 15, "top": "1%",
    },
    "mapk1": {
        "file": "litpcba_mapk1/MAPK1.csv", "smiles_column": "SMILES", "value_column": "active",
        "goal": "hits", "initial": "1%", "batch": "1%", "rounds": 5, "top": "1%",
    },
}  # fmt: skip
_BARS = {
    "enamine": "to reach: 85 %",
    "aldh1": "to reach: 200 hits",
    "mapk1": "to reach: 85 hits",
    "tyk2": "every single",
}


@dataclass(frozen=True, slots=True)
class Bench:
    """What is replayed, how often, and where campaigns are kept."""

    names: tuple[str, ...] = tuple(_SETS)
    strategies: tuple[str, ...] = STRATEGIES
    seeds: int = SEEDS
    share_of_rounds: float = 1.0
    out: Path = OUT


SHORT = Bench(strategies=(*BASELINES, "auto", *CHEAP), seeds=1, share_of_rounds=0.5)


def figures(asked: Bench | None = None) -> list[Figure]:
    """Replay every set with every strategy and seed, or find the campaigns done before."""
    bench = asked or Bench()
    return [figure for name in bench.names for figure in _replayed(name, bench)]


def short_figures() -> list[Figure]:
    """Replay one seed of half the rounds."""
    return figures(SHORT)


def _replayed(name: str, bench: Bench) -> list[Figure]:
    request = _request(name, bench)
    if not request.file.exists():
        return [Figure(f"replay of {name}", "skipped", f"{request.file} is not here", "set NEXTPLATE_DATA")]
    done: dict[str, list[Campaign]] = {strategy: [] for strategy in bench.strategies}
    for seed in range(bench.seeds):
        for strategy in bench.strategies:
            done[strategy].append(_campaign(name, request, strategy, seed, bench.out))
    told = {strategy: strategy_figures(strategy, campaigns) for strategy, campaigns in done.items()}
    found = [_figure(name, request.goal, done[strategy], entry, bench) for strategy, entry in told.items()]
    return [*found, *_against_singles(name, request.goal, told)]


def _request(name: str, bench: Bench) -> ReplayRequest:
    setting = dict(_SETS[name])
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data" / setting.pop("file")
    setting["rounds"] = max(1, round(setting["rounds"] * bench.share_of_rounds))
    return ReplayRequest(file=path, threshold=0.5, seeds=bench.seeds, strategies=bench.strategies, out=OUT, **setting)


def _campaign(name: str, request: ReplayRequest, strategy: str, seed: int, out: Path) -> Campaign:
    """Find a campaign that was done, or do it and keep it."""
    kept = out / _code() / f"{name}-{request.rounds}-{strategy}-{seed}.json"
    if kept.exists():
        return _read(kept)
    data = _data(request.file, request.smiles_column, request.value_column)
    plan, values = _plan(request, data)
    campaign = _timed(data, values, replace(plan, strategy=strategy, seed=seed))
    _write(campaign, kept)
    last = campaign.curve.rounds[-1]
    print(
        f"{name} {strategy} seed {seed}: {last.recall_structures:.1%} of the top, {last.n_hits} hits, "
        f"{campaign.seconds:.0f} s",
        flush=True,
    )
    return campaign


@cache
def _data(file: Path, smiles_column: str, value_column: str) -> ValuedStructures:
    return read_valued(file, smiles_column=smiles_column, value_column=value_column)


@cache
def _code() -> str:
    """Give a digest of the science that campaigns rest on."""
    import nextplate

    rooms = [Path(nextplate.__file__).parent / room for room in _ROOMS]
    sha = hashlib.sha256()
    for path in sorted(path for room in rooms for path in room.rglob("*.py")):
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:12]


def _write(campaign: Campaign, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {**asdict(campaign.curve), "tested": campaign.curve.tested.tolist(), "seconds": campaign.seconds}
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.write_text(json.dumps(body) + "\n", encoding="utf-8")
    hidden.replace(path)


def _read(path: Path) -> Campaign:
    body = json.loads(path.read_text(encoding="utf-8"))
    rounds = tuple(
        ReplayRound(**{**r, "listed": r["listed"] and Listed(**r["listed"]), "notes": tuple(r["notes"])})
        for r in body["rounds"]
    )
    tested = np.array(body["tested"], dtype=np.intp)
    curve = ReplayCurve(ReplayPlan(**body["plan"]), body["n_compounds"], body["n_hits"], rounds, tested)
    return Campaign(curve, body["seconds"])


def _key(goal: str) -> tuple[str, float, str]:
    return ("hits", 1.0, "hits") if goal == "hits" else ("recall_structures", 100.0, "%")


def _figure(name: str, goal: str, done: Sequence[Campaign], entry: Mapping[str, Any], bench: Bench) -> Figure:
    key, scale, unit = _key(goal)
    measured = f"{scale * entry[f'{key}_mean']:.1f} ± {scale * (entry[f'{key}_sd'] or 0):.1f} {unit}"
    if goal != "hits":
        measured += f" by structure, {100 * entry['recall_scores_mean']:.1f} % by score"
    measured += f"; {entry['scaffolds_mean']:.0f} scaffolds"
    if entry["coverage_90"] is not None:
        held, plain = (100 * entry[k] for k in ("coverage_90", "coverage_90_plain"))
        false = "of no list" if entry["fdr_mean"] is None else f"{100 * entry['fdr_mean']:.1f} %"
        measured += f"; 90 % intervals hold {held:.1f} % (plain {plain:.1f} %); FDR {false}"
        measured += f"; {entry['seconds_mean']:.0f} s"
    curve = done[0].curve
    asked = f"{entry['tested']:,} of {curve.n_compounds:,} tested, {len(done)} seeds"
    return Figure(f"{name}, {entry['strategy']}, {asked}", measured, _BARS[name], _command(name, bench))


def _command(name: str, bench: Bench) -> str:
    return f"python -m bench.replays {'--short ' if bench.share_of_rounds < 1 else ''}{name}"


def _against_singles(name: str, goal: str, told: Mapping[str, Mapping[str, Any]]) -> Iterator[Figure]:
    """Say how far auto is from the best single strategy, and how far they scatter from seed to seed."""
    singles = [entry for strategy, entry in told.items() if strategy not in (*BASELINES, "auto")]
    if "auto" not in told or not singles:
        return
    key, scale, unit = _key(goal)
    auto, best = told["auto"], max(singles, key=lambda entry: entry[f"{key}_mean"])
    gap = scale * (auto[f"{key}_mean"] - best[f"{key}_mean"])
    scatter = [scale * (entry[f"{key}_sd"] or 0.0) for entry in (auto, best)]
    yield Figure(
        f"{name}, auto against the best single strategy, {best['strategy']}",
        f"{gap:+.1f} {unit}",
        f"never below by more than the spread: {float(np.hypot(*scatter)):.1f} {unit} (of the two, from seed to seed)",
        f"python -m bench.replays {name}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.replays", description=__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(_SETS))
    parser.add_argument("--short", action="store_true", help="one seed of half the rounds, without the networks")
    parser.add_argument("--seeds", type=int, help=f"default: {SEEDS}, of --short 1")
    parser.add_argument("--strategies", help="joined by commas")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.sets) - set(_SETS):
        parser.error(f"no set {', '.join(sorted(unknown))}; the sets are: {', '.join(_SETS)}")
    bench = SHORT if asked.short else Bench()
    bench = replace(bench, names=tuple(asked.sets) or bench.names, seeds=asked.seeds or bench.seeds)
    if asked.strategies:
        bench = replace(bench, strategies=tuple(asked.strategies.split(",")))
    print(markdown(figures(bench)))


if __name__ == "__main__":
    main()
