"""BBBC013 through the command line, as a user would: read, segment, measure, normalise, judge.

``NEXTPLATE_DATA=../shared python -m bench.run bbbc013``
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.rooms import OUT
from bench.table import Figure

COMMAND = "python -m bench.run bbbc013"
PATTERN = r"images/Channel(?P<channel>\d)-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"
NAMES = ("--channel", "1=FKHR-GFP", "--channel", "2=DNA")


def figures() -> list[Figure]:
    """Measure the plate three times anew and once more from what is there."""
    root = Path(os.environ.get("NEXTPLATE_DATA", "../shared")) / "images" / "bbbc013"
    if not root.is_dir():
        return [Figure("BBBC013", f"not measured: {root} is not there; set NEXTPLATE_DATA", "-", COMMAND)]
    runs = [_run(root, is_new=True) for _ in range(3)]
    body, wall_s = min(runs, key=lambda run: run[1])
    _, again_s = _run(root, is_new=False)
    plain, plain_s = _run(root, "--features", "none", is_new=True)
    return [
        Figure(
            "BBBC013, 192 images: read, segment, measure, normalise, QC, 2 threads",
            f"{body['seconds']:.1f} s; with start-up {wall_s:.1f} s (best of 3)", "at most 6 s", COMMAND,
        ),
        Figure("the same without features", f"{plain['seconds']:.1f} s; with start-up {plain_s:.1f} s", "-", COMMAND),
        Figure("the same once more: nothing is measured twice", f"{again_s:.1f} s with start-up", "-", COMMAND),
        Figure(f"Z', readout {body['readout']}", _z(body), "script of 20 lines 0.73 (0.84 / 0.74 by series)", COMMAND),
        Figure("Z' of the median log2 ratio", f"{body['z_prime_by_readout']['nc_ratio']:.3f}", "-", COMMAND),
        *(Figure(f"EC index of {d['compound_id']}", _midpoint(d), "-", COMMAND) for d in body["dose_response"]),
    ]  # fmt: skip


def _run(root: Path, *more: str, is_new: bool) -> tuple[dict[str, Any], float]:
    out = OUT / "bbbc013"
    if is_new:
        shutil.rmtree(out, ignore_errors=True)
    script = Path(sys.executable).with_name("nextplate")
    command = [script, "measure", root, "--layout", root / "layout.csv", "--pattern", PATTERN, *NAMES, "--out", out]
    started = time.perf_counter()
    done = subprocess.run([*map(str, command), *more, "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout), time.perf_counter() - started


def _z(body: dict[str, Any]) -> str:
    ends = body["intervals"]["z_prime"]
    series = " / ".join(f"{found['z_prime']:.2f}" for found in body["series"].values())
    return f"{body['z_prime']:.3f} ({ends[0]:.3f} to {ends[1]:.3f}) pooled; {series} by series"


def _midpoint(row: dict[str, Any]) -> str:
    return f"{row['midpoint']:.2f} ({row['midpoint_low']:.2f} to {row['midpoint_high']:.2f}), {row['verdict']}"
