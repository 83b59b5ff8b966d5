"""Numbers of a whole field, without objects: the cheapest look at a plate."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import fft

from nextplate.features.check import Image, checked_channels

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
N_BANDS = 8


def measure_field(channels: Mapping[str, Image]) -> dict[str, float]:
    """Return moments, percentiles and spectral bands of each channel, shape (h, w), and correlations between them.

    NaN where a value is not defined (a constant image has no skewness, correlation or spectrum).

    Raises:
        DataError: channels differ in shape, or one holds NaN or infinity.
    """
    checked_channels(channels)
    found: dict[str, float] = {}
    for name, image in channels.items():
        values = image.astype(np.float64)
        parts = {**_moments(values), **_percentiles(image), **spectral_bands(image)}
        found |= {f"Field_{feature}_{name}": value for feature, value in parts.items()}
    for (name_1, image_1), (name_2, image_2) in combinations(channels.items(), 2):
        found[f"Field_Correlation_{name_1}_{name_2}"] = _correlation(image_1, image_2)
    return found


def _moments(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return mean, standard deviation, skewness m3 / m2^1.5 and excess kurtosis m4 / m2^2 - 3."""
    mean = float(values.mean())
    off = values - mean
    square = off * off
    m2, m3, m4 = float(square.mean()), float((square * off).mean()), float((square * square).mean())
    is_flat = m2 <= 1e-20 * max(mean * mean, 1e-300)
    return {
        "Mean": mean,
        "Std": m2**0.5,
        "Skewness": float("nan") if is_flat else m3 / m2**1.5,
        "Kurtosis": float("nan") if is_flat else m4 / m2**2 - 3,
    }


def _percentiles(image: Image) -> dict[str, float]:
    """Return percentiles, linear between order statistics (numpy.percentile); from a histogram of whole numbers."""
    if image.dtype in (np.uint8, np.uint16):
        cumulative = np.cumsum(np.bincount(image.ravel()))
        position = np.array(PERCENTILES) / 100 * (image.size - 1)
        low = np.searchsorted(cumulative, np.floor(position), side="right")
        high = np.searchsorted(cumulative, np.ceil(position), side="right")
        values = low + (position - np.floor(position)) * (high - low)
    else:
        values = np.percentile(image, PERCENTILES)
    return {f"Percentile{share:02d}": float(value) for share, value in zip(PERCENTILES, values, strict=True)}


def spectral_bands(image: Image) -> dict[str, float]:
    """Return the share of the image's variance in each of eight octaves of spatial frequency, coarsest first.

    Band i holds radii from 0.5 / 2^(8 - i + 1) to 0.5 / 2^(8 - i) cycles per pixel; the first also what is coarser,
    the last also the corners. Power by the periodogram (rfft2, float32) without a window.
    """
    values = image.astype(np.float32)
    power = np.abs(fft.rfft2(values - values.mean(dtype=np.float64).astype(np.float32))) ** 2
    # All columns but the first (and the last, when the width is even) stand for two frequencies.
    power[:, 1 : (values.shape[1] + 1) // 2] *= 2
    y, x = np.fft.fftfreq(values.shape[0]), np.fft.rfftfreq(values.shape[1])
    square = (y**2)[:, None].astype(np.float32) + (x**2)[None, :].astype(np.float32)
    bounds = (0.5 / 2.0 ** np.arange(N_BANDS - 1, 0, -1)) ** 2
    band = np.searchsorted(bounds.astype(np.float32), square.ravel(), side="right")
    share = np.bincount(band, power.ravel(), minlength=N_BANDS)
    total = share.sum()
    share = share / total if total > 0 else np.full(N_BANDS, np.nan)
    return {f"SpectralBand{i + 1}": float(value) for i, value in enumerate(share)}


def _correlation(first: Image, second: Image) -> float:
    off_1, off_2 = first - first.mean(dtype=np.float64), second - second.mean(dtype=np.float64)
    scale = float((off_1**2).sum() * (off_2**2).sum()) ** 0.5
    return float((off_1 * off_2).sum()) / scale if scale > 0 else float("nan")
