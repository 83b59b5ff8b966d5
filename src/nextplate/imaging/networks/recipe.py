"""How a network is trained, in numbers."""

import math
from dataclasses import dataclass, field
from typing import Literal

from nextplate.errors import ModelError
from nextplate.imaging.networks.augmentation import Augmentation

Optimiser = Literal["sgd", "adamw"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training; the same recipe, data and number of workers give the same network on a CPU."""

    n_epochs: int = 100
    batch: int = 32
    """Fields per step and worker."""
    optimiser: Optimiser = "adamw"
    """'sgd' with momentum, as Godinez 2017 (learning rate 1e-3, weight decay 5e-4), or AdamW."""
    learning_rate: float = 1e-3
    """At the peak, for one worker; with n workers n times this (Goyal et al. 2017, arXiv 1706.02677)."""
    momentum: float = 0.9
    """Of 'sgd'."""
    weight_decay: float = 5e-4
    warmup: float = 0.05
    """Share of all steps over which the rate rises linearly; then it falls as half a cosine to 0."""
    clip_norm: float = 5.0
    """Longest gradient; 0: not clipped."""
    label_smoothing: float = 0.0
    balances_classes: bool = True
    """Weigh classes inversely to their share."""
    precision: Precision = "auto"
    """'auto': bfloat16 where the machine multiplies it natively, else float32."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 1
    checkpoint_steps: int = 0
    """Steps between checkpoints; 0: one per epoch."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        if self.n_epochs < 1 or self.batch < 1 or self.learning_rate <= 0 or self.checkpoint_steps < 0:
            raise ModelError(
                "epochs and batch are at least 1, the learning rate above 0, checkpoint steps not negative"
            )
        if not 0 <= self.warmup < 1 or not 0 <= self.label_smoothing < 1:
            raise ModelError(f"warmup {self.warmup} and label smoothing {self.label_smoothing} lie in [0, 1)")
        if self.optimiser not in ("sgd", "adamw"):
            raise ModelError(f"optimiser is {self.optimiser!r}; it can be sgd or adamw")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ModelError(f"precision is {self.precision!r}; it can be auto, float32 or bfloat16")


def rate_at(step: int, n_steps: int, recipe: Recipe, n_workers: int) -> float:
    """Return the learning rate of a 0-based step."""
    peak = recipe.learning_rate * n_workers
    n_warm = round(recipe.warmup * n_steps)
    if step < n_warm:
        return peak * (step + 1) / n_warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(n_steps - n_warm, 1)))
