"""What an M-CNN costs: weights and arithmetic, counted from its shape without running it."""

from math import ceil

from nextplate.imaging.networks.mcnn import GRID_PX, SCALES, McnnShape

_TAPS = 25
"""Of a 5x5 kernel."""


def n_parameters(shape: McnnShape) -> int:
    """Count weights and biases."""
    branches = sum(_branch_weights(shape.n_channels, SCALES[n]) for n in shape.branches)
    mix = _dense(sum(SCALES[n] for n in shape.branches), shape.n_mixed)
    return branches + mix + _dense(shape.n_flat, shape.n_embedding) + _dense(shape.n_embedding, shape.n_outputs)


def forward_gflop(shape: McnnShape, height_px: int, width_px: int) -> float:
    """Count the arithmetic of one field forward, in 10^9 operations; a multiply-add is two.

    Pools, ReLU and biases are left out, as is usual; they are below 2 %.
    """
    return 2e-9 * (sum(_branch_macs(shape, n, height_px, width_px) for n in shape.branches) + _head_macs(
        shape, ceil(height_px / GRID_PX) * ceil(width_px / GRID_PX)
    ))  # fmt: skip


def training_gflop(shape: McnnShape, height_px: int, width_px: int) -> float:
    """Count forward and backward of one field: three times the forward, less the gradient of the pixels.

    The first convolution of each branch has no input that needs a gradient.
    """
    spared = sum(_first_macs(shape, n, height_px, width_px) for n in shape.branches)
    return 3 * forward_gflop(shape, height_px, width_px) - 2e-9 * spared


def _dense(n_in: int, n_out: int) -> int:
    return n_in * n_out + n_out


def _branch_weights(n_in: int, n_out: int) -> int:
    return _dense(_TAPS * n_in, n_out) + 2 * _dense(_TAPS * n_out, n_out)


def _first_macs(shape: McnnShape, n: int, height_px: int, width_px: int) -> int:
    pixels = ceil(height_px / (1 << n)) * ceil(width_px / (1 << n))
    return pixels * _TAPS * shape.n_channels * SCALES[n]


def _branch_macs(shape: McnnShape, n: int, height_px: int, width_px: int) -> int:
    pixels = ceil(height_px / (1 << n)) * ceil(width_px / (1 << n))
    return _first_macs(shape, n, height_px, width_px) + 2 * pixels * _TAPS * SCALES[n] * SCALES[n]


def _head_macs(shape: McnnShape, n_cells: int) -> int:
    mixed = sum(SCALES[n] for n in shape.branches) * shape.n_mixed * n_cells
    return mixed + (shape.n_flat + shape.n_outputs) * shape.n_embedding
