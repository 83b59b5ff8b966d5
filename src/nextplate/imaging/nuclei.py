"""Find nuclei: threshold, split touching ones by climbing to the peaks, trim each at a share of its own peak.

Everything works on flat index arrays of the foreground; nothing loops over objects. Images are padded by one pixel
so that a neighbour is an offset.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from nextplate.imaging.flatfield import Image
from nextplate.imaging.threshold import otsu

Index = npt.NDArray[np.intp]
_T = TypeVar("_T", bound=np.generic)

_SMOOTH = 0.08
_BLOB_INNER, _BLOB_OUTER, _BLOB_WEIGHT = 0.15, 0.40, 0.7
_MERGE_SADDLE = 0.9
_TRIM = 0.4


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """What a nucleus looks like on the binned image."""

    diameter_px: float
    noise: float
    """Standard deviation of pixel noise, counts."""
    plate_threshold: float | None
    """Typical threshold of the plate, counts above background; a field may deviate from it by at most a factor
    of 2.5 down and 2 up, so that debris in an empty field does not become nuclei. None: only the noise guards."""
    min_area_share: float = 0.15
    """Smaller objects, as a share of the disc of diameter_px, are debris."""


@dataclass(frozen=True, slots=True)
class Nuclei:
    """The nuclei of one field, labelled 1..n."""

    n: int
    padded: npt.NDArray[np.int32]
    """Shape (h + 2, w + 2): labels, 0 for background, -1 on the border."""
    pixels: Index
    """Shape (k,): flat indices into `padded` of all nucleus pixels, ascending."""
    label: npt.NDArray[np.int32]
    """Shape (k,): label of each."""

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """The label image, shape (h, w)."""
        return self.padded[1:-1, 1:-1]


def find_nuclei(signal: Image, rule: SegmentRule) -> Nuclei:
    """Label the nuclei of one corrected DNA image, shape (h, w)."""
    smooth = _softened(signal, round(1.5 * (_SMOOTH * rule.diameter_px) ** 2))
    # The square root evens out photon noise and keeps a few bright nuclei from hiding the dim ones.
    root = np.sqrt(np.maximum(smooth, 0))
    mask = root > np.sqrt(_threshold(root, rule))
    if not mask.any():
        return _numbered(np.empty(0, np.intp), np.empty(0, np.int32), signal.shape)
    blobs = _blobs(np.where(mask, root, np.float32(0)), rule.diameter_px)
    basins = _merge_shallow(_climb(blobs, mask))
    return _trim(basins, _padded(smooth, 0).ravel()[basins.pixels], rule, signal.shape)


def _softened(image: Image, n_times: int) -> Image:
    """Average over 3 x 3 pixels, at least once; n times is a Gaussian of variance 2 n / 3, at a fifth of its cost."""
    for _ in range(max(1, n_times)):
        rows = image.copy()
        rows[1:] += image[:-1]
        rows[:-1] += image[1:]
        rows[0] += image[0]
        rows[-1] += image[-1]
        image = rows.copy()
        image[:, 1:] += rows[:, :-1]
        image[:, :-1] += rows[:, 1:]
        image[:, 0] += rows[:, 0]
        image[:, -1] += rows[:, -1]
        image *= np.float32(1 / 9)
    return image


def _threshold(root: Image, rule: SegmentRule) -> float:
    level = otsu(root) ** 2
    if rule.plate_threshold is not None:
        level = min(max(level, 0.4 * rule.plate_threshold), 2.0 * rule.plate_threshold)
    return max(level, 6.0 * rule.noise)


def _blobs(root: Image, diameter_px: float) -> Image:
    """Difference of Gaussians: one peak per blob of about this diameter, sharper than one Gaussian's."""
    inner = ndimage.gaussian_filter(root, _BLOB_INNER * diameter_px, truncate=3.0)
    # Two box filters are a Gaussian's equal here, and their cost does not grow with the width.
    box = 2 * round((np.sqrt(6.0 * (_BLOB_OUTER * diameter_px) ** 2 + 1) - 1) / 2) + 1
    outer = ndimage.uniform_filter(ndimage.uniform_filter(root, box), box)
    return np.asarray(inner - np.float32(_BLOB_WEIGHT) * outer, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Basins:
    """Foreground pixels of a padded field, each assigned to a basin."""

    width: int
    """Row length of the padded field."""
    height: npt.NDArray[np.float32]
    """Padded and flat: what was climbed; -inf outside the foreground."""
    pixels: Index
    """Shape (k,): padded flat indices of the foreground, ascending."""
    basin: npt.NDArray[np.int32]
    """Shape (k,): basin number of each."""
    peak: npt.NDArray[np.float32]
    """Shape (n_basins,): height of the highest pixel."""


def _climb(blobs: Image, mask: npt.NDArray[np.bool_]) -> _Basins:
    """Send every pixel uphill to its steepest neighbour until it stands on a peak (pointer doubling)."""
    padded = _padded(np.where(mask, blobs, np.float32(-np.inf)), -np.inf)
    height, width = padded.ravel(), padded.shape[1]
    pixels = np.flatnonzero(_padded(mask, False))
    position = np.zeros(height.size, np.int32)
    position[pixels] = np.arange(len(pixels), dtype=np.int32)
    best, target = height[pixels], pixels.copy()
    for offset in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        neighbour = pixels + offset
        value = height[neighbour]
        is_up = value > best
        np.copyto(best, value, where=is_up)
        np.copyto(target, neighbour, where=is_up)
    goal = position[target]
    while True:
        further = goal[goal]
        if np.array_equal(further, goal):
            break
        goal = further
    is_peak = goal == np.arange(len(pixels), dtype=np.int32)
    basin = (np.cumsum(is_peak, dtype=np.int32) - 1)[goal]
    return _Basins(width, height, pixels, basin, height[pixels[is_peak]])


def _merge_shallow(basins: _Basins) -> _Basins:
    """Join neighbouring basins whose pass is nearly as high as the lower of their peaks: texture, not two nuclei."""
    n = len(basins.peak)
    low, high, level = _passes(basins)
    is_joined = level >= _MERGE_SADDLE * np.minimum(basins.peak[low], basins.peak[high])
    edges = (np.ones(int(is_joined.sum())), (low[is_joined], high[is_joined]))
    n_merged, group = connected_components(sparse.coo_matrix(edges, shape=(n, n)), directed=False)
    peak = np.full(n_merged, -np.inf, np.float32)
    np.maximum.at(peak, group, basins.peak)
    return _Basins(basins.width, basins.height, basins.pixels, group.astype(np.int32)[basins.basin], peak)


def _passes(basins: _Basins) -> tuple[Index, Index, npt.NDArray[np.float32]]:
    """Return each pair of neighbouring basins (low, high number) with the height of the pass between them."""
    n = len(basins.peak)
    owner = np.full(basins.height.size, -1, np.int32)
    owner[basins.pixels] = basins.basin
    pairs, levels = [], []
    for offset in (1, basins.width - 1, basins.width, basins.width + 1):
        other = owner[basins.pixels + offset]
        at = np.flatnonzero((other >= 0) & (other != basins.basin))
        a, b, here = basins.basin[at].astype(np.intp), other[at].astype(np.intp), basins.pixels[at]
        pairs.append(np.minimum(a, b) * n + np.maximum(a, b))
        levels.append(np.minimum(basins.height[here], basins.height[here + offset]))
    pair, level = np.concatenate(pairs), np.concatenate(levels)
    order = np.lexsort((level, pair))
    pair, level = pair[order], level[order]
    is_highest = np.append(pair[1:] != pair[:-1], True)[: len(pair)]
    return pair[is_highest] // n, pair[is_highest] % n, level[is_highest]


def _trim(basins: _Basins, value: npt.NDArray[np.float32], rule: SegmentRule, shape: tuple[int, ...]) -> Nuclei:
    """Cut each basin at a share of its own brightest pixel, drop debris, number what is left."""
    n = len(basins.peak)
    brightest = np.zeros(n, np.float32)
    np.maximum.at(brightest, basins.basin, value)
    is_kept = value >= np.float32(_TRIM) * brightest[basins.basin]
    area = np.bincount(basins.basin[is_kept], minlength=n)
    is_nucleus = area >= rule.min_area_share * np.pi / 4 * rule.diameter_px**2
    number = np.where(is_nucleus, np.cumsum(is_nucleus), 0).astype(np.int32)
    label = np.where(is_kept, number[basins.basin], 0).astype(np.int32)
    at = np.flatnonzero(label)
    return _numbered(basins.pixels[at], label[at], shape)


def _numbered(pixels: Index, label: npt.NDArray[np.int32], shape: tuple[int, ...]) -> Nuclei:
    padded = np.full((shape[0] + 2, shape[1] + 2), -1, np.int32)
    padded[1:-1, 1:-1] = 0
    padded.ravel()[pixels] = label
    return Nuclei(int(label.max(initial=0)), padded, pixels, label)


def _padded(image: npt.NDArray[_T], value: float) -> npt.NDArray[_T]:
    out = np.full((image.shape[0] + 2, image.shape[1] + 2), value, image.dtype)
    out[1:-1, 1:-1] = image
    return out
