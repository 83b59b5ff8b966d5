"""A trained network on disk: card.json and weights.safetensors. No pickle."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from nextplate import __version__
from nextplate.errors import DataError, ModelError
from nextplate.imaging.networks.mcnn import Mcnn, McnnShape, make_mcnn
from nextplate.imaging.networks.scaling import SCALINGS, Scaling
from nextplate.imaging.networks.targets import Targets, Task

FORMAT = "nextplate-network-1"
_NEEDED = frozenset(("shape", "task", "names", "channels", "downscale", "scaling", "data_digest", "metrics", "sha256"))


@dataclass(frozen=True, slots=True)
class Card:
    """What has to be known to use a network."""

    shape: McnnShape
    task: Task
    names: tuple[str, ...]
    """Class names, or names of the responses, in the order of the outputs."""
    channels: tuple[str, ...]
    downscale: int
    scaling: Scaling
    data_digest: str
    """Of the pixels it was trained on."""
    metrics: Mapping[str, float | None]
    mean: tuple[float, ...] = ()
    """Of each response in its own unit; empty for classes."""
    spread: tuple[float, ...] = ()
    params: Mapping[str, Any] | None = None
    """How it was trained."""


def card_of(shape: McnnShape, targets: Targets, channels: tuple[str, ...], downscale: int, scaling: Scaling,
            data_digest: str, metrics: Mapping[str, float | None], params: Mapping[str, Any]) -> Card:  # fmt: skip
    """Make the card of a trained network."""
    return Card(
        shape, targets.task, targets.names, channels, downscale, scaling, data_digest, metrics,
        targets.mean, targets.spread, params,
    )  # fmt: skip


def save_network(network: Mcnn, card: Card, folder: Path) -> None:
    """Write a network to a new folder, whole or not at all.

    Raises:
        ModelError: the folder exists.
    """
    if folder.exists():
        raise ModelError(f"{folder}: exists already; a network is never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        data = save({name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()})
        _write(scratch / "weights.safetensors", data)
        body = {"format": FORMAT, "nextplate": __version__, "torch": torch.__version__, **asdict(card)}
        body["sha256"] = hashlib.sha256(data).hexdigest()
        _write(scratch / "card.json", (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_network(folder: Path) -> tuple[Mcnn, Card]:
    """Read a network and check its weights against the card.

    Raises:
        DataError: a file is missing, altered, or of another format.
    """
    body = read_card(folder)
    card = _card(body, folder)
    path = folder / "weights.safetensors"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != body["sha256"]:
            raise DataError(f"{path}: was altered since the network was saved; train it again")
        network = make_mcnn(card.shape, 0)
        network.load_state_dict(load(data))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be used ({error}); train the network again") from error
    return network.eval(), card


def read_card(folder: Path) -> Mapping[str, Any]:
    """Read a network's card as JSON.

    Raises:
        DataError: it is missing, or of another format.
    """
    path = folder / "card.json"
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); name the folder of a trained network") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; train the network again")
    if missing := _NEEDED - body.keys():
        raise DataError(f"{path}: lacks {', '.join(sorted(missing))}; train the network again")
    return body


def _card(body: Mapping[str, Any], folder: Path) -> Card:
    try:
        shape = McnnShape.from_card(body["shape"])
        if body["scaling"] not in SCALINGS or body["task"] not in ("classes", "response"):
            raise ValueError(f"scaling {body['scaling']!r}, task {body['task']!r}")
        return Card(
            shape, body["task"], tuple(body["names"]), tuple(body["channels"]), int(body["downscale"]),
            body["scaling"], str(body["data_digest"]), dict(body["metrics"]), tuple(body.get("mean", ())),
            tuple(body.get("spread", ())), body.get("params"),
        )  # fmt: skip
    except (TypeError, ValueError, ModelError) as error:
        raise DataError(f"{folder / 'card.json'}: cannot be used ({error}); train the network again") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
