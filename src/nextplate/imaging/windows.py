"""Grey levels to show a plate's channels between, the same for every field, from real percentiles."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from nextplate.imaging.omezarr_meta import Window
from nextplate.imaging.omezarr_plan import FieldPlan
from nextplate.imaging.pixels import UnreadableImage, read_image
from nextplate.readout import FieldImage

_FEW, _MANY, _SHARE = 4, 12, 8
"""At least 4 fields and at most 12 are looked at; between, every eighth, as they are read twice."""
_LOW, _HIGH = 0.01, 0.999
_N_GREYS = 1 << 16

Histogram = npt.NDArray[np.int64]


def survey_windows(fields: Sequence[FieldPlan], executor: Executor) -> dict[str, Window]:
    """Return per channel the 1st and 99.9th percentile over 4 to 12 fields spread over the plate.

    Of a stack the middle step is looked at. A channel of which no such image can be read is left out.
    """
    n = min(len(fields), max(_FEW, min(_MANY, len(fields) // _SHARE)))
    sample = [fields[i * len(fields) // n] for i in range(n)]
    histograms: dict[str, Histogram] = {}
    for found in executor.map(_histograms, sample):
        for channel, counts in found:
            histograms[channel] = histograms[channel] + counts if channel in histograms else counts
    return {channel: _window(counts) for channel, counts in histograms.items()}


def _histograms(field: FieldPlan) -> list[tuple[str, Histogram]]:
    by_channel: dict[str, list[FieldImage]] = {}
    for image in field.images:
        by_channel.setdefault(image.channel, []).append(image)
    return [(c, h) for c, images in by_channel.items() for h in _counted(images)]


def _counted(images: Sequence[FieldImage]) -> Iterable[Histogram]:
    try:
        pixels = read_image(images[len(images) // 2])
    except UnreadableImage:
        return []  # told where the field is converted
    return [_histogram(pixels)]


def _histogram(pixels: npt.NDArray[Any]) -> Histogram:
    return np.bincount(pixels.ravel(), minlength=_N_GREYS)


def _window(counts: Histogram) -> Window:
    share = np.cumsum(counts) / counts.sum()
    low, high = (int(np.searchsorted(share, p)) for p in (_LOW, _HIGH))
    return Window(low, max(high, low + 1))
