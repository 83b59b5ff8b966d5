"""The demo as a whole: seconds, hits against baselines over five seeds, one journal per seed, and kill -9."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.table import Figure, spread

OUT = Path("bench-out")
SEEDS = (1, 2, 3, 4, 5)
N_KILLS = 20


def demo_command(folder: Path, seed: int) -> list[str]:
    """Name the command that a newcomer types, with JSON output."""
    return [str(Path(sys.executable).with_name("nextplate")), "demo", str(folder), "--seed", str(seed), "--json"]


def run_demo(folder: Path, seed: int) -> tuple[dict[str, Any], float]:
    """Run a demo from nothing; return what it printed and the seconds it took."""
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    done = subprocess.run(demo_command(folder, seed), capture_output=True, text=True, check=True)
    return json.loads(done.stdout), time.perf_counter() - started


def figures() -> list[Figure]:
    """Run five seeds; compare hits with random and similarity search as the simulator's referee counts them."""
    runs = {seed: run_demo(OUT / f"demo-{seed}", seed) for seed in SEEDS}
    summaries = [body["summary"] for body, _ in runs.values()]
    last = [s["hits"]["points"][-1] for s in summaries]
    ours, chance = [p["n_true"] for p in last], [p["random"]["value"] for p in last]
    similar = [p["similarity"]["value"] for p in last]
    factor = [o / c for o, c in zip(ours, chance, strict=True)]
    tested = spread([p["n_tested"] for p in last], 0)
    coverage = [100 * s["coverage"]["value"] for s in summaries]
    command = "python -m bench.run demos"
    return [
        Figure("`make demo`, 3 rounds of 384 wells", f"{spread([s for _, s in runs.values()])} s", "<= 120 s", command),
        Figure("compounds tested", tested, "of 10,000", command),
        Figure("true hits among them", spread(ours), f"random {spread(chance)}; 100 in the library", command),
        Figure("enrichment over random", f"{spread(factor)} x", ">= 3 x", command),
        Figure(
            "true hits, similarity search", spread(similar), f"ours {spread(ours)}; by seed {ours} : {similar}", command
        ),
        Figure("coverage of 90 % intervals, picked compounds", f"{spread(coverage)} %", "90 %", command),
    ]


def twice() -> list[Figure]:
    """Run one seed twice and compare the journals' last hashes."""
    hashes = [run_demo(OUT / f"twice-{n}", 1)[0]["journal_hash"] for n in range(2)]
    verdict = "equal" if hashes[0] == hashes[1] else "DIFFERENT"
    return [Figure("two runs of seed 1, journal hash", verdict, hashes[0][:16], "python -m bench.run twice")]


def kills() -> list[Figure]:
    """Kill the demo N_KILLS times at random moments and compare its end with an undisturbed run."""
    calm, seconds = run_demo(OUT / "calm", 1)
    folder = OUT / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(7)
    killed = 0
    while True:
        wait = rng.uniform(0.5, 1.6 * seconds / N_KILLS + 4) if killed < N_KILLS else None
        done = _run_until(folder, wait)
        if done is not None:
            break
        killed += 1
    verdict = "equal" if done["state_digest"] == calm["state_digest"] else "DIFFERENT"
    once = transfers_once(folder)
    command = "python -m bench.run kills"
    return [
        Figure(f"kill -9 at {killed} random moments, final state", verdict, "undisturbed run", command),
        Figure("transfers in the handler's own log", once, "each planned one exactly once", command),
        Figure("journal after the kills", _verify(folder), "hash chain intact", command),
    ]


def _run_until(folder: Path, wait_s: float | None) -> Mapping[str, Any] | None:
    """Run the demo; kill it with its workers' parent after wait_s; None when it was killed."""
    process = subprocess.Popen(demo_command(folder, 1), stdout=subprocess.PIPE, text=True)
    try:
        out, _ = process.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    if process.returncode:
        raise RuntimeError(f"the demo ended with {process.returncode}: {out}")
    body: dict[str, Any] = json.loads(out)
    return body


def transfers_once(folder: Path) -> str:
    """Compare the handler's own log with the protocols, transfer by transfer."""
    from controller.app import connect
    from controller.lab import open_lab
    from protocols.model import Protocol

    lab = open_lab(folder)
    hardware = connect(lab)
    try:
        log = hardware.simulated.log("handler") if hardware.simulated else ()
    finally:
        hardware.close()
    done = Counter((row["key"], row["transfer_id"]) for row in log)
    planned: set[tuple[str, int]] = set()
    for number, path in enumerate(sorted((folder / "protocols").glob("compile-*/protocol.json"), key=_barcode)):
        protocol = Protocol.from_json(path.read_text())
        for load in protocol.loads:
            planned |= {(f"first.r{number}.run-{load.index}", t.transfer_id) for t in load.transfers}
    right = done.keys() == planned and set(done.values()) == {1}
    return f"{len(log)} of {len(planned)} planned, {'each once' if right else 'WRONG'}"


def _barcode(path: Path) -> str:
    from protocols.model import Protocol

    return Protocol.from_json(path.read_text()).transfers[0].destination_plate


def _verify(folder: Path) -> str:
    command = [str(Path(sys.executable).with_name("nextplate")), "journal", "verify", "--lab", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "intact" if done.returncode == 0 and json.loads(done.stdout)["intact"] else "BROKEN"
