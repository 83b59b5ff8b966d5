"""Grey channels to one picture: a colour for each, one contrast for a whole plate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_GAMMA = 0.8
Rgb = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]
DNA, REPORTER = (0.30, 0.42, 1.0), (0.22, 1.0, 0.38)
WHITE = (1.0, 1.0, 1.0)
_OTHERS: tuple[Colour, ...] = (REPORTER, (1.0, 0.25, 0.75), (1.0, 0.72, 0.15), (0.25, 0.9, 0.95), (1.0, 0.3, 0.2))
_NUCLEAR = ("dna", "dapi", "hoechst", "draq", "nucle", "h2b")


@dataclass(frozen=True, slots=True)
class Contrast:
    """Counts shown as black and as white, of one channel."""

    black: float
    white: float


def is_nuclear(channel: str) -> bool:
    """Tell a nuclear stain by its name."""
    return any(word in channel.lower() for word in _NUCLEAR)


def colours_of(channels: Sequence[str]) -> tuple[Colour, ...]:
    """Give every channel a colour: blue to the nuclear stain, the others in order; a single channel is white."""
    if len(channels) == 1:
        return (WHITE,)
    blue = next((i for i, name in enumerate(channels) if is_nuclear(name)), None)
    others = iter(_OTHERS * len(channels))
    return tuple(DNA if i == blue else next(others) for i in range(len(channels)))


def mixed(pixels: Sequence[npt.NDArray[np.generic]], contrast: Sequence[Contrast], colours: Sequence[Colour]) -> Rgb:
    """Colour channels of shape (height, width) and add them; shape (height, width, 3)."""
    shown = np.stack([_scaled(p, c) for p, c in zip(pixels, contrast, strict=True)], axis=-1)
    sum_: Rgb = (255 * np.clip(shown @ np.array(colours), 0, 1)).astype(np.uint8)
    return sum_


def _scaled(pixels: npt.NDArray[np.generic], contrast: Contrast) -> npt.NDArray[np.float64]:
    share = (pixels.astype(np.float64) - contrast.black) / (contrast.white - contrast.black)
    scaled: npt.NDArray[np.float64] = np.clip(share, 0, 1) ** _GAMMA
    return scaled
