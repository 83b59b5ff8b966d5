"""From measured wells to responses on the scale of the plate's own controls, and the quality of the plate.

0 is the median of the negative controls, 1 that of the positive ones. A plate that fails keeps its responses, with
is_used False and the reasons in words. `analyse_plate` says all of one measured plate and a layout file: dose-response
curves, B-scores, position effects, hit calls with error rates. Across plates: sphering of profiles, retrieval.
"""

from nextplate.assay.b_score import BScores, b_scores
from nextplate.assay.control_quality import ControlQc
from nextplate.assay.dose_response import Axis, DoseResponse, Verdict, dose_responses, fit_dose_response
from nextplate.assay.effects import Confounding, PositionEffect, confounding, position_effects
from nextplate.assay.endpoint import NC_RATIO, Endpoint, Method, Scale, endpoint_of
from nextplate.assay.features import Selection, select_features
from nextplate.assay.hit_calls import HitCalls, HitRates, hit_calls
from nextplate.assay.layout_file import plates_of_layout, read_measured_layout
from nextplate.assay.measured_layout import MeasuredLayout, MeasuredWell, from_plan
from nextplate.assay.moa import MoaScores, NeighbourScore, Treatments, score_moa, score_nsc, score_nscb
from nextplate.assay.moa_predictions import Prediction, SplitScore, score_predictions
from nextplate.assay.moa_profiles import NormalisedWells, TreatedWells, normalise_wells, treatments_of
from nextplate.assay.moa_splits import Fold, Split, compound_batch_split, compound_split, random_split
from nextplate.assay.moa_tables import predictions_of, treated_wells
from nextplate.assay.monotone import Direction, Monotonicity, monotonicity
from nextplate.assay.params import AssayParams
from nextplate.assay.plate_analysis import PlateAnalysis, analyse_plate
from nextplate.assay.plate_profiles import MeasuredPlate, PlateProfiles, ProfileParams, profile_plates, robust_z
from nextplate.assay.profile import Interval
from nextplate.assay.quality import FLAGS, DriftRow, PlateQc, drift
from nextplate.assay.responses import normalise
from nextplate.assay.retrieval import GroupPrecision, Replication, mean_average_precision, replication
from nextplate.assay.sphering import Sphering, fit_sphering, sphere

__all__ = [
    "FLAGS",
    "NC_RATIO",
    "AssayParams",
    "Axis",
    "BScores",
    "Confounding",
    "ControlQc",
    "Direction",
    "DoseResponse",
    "DriftRow",
    "Endpoint",
    "Fold",
    "GroupPrecision",
    "HitCalls",
    "HitRates",
    "Interval",
    "MeasuredLayout",
    "MeasuredPlate",
    "MeasuredWell",
    "Method",
    "MoaScores",
    "Monotonicity",
    "NeighbourScore",
    "NormalisedWells",
    "PlateAnalysis",
    "PlateProfiles",
    "PlateQc",
    "PositionEffect",
    "Prediction",
    "ProfileParams",
    "Replication",
    "Scale",
    "Selection",
    "Sphering",
    "Split",
    "SplitScore",
    "TreatedWells",
    "Treatments",
    "Verdict",
    "analyse_plate",
    "b_scores",
    "compound_batch_split",
    "compound_split",
    "confounding",
    "dose_responses",
    "drift",
    "endpoint_of",
    "fit_dose_response",
    "fit_sphering",
    "from_plan",
    "hit_calls",
    "mean_average_precision",
    "monotonicity",
    "normalise",
    "normalise_wells",
    "plates_of_layout",
    "position_effects",
    "predictions_of",
    "profile_plates",
    "random_split",
    "read_measured_layout",
    "replication",
    "robust_z",
    "score_moa",
    "score_nsc",
    "score_nscb",
    "score_predictions",
    "select_features",
    "sphere",
    "treated_wells",
    "treatments_of",
]
