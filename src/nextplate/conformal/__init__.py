"""Calibration over arrays, never over models.

What comes in are out-of-fold (or, better, prospective) predictions and what was measured; what goes out are
intervals, probabilities, hit lists and alarms for other predictions. Which model made them does not matter, so any
belief composes. Nothing fails silently: bad input is a DataError, and every fallback is named in ``notes``.

    calibration = calibrate(oof_mean, oof_spread, y, confidence=0.9, bins=None)

    # intervals of candidates: split and normalised; per category; valid on what a rule picks
    found = candidate_intervals(calibration, mean, spread)                 # .lower .upper .notes
    weights = density_ratio(cal_features, picked_features, features)       # columns: mean, spread, similarity, ...
    found = candidate_intervals(calibration, mean, spread, weights=weights)
    found = cross_intervals(residuals, fold_of, fold_means)                # CV+, when every fold's predictions exist

    # hits
    hits = hit_list(cal_scores, cal_is_hit, cand_scores, fdr=0.2)          # .rows .p_values .notes
    p = p_hit(cal_scores, cal_is_hit, scores)                              # Venn-Abers: .probability .low .high
    sets = label_sets(cal_scores, cal_is_hit, scores)                      # class-conditional, for rare hits

    # Which residuals calibrate matters more than the method: out of fold, earlier picks flatter themselves (near
    # duplicates sit in the other folds). Best: what was predicted before measuring, from every plate so far. Else
    # weights whose features include the similarity to the nearest training compound.

    # the whole distribution
    low, high = reach_probability(calibration, mean, spread, threshold)
    q = predictive_quantiles(calibration, mean, spread, [0.05, 0.5, 0.95])

    # all of it for a plate: what is measured and the library as predicted (nightly, and in every replay)
    promise = promise_picks(known, library, level=asked_level(p_of_rounds, 0.9), confidence=0.9, n_picks=300, beta=1)
    found = promised_intervals(promise, library.mean, library.spread)
    hits = best_hits(known, library, 300)                                  # .rows of the library
    chance, notes = chance_of_hit(out_of_fold, library.mean, library.spread, threshold)

    # over rounds
    state = adapt(start_adaptive(0.9), p_values)                           # .level to ask for next
    alarm = drift_alarm(cal_scores, [round_1, round_2], rng)               # .alarmed_round, None: no drift
    p_values, least = measured_p_values(calibration, mean, spread, y)
    rows = coverage_rows([RoundRecord(1, p_values, is_picked, categories, least)])
    png = coverage_picture(rows)
"""

from nextplate.conformal.adaptive import AdaptiveLevel, adapt, start_adaptive
from nextplate.conformal.calibration import (
    Calibration,
    calibrate,
    hit_probability,
    intervals,
    load_calibration,
    save_calibration,
)
from nextplate.conformal.candidates import Intervals, candidate_intervals, cross_intervals, split_intervals, tempered
from nextplate.conformal.coverage import (
    LEVELS,
    Coverage,
    between_interval,
    coverage,
    coverage_of,
    coverage_table,
    wilson_interval,
)
from nextplate.conformal.diagnostics import CoverageRow, RoundRecord, coverage_rows, coverage_text
from nextplate.conformal.known import Candidates, Known, joined, no_known, once_each
from nextplate.conformal.label_sets import LabelSets, label_sets
from nextplate.conformal.martingale import DriftAlarm, drift_alarm
from nextplate.conformal.mondrian import merge_small
from nextplate.conformal.picture import coverage_picture
from nextplate.conformal.predictive import (
    measured_p_values,
    predictive_cdf,
    predictive_quantiles,
    reach_probability,
)
from nextplate.conformal.promise import (
    FDR,
    HeldOut,
    Promise,
    adapted,
    asked_level,
    best_few,
    best_hits,
    chance_of_hit,
    chance_unseen,
    held_out_coverage,
    promise_p_values,
    promise_picks,
    promised_intervals,
)
from nextplate.conformal.promised_sets import pick_sets, places
from nextplate.conformal.selection import HitList, hit_list
from nextplate.conformal.shift import Weights, density_ratio, given_weights
from nextplate.conformal.venn_abers import HitProbability, p_hit

__all__ = [
    "FDR",
    "LEVELS",
    "AdaptiveLevel",
    "Calibration",
    "Candidates",
    "Coverage",
    "CoverageRow",
    "DriftAlarm",
    "HeldOut",
    "HitList",
    "HitProbability",
    "Intervals",
    "Known",
    "LabelSets",
    "Promise",
    "RoundRecord",
    "Weights",
    "adapt",
    "adapted",
    "asked_level",
    "best_few",
    "best_hits",
    "between_interval",
    "calibrate",
    "candidate_intervals",
    "chance_of_hit",
    "chance_unseen",
    "coverage",
    "coverage_of",
    "coverage_picture",
    "coverage_rows",
    "coverage_table",
    "coverage_text",
    "cross_intervals",
    "density_ratio",
    "drift_alarm",
    "given_weights",
    "held_out_coverage",
    "hit_list",
    "hit_probability",
    "intervals",
    "joined",
    "label_sets",
    "load_calibration",
    "measured_p_values",
    "merge_small",
    "no_known",
    "once_each",
    "p_hit",
    "pick_sets",
    "places",
    "predictive_cdf",
    "predictive_quantiles",
    "promise_p_values",
    "promise_picks",
    "promised_intervals",
    "reach_probability",
    "save_calibration",
    "split_intervals",
    "start_adaptive",
    "tempered",
    "wilson_interval",
]
