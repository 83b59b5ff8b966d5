"""Verdicts on the wells of one plate that need the other wells: collapsed cell counts, and debris.

Both are warnings: a well whose cells a compound has killed is a result, and dead cells leave fragments. Wells are
judged against the plate's negative controls where these are known, because on a plate of poisons the typical well is
no measure; else against the plate itself. Fewer than eight wells are not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.imaging.debris import Debris
from nextplate.imaging.quality import MIN_WELLS_FOR_FOCUS as MIN_WELLS

_Values = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

_MIN_CONTROLS = 4
_COUNT_Z, _COUNT_SHARE = 4.0, 0.5
"""Collapsed: so many robust standard deviations below the reference, on the square root of the count, and below this
share of it."""
_COUNT_GONE, _GONE_Z = 0.25, 5.0
"""Below this share a count has collapsed whatever the spread of the plate, if chance alone cannot explain it."""
_COUNT_CV = 0.12
"""Least coefficient of variation of counts between good wells."""
_MIN_REFERENCE = 5.0
"""Cells per field that the reference must have: below, the plate says nothing about collapse."""
_DEBRIS_Z, _DEBRIS_SHARE = 5.0, 0.05
"""Debris: so many robust standard deviations above the reference, and above this share of the nuclei's area."""
_DEBRIS_SPREAD = 0.008
_UPPER = 0.4759
"""Distance of a normal variable's upper eighth from its upper quarter, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict per well, in the order given."""

    is_flagged: _Mask
    """Shape (n_wells,)."""
    reasons: tuple[str, ...]
    """A sentence per well, code first; '' where nothing is wrong."""


def judge_cell_counts(n_cells: _Values, n_fields: _Values, is_negative: _Mask | None = None) -> Verdict:
    """Flag wells whose cell count has collapsed (code cell-count-collapse).

    `n_cells` and `n_fields`, shape (n_wells,), count a well's cells and measured fields; a well without fields is not
    judged. `is_negative`, shape (n_wells,), marks negative controls, None where they are unknown. With at least four
    controls wells are judged against their median, and the controls themselves against the plate. Without, the plate's
    upper quarter is taken for the level of living wells, so that up to two thirds of them may have died.
    """
    count = np.where(n_fields > 0, n_cells / np.maximum(n_fields, 1), np.nan)
    root, chance = np.sqrt(count), 0.5 / np.sqrt(np.maximum(n_fields, 1))
    plate = _living(root)
    is_control = _usable(is_negative, root)
    has_controls = bool(is_control.any())
    controls = _middle(root[is_control]) if has_controls else plate
    centre, spread = (np.where(is_control | (not has_controls), p, c) for p, c in zip(plate, controls, strict=True))
    # The root of a count has half the count's coefficient of variation, and by chance alone a spread of 1/2.
    spread = np.hypot(np.maximum(spread, _COUNT_CV / 2 * centre), chance)
    limit = np.minimum(centre - _COUNT_Z * spread, np.sqrt(_COUNT_SHARE) * centre)
    # On a plate where most have died the spread of the living is guessed from few; a quarter is no living well's count.
    limit = np.maximum(limit, np.minimum(centre - _GONE_Z * chance, np.sqrt(_COUNT_GONE) * centre))
    is_flagged = (root < limit) & (centre**2 >= _MIN_REFERENCE) & (np.isfinite(root).sum() >= MIN_WELLS)
    what = np.where(is_control | (not has_controls), "living wells of the plate", "negative controls")
    return _verdict(
        is_flagged,
        [
            f"cell-count-collapse: {n:.3g} cells per field, the {w} have {c * c:.3g}"
            for n, w, c in zip(count, what, centre, strict=True)
        ],
    )


def debris_scores(wells: Sequence[Sequence[Debris]]) -> _Values:
    """Return each well's debris as a share of the area of nuclei, shape (n_wells,); NaN for a well without fields.

    The share is of the well's own nuclei or of a typical well's, whichever are more: one speck in an empty well is
    one speck.
    """
    debris = np.array([_mean([d.thin_px + d.glaring_px for d in fields]) for fields in wells])
    nuclei = np.array([_mean([d.nuclei_px for d in fields]) for fields in wells])
    known = nuclei[np.isfinite(nuclei)]
    typical = float(np.median(known)) if known.size else 0.0
    return np.asarray(debris / np.maximum(np.maximum(nuclei, typical), 1.0))


def judge_debris(scores: _Values, is_negative: _Mask | None = None) -> Verdict:
    """Flag wells with far more debris than the others (code debris); `scores`, shape (n_wells,), from debris_scores.

    `is_negative` as in `judge_cell_counts`.
    """
    is_control = _usable(is_negative, scores)
    centre, spread = _middle(scores[is_control] if is_control.any() else scores)
    limit = max(centre + _DEBRIS_Z * max(spread, _DEBRIS_SPREAD), _DEBRIS_SHARE)
    is_flagged = (scores > limit) & (np.isfinite(scores).sum() >= MIN_WELLS)
    return _verdict(
        is_flagged,
        [f"debris: {100 * s:.3g} % of the nuclei's area, the plate's wells have {100 * centre:.3g} %" for s in scores],
    )


def _verdict(is_flagged: _Mask, sentences: Sequence[str]) -> Verdict:
    return Verdict(is_flagged, tuple(s if is_bad else "" for s, is_bad in zip(sentences, is_flagged, strict=True)))


def _usable(is_negative: _Mask | None, values: _Values) -> _Mask:
    """Mark the controls to judge by; none where there are too few."""
    if is_negative is None:
        return np.zeros(values.shape, bool)
    usable = is_negative & np.isfinite(values)
    return np.asarray(usable & (np.count_nonzero(usable) >= _MIN_CONTROLS))


def _living(root: _Values) -> tuple[float, float]:
    """Return level and spread of root counts among living wells, from the upper quarter of the plate."""
    finite = root[np.isfinite(root)]
    if finite.size == 0:
        return 0.0, 0.0
    quarter, eighth = np.quantile(finite, [0.75, 0.875])
    return float(quarter), float(eighth - quarter) / _UPPER


def _middle(values: _Values) -> tuple[float, float]:
    """Return median and 1.4826 MAD; zeros without a finite value."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 0.0
    centre = float(np.median(finite))
    return centre, 1.4826 * float(np.median(np.abs(finite - centre)))


def _mean(values: Sequence[int]) -> float:
    return float(np.mean(values)) if values else float("nan")
