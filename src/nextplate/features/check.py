"""Images fit to be measured, or an error that says which is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

Image = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]
"""Shape (h, w)."""


def checked_channels(channels: Mapping[str, Image], shape: tuple[int, ...] | None = None) -> None:
    """Refuse channels of unlike shapes, of other than real numbers, or with values that are not finite.

    `shape` is that of the label image; None: that of the first channel.

    Raises:
        DataError: names the channel and what is wrong with it.
    """
    for name, image in channels.items():
        shape = image.shape if shape is None else shape
        if image.ndim != 2 or image.shape != shape:
            raise DataError(f"channel {name} has shape {image.shape}, expected {shape}: all must be of the same field")
        if image.dtype.kind not in "uif":
            raise DataError(f"channel {name} holds {image.dtype}, not whole or real numbers")
        if image.dtype.kind == "f" and not np.isfinite(image).all():
            n_bad = int((~np.isfinite(image)).sum())
            raise DataError(f"channel {name} has {n_bad} pixels that are NaN or infinite; measure a field without them")
