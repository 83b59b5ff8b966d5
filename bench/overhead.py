"""From the last image on disk to the next protocol, proven: stage by stage, in the demo's second and third night.

A 384-well plate of the simulated microscope (768 images of 540 x 540 px) and the 10,000 compounds of the WEHI set; two
processor cores. The end is the record of the step that proves the protocol, the beginning the last image's time.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.demos import OUT, run_demo
from bench.table import Figure
from controller.lab import open_lab
from controller.state import LabState, fold
from controller.step import run_step
from controller.store import open_store

STAGES = {
    "read and measure": ("measure",), "QC, normalise": ("normalise",), "labels met": ("evaluate",),
    "model fit": ("fit",), "calibrate, gates": ("calibrate",), "pick": ("pick",), "layout": ("layout",),
    "compile": ("compile",), "prove": ("check",),
}  # fmt: skip
AFTER_IMAGES = ("measure", "normalise", "evaluate")
"""Of the round before."""
_WHOLE = "last image on disk to protocol proven, 384 wells, 10,000 compounds, after one / two plates"
_COMMAND = "python -m bench.run overhead"


def figures() -> Sequence[Figure]:
    """Measure."""
    run_demo(OUT / "overhead", 1)
    return measured((OUT / "overhead").resolve())


def measured(folder: Path) -> Sequence[Figure]:
    """Measure a demo of three rounds that has ended; the third night's steps are run once more for their CPU time."""
    load = os.getloadavg()[0]
    with open_store(open_lab(folder).database) as store:
        state = fold(store.events())
    rounds = [_stages(folder, state, number) for number in (1, 2)]
    whole = [_whole_s(folder, state, number) for number in (1, 2)]
    rest = [w - sum(r.values()) for w, r in zip(whole, rounds, strict=True)]
    cpu = {name: sum(_cpu_s(folder, state, task) for task in tasks) for name, tasks in STAGES.items()}
    return [
        Figure(
            _WHOLE, f"{_both(whole)} (load {load:.0f})", f"at most 60 s; {sum(cpu.values()):.1f} s of CPU", _COMMAND
        ),
        *(Figure(name, _both([r[name] for r in rounds]), f"{cpu[name]:.2f} s of CPU", _COMMAND) for name in STAGES),
        Figure("loop, devices' moves, start of workers", _both(rest), "-", _COMMAND),
    ]


def _cpu_s(folder: Path, state: LabState, task: str) -> float:
    """Run a step of the third night again, in this process; return the processor's seconds, children's among them."""
    key = state.latest_key(task, 2 - (task in AFTER_IMAGES))
    action = state.intents[key].action
    shutil.rmtree(_made(folder, state, task, 2))
    before = os.times()
    run_step(folder, action["step"], action["inputs"], action["params"], lambda _done, _of: None)
    return sum(os.times()[:4]) - sum(before[:4])


def _stages(folder: Path, state: LabState, number: int) -> dict[str, float]:
    return {name: sum(_seconds(folder, state, task, number) for task in tasks) for name, tasks in STAGES.items()}


def _seconds(folder: Path, state: LabState, task: str, number: int) -> float:
    record = json.loads((_made(folder, state, task, number) / "record.json").read_text(encoding="utf-8"))
    return float(record["seconds"])


def _made(folder: Path, state: LabState, task: str, number: int) -> Path:
    outcome = state.outcome(task, number - (task in AFTER_IMAGES))
    if outcome is None:
        raise LookupError(f"round {number + 1} of the demo has no {task}")
    return folder / str(outcome.result["folder"])


def _whole_s(folder: Path, state: LabState, number: int) -> float:
    acquired = state.outcome("acquire", number - 1)
    images: Any = (folder / str(acquired.result["folder"])).rglob("*.TIF") if acquired else ()
    ready = (_made(folder, state, "check", number) / "record.json").stat().st_mtime
    return ready - max(image.stat().st_mtime for image in images)


def _both(seconds: Sequence[float]) -> str:
    return f"{' / '.join(f'{s:.2f}' for s in seconds)} s"
