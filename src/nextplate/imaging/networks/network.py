"""A trained network and all that is needed to use it; a folder on disk, read without pickle."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from nextplate import __version__
from nextplate.errors import DataError, DiskFull, ModelError, NextplateError
from nextplate.imaging.networks.architecture import Architecture, n_parameters
from nextplate.imaging.networks.mcnn import MCnn
from nextplate.imaging.networks.normalisation import Normalisation

FORMAT = "nextplate-network-1"


@dataclass(frozen=True, slots=True)
class Network:
    """Whole-image network: pixels of a field in, embedding and class or response out."""

    module: MCnn
    """On the CPU, channels_last."""
    channels: tuple[str, ...]
    """In the order the network wants them."""
    target: str
    """The column it learned."""
    classes: tuple[str, ...] | None
    """None: it predicts a response."""
    response_scale: tuple[float, float]
    """(mean, standard deviation): response = mean + sd * output. (0, 1) for classes."""
    normalisation: Normalisation
    binning: int
    data_digest: str
    """Of the fields and labels it was trained on."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    """The recipe and what else made it."""

    @property
    def architecture(self) -> Architecture:
        """The shape of the network."""
        return self.module.architecture


def save_network(network: Network, folder: Path) -> None:
    """Write card.json and weights.safetensors to a new folder, whole or not at all.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    if folder.exists():
        raise ModelError(f"{folder}: exists already; a network is never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(scratch, ignore_errors=True)
    weights = save({n: v.detach().cpu().contiguous() for n, v in network.module.state_dict().items()})
    try:
        scratch.mkdir()
        _write(scratch / "weights.safetensors", weights)
        text = json.dumps(card_of(network, weights), indent=1, sort_keys=True)
        _write(scratch / "card.json", f"{text}\n".encode())
        scratch.replace(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{folder}: the disk is full; free some space and save again") from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def card_of(network: Network, weights: bytes) -> dict[str, Any]:
    """Return the card that vouches for the weights."""
    return {
        "format": FORMAT,
        "nextplate": __version__,
        "torch": torch.__version__,
        "architecture": asdict(network.architecture),
        "n_parameters": n_parameters(network.architecture),
        "channels": list(network.channels),
        "target": network.target,
        "classes": None if network.classes is None else list(network.classes),
        "response_scale": list(network.response_scale),
        "normalisation": asdict(network.normalisation),
        "binning": network.binning,
        "data_digest": network.data_digest,
        "metrics": {k: float(v) if np.isfinite(v) else None for k, v in network.metrics.items()},
        "training": dict(network.training),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a network; torch is not asked.

    Raises:
        DataError: no network is there, or its card is damaged.
    """
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give the folder of a trained network") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; train the network again")
    return card


def load_network(folder: Path) -> Network:
    """Read a network and check the weights against the card.

    Raises:
        DataError: a file is missing, altered, or of another format.
    """
    card = read_card(folder)
    path = folder / "weights.safetensors"
    try:
        weights = path.read_bytes()
        if hashlib.sha256(weights).hexdigest() != card["sha256"]:
            raise DataError(f"{path}: was altered since the network was saved; train it again")
        architecture = _architecture(card["architecture"])
        module = MCnn(architecture)
        module.load_state_dict(load(weights), strict=True)
        return Network(
            module=module.to(memory_format=torch.channels_last).eval(),
            channels=tuple(card["channels"]),
            target=str(card["target"]),
            classes=None if card["classes"] is None else tuple(card["classes"]),
            response_scale=(float(card["response_scale"][0]), float(card["response_scale"][1])),
            normalisation=Normalisation(**card["normalisation"]),
            binning=int(card["binning"]),
            data_digest=str(card["data_digest"]),
            metrics=card["metrics"],
            training=card["training"],
        )
    except NextplateError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder}: cannot be used ({type(error).__name__}: {error}); train the network again"
        ) from error


def _architecture(body: Mapping[str, Any]) -> Architecture:
    size = body.get("field_px")
    return Architecture(**{**body, "field_px": tuple(size) if size is not None else None})


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
