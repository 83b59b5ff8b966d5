"""How soon the commands answer."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.table import Figure

N = 9


def figures() -> list[Figure]:
    """Time --help and status on a finished demo, or on an empty lab where there is none."""
    program = str(Path(sys.executable).with_name("nextplate"))
    lab = next((p for p in (Path("demo-lab"), Path("bench-out/demo-1")) if (p / "lab.toml").exists()), None)
    if lab is None:
        lab = Path("bench-out/empty")
        subprocess.run([program, "init", str(lab)], capture_output=True, check=True)
    commands = {"nextplate --help": [program, "--help"], "nextplate status": [program, "status", "--lab", str(lab)]}
    return [
        Figure(name, f"{_median(command):.2f} s (median of {N})", "< 0.5 s", "python -m bench.run startup")
        for name, command in commands.items()
    ]


def _median(command: list[str]) -> float:
    return statistics.median(_seconds(command) for _ in range(N))


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started
