"""Which features are worth keeping: known everywhere, not constant, not a copy of another.

The three rules of pycytominer's feature_select that matter (drop_na_columns, variance_threshold in its plainest form,
correlation_threshold); its blocklist and outlier rules are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextplate.assay.sphering import Profiles
from nextplate.errors import DataError


@dataclass(frozen=True, slots=True)
class Selection:
    """Features kept, and why the others were not."""

    kept: tuple[str, ...]
    """In the order given."""
    dropped: tuple[tuple[str, str], ...]
    """(name, reason): missing, constant, or 'copy of NAME'."""


def select_features(
    profiles: Profiles,
    names: Sequence[str],
    *,
    max_missing: float = 0.0,
    min_variation: float = 1e-6,
    max_correlation: float = 0.9,
) -> Selection:
    """Choose among the columns of profiles, shape (wells, features); values may be NaN.

    A feature goes when more than `max_missing` of its values are not finite, when its standard deviation is at most
    `min_variation` of its largest absolute value, or when |Pearson r| with a kept feature exceeds `max_correlation`.
    Of correlated features the one with the smallest mean |r| to all others stays, as in pycytominer; ties go to the
    first. Missing values count as the feature's mean in r.

    Raises:
        DataError: as many names as columns are needed.
    """
    if profiles.ndim != 2 or profiles.shape[1] != len(names):
        raise DataError(f"{len(names)} feature names for values of shape {profiles.shape}")
    reasons = ["" for _ in names]
    known = np.isfinite(profiles)
    for i in np.flatnonzero((~known).mean(axis=0) > max_missing):
        reasons[i] = "missing"
    filled = _filled(profiles)
    scale = np.maximum(np.abs(filled).max(axis=0, initial=0.0), 1e-300)
    for i in np.flatnonzero(filled.std(axis=0) <= min_variation * scale):
        reasons[i] = reasons[i] or "constant"
    left = [i for i, reason in enumerate(reasons) if not reason]
    for i, original in _copies(filled[:, left], max_correlation).items():
        reasons[left[i]] = f"copy of {names[left[original]]}"
    kept = tuple(name for name, reason in zip(names, reasons, strict=True) if not reason)
    return Selection(kept, tuple((n, r) for n, r in zip(names, reasons, strict=True) if r))


def _filled(profiles: Profiles) -> Profiles:
    known = np.isfinite(profiles)
    total = np.where(known, profiles, 0.0).sum(axis=0)
    return np.asarray(np.where(known, profiles, total / np.maximum(known.sum(axis=0), 1)))


def _copies(profiles: Profiles, limit: float) -> dict[int, int]:
    """Map each feature to drop to the kept one it copies; the least correlated features are kept first."""
    if profiles.shape[1] < 2:
        return {}
    r = np.abs(np.corrcoef(profiles, rowvar=False))
    order = np.argsort(r.mean(axis=0), kind="stable")
    kept: list[int] = []
    dropped: dict[int, int] = {}
    for i in order.tolist():
        near = [k for k in kept if r[i, k] > limit]
        if near:
            dropped[i] = max(near, key=lambda k: float(r[i, k]))
        else:
            kept.append(i)
    return dropped
