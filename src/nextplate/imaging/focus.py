"""Two focus scores of different kind: edges at the nuclei, and the spectrum of the whole field.

Neither has an absolute threshold (facts: scores of sharp and blurred plates overlap between plates); they are
judged against the other wells of the same plate and channel in `quality`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from nextplate.imaging.flatfield import Image

_BAND = (0.02, 0.25)
"""Cycles per binned pixel: coarser is illumination and cell count, finer is camera noise."""
_N_RINGS = 24


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Which frequency ring each coefficient of rfft2 belongs to, made once per plate."""

    coefficients: npt.NDArray[np.int64]
    """Flat indices of the coefficients in the band."""
    ring: npt.NDArray[np.int64]
    """Ring number of each."""
    log_frequency: npt.NDArray[np.float64]
    """Shape (n_rings,)."""
    window_y: npt.NDArray[np.float32]
    window_x: npt.NDArray[np.float32]


def spectrum_for(shape: tuple[int, int]) -> Spectrum:
    """Prepare the rings for images of one shape (h, w)."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.sqrt(fy * fy + fx * fx).ravel()
    low, high = np.log(_BAND[0]), np.log(_BAND[1])
    at = np.flatnonzero((frequency >= _BAND[0]) & (frequency < _BAND[1]))
    ring = ((np.log(frequency[at]) - low) / (high - low) * _N_RINGS).astype(np.int64)
    used, ring = np.unique(np.minimum(ring, _N_RINGS - 1), return_inverse=True)
    count = np.bincount(ring)
    centre = np.bincount(ring, np.log(frequency[at])) / np.maximum(count, 1)
    assert len(used) == len(centre)
    return Spectrum(at, ring.astype(np.int64), centre, _hann(shape[0]), _hann(shape[1]))


def power_slope(image: Image, spectrum: Spectrum) -> float:
    """Return the slope of log radial power against log frequency; blur makes it more negative.

    PowerLogLogSlope of CellProfiler's MeasureImageQuality (Bray et al. 2012, doi 10.1177/1087057111420292),
    over a band between cell size and camera noise. NaN for a constant image.
    """
    windowed = (image - image.mean()) * spectrum.window_y[:, None] * spectrum.window_x[None, :]
    flat = fft.rfft2(windowed).ravel()[spectrum.coefficients]
    power = np.bincount(spectrum.ring, flat.real**2 + flat.imag**2) / np.bincount(spectrum.ring)
    if not (power > 0).all():
        return float("nan")
    x = spectrum.log_frequency - spectrum.log_frequency.mean()
    return float((x * np.log(power)).sum() / (x * x).sum())


def edge_sharpness(image: Image, pixels: npt.NDArray[np.int64]) -> float:
    """Return log2 of Laplacian energy per signal energy over `pixels`, flat indices; NaN when there are too few.

    The mean square of the 4-neighbour Laplacian over the mean square of the signal: brightness cancels.
    """
    h, w = image.shape
    inner = pixels[(pixels >= w) & (pixels < (h - 1) * w) & (pixels % w > 0) & (pixels % w < w - 1)]
    if inner.size < 20:
        return float("nan")
    flat = image.ravel()
    laplacian = flat[inner - w] + flat[inner + w] + flat[inner - 1] + flat[inner + 1] - 4 * flat[inner]
    signal = float(np.square(flat[inner], dtype=np.float64).mean())
    return float(np.log2(np.square(laplacian, dtype=np.float64).mean() / signal)) if signal > 0 else float("nan")


def _hann(n: int) -> npt.NDArray[np.float32]:
    return np.hanning(n + 2)[1:-1].astype(np.float32)
