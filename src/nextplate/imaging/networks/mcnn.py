"""The multi-scale network in PyTorch; see `nextplate.imaging.networks.architecture` for what it is.

Written for speed, with the same result: on both CPU and GPU tensors are channels_last; the last convolution of a branch
is pooled before its ReLU (max and ReLU commute, and the pooled grid is up to 4096 times smaller); branches are halved
from each other, which is the max-pool by 2^n; and gradients behind a pool are taken where they are not zero
(`pooled_convolution`).
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from nextplate.errors import ModelError
from nextplate.imaging.networks.architecture import (
    BRANCH_CHANNELS,
    DEPTH,
    GRID,
    KERNEL,
    Architecture,
    grid_cells,
    n_parameters,
)
from nextplate.imaging.networks.pooled_convolution import pooled_convolution

DEEPEST = len(BRANCH_CHANNELS) - 1


class _Branch(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Three convolutions at one scale, pooled to the common grid."""

    def __init__(self, n_channels: int, width: int, window: int) -> None:
        super().__init__()
        inputs = (n_channels, *([width] * (DEPTH - 1)))
        self.convolutions = nn.ModuleList(nn.Conv2d(n, width, KERNEL, padding=KERNEL // 2) for n in inputs)
        self.window = window

    def forward(self, x: Any) -> Any:
        for convolution in self.convolutions[:-1]:
            x = functional.relu_(convolution(x))
        last = self.convolutions[-1]
        return functional.relu(pooled_convolution(x, last.weight, last.bias, self.window))


class MCnn(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Maps images (n, channels, height, width), normalised, to (n, outputs) of logits or a response."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        levels = range(a.first_branch, DEEPEST + 1)
        self.branches = nn.ModuleList(_Branch(a.n_channels, BRANCH_CHANNELS[n], GRID >> n) for n in levels)
        self.mix = nn.Conv2d(a.n_joined, a.mixed, 1)
        n_pooled = a.mixed
        if a.head == "flatten":
            assert a.field_px is not None
            n_pooled *= math.prod(max(grid_cells(n) // 2, 1) for n in a.field_px)
        self.hidden = nn.Linear(n_pooled, a.hidden) if a.hidden else nn.Identity()
        self.output = nn.Linear(a.n_features, a.n_outputs)

    def forward(self, images: Any) -> Any:
        """Return logits, shape (n, outputs)."""
        return self.output(self.features(images))

    def features(self, images: Any) -> Any:
        """Return embeddings, shape (n, features), not negative.

        Raises:
            ModelError: fields of another size than a flatten head was made for, or smaller than a cell of the grid.
        """
        self._check(images)
        joined = torch.cat(self._grids(images), 1)
        mixed = functional.relu(self.mix(joined))
        if self.architecture.head == "mean":
            pooled = mixed.mean((2, 3))
        else:
            pooled = functional.max_pool2d(mixed, [min(2, n) for n in mixed.shape[2:]]).flatten(1)
        return functional.relu(self.hidden(pooled)) if self.architecture.hidden else pooled

    def _grids(self, images: Any) -> list[Any]:
        grids: list[Any] = []
        x = images
        for level in range(DEEPEST + 1):
            if level > 0:
                x = functional.max_pool2d(x, 2, ceil_mode=True)
            if level >= self.architecture.first_branch:
                grids.append(self.branches[level - self.architecture.first_branch](x))
        return grids

    def _check(self, images: Any) -> None:
        size = tuple(images.shape[2:])
        wanted = self.architecture.field_px if self.architecture.head == "flatten" else None
        if images.shape[1] != self.architecture.n_channels:
            raise ModelError(f"images of {images.shape[1]} channels; the network has {self.architecture.n_channels}")
        if wanted is not None and size != tuple(wanted):
            raise ModelError(f"a flatten head for fields of {wanted} pixels was given {size}; use the mean head")
        if min(size) < GRID:
            raise ModelError(f"fields of {size} pixels; the network needs at least {GRID} along each side")


def build(architecture: Architecture, rng: np.random.Generator) -> MCnn:
    """Return a network with Xavier-uniform weights (Glorot and Bengio 2010), zero biases, the same for the same rng.

    Its tensors are channels_last.
    """
    network = MCnn(architecture)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
    assert sum(p.numel() for p in network.parameters()) == n_parameters(architecture)
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return]
