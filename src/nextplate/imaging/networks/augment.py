"""Views of a field that mean the same: flips, quarter turns, crops."""

from typing import Any

import numpy as np
import numpy.typing as npt


def random_view(pixels: npt.NDArray[Any], crop_px: int | None, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return a random crop, turned and flipped at random; a view of the pixels, nothing is copied.

    Args:
        pixels: shape (height, width, channels).
        crop_px: side of the square cut out; None: the whole field. A field that is not square is then only flipped
            and turned by half, so that a batch keeps one size. At most the shorter side.
        rng: decides; draws the same number of values whatever the size.
    """
    top, left, quarters, is_flipped = rng.random(4)
    if crop_px is not None:
        pixels = cropped(pixels, crop_px, top, left)
    is_square = pixels.shape[0] == pixels.shape[1]
    n_quarters = int(4 * quarters) if is_square else 2 * int(2 * quarters)
    turned = np.rot90(pixels, n_quarters)
    return turned[:, ::-1] if is_flipped < 0.5 else turned


def cropped(pixels: npt.NDArray[Any], crop_px: int, top: float, left: float) -> npt.NDArray[Any]:
    """Cut out a square; `top` and `left` are shares (0 to 1) of the room there is."""
    side = min(crop_px, pixels.shape[0], pixels.shape[1])
    y = int(top * (pixels.shape[0] - side + 1))
    x = int(left * (pixels.shape[1] - side + 1))
    return pixels[y : y + side, x : x + side]
