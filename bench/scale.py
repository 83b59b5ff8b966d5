"""A million compounds: a library opened, predicted, scored and picked from, with the time and the memory it took.

Each step runs in a process of its own, so that its peak of memory is its own: the resident pages (VmHWM), of mapped
files too. The truth of the labels is a synthetic one, Crippen log P less a fiftieth of the polar surface with noise;
how well it is learned is no matter here. Others may be at work: seconds by the clock, and beside them the processor's.
``python -m bench.scale 1_000_000`` measures a tenth, three tenths and the whole.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import Figure, markdown

OUT = Path("bench-out") / "scale"
KINDS = ("lightgbm", "gp")
N_LABELS, N_PICKS = 1_000, 384
QUICK = 100_000
_FAR = 10_000_000


def figures(n: int = QUICK, out: Path = OUT) -> list[Figure]:
    """Measure libraries of n compounds, and of a tenth and three tenths where n is above 100,000."""
    sizes = [n] if n <= QUICK else [n // 10, 3 * n // 10, n]
    library = make_library(n, out)
    taken = {kind: [measured(library, size, kind) for size in sizes] for kind in KINDS}
    command = f"python -m bench.scale {n}"
    return [_figure(kind, facts, command) for kind in KINDS for facts in taken[kind]] + [
        _growth(kind, taken[kind], command) for kind in KINDS if len(sizes) > 1
    ]


def make_library(n: int, out: Path) -> Path:
    """Enumerate and featurise a library, or find the one made before; give its feature folder."""
    from nextplate.chem.enumeration import write_library
    from nextplate.chem.stream import stream_library

    folder = out / f"features-{n}"
    if not (folder / "card.json").exists():
        write_library(out / f"{n}.csv", n, seed=1)
        stream_library(out / f"{n}.csv", lambda _: folder, out, with_alerts=False)
    return folder


def measured(library: Path, n: int, kind: str) -> dict[str, Any]:
    """Run a cycle over the first n compounds of a library in a process of its own."""
    command = [sys.executable, "-m", "bench.scale", "cycle", str(library), str(n), kind]
    facts: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return facts


def cycle(library: Path, n: int, name: str) -> dict[str, Any]:
    """Open a library, learn 1,000 labels, predict n compounds, score, pick a plate: seconds of each, and the peak."""
    from nextplate.acquisition import choose, score
    from nextplate.chem.folder import load_features
    from nextplate.models import kind_of, predict_library
    from nextplate.prediction import Prediction

    clock = _Clock()
    features = _first(load_features(library), n)
    clock.lap("open")
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(n, N_LABELS, replace=False))
    known = dict(zip(features.descriptor_names, np.asarray(features.descriptors[rows]).T, strict=True))
    y = known["log_p"] - known["polar_surface_a2"] / 50 + rng.normal(0, 0.3, N_LABELS)
    kind = kind_of(name)
    belief = kind.fit(features, rows, y, None, 1)
    clock.lap("fit")
    mean, spread = predict_library(kind, belief, features)
    clock.lap("predict")
    lower, upper, p_hit = mean - spread, mean + spread, np.full(n, 0.5)
    prediction = Prediction(features.compound_ids, mean, spread, lower, upper, 0.9, p_hit)
    scores = score("ucb", prediction, float(y.max()), rng)
    available = np.ones(n, dtype=bool)
    available[rows] = False
    picks = choose(
        scores,
        prediction,
        features,
        available=available,
        n_picks=N_PICKS,
        rng=rng,
        diversity_weight=0.1,
        tested_fingerprints=np.asarray(features.fingerprints[rows]),
    )
    clock.lap("score and pick")
    assert len({pick.compound_id for pick in picks}) == N_PICKS
    return {"n": n, "seconds": clock.seconds, "cpu_s": clock.cpu_s(), "peak_mb": _peak_mb()}


class _Clock:
    def __init__(self) -> None:
        self._last, self.seconds = time.perf_counter(), dict[str, float]()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now

    def cpu_s(self) -> float:
        """Processor seconds of this process, imports included."""
        return sum(os.times()[:2])


def _first(features: Any, n: int) -> Any:
    """Cut a library to its first n compounds; the arrays stay mapped."""
    from dataclasses import replace

    if n == len(features.compound_ids):
        return features
    arrays = {name: getattr(features, name)[:n] for name in ("fingerprints", "descriptors", "counts", "pairs")}
    return replace(features, compound_ids=features.compound_ids[:n], smiles=features.smiles[:n], **arrays)


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _figure(kind: str, facts: dict[str, Any], command: str) -> Figure:
    laps = ", ".join(f"{name} {s:.1f}" for name, s in facts["seconds"].items())
    total = sum(facts["seconds"].values())
    return Figure(
        f"{kind}: {facts['n']:,} compounds, {N_LABELS:,} labels, {N_PICKS} picks",
        f"{total:.0f} s, never above {facts['peak_mb']:.0f} MB",
        f"{laps}; {facts['cpu_s']:.0f} s of processor. Bound: 60 s on 2 cores and 2,000 MB at 1,000,000",
        command,
    )


def _growth(kind: str, facts: list[dict[str, Any]], command: str) -> Figure:
    """Fit a straight line to the processor seconds, and say how far it is off and where it leads."""
    n, cpu = (np.array([f[key] for f in facts], dtype=float) for key in ("n", "cpu_s"))
    slope, start = np.polyfit(n, cpu, 1)
    off = float(np.max(np.abs(start + slope * n - cpu) / cpu))
    mb = np.polyfit(n, [f["peak_mb"] for f in facts], 1)
    return Figure(
        f"{kind}: growth from {int(n[0]):,} to {int(n[-1]):,} compounds",
        f"{start:.1f} s + {slope * 1e6:.0f} s per million, of processor; no point further off than {off:.0%}",
        f"10 M, extrapolated and not measured: {start + slope * _FAR:.0f} s of processor, "
        f"{(mb[1] + mb[0] * _FAR) / 1e3:.1f} GB",
        command,
    )


def main(arguments: list[str]) -> None:
    """Measure one cycle for ``measured``, or all figures."""
    if arguments[:1] == ["cycle"]:
        print(json.dumps(cycle(Path(arguments[1]), int(arguments[2]), arguments[3])))
    else:
        print(markdown(figures(*[int(a.replace("_", "")) for a in arguments[:1]])))


if __name__ == "__main__":
    main(sys.argv[1:])
