"""The shape of the multi-scale network and what it costs, in numbers, without torch.

M-CNN of Godinez, Hossain, Lazic, Davies, Zhang 2017 (doi 10.1093/bioinformatics/btx069): seven branches look at the
whole field at 1/1, 1/2 .. 1/64 of its size, three 5x5 convolutions each, and are pooled to one grid of 1/64. Godinez
flattens that grid, which fixes the field size and puts 98 % of all weights in one layer; here its mean is the default.
"""

from dataclasses import dataclass, replace
from typing import Literal

from nextplate.errors import ModelError

Head = Literal["mean", "flatten"]

BRANCH_CHANNELS = (16, 16, 16, 32, 32, 32, 64)
"""Channels of branch n, which sees the field at 1 / 2^n."""
GRID = 64
"""Pixels of the field in one cell of the common grid, along each side."""
KERNEL = 5
DEPTH = 3
"""Convolutions per branch."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A multi-scale network."""

    n_channels: int
    """Of the images."""
    n_outputs: int
    """Classes, or 1 for regression on a response."""
    head: Head = "mean"
    """'mean': the mean over the grid, any field size. 'flatten': as published, for fields of `field_px` alone."""
    field_px: tuple[int, int] | None = None
    """(height, width); needed by 'flatten', None otherwise."""
    mixed: int = 1024
    """Channels after the 1x1 convolution over all branches."""
    hidden: int = 512
    """Width of the fully connected layer, which is also that of the embedding; 0 (with 'mean'): none, the embedding
    is the mean itself."""
    first_branch: int = 0
    """1 leaves the full-resolution branch out: 3.5 times less to compute."""

    def __post_init__(self) -> None:
        """Refuse a network that cannot be built."""
        if self.n_channels < 1 or self.n_outputs < 1 or self.mixed < 1 or self.hidden < 0:
            raise ModelError(f"a network needs channels, outputs and widths of at least 1: {self}")
        if self.first_branch not in (0, 1):
            raise ModelError(f"first_branch is {self.first_branch}; it can be 0 or 1")
        if self.head not in ("mean", "flatten"):
            raise ModelError(f"head is {self.head!r}; it can be mean or flatten")
        if self.head == "flatten" and (self.field_px is None or self.hidden == 0):
            raise ModelError("head flatten needs field_px and a hidden layer: its first weights fit one field size")
        if self.field_px is not None and min(self.field_px) < GRID:
            raise ModelError(f"field_px is {self.field_px}; a field has at least {GRID} pixels along each side")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each branch, full resolution first."""
        return BRANCH_CHANNELS[self.first_branch :]

    @property
    def n_joined(self) -> int:
        """Channels of all branches together: 208, or 192 without the first."""
        return sum(self.channels)

    @property
    def n_features(self) -> int:
        """Length of the embedding."""
        return self.hidden or self.mixed

    def with_outputs(self, n_outputs: int) -> "Architecture":
        """Return the same network for another number of outputs."""
        return replace(self, n_outputs=n_outputs)


def n_parameters(architecture: Architecture) -> int:
    """Count the weights and biases."""
    a = architecture
    branches = sum(_conv(a.n_channels, c) + (DEPTH - 1) * _conv(c, c) for c in a.channels)
    joined = a.n_joined * a.mixed + a.mixed
    hidden = (_n_pooled(a) + 1) * a.hidden
    return branches + joined + hidden + (a.n_features + 1) * a.n_outputs


def forward_gflop(architecture: Architecture, height: int, width: int) -> float:
    """Return the floating point operations of one image forward, in 10^9; a multiply-add counts two.

    Convolutions and matrix products alone, padding pixels not counted apart, height and width in pixels. Training
    takes three times this with dense gradients (twice for the first convolutions, whose input needs none).
    """
    a = architecture
    macs = sum(branch_macs(a, n, height, width) for n in range(a.first_branch, len(BRANCH_CHANNELS)))
    cells = grid_cells(height) * grid_cells(width)
    macs += cells * a.n_joined * a.mixed + a.n_features * a.n_outputs + _n_pooled(a) * a.hidden
    return 2e-9 * macs


def branch_macs(architecture: Architecture, branch: int, height: int, width: int) -> int:
    """Count the multiply-adds of one branch on one image."""
    c = BRANCH_CHANNELS[branch]
    step = 1 << branch
    pixels = -(-height // step) * -(-width // step)
    return pixels * KERNEL**2 * (architecture.n_channels * c + (DEPTH - 1) * c * c)


def grid_cells(n_px: int) -> int:
    """Count the cells of the common grid along a side; a rest of fewer than 64 pixels is a cell too."""
    return -(-n_px // GRID)


def _conv(n_in: int, n_out: int) -> int:
    return KERNEL**2 * n_in * n_out + n_out


def _n_pooled(a: Architecture) -> int:
    """Return the number of values that enter the hidden layer."""
    if a.head == "mean" or a.field_px is None:
        return a.mixed
    rows, columns = (max(grid_cells(n) // 2, 1) for n in a.field_px)
    return rows * columns * a.mixed
