"""A convolution whose result is only looked at through a max-pool, with the gradient that follows from it.

The last convolution of a branch is pooled over windows of 2^(6-n) pixels: at full resolution one value in 4096 goes on,
so all but one in 4096 entries of its gradient are zero. A framework multiplies the zeros; here the patches that won are
gathered and multiplied, which is the same sum. Of the 77 GMAC that training on a 1024 x 1280 x 3 image takes, 22 are
such zeros.
"""

from typing import Any

import torch
from torch.nn import functional

SPARSE_FROM = 8
"""Window side from which gathering beats the dense gradient."""
_MOST_VALUES = 1 << 27
"""Values of gathered patches held on a GPU."""


def pooled_convolution(x: Any, weight: Any, bias: Any, window: int) -> Any:
    """Return max_pool(conv(x)) with 'same' padding; a rest at the edges is a smaller window.

    Args:
        x: shape (n, channels, height, width).
        weight: shape (out, channels, k, k), k odd.
        bias: shape (out,).
        window: side and stride of the pool, in pixels.
    """
    if window < SPARSE_FROM or not torch.is_grad_enabled():
        return _pooled(functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2), window)
    return _PooledConvolution.apply(x, weight, bias, window)


def _pooled(z: Any, window: int) -> Any:
    return functional.max_pool2d(z, window, ceil_mode=True) if window > 1 else z


class _PooledConvolution(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Forward as the framework does it; backward over the winners alone."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, window: int) -> Any:
        kind = _autocast_type(x)
        x, weight, bias = x.to(kind), weight.to(kind), bias.to(kind)
        z = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        pooled, winner = functional.max_pool2d(z, window, ceil_mode=True, return_indices=True)
        ctx.save_for_backward(x, weight, winner)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> tuple[Any, Any, Any, None]:
        x, weight, winner = ctx.saved_tensors
        k, n_in, n_out = weight.shape[-1], weight.shape[1], weight.shape[0]
        place, g = _places(x, winner, k), gradient.flatten(2).float()
        rows = _padded_rows(x, k)
        flat = weight.permute(0, 2, 3, 1).reshape(n_out, k * k, n_in).float()
        d_rows = torch.zeros(rows.shape, dtype=torch.float32, device=x.device)
        d_flat = torch.zeros_like(flat)
        for part in _parts(x, place[0].numel() * n_in):
            patches = _joined(rows[part])[_joined_places(place[part], rows.shape[1])]  # (n, out, cells, k * k, in)
            d_flat += torch.einsum("noc,nocpi->opi", g[part], patches.float())
            spread = g[part][..., None, None] * flat[:, None]
            target = _joined_places(place[part], rows.shape[1]).reshape(-1)
            _joined(d_rows[part]).index_add_(0, target, spread.reshape(-1, n_in))
        d_weight = d_flat.reshape(n_out, k, k, n_in).permute(0, 3, 1, 2).contiguous()
        return _unpadded(d_rows, x, k).to(x.dtype), d_weight, g.sum((0, 2)), None


def _parts(x: Any, per_image: int) -> list[slice]:
    """Cut a batch so that the patches of a part fit: in a CPU's cache one image, in a GPU's memory many."""
    n = 1 if x.device.type == "cpu" else max(1, _MOST_VALUES // per_image)
    return [slice(start, start + n) for start in range(0, len(x), n)]


def _joined(rows: Any) -> Any:
    """View rows of several images as rows of one."""
    return rows.reshape(-1, rows.shape[-1])


def _joined_places(place: Any, n_rows: int) -> Any:
    """Count places over the images of a part."""
    return place + (torch.arange(len(place), device=place.device) * n_rows)[:, None, None, None]


def _autocast_type(x: Any) -> Any:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _padded_rows(x: Any, k: int) -> Any:
    """Return pixels as rows of channels with a rim of zeros: (n, (h + k - 1) * (w + k - 1), channels)."""
    half = k // 2
    return functional.pad(x, (half, half, half, half)).permute(0, 2, 3, 1).flatten(1, 2)


def _places(x: Any, winner: Any, k: int) -> Any:
    """Return the row of every pixel under the kernel at each winner: (n, out, cells, k * k)."""
    width = x.shape[-1]
    wide = width + k - 1
    index = winner.flatten(2)
    corner = torch.div(index, width, rounding_mode="floor") * wide + index % width
    steps = torch.arange(k, device=x.device)
    return corner[..., None] + (steps[:, None] * wide + steps).reshape(-1)


def _unpadded(rows: Any, x: Any, k: int) -> Any:
    n, c, height, width = x.shape
    half = k // 2
    image = rows.reshape(n, height + k - 1, width + k - 1, c)[:, half : half + height, half : half + width]
    return image.permute(0, 3, 1, 2)
