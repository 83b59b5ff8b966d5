"""Bring labels found on the binned image back to the raw resolution, with smooth outlines.

Every label's indicator is interpolated with cubic B-splines (Unser 1999, doi 10.1109/79.799930); only blocks in which
labels meet are computed, all others are copies. Between two objects a raw pixel goes to the higher indicator. Towards
the background every object has its own threshold, chosen from the histogram of its rim so that its area stays what it
was: at one half, smoothing would take the area pi / 3 (binned pixels) from every closed outline, whatever its form.
"""

import numpy as np
import numpy.typing as npt

from nextplate.errors import DataError

LabelImage = npt.NDArray[np.int32]
_Weights = npt.NDArray[np.float32]

_N_BINS, _REACH = 64, 0.6
"""Thresholds are sought among so many steps of the indicator's lead over the background, within +- this reach."""


def at_full_resolution(labels: LabelImage, factor: int, shape: tuple[int, int]) -> LabelImage:
    """Return labels, shape (h // factor, w // factor), at the raw `shape` (h, w).

    Rows and columns that binning cut off continue those beside them. Every object keeps its label, and its area, as
    far as it does not lie at the border, within about 2 % of factor^2 times its binned area.

    Raises:
        DataError: `labels` is not the size of an image of `shape` binned by `factor`.
    """
    if factor < 1 or labels.shape != (shape[0] // factor, shape[1] // factor):
        raise DataError(
            f"labels of shape {labels.shape} are not those of a {shape[0]} x {shape[1]} image binned by {factor}"
        )
    if factor == 1:
        return labels.copy()
    # A block spans the square between four binned pixel centres; the last ones may reach past a ragged edge.
    padded = np.pad(labels, ((2, 3), (2, 3)), mode="edge")
    corner = padded[1:-2, 1:-2]
    out = np.empty((corner.shape[0], factor, corner.shape[1], factor), np.int32)
    out[:] = corner[:, None, :, None]
    is_mixed = _is_mixed(padded[1:-1, 1:-1])
    y, x = np.nonzero(is_mixed)
    blended = _blended(padded, y, x, factor)
    out[y, :, x, :] = blended
    whole = out.reshape(corner.shape[0] * factor, corner.shape[1] * factor)
    # The first block starts at the centre of the binned pixel before the image.
    first = (factor + 1) // 2
    full = np.ascontiguousarray(whole[first : first + shape[0], first : first + shape[1]])
    is_lost = np.ones(int(padded.max()) + 1, bool)
    is_lost[blended] = False
    is_lost[corner[~is_mixed]] = False
    return _with_squares(full, labels, is_lost, factor) if is_lost[1:].any() else full


def nuclei_and_cells(
    nuclei: LabelImage, cells: LabelImage, factor: int, shape: tuple[int, int]
) -> tuple[LabelImage, LabelImage]:
    """Return both at full resolution, every nucleus inside its cell (cell i holds nucleus i)."""
    inner, outer = at_full_resolution(nuclei, factor, shape), at_full_resolution(cells, factor, shape)
    np.copyto(outer, inner, where=inner > 0)
    return inner, outer


def cytoplasm(cells: LabelImage, nuclei: LabelImage) -> LabelImage:
    """Return cells without their nuclei, labels kept; shapes (h, w) both."""
    return np.where(nuclei == 0, cells, np.int32(0))


def _with_squares(full: LabelImage, labels: LabelImage, is_lost: npt.NDArray[np.bool_], factor: int) -> LabelImage:
    """Draw the few objects that smoothing swallowed, specks inside others, as they are on the binned image."""
    y, x = np.nonzero(is_lost[labels] & (labels > 0))
    within = np.arange(factor)
    rows, columns = y[:, None, None] * factor + within[:, None], x[:, None, None] * factor + within
    full[rows, columns] = labels[y, x, None, None]
    return full


def _is_mixed(padded: LabelImage) -> npt.NDArray[np.bool_]:
    """Say of each square of 2 x 2 labels whether they differ."""
    across = padded[:, 1:] != padded[:, :-1]
    return np.asarray(across[1:] | across[:-1] | (padded[1:, 1:] != padded[:-1, 1:]))


def _blended(
    padded: LabelImage, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp], factor: int
) -> npt.NDArray[np.int32]:
    """Return the raw pixels of n blocks, shape (n, factor, factor): one of the four corner labels each."""
    around = np.arange(4)
    window = padded[y[:, None, None] + around[:, None], x[:, None, None] + around].reshape(-1, 16)
    corners = np.sort(window[:, [5, 6, 9, 10]], axis=1)
    winner, lead = _strongest(window, corners, _weights(factor))
    has_ground = corners[:, 0] == 0
    rim, lead = winner[has_ground], lead[has_ground] + _tie_breakers(y, x)[has_ground, None]
    is_object = lead > _thresholds(corners[has_ground], rim, lead, int(padded.max()))[rim]
    winner[has_ground] = np.where(is_object, rim, 0)
    return winner.reshape(-1, factor, factor)


def _tie_breakers(y: npt.NDArray[np.intp], x: npt.NDArray[np.intp]) -> _Weights:
    """Return less than two histogram steps per block, evenly spread over neighbours.

    Outlines on a grid are made of few forms of steps, so that at factor 2 many rim pixels have one and the same lead;
    without this they would all be in or all out, which is 3 % of a small nucleus.
    """
    return ((3 * y + 5 * x) % 8 * (2 * 2 * _REACH / _N_BINS / 8)).astype(np.float32)


def _strongest(window: LabelImage, corners: LabelImage, weights: _Weights) -> tuple[LabelImage, _Weights]:
    """Return the object of highest indicator per raw pixel, and its lead over the background; (n, factor^2) both."""
    best = _membership(window, corners[:, 3], weights)
    winner = np.repeat(corners[:, 3:], weights.shape[1], axis=1)
    for k in range(3):
        # Corners are in order: one that equals the next is done already.
        at = np.flatnonzero((corners[:, k] != corners[:, k + 1]) & (corners[:, k] > 0))
        value = _membership(window[at], corners[at, k], weights)
        is_better = value > best[at]
        best[at] = np.where(is_better, value, best[at])
        winner[at] = np.where(is_better, corners[at, k : k + 1], winner[at])
    lead: _Weights = best - _membership(window, np.zeros(len(window), np.int32), weights)
    return winner, lead


def _thresholds(corners: LabelImage, rim: LabelImage, lead: _Weights, n: int) -> _Weights:
    """Return, per label, the lead above which rim pixels are its own so that its area is kept; shape (n + 1,)."""
    step = np.clip((lead + np.float32(_REACH)) * np.float32(_N_BINS / (2 * _REACH)), 0, _N_BINS - 1).astype(np.int32)
    counts = np.bincount((rim * _N_BINS + step).ravel(), minlength=(n + 1) * _N_BINS).reshape(n + 1, _N_BINS)
    # Column k holds how many pixels lie in bin k or above; every corner stands for a quarter of a block.
    above = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    wanted = np.bincount(corners.ravel(), minlength=n + 1) * (rim.shape[1] / 4)
    first = np.abs(above - wanted[:, None]).argmin(axis=1)
    return np.asarray(first * (2 * _REACH / _N_BINS) - _REACH, np.float32)


def _membership(window: LabelImage, label: LabelImage, weights: _Weights) -> _Weights:
    """Interpolate the indicator of one label per block, shape (n, factor^2)."""
    return np.asarray((window == label[:, None]).astype(np.float32) @ weights)


def _weights(factor: int) -> _Weights:
    """Return the cubic B-spline's weights of 4 x 4 labels at the raw pixels of a block, shape (16, factor^2)."""
    first = factor // 2
    t = (np.arange(first, first + factor) + 0.5) / factor - 0.5
    one = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return np.asarray(np.einsum("ip,jq->ijpq", one, one).reshape(16, factor * factor), np.float32)
