"""Retrospective campaigns on real sets: auto beside its single kinds, random and similarity search.

``python -m bench.replays [enamine] [tyk2] [aldh1] [mapk1]``: each is the command of ``nextplate replay`` that it names.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.table import Figure, markdown
from controller.replay import ReplayRequest, run_replay

_SETS: Mapping[str, dict[str, Any]] = {
    "enamine": {
        "file": "molpal_enamine/Enamine10k_scores.csv.gz", "smiles_column": "smiles", "value_column": "score",
        "goal": "minimize", "initial": "1%", "batch": "1%", "rounds": 5, "top": "100",
        "strategies": ("auto", "gp", "minmax-gp", "forest", "extra-trees", "lightgbm"),
    },
    "tyk2": {
        "file": "tyk2/tyk2_fep.csv", "smiles_column": "SMILES", "value_column": "dG_bind",
        "goal": "minimize", "initial": "1%", "batch": "1%", "rounds": 5, "top": "2%",
        "strategies": ("auto", "gp", "minmax-gp", "forest", "extra-trees", "lightgbm"),
    },
    "aldh1": {
        "file": "litpcba_aldh1/ALDH1_test.csv", "smiles_column": "smiles", "value_column": "y",
        "goal": "hits", "initial": "64", "batch": "64", "rounds": 15, "top": "1%",
        "strategies": ("auto", "minmax-gp", "forest", "extra-trees"),
    },
    "mapk1": {
        "file": "litpcba_mapk1/MAPK1.csv", "smiles_column": "SMILES", "value_column": "active",
        "goal": "hits", "initial": "1%", "batch": "1%", "rounds": 5, "top": "1%",
        "strategies": ("auto", "gp", "forest", "lightgbm"),
    },
}  # fmt: skip
_BARS = {"enamine": "to reach: 85 %", "aldh1": "to reach: 200 hits", "mapk1": "to reach: 85 hits", "tyk2": "singles"}


def figures(names: tuple[str, ...] = tuple(_SETS), seeds: int = 5) -> list[Figure]:
    """Replay every set with every strategy and seed."""
    return [figure for name in names for figure in _replayed(name, seeds)]


def _replayed(name: str, seeds: int) -> list[Figure]:
    setting = dict(_SETS[name])
    path = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "data" / setting.pop("file")
    if not path.exists():
        return [Figure(f"replay of {name}", "skipped", f"{path} is not here", "set NEXTPLATE_DATA")]
    with tempfile.TemporaryDirectory() as out:
        request = ReplayRequest(file=path, threshold=0.5, seeds=seeds, out=Path(out), **setting)
        body = run_replay(request, lambda *_: None)
    return [_figure(name, entry, body) for entry in body["strategies"]]


def _figure(name: str, entry: Mapping[str, Any], body: Mapping[str, Any]) -> Figure:
    key, scale, unit = ("hits", 1.0, "hits") if body["goal"] == "hits" else ("recall_structures", 100.0, "%")
    measured = f"{scale * entry[f'{key}_mean']:.1f} ± {scale * (entry[f'{key}_sd'] or 0):.1f} {unit}"
    if entry["coverage_90"] is not None:
        held, plain, false = (100 * entry[k] for k in ("coverage_90", "coverage_90_plain", "fdr_mean"))
        measured += f"; 90 % intervals hold {held:.1f} % (plain {plain:.1f} %); FDR {false:.1f} %"
        measured += f"; {entry['seconds_mean']:.0f} s"
    tested = f"{entry['tested']} of {body['n_compounds']} tested, {body['n_seeds']} seeds"
    return Figure(f"{name}, {entry['strategy']}, {tested}", measured, _BARS[name], f"python -m bench.replays {name}")


if __name__ == "__main__":
    print(markdown(figures(tuple(sys.argv[1:]) or tuple(_SETS))))
