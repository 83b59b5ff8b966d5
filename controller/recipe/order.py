"""Which tasks a round has, which are over, and which comes next."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from controller.recipe.plan import Plan
from controller.recipe.stops import plate_tasks, stay_before, stops
from controller.state import LabState, Outcome

BELIEF = ("fit", "calibrate")
PLANNING = ("pick", "layout", "compile", "check", "propose", "approve")
HANDLING = frozenset(("clear", "bring", "store", "fetch", "carry", "treat", "stage", "acquire", "unstage"))
"""Kinds of tasks in which something is done to an assay plate that liquid has touched."""
PARKED_FROM = frozenset(("store", "treat", "acquire"))
"""Kinds of tasks after whose failure the arm can take the assay plate out of the way: it is known where it stands."""
WITH_PLATE = HANDLING | {"measure", "normalise", "park", "admit", "evaluate"}
"""Kinds of tasks, beside the loads, after whose failure the assay plate can be given up and the campaign go on."""


def chain(state: LabState, plan: Plan, round_number: int) -> tuple[str, ...]:
    """List a round's tasks in order; the deck loads appear once the protocol is compiled."""
    belief = BELIEF if accepted_rounds(state, round_number) else ()
    if round_number >= plan.rounds:
        return belief
    compiled = state.outcome("compile", round_number)
    if compiled is None or not compiled.is_done:
        return belief + PLANNING
    loads = tuple(t for k in range(len(compiled.result["summary"]["loads"])) for t in (f"deck-{k}", f"run-{k}"))
    admit = ("admit",) if is_admitted(state, round_number) else ()
    return _until_lost(state, round_number, belief + PLANNING + loads + after_loads(plan) + admit + ("evaluate",))


def after_loads(plan: Plan) -> tuple[str, ...]:
    """List what comes after the last deck load."""
    return (*plate_tasks(plan), "measure", "normalise")


def _until_lost(state: LabState, round_number: int, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """End a round with the task at which its plate was given up."""
    answers = [state.faults.get(state.latest_key(t, round_number)) for t in tasks]
    lost = next((n for n, f in enumerate(answers) if f is not None and f.answer in ("lose-plate", "park")), None)
    fault = None if lost is None else answers[lost]
    if lost is None or fault is None or tasks[lost] == "unstage":
        return tasks  # a plate that is gone after it was imaged is measured all the same
    return tasks[: lost + 1] + (("park",) if fault.answer == "park" else ())


def is_admitted(state: LabState, round_number: int) -> bool:
    """Tell whether somebody said to use a plate that failed: its responses are then made once more, with that word."""
    fault = state.faults.get(state.latest_key("normalise", round_number))
    return fault is not None and fault.answer == "use"


def judged_task(state: LabState, round_number: int) -> str:
    """Name the task whose responses of a round hold."""
    return "admit" if state.outcome("admit", round_number) else "normalise"


def is_past(state: LabState, task: str, round_number: int) -> bool:
    """Tell whether a task is over: done, or failed and accepted by a person or the policy."""
    if task == "approve":
        return _is_approved(state, round_number)
    if task == "propose" and _is_approved(state, round_number):
        return True  # also what was approved before rounds were summed up
    outcome = state.outcome(task, round_number)
    if outcome is None:
        return False
    fault = state.faults.get(outcome.key)
    return fault.answer is not None if fault else not needs_word(task, outcome)


def _is_approved(state: LabState, round_number: int) -> bool:
    """Tell whether a round may be pipetted: what was approved is what is planned now, digest by digest."""
    approval, proposed = state.approvals.get(round_number), state.outcome("propose", round_number)
    if approval is None or not approval.is_approved:
        return False
    planned = proposed.result["summary"]["digest"] if proposed and proposed.is_done else ""
    return approval.digest == planned  # both empty: approved before there were digests


def needs_word(task: str, outcome: Outcome) -> bool:
    """Tell whether an outcome cannot be gone past without somebody's word."""
    return not outcome.is_done or (task == "normalise" and not outcome.result["summary"]["passed"])


def current(state: LabState, plan: Plan) -> tuple[int, str] | None:
    """Find the first task that is not over, as (round, task); None when the campaign is through."""
    for round_number in range(state.last_round(), plan.rounds + 1):
        for task in chain(state, plan, round_number):
            if not is_past(state, task, round_number):
                return round_number, task
    return None


def not_before(state: LabState, plan: Plan, task: str, round_number: int) -> datetime | None:
    """Tell the earliest time a task may start; None: at once."""
    stop = stay_before(plan, task)
    begun = state.outcome(stop.tasks[0], round_number) if stop else None
    return begun.ended + stop.stay if stop and begun else None


def late_min(state: LabState, plan: Plan, round_number: int) -> float | None:
    """Return how many minutes too late a plate left the incubator for what comes next; None: in time, or nobody cares.

    Of several incubations with a tolerance, the one that was kept worst.
    """
    over = [-left for left in margins(state, plan, round_number)]
    return round(max(over) / timedelta(minutes=1), 1) if over and max(over) > timedelta(0) else None


def margins(state: LabState, plan: Plan, round_number: int, now: datetime | None = None) -> Iterator[timedelta]:
    """Yield the time left, for every incubation with a tolerance, when the next thing began.

    Args:
        state: with the plan's campaign in focus.
        plan: the campaign's.
        round_number: of the plate.
        now: asks about what has not begun yet instead: how much is left of it now.
    """
    for stop, after in pairwise(stops(plan)):
        stored = state.outcome(stop.tasks[0], round_number)
        then = state.intents.get(state.latest_key(after.tasks[0], round_number))
        if stop.tolerance is not None and stored is not None and (then is None) == (now is not None):
            yield stored.ended + stop.stay + stop.tolerance - (then.time if then else now or stored.ended)


def accepted_rounds(state: LabState, before: int) -> tuple[int, ...]:
    """List the earlier rounds whose plate counts: it passed, or somebody said to use it."""
    return tuple(r for r in range(before) if _counts(state, r))


def _counts(state: LabState, round_number: int) -> bool:
    outcome = state.outcome(judged_task(state, round_number), round_number)
    if outcome is None or not outcome.is_done:
        return False
    return outcome.result["summary"]["passed"] or is_admitted(state, round_number)
