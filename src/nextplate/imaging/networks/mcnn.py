"""The multi-scale convolutional network M-CNN of Godinez et al. 2017 (Bioinformatics 33:2010, btx069).

The whole field goes in. Seven branches look at it at scales 1, 1/2 .. 1/64, each through three 5x5 convolutions; all
land on one grid of 1/64, where a 1x1 convolution mixes them. The layer sizes are those of the re-implementation of
Hofmarcher et al. 2019 (J. Chem. Inf. Model. 59:1163).

Different from the paper, and why:

- `head="mean"` averages the grid before the fully connected layer: 1.2 M instead of 42.6 M weights, and fields of
  any size. `head="flatten"` is the paper's, for one size.
- Pools round up, so the last rows and columns count where a side is not a multiple of 64. Rounding up twice is
  rounding up once: ceil(ceil(H / 2^n) / 2^(6 - n)) = ceil(H / 64), so all branches still meet on one grid.
- The input is halved branch by branch and ReLU follows the pool: the same numbers, as both commute with a maximum.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from nextplate.errors import ModelError

SCALES = (16, 16, 16, 32, 32, 32, 64)
"""Channels of the branch at scale 1 / 2^n."""
GRID_PX = 64
"""Pixels of the field, per side, that one cell of the common grid stands for."""
_CONVOLUTIONS, _KERNEL_PX = 3, 5
Head = Literal["mean", "flatten"]


@dataclass(frozen=True, slots=True)
class McnnShape:
    """What decides the layers of an M-CNN."""

    n_channels: int
    n_outputs: int
    head: Head = "mean"
    size_px: tuple[int, int] | None = None
    """Height and width of every field, for the flatten head; None with the mean head."""
    has_full_resolution: bool = True
    """False drops branch 0, which is 72 % of the arithmetic."""
    n_mixed: int = 1024
    """Channels after the 1x1 convolution."""
    n_embedding: int = 512
    """Width of the fully connected layer, which is also the embedding."""

    def __post_init__(self) -> None:
        """Refuse sizes that no network has."""
        if min(self.n_channels, self.n_outputs, self.n_mixed, self.n_embedding) < 1:
            raise ModelError(f"a network needs at least one channel, output and unit; these are {asdict(self)}")
        if (self.head == "flatten") != (self.size_px is not None):
            raise ModelError("the flatten head needs the size of its fields, and only it; or take head='mean'")

    @property
    def branches(self) -> tuple[int, ...]:
        """Return the scales n that are looked at, each 1 / 2^n."""
        return tuple(range(0 if self.has_full_resolution else 1, len(SCALES)))

    @property
    def n_flat(self) -> int:
        """Return the number of inputs of the fully connected layer."""
        if self.size_px is None:
            return self.n_mixed
        height, width = (ceil(ceil(side / GRID_PX) / 2) for side in self.size_px)
        return self.n_mixed * height * width

    @staticmethod
    def from_card(body: Mapping[str, Any]) -> "McnnShape":
        """Read it back from the JSON of `asdict`."""
        size = body.get("size_px")
        return McnnShape(**{**body, "size_px": None if size is None else (int(size[0]), int(size[1]))})


class Branch(nn.Module):  # type: ignore[misc]
    """Three 5x5 convolutions at one scale, and the pool down to the common grid."""

    def __init__(self, n_in: int, n_out: int, scale: int) -> None:
        super().__init__()
        widths = (n_in, *([n_out] * _CONVOLUTIONS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, _KERNEL_PX, padding=_KERNEL_PX // 2) for a, b in pairwise(widths)
        )
        self.pool_px = GRID_PX >> scale

    def forward(self, x: Any) -> Any:
        """Map (batch, channels in, h, w) to (batch, channels out, h / pool, w / pool)."""
        *first, last = self.convolutions
        for convolution in first:
            x = F.relu(convolution(x), inplace=True)
        return F.relu(pooled(last(x), self.pool_px), inplace=True)


class Mcnn(nn.Module):  # type: ignore[misc]
    """M-CNN: a batch of whole fields to (outputs, embeddings)."""

    def __init__(self, shape: McnnShape) -> None:
        super().__init__()
        self.shape = shape
        self.branches = nn.ModuleList(Branch(shape.n_channels, SCALES[n], n) for n in shape.branches)
        self.mix = nn.Conv2d(sum(SCALES[n] for n in shape.branches), shape.n_mixed, 1)
        self.hidden = nn.Linear(shape.n_flat, shape.n_embedding)
        self.output = nn.Linear(shape.n_embedding, shape.n_outputs)

    def forward(self, x: Any) -> tuple[Any, Any]:
        """Map (batch, channels, height, width) to outputs (batch, n_outputs) and embeddings (batch, n_embedding).

        Raises:
            ModelError: other channels than the network has, or with the flatten head another size.
        """
        embedding = F.relu(self.hidden(self.summary(F.relu(self.mix(self.grid(x)), inplace=True))))
        return self.output(embedding), embedding

    def grid(self, x: Any) -> Any:
        """Return every branch on the common grid, (batch, 208 with all branches, height / 64, width / 64)."""
        _check_input(self.shape, x)
        if not self.shape.has_full_resolution:
            x = pooled(x, 2)
        found = []
        for i, branch in enumerate(self.branches):
            x = pooled(x, 2) if i else x
            found.append(branch(x))
        return torch.cat(found, dim=1)

    def summary(self, mixed: Any) -> Any:
        """Return what the fully connected layer sees, (batch, n_flat)."""
        if self.shape.head == "mean":
            return mixed.mean(dim=(2, 3))
        return torch.flatten(pooled(mixed, 2), 1)


def make_mcnn(shape: McnnShape, seed: int) -> Mcnn:
    """Make a network with Xavier weights and zero biases (Glorot and Bengio 2010), the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Mcnn(shape)
        for name, weights in network.named_parameters():
            nn.init.zeros_(weights) if name.endswith("bias") else nn.init.xavier_uniform_(weights)
    return network


def pooled(x: Any, size_px: int) -> Any:
    """Take the maximum over tiles; the last tile may be cut by the edge."""
    return x if size_px == 1 else F.max_pool2d(x, size_px, ceil_mode=True)


def _check_input(shape: McnnShape, x: Any) -> None:
    _, channels, height, width = x.shape
    if channels != shape.n_channels:
        raise ModelError(f"the network takes {shape.n_channels} channels and was given {channels}")
    if shape.size_px is not None and (height, width) != shape.size_px:
        raise ModelError(f"the flatten head takes fields of {shape.size_px} px and was given {(height, width)}")
