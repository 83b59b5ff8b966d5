"""Background and illumination of a plate and channel, learned from a sample of its fields.

The model of a raw image is ``background(y, x) + shift + gain(y, x) * signal(y, x)``: background and gain are smooth
and shared by the plate and channel, shift is one number per field. Both surfaces are second-degree polynomials
fitted to block statistics, so that a sample of a few dozen fields suffices (a regularised form of the smoothed
plate average of CellProfiler's CorrectIlluminationCalculate: Jones et al. 2006, doi 10.1007/11866763_13). Fields
enter one at a time as a few hundred block numbers: memory does not grow with the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.pixels import Pixels
from nextplate.imaging.threshold import otsu

Image = npt.NDArray[np.float32]

_GRID = 12
_MIN_FIELDS = 8
_SMALL = 4
_LOW = 0.2
_SHIFT_QUANTILE = 0.3
_WHITE = 0.999
_ROWS = 32


@dataclass(frozen=True, slots=True)
class FieldSurvey:
    """Block statistics of one sampled field and channel."""

    lows: npt.NDArray[np.float64]
    """Shape (g, g): background level per block, counts."""
    light: npt.NDArray[np.float64]
    """Shape (g, g): summed foreground above background, in units of the field's typical foreground."""
    light_squared: npt.NDArray[np.float64]
    """Shape (g, g): summed squares of the same."""
    noise: float
    """Standard deviation of pixel noise in the background, counts."""
    threshold: float | None
    """Otsu threshold above background, counts; None when the field holds nothing brighter than noise."""
    white: float
    """The 99.9th percentile above background, counts."""


@dataclass(frozen=True, slots=True)
class FlatField:
    """How to correct the binned images of one channel of one plate."""

    channel: str
    background: Image
    """Shape (h, w), counts."""
    background_blocks: npt.NDArray[np.float64]
    """Shape (g, g): background at the block centres."""
    inverse_gain: Image
    """Shape (h, w): 1 / gain; gain is 1 on average over the field."""
    background_fit: npt.NDArray[np.float64]
    """Shape (6,): polynomial of the background over the field, whatever its resolution."""
    gain_fit: npt.NDArray[np.float64]
    """Shape (6,): polynomial of the log gain."""
    noise: float
    """Standard deviation of pixel noise, counts, at least 0.5."""
    threshold: float | None
    """Typical foreground threshold above background, counts; None when no sampled field holds anything."""
    n_fields: int
    note: str
    """Empty when the gain was fitted, else why it was not."""


def binned(raw: Pixels, factor: int) -> Image:
    """Average factor x factor pixels: (h, w) to (h // factor, w // factor); a ragged edge is cut."""
    if factor == 1:
        return raw.astype(np.float32)
    h, w = raw.shape[0] // factor * factor, raw.shape[1] // factor * factor
    rows = raw[0:h:factor, :w].astype(np.uint32)
    for i in range(1, factor):
        rows += raw[i:h:factor, :w]
    total = rows[:, 0::factor].copy()
    for i in range(1, factor):
        total += rows[:, i::factor]
    return total.astype(np.float32) * np.float32(1.0 / factor**2)


def survey_field(image: Image) -> FieldSurvey:
    """Reduce one binned image, shape (h, w), to block statistics."""
    lows = block_lows(image)
    bh, bw = image.shape[0] // _GRID, image.shape[1] // _GRID
    crop = image[: bh * _GRID, : bw * _GRID]
    above = crop - np.repeat(np.repeat(lows.astype(np.float32), bh, 0), bw, 1)
    noise = _noise(above)
    root = np.sqrt(np.maximum(above, 0))
    level = float(otsu(root)) ** 2
    light = np.where(above > max(0.25 * level, 5 * noise), above, 0).astype(np.float64)
    sums, squares = _block_sums(light, bh, bw), _block_sums(light * light, bh, bw)
    typical = squares.sum() / sums.sum() if sums.any() else 0.0
    few = above[::2, ::2].ravel()
    white = float(np.partition(few, int(_WHITE * few.size))[int(_WHITE * few.size)])
    if typical <= 10 * noise:
        return FieldSurvey(lows, 0 * sums, 0 * sums, noise, None, white)
    return FieldSurvey(lows, sums / typical, squares / typical**2, noise, level, white)


def fit_flat_field(channel: str, surveys: Sequence[FieldSurvey], shape: tuple[int, int]) -> FlatField:
    """Fit background and gain of one channel; `surveys` holds at least one field.

    The gain stays 1 with fewer than 8 fields, or with foreground in fewer than half of the blocks.
    """
    lows = np.median([s.lows for s in surveys], axis=0)
    is_many = len(surveys) >= _MIN_FIELDS
    weights = np.ones(lows.size)
    fitted = _fit(lows.ravel(), weights) if is_many else np.array([float(np.median(lows)), 0, 0, 0, 0, 0])
    gain, note = _fit_gain(surveys)
    thresholds = [s.threshold for s in surveys if s.threshold is not None]
    return FlatField(
        channel=channel,
        background=_surface(fitted, *shape).astype(np.float32),
        background_blocks=_surface(fitted, _GRID, _GRID),
        inverse_gain=(1.0 / gain_surface(gain, shape)).astype(np.float32),
        background_fit=fitted,
        gain_fit=gain,
        noise=max(0.5, float(np.median([s.noise for s in surveys]))),
        threshold=float(np.median(thresholds)) if thresholds else None,
        n_fields=len(surveys),
        note=note,
    )


@dataclass(frozen=True, slots=True)
class Surfaces:
    """Background and illumination of one channel at one resolution."""

    background: Image
    inverse_gain: Image


def surfaces_for(flat: FlatField, shape: tuple[int, int]) -> Surfaces:
    """Evaluate a channel's background and illumination at another resolution, shape (h, w)."""
    return Surfaces(
        _surface(flat.background_fit, *shape).astype(np.float32),
        (1.0 / gain_surface(flat.gain_fit, shape)).astype(np.float32),
    )


def corrected(image: Image, flat: FlatField) -> tuple[Image, float]:
    """Return (signal above background at even illumination, shape (h, w); the field's background shift, counts)."""
    offsets = (block_lows(image) - flat.background_blocks).ravel()
    shift = float(np.partition(offsets, int(_SHIFT_QUANTILE * offsets.size))[int(_SHIFT_QUANTILE * offsets.size)])
    return evened(image, Surfaces(flat.background, flat.inverse_gain), shift), shift


def background_of(flat: FlatField, shift: float) -> float:
    """Return a field's mean background, counts, from its background shift."""
    return float(flat.background_blocks.mean()) + shift


def evened(image: Image | Pixels, surfaces: Surfaces, shift: float) -> Image:
    """Return signal above background at even illumination, given the field's background shift, counts."""
    signal = np.empty(image.shape, np.float32)
    # A few rows at a time: the three passes then run in the cache, not in memory.
    for top in range(0, image.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        part = signal[rows]
        np.subtract(image[rows], surfaces.background[rows], out=part)
        part -= np.float32(shift)
        part *= surfaces.inverse_gain[rows]
    return signal


def block_lows(image: Image) -> npt.NDArray[np.float64]:
    """Return a low quantile of 4 x 4 pixel means in each of 12 x 12 blocks: the background between cells."""
    bh, bw = image.shape[0] // _GRID, image.shape[1] // _GRID
    step = max(1, min(_SMALL, bh, bw))
    # Every second 4 x 4 patch would do; all are taken, it costs 0.2 ms.
    small = binned_mean(image[: bh * _GRID, : bw * _GRID], step)
    sh, sw = small.shape[0] // _GRID, small.shape[1] // _GRID
    blocks = small[: sh * _GRID, : sw * _GRID].reshape(_GRID, sh, _GRID, sw).swapaxes(1, 2).reshape(_GRID, _GRID, -1)
    k = int(_LOW * blocks.shape[-1])
    return np.asarray(np.partition(blocks, k, axis=-1)[..., k], dtype=np.float64)


def binned_mean(image: Image, factor: int) -> Image:
    """Average factor x factor values of a float image; a ragged edge is cut."""
    h, w = image.shape[0] // factor * factor, image.shape[1] // factor * factor
    rows = image[0:h:factor, :w].copy()
    for i in range(1, factor):
        rows += image[i:h:factor, :w]
    total = rows[:, 0::factor].copy()
    for i in range(1, factor):
        total += rows[:, i::factor]
    return np.asarray(total * np.float32(1.0 / factor**2), dtype=np.float32)


def gain_surface(coefficients: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Evaluate a log-gain polynomial, shape (6,), as a gain of mean 1 within about [0.2, 5]."""
    gain: npt.NDArray[np.float64] = np.exp(np.clip(_surface(coefficients, *shape), -1.6, 1.6))
    return gain / float(gain.mean())


def _fit_gain(surveys: Sequence[FieldSurvey]) -> tuple[npt.NDArray[np.float64], str]:
    """Fit the log of block brightness, weighted by light.

    Brightness is sum(light^2) / sum(light): it scales with the gain, and unlike a mean over thresholded pixels it
    does not care that one threshold cuts more off the cells of a dark corner.
    """
    used = [s for s in surveys if s.light.any()]
    if len(used) < _MIN_FIELDS:
        return np.zeros(6), f"{len(used)} sampled fields hold cells, {_MIN_FIELDS} are needed: gain not corrected"
    light = np.sum([s.light for s in used], axis=0).ravel()
    squared = np.sum([s.light_squared for s in used], axis=0).ravel()
    is_seen = light > 0.1 * light.mean()
    if is_seen.mean() < 0.5:
        return np.zeros(6), "cells cover less than half of the field in the sample: gain not corrected"
    log_gain = np.log(np.where(is_seen, squared, 1) / np.where(is_seen, light, 1))
    return _fit(log_gain, np.where(is_seen, light, 0)), ""


def _terms(h: int, w: int) -> npt.NDArray[np.float64]:
    y, x = np.meshgrid((np.arange(h) + 0.5) / h - 0.5, (np.arange(w) + 0.5) / w - 0.5, indexing="ij")
    terms: npt.NDArray[np.float64] = np.stack([np.ones_like(y), y, x, y * y, x * x, x * y], axis=-1)
    return terms.reshape(-1, 6)


def _fit(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    root = np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(_terms(_GRID, _GRID) * root[:, None], values * root, rcond=None)[0])


def _surface(coefficients: npt.NDArray[np.float64], h: int, w: int) -> npt.NDArray[np.float64]:
    return np.asarray((_terms(h, w) @ coefficients).reshape(h, w))


def _block_sums(image: npt.NDArray[np.float64], bh: int, bw: int) -> npt.NDArray[np.float64]:
    return np.asarray(image.reshape(_GRID, bh, _GRID, bw).sum(axis=(1, 3)))


def _noise(above: Image) -> float:
    # Differences of neighbours see noise, not the smooth image; the darker half has no cells.
    step = np.abs(above[:, 1::2] - above[:, 0 : above.shape[1] - 1 : 2])
    dark = above[:, 1::2] <= np.median(above)
    return float(np.median(step[dark]) / (0.6745 * np.sqrt(2.0)))
