"""Training that goes on after an interruption: weights and optimiser as safetensors, the rest as JSON.

`checkpoint.json` names the tensors' file and its digest and is renamed into place last, so a crash leaves the older
checkpoint whole. Nothing is pickled.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from nextplate.errors import DataError

FORMAT = "nextplate-checkpoint-1"
_NETWORK, _OPTIMISER = "network.", "optimiser."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where training stands."""

    key: str
    """Digest of everything that decides the outcome; another key is another training."""
    n_epochs: int
    """Finished."""
    history: tuple[Mapping[str, Any], ...]
    """One record per finished epoch."""


def write_checkpoint(folder: Path, found: Checkpoint, network: Any, optimiser: Any) -> None:
    """Write a checkpoint and drop the one before.

    Raises:
        OSError: no room; the older checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = save(_tensors(network, optimiser))
    name = f"epoch-{found.n_epochs}.safetensors"
    _write(folder / name, data)
    body = {
        "format": FORMAT,
        "key": found.key,
        "n_epochs": found.n_epochs,
        "history": list(found.history),
        "file": name,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    _write(folder / "checkpoint.json", (json.dumps(body, indent=1) + "\n").encode())
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def read_checkpoint(folder: Path, key: str, network: Any, optimiser: Any) -> Checkpoint | None:
    """Put network and optimiser where training stood; None when there is no checkpoint.

    Raises:
        DataError: it is of another training, damaged, or of another format.
    """
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    body = _body(path)
    if body["key"] != key:
        raise DataError(
            f"{folder} holds a training with other data or settings; remove it to begin anew, or name another --out"
        )
    tensors = _checked(folder / str(body["file"]), str(body["sha256"]))
    network.load_state_dict({n[len(_NETWORK) :]: t for n, t in tensors.items() if n.startswith(_NETWORK)})
    _restore(optimiser, {n[len(_OPTIMISER) :]: t for n, t in tensors.items() if n.startswith(_OPTIMISER)})
    return Checkpoint(key, int(body["n_epochs"]), tuple(body["history"]))


def _tensors(network: Any, optimiser: Any) -> dict[str, Any]:
    found = {_NETWORK + name: _plain(t) for name, t in network.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        found |= {f"{_OPTIMISER}{number}.{name}": _plain(t) for name, t in state.items() if t is not None}
    return found


def _plain(tensor: Any) -> Any:
    return tensor.detach().cpu().contiguous()


def _restore(optimiser: Any, tensors: Mapping[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = _like_weights(tensor)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _like_weights(tensor: Any) -> Any:
    """Lay the state of a convolution out as its weights are."""
    return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _body(path: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove {path.parent} and train again") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; remove {path.parent} and train again")
    return body


def _checked(path: Path, sha256: str) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DataError(f"{path}: was altered since it was written; remove {path.parent} and train again")
        return dict(load(data))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove {path.parent} and train again") from error


def _write(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
