"""The action that each task is."""

from collections.abc import Callable, Mapping

from controller.recipe.beliefs import calibrate, evaluate, fit
from controller.recipe.context import Built, Context
from controller.recipe.handling import carry, clear, deck, park, plate, run, treat, unstage
from controller.recipe.measuring import measure, normalise
from controller.recipe.plan import Plan
from controller.recipe.planning import check, compile_layout, layout, pick, propose
from controller.state import LabState


def build(state: LabState, plan: Plan, task: str, round_number: int) -> Built:
    """Make the action that a task is, from the outcomes before it."""
    kind, _, number = task.partition("-")
    builder = _BUILDERS[kind]
    return builder(Context(state, plan, task, round_number, int(number or 0)))


_BUILDERS: Mapping[str, Callable[[Context], Built]] = {
    "fit": fit,
    "calibrate": calibrate,
    "pick": pick,
    "layout": layout,
    "compile": compile_layout,
    "check": check,
    "propose": propose,
    "deck": deck,
    "run": run,
    "clear": clear,
    "store": plate("incubator", "store"),
    "fetch": plate("incubator", "fetch"),
    "bring": carry,
    "carry": carry,
    "treat": treat,
    "stage": carry,
    "acquire": plate("imager", "acquire"),
    "unstage": unstage,
    "park": park,
    "measure": measure,
    "normalise": normalise,
    "admit": normalise,
    "evaluate": evaluate,
}
