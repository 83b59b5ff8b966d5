"""Calibration over arrays, never over models.

What comes in are out-of-fold predictions and what was measured; what goes out are intervals and probabilities
for other predictions. Which model made them does not matter, so any belief composes.

    calibration = calibrate(oof_mean, oof_spread, y, confidence=0.9)
    lower, upper = intervals(calibration, mean, spread)
    p_hit = hit_probability(calibration, mean, spread, threshold=0.5)
    rows = coverage_table(calibration, mean, spread, measured)   # of predictions made before measuring
"""

from nextplate.conformal.calibration import (
    Calibration,
    calibrate,
    hit_probability,
    intervals,
    load_calibration,
    save_calibration,
)
from nextplate.conformal.coverage import LEVELS, Coverage, coverage, coverage_table, wilson_interval

__all__ = [
    "LEVELS",
    "Calibration",
    "Coverage",
    "calibrate",
    "coverage",
    "coverage_table",
    "hit_probability",
    "intervals",
    "load_calibration",
    "save_calibration",
    "wilson_interval",
]
