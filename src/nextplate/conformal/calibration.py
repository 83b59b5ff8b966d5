"""Normalised conformal intervals and predictive systems from cross-validation residuals.

The nonconformity score is |y - mean| / difficulty with difficulty = spread + a typical spread, so that a belief
that happens to be very sure of one compound does not get an interval of no width (Papadopoulos et al. 2011).
Cross-validation residuals stand in for a calibration set of their own (cross-conformal, Vovk 2015): nothing has
to be held back from a few hundred wells.

References:
    Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World (2005); Vovk et al., Machine Learning 108
    (2019), conformal predictive systems. The numbers are those of crepes (Bostrom, PMLR 179, 2022), which the tests
    and benches compare with; it is not called because its predictive systems sort per candidate and reseed numpy.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nextplate.conformal.quantiles import conformal_quantile
from nextplate.errors import DataError, ModelError

FORMAT = "nextplate-calibration-1"
FloatArray = npt.NDArray[np.float64]
Bins = npt.NDArray[np.str_]
Rows = npt.NDArray[np.intp] | slice
_LEAST_DIFFICULTY = 1e-9


@dataclass(frozen=True, slots=True)
class Calibration:
    """Residuals of predictions whose truth is known."""

    residuals: FloatArray
    """Shape (n,): measured minus predicted."""
    difficulty: FloatArray
    """Shape (n,): positive."""
    bins: Bins | None
    """Shape (n,): Mondrian category of each; None: one category."""
    floor: float
    """What is added to a spread to make it a difficulty."""
    confidence: float
    """Nominal coverage of the intervals unless another is asked for."""

    @property
    def n(self) -> int:
        """How many predictions calibrate."""
        return len(self.residuals)


def calibrate(
    oof_mean: npt.ArrayLike,
    oof_spread: npt.ArrayLike,
    y: npt.ArrayLike,
    confidence: float = 0.9,
    *,
    bins: Sequence[str] | Bins | None = None,
) -> Calibration:
    """Make a calibration of out-of-fold predictions and measurements.

    Args:
        oof_mean: shape (n,), each predicted without having seen its measurement.
        oof_spread: shape (n,), not negative.
        y: shape (n,), measured.
        confidence: in (0, 1).
        bins: shape (n,), Mondrian category of each; coverage then holds within each category.

    Rows with a NaN are left out. Few rows (even none) are no error: intervals are infinite then.

    Raises:
        ModelError: lengths differ, the confidence is out of range, or a spread is negative.
    """
    mean, spread, measured = (np.asarray(a, dtype=np.float64) for a in (oof_mean, oof_spread, y))
    if not mean.shape == spread.shape == measured.shape:
        raise ModelError(f"calibrate: shapes differ: {mean.shape}, {spread.shape}, {measured.shape}")
    _check_confidence(confidence)
    categories = _categories(bins, len(mean))
    is_known = np.isfinite(mean) & np.isfinite(spread) & np.isfinite(measured)
    if (spread[is_known] < 0).any():
        raise ModelError("calibrate: a spread is negative; spreads are standard deviations")
    floor = max(float(np.median(spread[is_known])), _LEAST_DIFFICULTY) if is_known.any() else 1.0
    return Calibration(
        (measured - mean)[is_known],
        (spread + floor)[is_known],
        None if categories is None else categories[is_known],
        floor,
        confidence,
    )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ModelError(f"confidence is {confidence}; it must lie between 0 and 1, e.g. 0.9")


def _categories(bins: Sequence[str] | Bins | None, n: int) -> Bins | None:
    if bins is None:
        return None
    categories = np.asarray(bins, dtype=np.str_)
    if categories.shape != (n,):
        raise ModelError(f"{categories.shape} Mondrian bins for {n} predictions; give one per prediction")
    return categories


def intervals(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    *,
    confidence: float | None = None,
    bins: Sequence[str] | Bins | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Give the interval that covers the measurement with the asked probability.

    Args:
        calibration: of the same belief.
        mean: shape (m,).
        spread: shape (m,).
        confidence: None takes the calibration's.
        bins: shape (m,); needed exactly when the calibration has bins.

    Returns:
        lower and upper, each shape (m,); -inf and inf where fewer than about 1 / (1 - confidence) calibrate.
    """
    level = calibration.confidence if confidence is None else confidence
    _check_confidence(level)
    centre, difficulty = _prepared(calibration, mean, spread)
    lower, upper = np.full(len(centre), -np.inf), np.full(len(centre), np.inf)
    for known, asked in _groups(calibration, bins, len(centre)):
        scores = np.abs(calibration.residuals[known]) / calibration.difficulty[known]
        half = conformal_quantile(scores, level) * difficulty[asked]
        lower[asked], upper[asked] = centre[asked] - half, centre[asked] + half
    return lower, upper


def hit_probability(
    calibration: Calibration,
    mean: npt.ArrayLike,
    spread: npt.ArrayLike,
    threshold: float,
    *,
    bins: Sequence[str] | Bins | None = None,
) -> FloatArray:
    """Give the calibrated probability that the measurement reaches the threshold (conformal predictive system).

    Returns:
        Shape (m,), in [0, 1): one minus the predictive distribution just below the threshold; NaN where nothing
        calibrates.
    """
    centre, difficulty = _prepared(calibration, mean, spread)
    probability = np.full(len(centre), np.nan)
    for known, asked in _groups(calibration, bins, len(centre)):
        scaled = np.sort(calibration.residuals[known] / calibration.difficulty[known])
        if len(scaled):
            below = np.searchsorted(scaled, (threshold - centre[asked]) / difficulty[asked], side="left")
            probability[asked] = (len(scaled) - below) / (len(scaled) + 1)
    return probability


def _prepared(calibration: Calibration, mean: npt.ArrayLike, spread: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    centre, width = np.asarray(mean, dtype=np.float64), np.asarray(spread, dtype=np.float64)
    if centre.shape != width.shape:
        raise ModelError(f"means and spreads differ in shape: {centre.shape}, {width.shape}")
    return centre, width + calibration.floor


def _groups(calibration: Calibration, bins: Sequence[str] | Bins | None, n: int) -> Iterator[tuple[Rows, Rows]]:
    """Pair the calibrating rows with the asked rows of each category; a category not seen has none to calibrate it."""
    if (bins is None) != (calibration.bins is None):
        raise ModelError("Mondrian bins are needed for the predictions exactly when the calibration has them")
    asked = _categories(bins, n)
    if asked is None or calibration.bins is None:
        yield slice(None), slice(None)
        return
    for name in np.unique(asked):
        yield np.flatnonzero(calibration.bins == name), np.flatnonzero(asked == name)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON."""
    card = {
        "format": FORMAT,
        "confidence": calibration.confidence,
        "floor": calibration.floor,
        "residuals": calibration.residuals.tolist(),
        "difficulty": calibration.difficulty.tolist(),
        "bins": None if calibration.bins is None else calibration.bins.tolist(),
    }
    path.write_text(json.dumps(card, sort_keys=True) + "\n", encoding="utf-8")


def load_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            raise DataError(f"{path}: is of the format {card['format']!r}, not {FORMAT}; fit the belief again")
        residuals = np.asarray(card["residuals"], dtype=np.float64)
        difficulty = np.asarray(card["difficulty"], dtype=np.float64)
        bins = _categories(card["bins"], len(residuals))
        return Calibration(residuals, difficulty, bins, float(card["floor"]), float(card["confidence"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a readable calibration ({error}); fit the belief again") from error
