"""Steps: functions from named inputs to files, run once per content key.

The key is the sha256 of the step's name, the digests of its inputs, its parameters and the digest of the code.
A step's folder appears whole, by one rename, or not at all; its record.json is the lineage.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from controller.files import full_disk_named, sync_entry, sync_folder, write_text
from nextplate.errors import StepError

HOMES = {
    "fit": "models",
    "calibrate": "models",
    "evaluate": "models",
    "measure": "measurements",
    "normalise": "measurements",
    "pick": "protocols",
    "layout": "protocols",
    "compile": "protocols",
    "check": "protocols",
}
"""Folder of the lab each step writes to, and so the list of steps."""

Progress = Callable[[int, int], None]
StepFunction = Callable[[Mapping[str, Path], Mapping[str, Any], Path, Progress], Mapping[str, Any]]
"""(inputs, params, output folder, progress) -> summary of JSON values; everything it returns and every file it
writes depends on inputs and parameters alone."""


def run_step(
    lab: Path, step: str, inputs: Mapping[str, str], params: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Run a step, or find that it was run before.

    Returns:
        folder (relative to the lab), key, outputs (file name -> sha256) and summary.

    Raises:
        StepError: an unknown step or a missing input. Other NextplateErrors come from the step itself.
    """
    if step not in HOMES:
        raise StepError(f"no step is called {step!r}; known: {', '.join(HOMES)}")
    paths = {name: lab / path for name, path in inputs.items()}
    key = step_key(step, paths, params)
    folder = lab / HOMES[step] / f"{step}-{key[:16]}"
    record = folder / "record.json"
    if not record.exists():
        with full_disk_named(folder):
            _run(step, key, paths, inputs, params, folder, progress)
    body = json.loads(record.read_text())
    return {
        "folder": folder.relative_to(lab).as_posix(),
        **{k: body[k] for k in ("key", "outputs", "summary")},
    }


def step_key(step: str, inputs: Mapping[str, Path], params: Mapping[str, Any]) -> str:
    """Digest what decides a step's outputs."""
    digests = {name: digest_path(path) for name, path in inputs.items()}
    body = {"step": step, "inputs": digests, "params": dict(params), "code": code_digest()}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _run(
    step: str,
    key: str,
    paths: Mapping[str, Path],
    inputs: Mapping[str, str],
    params: Mapping[str, Any],
    folder: Path,
    progress: Progress,
) -> None:
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        function: StepFunction = import_module(f"controller.steps.{step}").run
        started = time.perf_counter()
        summary = function(paths, params, scratch, progress)
        seconds = time.perf_counter() - started
        outputs = {f.name: _digest_file(f) for f in sorted(scratch.iterdir()) if f.is_file()}
        record = {
            "step": step,
            "key": key,
            "inputs": dict(inputs),
            "params": dict(params),
            "code": code_digest(),
        }
        record |= {"outputs": outputs, "summary": dict(summary), "seconds": f"{seconds:.3f}"}
        write_text(scratch / "record.json", json.dumps(record, indent=1, sort_keys=True))
        sync_folder(scratch)
        if not (folder / "record.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
            sync_entry(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def digest_path(path: Path) -> str:
    """Digest a file, or a folder's file names and contents; the digest of a step's folder is its key.

    Raises:
        StepError: nothing is there.
    """
    if path.is_file():
        return _digest_file(path)
    if not path.is_dir():
        raise StepError(f"input {path} is missing; it was moved or deleted since it was made")
    record = path / "record.json"
    if record.exists():
        key: str = json.loads(record.read_text())["key"]
        return key
    card = path / "card.json"
    if card.exists():
        return _digest_file(card)
    sums = "".join(f"{_digest_file(f)} {f.relative_to(path)}\n" for f in sorted(path.rglob("*")) if f.is_file())
    return hashlib.sha256(sums.encode()).hexdigest()


def _digest_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@cache
def code_digest() -> str:
    """Digest the source of everything a step may run: the science, the protocols and the steps themselves."""
    digest = hashlib.sha256()
    for package in ("nextplate", "protocols", "controller.steps"):
        root = Path(str(resources.files(package)))
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".j2")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
