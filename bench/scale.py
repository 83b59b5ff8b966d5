"""A million distinct compounds: enumerated, featurised, opened, predicted, scored and picked from.

Each cycle runs in a process of its own, so that its peak of memory is its own: the resident pages (VmHWM), of mapped
files too. The truth of the labels is a synthetic one, Crippen log P less a fiftieth of the polar surface, and noise as
wide: with less noise auto leans on one kind alone. Others may be at work: seconds by the clock, beside them the
processor's and the load of the machine. ``python -m bench.scale 1_000_000`` measures a tenth, three tenths and the
whole.

The library lies in a folder of the system's temporary one, 1.9 GB a million, and is removed when all is measured;
``python -m bench.scale 1_000_000 FOLDER`` keeps it. Interrupted, the next run goes on where this one was, and a cycle
that was measured is not measured again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import Figure, markdown

KINDS = ("lightgbm", "auto")
N_LABELS, N_PICKS = 1_000, 384
QUICK = 100_000
_FAR = 10_000_000
_BYTES_EACH = 3_000
_N_RAW = 1_500


def figures(n: int = QUICK, out: Path | None = None) -> list[Figure]:
    """Measure libraries of n compounds, and of a tenth and three tenths where n is above 100,000.

    Args:
        n: compounds.
        out: folder that is kept; None: one that is removed when everything is measured.
    """
    folder = out or Path(tempfile.gettempdir()) / "nextplate-scale"
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < n * _BYTES_EACH:
        need = f"{n * _BYTES_EACH / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} are free"
        return [Figure(f"{n:,} compounds", "skipped", need, f"python -m bench.scale {n} FOLDER")]
    library = make_library(n, folder)
    sizes = [n] if n <= QUICK else [n // 10, 3 * n // 10, n]
    taken = {kind: [measured(library, size, kind) for size in sizes] for kind in KINDS}
    command = f"python -m bench.scale {n}"
    found = [_featurised(library, command)]
    found += [_figure(kind, facts, command) for kind in KINDS for facts in taken[kind]]
    found += [_growth(kind, taken[kind], command) for kind in KINDS if len(sizes) > 1]
    found += [_agreement(measured(library, n, "agreement"), command)] if n > QUICK else []
    if out is None:
        shutil.rmtree(folder)
    return found


def make_library(n: int, out: Path) -> Path:
    """Enumerate and featurise a library, go on with one that was begun, or find it; give its feature folder."""
    from nextplate.chem.enumeration import write_library

    folder, source = out / f"features-{n}", out / f"{n}.csv"
    if not (folder / "card.json").exists():
        if not source.exists():
            write_library(source, n, seed=1)
        facts = _featurise(source, folder, n)
        (out / f"{folder.name}.json").write_text(json.dumps(facts), encoding="utf-8")
        source.unlink()
    return folder


def _featurise(source: Path, folder: Path, n: int) -> dict[str, Any]:
    """Featurise in one pass, rdkit's plain loop five times in between, and count distinct structures."""
    from bench.chem import _raw_features
    from nextplate.chem.stream import stream_library

    raw = _Raw([line.split(",")[1] for line in _some_lines(source, n)], _raw_features)
    raw.measure()
    before, started = os.times(), time.perf_counter()
    result = stream_library(source, lambda _: folder, folder.parent, with_alerts=False, progress=raw.now_and_then)
    cpu_s = sum(os.times()[:4]) - sum(before[:4]) - raw.spent_s
    wall_s = time.perf_counter() - started - raw.spent_s
    raw.measure()
    repeats = [issue.text for issue in result.issues if issue.kind == "same-structure"]
    return {
        "n": n, "n_here": raw.n_here(n), "cpu_s": cpu_s, "wall_s": wall_s, "raw_rates": raw.rates,
        "repeats": repeats, "load": os.getloadavg()[1],
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
    }  # fmt: skip


def _some_lines(source: Path, n: int) -> list[str]:
    step = max(1, n // _N_RAW)
    with source.open(encoding="utf-8") as file:
        return [line.strip() for i, line in enumerate(file) if i and i % step == 0][:_N_RAW]


class _Raw:
    """rdkit's plain loop over a sample, timed before, after and at every quarter of another piece of work."""

    def __init__(self, smiles: Sequence[str], loop: Any) -> None:
        self._smiles, self._loop = smiles, loop
        self.rates: list[float] = []
        self.spent_s = 0.0
        self._first: int | None = None
        self._quarter = 0

    def measure(self) -> float:
        started = time.process_time()
        self._loop(self._smiles)
        took = time.process_time() - started
        self.rates.append(len(self._smiles) / took)
        return took

    def now_and_then(self, done: int, of: int) -> None:
        if self._first is None:
            self._first, self._quarter = done, 4 * done // of
        if 0 < 4 * done // of != self._quarter < 3:
            self._quarter = 4 * done // of
            self.spent_s += self.measure()

    def n_here(self, n: int) -> int:
        """Rows featurised by this process: an interrupted one did the others."""
        return n if self._first is None else n - self._first + 500


def measured(library: Path, n: int, kind: str) -> dict[str, Any]:
    """Run a cycle over the first n compounds of a library in a process of its own, or find it measured."""
    kept = library.parent / f"{library.name}.{kind}.{n}.json"
    if not kept.exists():
        command = [sys.executable, "-m", "bench.scale", "cycle", str(library), str(n), kind]
        kept.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout, encoding="utf-8")
    facts: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return facts


def cycle(library: Path, n: int, name: str) -> dict[str, Any]:
    """Open a library, learn 1,000 labels, predict n compounds, score, pick a plate: seconds of each, and the peak."""
    from nextplate.acquisition import choose_batch, score
    from nextplate.chem.folder import load_features
    from nextplate.models import kind_of
    from nextplate.models.funnel import predict_all
    from nextplate.prediction import Prediction

    clock = _Clock()
    features = _first(load_features(library), n)
    clock.lap("open")
    rng = np.random.default_rng(1)
    rows, y = _labels(features, rng)
    kind = kind_of(name)
    belief = kind.fit(features, rows, y, None, 1)
    clock.lap("fit")
    found = predict_all(kind, belief, features, lambda screen: screen.fit(features, rows, y, None, 1), seed=1)
    mean, spread = found.mean, found.spread
    clock.lap("predict")
    lower, upper, p_hit = mean - spread, mean + spread, np.full(n, 0.5)
    prediction = Prediction(features.compound_ids, mean, spread, lower, upper, 0.9, p_hit)
    scores = score("ucb", prediction, float(y.max()), rng)
    available = np.ones(n, dtype=bool)
    available[rows] = False
    batch = choose_batch(
        scores,
        prediction,
        features,
        available=available,
        n_picks=N_PICKS,
        rng=rng,
        diversity_weight=0.1,
        tested_fingerprints=np.asarray(features.fingerprints[rows]),
        exploit_from=found.in_full,
        explore_from=found.by_lot,
    )
    clock.lap("score and pick")
    assert len({pick.compound_id for pick in batch.picks}) == N_PICKS
    notes = [*belief.notes[:1], *found.notes, *batch.notes]
    facts = {"n": n, "seconds": clock.seconds, "cpu_s": clock.cpu_s(), "peak_mb": _peak_mb()}
    return {**facts, "load": os.getloadavg()[0], "notes": notes}


def _labels(features: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    rows = np.sort(rng.choice(len(features.compound_ids), N_LABELS, replace=False))
    known = dict(zip(features.descriptor_names, np.asarray(features.descriptors[rows]).T, strict=True))
    return rows, known["log_p"] - known["polar_surface_a2"] / 50 + rng.normal(0, 1.5, N_LABELS)


def agreement(library: Path, n: int) -> dict[str, Any]:
    """Predict n compounds by auto in two stages and in one, and count the picks that are the same."""
    from nextplate.chem.folder import load_features
    from nextplate.models import kind_of, predict_library
    from nextplate.models.funnel import predict_all

    features = _first(load_features(library), n)
    rows, y = _labels(features, np.random.default_rng(1))
    kind = kind_of("auto")
    belief = kind.fit(features, rows, y, None, 1)
    clock = _Clock()
    found = predict_all(kind, belief, features, lambda screen: screen.fit(features, rows, y, None, 1), seed=1)
    clock.lap("two stages")
    mean, spread = predict_library(kind, belief, features)
    clock.lap("one stage")
    same = {}
    for name, beta in (("mean", 0.0), ("mean plus spread", 1.0)):
        passed = np.where(found.in_full, found.mean + beta * found.spread, -np.inf)
        best = [set(np.argpartition(-score, N_PICKS)[:N_PICKS]) for score in (passed, mean + beta * spread)]
        same[name] = len(best[0] & best[1])
    return {"n": n, "seconds": clock.seconds, "same": same, "notes": [belief.notes[0], *found.notes]}


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


def _featurised(library: Path, command: str) -> Figure:
    """Compare with rdkit's loop while the work was under way: two busy cores are slower, each, than one."""
    facts = json.loads((library.parent / f"{library.name}.json").read_text(encoding="utf-8"))
    first, *between, last = facts["raw_rates"]
    rate, raw = facts["n_here"] / facts["cpu_s"], float(np.mean(between or [first, last]))
    alone = (first + last) / 2
    distinct = "all structures distinct" if not facts["repeats"] else "; ".join(facts["repeats"])
    return Figure(
        f"{facts['n']:,} enumerated compounds featurised in one pass, 2 processes",
        f"{rate:.0f} compounds/s per core, {facts['wall_s'] / 60:.1f} min by the clock, load {facts['load']:.1f}; "
        f"{facts['bytes'] / 1e6:.0f} MB; {distinct}",
        f"rdkit's plain loop, {len(between)} times in between: {raw:.0f} /s ({rate / raw:.0%}; bound: 80 %); "
        f"before and after, the other core free: {alone:.0f} /s ({rate / alone:.0%})",
        command,
    )


def _figure(kind: str, facts: dict[str, Any], command: str) -> Figure:
    laps = ", ".join(f"{name} {s:.1f}" for name, s in facts["seconds"].items())
    total = sum(facts["seconds"].values())
    return Figure(
        f"{kind}: {facts['n']:,} compounds, {N_LABELS:,} labels, {N_PICKS} picks",
        f"{total:.0f} s, never above {facts['peak_mb']:.0f} MB, at a load of {facts['load']:.1f}",
        f"{laps}; {facts['cpu_s']:.0f} s of processor. Bound: 60 s on 2 cores and 2,000 MB at 1,000,000. "
        + "; ".join(facts["notes"]),
        command,
    )


def _agreement(facts: dict[str, Any], command: str) -> Figure:
    same = ", ".join(f"{count} by {name}" for name, count in facts["same"].items())
    return Figure(
        f"auto: the best {N_PICKS} of {facts['n']:,} in two stages that are the best in one",
        same,
        f"{facts['seconds']['two stages']:.0f} s against {facts['seconds']['one stage']:.0f} s. "
        + "; ".join(facts["notes"]),
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
        library, n, kind = Path(arguments[1]), int(arguments[2]), arguments[3]
        print(json.dumps(agreement(library, n) if kind == "agreement" else cycle(library, n, kind)))
    else:
        n = int((arguments or [str(QUICK)])[0].replace("_", ""))
        print(markdown(figures(n, Path(arguments[1]) if len(arguments) > 1 else None)))


if __name__ == "__main__":
    main(sys.argv[1:])
