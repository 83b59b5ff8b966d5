"""How the network learns: optimiser, learning rate over time, loss."""

from dataclasses import dataclass
from math import cos, pi
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from nextplate.errors import DataError
from nextplate.imaging.networks.targets import Targets, balanced_weights

Optimiser = Literal["adamw", "sgd"]


@dataclass(frozen=True, slots=True)
class TrainParams:
    """How to train; everything that decides the weights beside the data."""

    epochs: int = 60
    batch_size: int = 32
    """Fields of one process and step."""
    learning_rate: float = 1e-3
    """At its height, for one process; it grows with the number of processes (Goyal et al. 2017)."""
    optimiser: Optimiser = "adamw"
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 5e-4
    warmup_epochs: float = 3.0
    clip_norm: float = 5.0
    """Largest norm of a step's gradient."""
    label_smoothing: float = 0.0
    is_balanced: bool = True
    """Weigh classes so that each counts alike."""
    crop_px: int | None = None
    """Side of the crops trained on, after downscaling; None: whole fields."""
    precision: str = "auto"
    """float32, bfloat16, or auto: bfloat16 where the hardware has it."""
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise DataError("training needs at least one epoch, one field a batch and a learning rate above 0")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise DataError(f"there is no precision {self.precision!r}; there are auto, float32, bfloat16")
        if self.optimiser not in ("adamw", "sgd"):
            raise DataError(f"there is no optimiser {self.optimiser!r}; there are adamw, sgd")


def rate_at(step: int, n_steps: int, n_warmup: int, peak: float) -> float:
    """Return the learning rate of a step: a straight rise, then half a cosine down to 0 (Loshchilov 2017)."""
    if step < n_warmup:
        return peak * (step + 1) / n_warmup
    return peak * 0.5 * (1 + cos(pi * (step - n_warmup) / max(1, n_steps - n_warmup)))


def make_optimiser(parameters: Any, params: TrainParams) -> Any:
    """Make the optimiser; its rate is set before every step."""
    if params.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=params.learning_rate, momentum=params.momentum, weight_decay=params.weight_decay
        )
    return torch.optim.AdamW(parameters, lr=params.learning_rate, weight_decay=params.weight_decay)


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a batch, and how good it is in words people use."""

    targets: Targets
    weights: Any
    """Tensor (classes,); None for responses or equal weights."""
    smoothing: float

    def __call__(self, outputs: Any, rows: Any) -> tuple[Any, Any]:
        """Return (mean loss, sum of what counts as good): hits of classes, or squared standardised errors."""
        truth = torch.from_numpy(self.targets.values[rows]).to(outputs.device, non_blocking=True)
        if self.targets.task == "classes":
            loss = F.cross_entropy(outputs, truth, weight=self.weights, label_smoothing=self.smoothing)
            return loss, (outputs.argmax(dim=1) == truth).sum()
        return F.mse_loss(outputs, truth), F.mse_loss(outputs.detach(), truth, reduction="none").mean(dim=1).sum()


def make_loss(targets: Targets, rows: Any, params: TrainParams, device: str) -> Loss:
    """Make the loss of the fields that train."""
    is_weighted = targets.task == "classes" and params.is_balanced
    weights = torch.from_numpy(balanced_weights(targets, np.asarray(rows))).to(device) if is_weighted else None
    return Loss(targets, weights, params.label_smoothing)
