"""Otsu's threshold from one histogram pass."""

import numpy as np
import numpy.typing as npt


def otsu(values: npt.NDArray[np.float32], n_bins: int = 256) -> float:
    """Return the threshold of largest between-class variance (Otsu 1979, doi 10.1109/TSMC.1979.4310076).

    A constant image returns its own value, so that nothing lies above.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return high
    scaled = (values - np.float32(low)) * np.float32((n_bins - 1) / (high - low))
    counts = np.bincount(scaled.astype(np.int32).ravel(), minlength=n_bins).astype(np.float64)
    below = np.cumsum(counts)
    mass = np.cumsum(counts * np.arange(n_bins))
    n, total = below[-1], mass[-1]
    is_split = (below > 0) & (below < n)
    weight = np.where(is_split, below * (n - below), 1.0)
    between = np.where(is_split, (total * below / n - mass) ** 2 / weight, 0.0)
    return low + (int(between.argmax()) + 1) * (high - low) / (n_bins - 1)
