"""From measured wells to responses on the scale of the plate's own controls, and the quality of the plate.

0 is the median of the negative controls, 1 that of the positive ones. A plate that fails keeps its responses, with
is_used False and the reasons in words. Beside the loop's own path: dose-response curves, B-scores, sphering of
profiles, retrieval of replicates, position effects and hit calls with error rates.
"""

from nextplate.assay.b_score import BScores, b_scores
from nextplate.assay.dose_response import Axis, DoseResponse, Verdict, dose_responses, fit_dose_response
from nextplate.assay.effects import Confounding, PositionEffect, confounding, position_effects
from nextplate.assay.features import Selection, select_features
from nextplate.assay.hit_calls import HitCalls, HitRates, hit_calls
from nextplate.assay.monotone import Direction, Monotonicity, monotonicity
from nextplate.assay.params import AssayParams
from nextplate.assay.profile import Interval
from nextplate.assay.quality import FLAGS, DriftRow, PlateQc, drift
from nextplate.assay.responses import normalise
from nextplate.assay.retrieval import GroupPrecision, Replication, mean_average_precision, replication
from nextplate.assay.sphering import Sphering, fit_sphering, sphere

__all__ = [
    "FLAGS",
    "AssayParams",
    "Axis",
    "BScores",
    "Confounding",
    "Direction",
    "DoseResponse",
    "DriftRow",
    "GroupPrecision",
    "HitCalls",
    "HitRates",
    "Interval",
    "Monotonicity",
    "PlateQc",
    "PositionEffect",
    "Replication",
    "Selection",
    "Sphering",
    "Verdict",
    "b_scores",
    "confounding",
    "dose_responses",
    "drift",
    "fit_dose_response",
    "fit_sphering",
    "hit_calls",
    "mean_average_precision",
    "monotonicity",
    "normalise",
    "position_effects",
    "replication",
    "select_features",
    "sphere",
]
