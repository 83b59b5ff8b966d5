"""The recipe of a round: which tasks, in which order, and the action that each one is.

A round is a chain of tasks. Tasks up to ``approve`` compute a checked protocol; then each deck load is set by
the plate mover and pipetted; the plate incubates, is imaged and measured; ``evaluate`` compares what was
predicted with what was found. After the last round a closing chain fits once more, so that the campaign ends
with beliefs that know every plate.
"""

from controller.recipe.beliefs import deployed_round, has_passed
from controller.recipe.build import build
from controller.recipe.context import barcode_of, stand_in
from controller.recipe.order import (
    BELIEF,
    HANDLING,
    PARKED_FROM,
    PLANNING,
    WITH_PLATE,
    accepted_rounds,
    after_loads,
    chain,
    current,
    is_past,
    judged_task,
    late_min,
    margins,
    needs_word,
    not_before,
)
from controller.recipe.plan import Plan, plan_of, running_plans
from controller.recipe.stops import BENCH, INCUBATOR, Stop, activity_of, kind_of, plate_tasks, step_of, stops

__all__ = [
    "BELIEF",
    "BENCH",
    "HANDLING",
    "INCUBATOR",
    "PARKED_FROM",
    "PLANNING",
    "WITH_PLATE",
    "Plan",
    "Stop",
    "accepted_rounds",
    "activity_of",
    "after_loads",
    "barcode_of",
    "build",
    "chain",
    "current",
    "deployed_round",
    "has_passed",
    "is_past",
    "judged_task",
    "kind_of",
    "late_min",
    "margins",
    "needs_word",
    "not_before",
    "plan_of",
    "plate_tasks",
    "running_plans",
    "stand_in",
    "step_of",
    "stops",
]
