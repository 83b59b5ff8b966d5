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
from nextplate.errors import ModelFileError, StepError

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
    "propose": "protocols",
}
"""Folder of the lab each step writes to, and so the list of steps."""

RECORD, CARD = "record.json", "card.json"
"""What vouches for a step's folder, and for a belief's."""
_RETURNED = ("key", "outputs", "summary")
"""What a record tells those who asked for the step."""
_REPAIR = (
    "put it back from a copy, or go back to an earlier belief (nextplate model list, nextplate model rollback ROUND), "
    "and answer retry"
)

Progress = Callable[[int, int], None]
StepFunction = Callable[[Mapping[str, Path], Mapping[str, Any], Path, Progress], Mapping[str, Any]]
"""(inputs, params, output folder, progress) -> summary of JSON values; everything it returns and every file it
writes depends on inputs and parameters alone."""


def run_step(
    lab: Path, step: str, inputs: Mapping[str, str], params: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Run a step, or find that it was run before; where its record or a file was lost or cut since, it is run again.

    Returns:
        folder (relative to the lab), key, outputs (file name -> sha256) and summary; of a step that was run again its
        notes end with why.

    Raises:
        StepError: an unknown step, or an input that is missing or was altered since a step wrote it.
        ModelFileError: a belief among the inputs was altered. Other NextplateErrors come from the step itself.
    """
    if step not in HOMES:
        raise StepError(f"no step is called {step!r}; known: {', '.join(HOMES)}")
    paths = {name: lab / path for name, path in inputs.items()}
    key = step_key(step, paths, params)
    folder = lab / HOMES[step] / f"{step}-{key[:16]}"
    record = folder / RECORD
    if (lack := _what_lacks(folder)) is not None:
        for path in paths.values():
            check_unaltered(path)
        with full_disk_named(folder):
            _run(step, key, paths, inputs, params, folder, progress, lack)
    return {"folder": folder.relative_to(lab).as_posix(), **{name: _recorded(record, name) for name in _RETURNED}}


def _what_lacks(folder: Path) -> str | None:
    """Say what keeps a step's folder from standing for a run: '' where there is none yet, None where it is whole.

    Files are held against the sizes that the record tells, which is cheap; their digests are compared when a step
    reads them (``check_unaltered``). A record that is damaged vouches for nothing.
    """
    record = folder / RECORD
    if not folder.exists():
        return ""
    if not record.exists():
        return f"{RECORD} was missing"
    try:
        body = {name: _recorded(record, name) for name in _RETURNED}
    except StepError:
        return f"{RECORD} was cut short or altered"
    if body["outputs"] is None or body["summary"] is None:
        return f"{RECORD} was cut short or altered"
    # Records of before sizes were kept name their files alone.
    sizes = _sizes(record) or dict.fromkeys(body["outputs"])
    return next((lack for name, size in sizes.items() if (lack := _lack(folder / name, name, size))), None)


def _sizes(record: Path) -> dict[str, int | None]:
    found = json.loads(record.read_text(encoding="utf-8")).get("sizes")
    return dict(found) if isinstance(found, dict) else {}


def _lack(path: Path, name: str, size: int | None) -> str:
    if not path.is_file():
        return f"{name} was missing"
    return f"{name} was cut short or altered" if size is not None and path.stat().st_size != size else ""


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
    lack: str,
) -> None:
    """Run a step into a hidden folder and put that in place; ``lack`` says why again, '' for the first time."""
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        function: StepFunction = import_module(f"controller.steps.{step}").run
        started = time.perf_counter()
        summary = _with_note(function(paths, params, scratch, progress), lack)
        seconds = time.perf_counter() - started
        outputs = {f.relative_to(scratch).as_posix(): _digest_file(f) for f in _vouched(scratch)}
        record = {
            "step": step,
            "key": key,
            "inputs": dict(inputs),
            "params": dict(params),
            "code": code_digest(),
        }
        record |= {"outputs": outputs, "summary": summary, "seconds": f"{seconds:.3f}"}
        files = sorted(f for f in scratch.rglob("*") if f.is_file())
        record["sizes"] = {f.relative_to(scratch).as_posix(): f.stat().st_size for f in files}
        write_text(scratch / RECORD, json.dumps(record, indent=1, sort_keys=True))
        sync_folder(scratch)
        if _what_lacks(folder) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
            sync_entry(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _with_note(summary: Mapping[str, Any], lack: str) -> dict[str, Any]:
    return {**summary, **({"notes": [*summary.get("notes", ()), f"run again: {lack}"]} if lack else {})}


def digest_path(path: Path) -> str:
    """Digest a file, or a folder's file names and contents; the digest of a step's folder is its key.

    Raises:
        StepError: nothing is there, or the record of a step's folder is damaged.
    """
    if path.is_file():
        return _digest_file(path)
    if not path.is_dir():
        raise StepError(f"input {path} is missing; it was moved or deleted since it was made")
    record = path / RECORD
    if record.exists():
        key: str = _recorded(record, "key")
        return key
    card = path / CARD
    if card.exists():
        return _digest_file(card)
    sums = "".join(f"{_digest_file(f)} {f.relative_to(path)}\n" for f in sorted(path.rglob("*")) if f.is_file())
    return hashlib.sha256(sums.encode()).hexdigest()


def _vouched(folder: Path) -> list[Path]:
    """List the files that a step's record vouches for: its own, and cards of beliefs, which vouch for theirs."""
    own = [f for f in folder.iterdir() if f.is_file() and f.name != RECORD]
    return sorted([*own, *folder.glob(f"*/{CARD}")])


def check_unaltered(path: Path) -> None:
    """Check that an input is what the step that made it wrote; what no step made is taken as it is.

    Args:
        path: a step's folder, or a file in one; beliefs in the folder are checked file by file.

    Raises:
        StepError: a file of it is missing, cut short or altered.
        ModelFileError: a file of a belief is, or there is one too many.
    """
    folder = path if path.is_dir() else path.parent
    if not (folder / RECORD).exists():
        return
    outputs: Mapping[str, str] = _recorded(folder / RECORD, "outputs")
    for name in outputs if path.is_dir() else (path.name,):
        _check_output(folder / name, outputs.get(name))


def _recorded(record: Path, what: str) -> Any:
    try:
        return json.loads(record.read_text(encoding="utf-8"))[what]
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(f"{record}: was cut short or altered ({error}); {_REPAIR}") from error


def _check_output(path: Path, sha256: str | None) -> None:
    if not path.is_file():
        raise StepError(f"{path}: is missing; {_REPAIR}")
    if sha256 is not None and _digest_file(path) != sha256:
        size = path.stat().st_size
        raise StepError(f"{path}: was cut short or altered since its step wrote it ({size} bytes); {_REPAIR}")
    if path.name == CARD:
        # Loaded only where there is a belief: workers of other steps need no models.
        from nextplate.models.storage import read_card

        try:
            read_card(path.parent)
        except ModelFileError as error:
            raise ModelFileError(f"{error} ({_REPAIR})") from error


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
