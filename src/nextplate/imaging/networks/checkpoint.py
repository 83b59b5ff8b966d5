"""A training that was stopped goes on: weights and optimiser in safetensors, the rest in JSON, no pickle.

A checkpoint is a folder ``step-000123`` that is renamed into place when whole; the one before is removed after that.
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from nextplate.errors import DataError

FORMAT = "nextplate-checkpoint-1"
_NAME = re.compile(r"^step-(\d+)$")


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a training is."""

    step: int
    """Steps done."""
    losses: tuple[float, ...]
    """Of every step done, over all workers."""


def write_checkpoint(folder: Path, module: Any, optimiser: Any, done: Progressed, recipe: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all, and remove older ones.

    Args:
        folder: of the checkpoints.
        module: the network, not wrapped.
        optimiser: of torch.optim, over the module's parameters in order.
        done: how far.
        recipe: what must be equal to go on; goes into the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, scratch = folder / f"step-{done.step:06d}", folder / f".step-{done.step:06d}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    weights = save(_tensors(module, optimiser))
    body = {
        "format": FORMAT,
        "step": done.step,
        "losses": list(done.losses),
        "recipe": recipe,
        "optimiser": _scalars(optimiser),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    _write_synced(scratch / "state.safetensors", weights)
    _write_synced(scratch / "state.json", (json.dumps(body, sort_keys=True) + "\n").encode())
    shutil.rmtree(target, ignore_errors=True)
    scratch.replace(target)
    for path in _checkpoints(folder):
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def read_checkpoint(folder: Path, module: Any, optimiser: Any, recipe: dict[str, Any]) -> Progressed:
    """Bring module and optimiser to where the newest checkpoint left them; step 0 without one.

    Raises:
        DataError: the checkpoint is damaged, or was made with another recipe or other data.
    """
    found = _checkpoints(folder)
    if not found:
        return Progressed(0, ())
    path = found[-1]
    try:
        body = json.loads((path / "state.json").read_text())
        raw = (path / "state.safetensors").read_bytes()
        if body["format"] != FORMAT or hashlib.sha256(raw).hexdigest() != body["sha256"]:
            raise DataError(f"{path}: was altered, or is of another version; remove it to start anew")
        _agree(path, body["recipe"], recipe)
        tensors = load(raw)
        _restore(module, optimiser, tensors, body["optimiser"])
        return Progressed(int(body["step"]), tuple(float(v) for v in body["losses"]))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be used ({error}); remove it to start anew") from error


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    named = [(int(m[1]), p) for p in folder.iterdir() if (m := _NAME.match(p.name))]
    return [path for _, path in sorted(named)]


def _agree(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = sorted(k for k in wanted.keys() | found.keys() if found.get(k) != wanted.get(k))
    if differing:
        first = differing[0]
        raise DataError(
            f"{path}: was made with {first} = {found.get(first)}, now it is {wanted.get(first)}; "
            "give the same, or another folder"
        )


def _tensors(module: Any, optimiser: Any) -> dict[str, Any]:
    tensors = {f"network.{name}": value for name, value in module.state_dict().items()}
    for i, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{key}": v for key, v in values.items() if torch.is_tensor(v)}
    # safetensors stores contiguous memory; the network is made channels_last again on loading.
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _scalars(optimiser: Any) -> dict[str, dict[str, float]]:
    """Return what of the optimiser's state is no tensor."""
    state = optimiser.state_dict()["state"]
    return {str(i): {k: v for k, v in values.items() if isinstance(v, int | float)} for i, values in state.items()}


def _restore(module: Any, optimiser: Any, tensors: dict[str, Any], scalars: dict[str, dict[str, float]]) -> None:
    weights = {n.removeprefix("network."): v for n, v in tensors.items() if n.startswith("network.")}
    module.load_state_dict(weights, strict=True)
    state: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in scalars.items()}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimiser":
            i, _, key = rest.partition(".")
            state.setdefault(int(i), {})[key] = value
    full = optimiser.state_dict()
    optimiser.load_state_dict({"state": state, "param_groups": full["param_groups"]})


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
