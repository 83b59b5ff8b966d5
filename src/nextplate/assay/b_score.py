"""B-score: rows and columns taken out of a plate by medians (Brideau et al. 2003, doi 10.1177/1087057103258285).

It needs plates whose samples mostly do nothing and sit in no order: a dose series along a row, or a column of actives,
looks like a position effect and is taken out with it. What can be seen of that is said in `warnings`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextplate.assay.spatial import Bools
from nextplate.assay.statistics import MAD_TO_SD
from nextplate.errors import DataError
from nextplate.plate import row_letters

Grid = npt.NDArray[np.float64]
"""Shape (plates, rows, columns); NaN where nothing is known."""
_MAX_SWEEPS = 10
_TOLERANCE = 0.01
_FEWEST = 3
"""Sample wells a row or column needs to tell its effect."""
_MAX_ACTIVE, _MAX_CONTROL, _LINE_Z = 0.2, 0.25, 3.0


@dataclass(frozen=True, slots=True)
class Polish:
    """Plates split by median polish: value = overall + row + column + residual."""

    overall: npt.NDArray[np.float64]
    """Shape (plates,)."""
    row: npt.NDArray[np.float64]
    """Shape (plates, rows); NaN where a row has too few wells to tell."""
    column: npt.NDArray[np.float64]
    """Shape (plates, columns); NaN likewise."""
    residual: Grid


@dataclass(frozen=True, slots=True)
class BScores:
    """B-scores and what speaks against them."""

    scores: Grid
    """Residual over 1.4826 MAD of the plate's sample residuals; NaN where unknown."""
    polish: Polish
    spread: npt.NDArray[np.float64]
    """1.4826 MAD, shape (plates,)."""
    warnings: tuple[tuple[str, ...], ...]
    """For each plate the reasons not to trust its B-scores, in words, and the lines that have none."""
    obstacles: tuple[tuple[str, ...], ...]
    """Of those the ones that speak against all B-scores of a plate; a line of controls alone does not."""


def b_scores(plates: Grid, is_control: Bools | None = None) -> BScores:
    """Score plates of shape (plates, rows, columns); controls are scored but do not shape the effects.

    Raises:
        DataError: shapes do not fit.
    """
    if plates.ndim != 3 or (is_control is not None and is_control.shape != plates.shape):
        raise DataError(f"B-score needs plates, rows, columns; values have shape {plates.shape}")
    control = np.zeros(plates.shape, np.bool_) if is_control is None else is_control
    polish = median_polish(np.where(control, np.nan, plates))
    effects = polish.overall[:, None, None] + polish.row[:, :, None] + polish.column[:, None, :]
    residual = plates - effects
    samples = np.where(control, np.nan, residual)
    spread = MAD_TO_SD * _median(np.abs(samples - _median(samples, (1, 2), keep=True)), (1, 2))
    scale = np.where(spread > 0, spread, np.nan)[:, None, None]
    scores = residual / scale
    against = tuple(_obstacles(p, c, s, k) for p, c, s, k in zip(plates, control, scores, spread, strict=True))
    found = tuple((*a, *_unknown_lines(s)) if _has_samples(s) else a for a, s in zip(against, samples, strict=True))
    return BScores(scores, Polish(polish.overall, polish.row, polish.column, residual), spread, found, against)


def _has_samples(samples: Grid) -> bool:
    return bool(np.isfinite(samples).any())


def median_polish(plates: Grid) -> Polish:
    """Sweep medians out of rows and columns in turn, all plates at once (Tukey 1977, Exploratory Data Analysis).

    Stops after ten sweeps or when the sum of absolute residuals of every plate changes by less than one percent, as
    R's medpolish does; NaN wells count nowhere.
    """
    residual = plates.copy()
    overall = np.zeros(len(plates))
    row, column = np.zeros(plates.shape[:2]), np.zeros((len(plates), plates.shape[2]))
    before = np.zeros(len(plates))
    for _ in range(_MAX_SWEEPS):
        step = _median(residual, 2)
        residual -= step[:, :, None]
        row += step
        overall, column = _recentre(overall, column)
        step = _median(residual, 1)
        residual -= step[:, None, :]
        column += step
        overall, row = _recentre(overall, row)
        now = np.nansum(np.abs(residual), axis=(1, 2))
        if bool(np.all((now == 0) | (np.abs(now - before) <= _TOLERANCE * now))):
            break
        before = now
    known = np.isfinite(plates)
    row = np.where(known.sum(axis=2) >= _FEWEST, row, np.nan)
    column = np.where(known.sum(axis=1) >= _FEWEST, column, np.nan)
    return Polish(overall, row, column, residual)


def _recentre(overall: Grid, effect: Grid) -> tuple[Grid, Grid]:
    centre = np.median(effect, axis=1)
    return overall + centre, effect - centre[:, None]


def _median(values: Grid, axis: int | tuple[int, ...], *, keep: bool = False) -> Grid:
    """Median without NaN; 0 where nothing is known, so that the well changes nothing."""
    known = np.isfinite(values)
    filled = np.where(known.any(axis=axis, keepdims=True), values, 0.0)
    return np.asarray(np.nanmedian(filled, axis=axis, keepdims=keep))


def _obstacles(plate: Grid, control: Bools, scores: Grid, spread: float) -> tuple[str, ...]:
    known = np.isfinite(plate)
    samples = np.where(control, np.nan, plate)
    n_known, n_control = int(known.sum()), int((known & control).sum())
    if n_known == n_control:
        return ("no sample well has a value: there is nothing to take medians of",)
    found = [] if spread > 0 else ["the residuals have no spread: there is no B-score"]
    if n_control > _MAX_CONTROL * n_known:
        found.append(f"{n_control / n_known:.0%} of the wells are controls: too few samples tell rows and columns")
    active = np.abs(scores[known & ~control & np.isfinite(scores)]) > _LINE_Z
    if active.size and active.mean() > _MAX_ACTIVE:
        found.append(f"{active.mean():.0%} of the samples stand out: a B-score needs most of them to do nothing")
    return (*found, *_odd_lines(samples))


def _unknown_lines(samples: Grid) -> list[str]:
    counts = np.isfinite(samples)
    rows = [row_letters(i) for i in np.flatnonzero(counts.sum(axis=1) < _FEWEST)]
    columns = [str(i + 1) for i in np.flatnonzero(counts.sum(axis=0) < _FEWEST)]
    named = (("rows", rows), ("columns", columns))
    return [f"{kind} {', '.join(names)}: too few samples, no B-score there" for kind, names in named if names]


def _odd_lines(samples: Grid) -> list[str]:
    """Name rows and columns that stand off as a whole: an effect or ordered actives, nobody can tell which."""
    centre = _median(samples, (0, 1))
    spread = MAD_TO_SD * float(_median(np.abs(samples - centre), (0, 1)))
    if spread == 0:
        return []
    lines = [(f"row {row_letters(i)}", v) for i, v in enumerate(_median(samples - centre, 1))]
    lines += [(f"column {i + 1}", v) for i, v in enumerate(_median(samples - centre, 0))]
    return [
        f"{name} reads {v / spread:+.1f} sd off the plate as a whole: a position effect or actives in order"
        for name, v in lines
        if abs(v) > _LINE_Z * spread
    ]
