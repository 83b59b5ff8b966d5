"""decide: what to do next, as a pure function of the state, the time and the plan."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller.actions import Action, Note, Resubmit, Wait
from controller.recipe import WITH_PLATE, Plan, build, current, not_before
from controller.state import Fault, Intent, LabState, Outcome
from protocols.outcome import says_never_began

ANSWERS: Mapping[str, str] = {
    "retry": "try once more, as a new action",
    "done": "a person saw that it was done; go on",
    "not-done": "a person saw that it was not done; do it, as a new action",
    "accept": "go on; wells that got too little are left out of the responses",
    "use": "use the plate's responses in spite of its quality",
    "discard": "keep the plate's data but learn nothing from it",
    "write-off": "go on; nobody knows which wells of the load were dosed, so all are left out and all stock is debited",
    "lose-plate": "the assay plate has been taken away; the campaign goes on with the next round",
    "abort": "end the campaign here",
}
"""Every answer a fault may offer, and what it does."""


def decide(state: LabState, now: datetime, plan: Plan) -> tuple[Action, ...]:
    """Return the actions to take now; an empty tuple means: wait for what is in flight, or for a person."""
    words = _words_about_unknown(state)
    if words:
        return words
    if state.is_finished or state.is_aborted or state.is_paused:
        return ()
    place = current(state, plan)
    if place is None:
        return (Note("campaign.finished", {"name": plan.name, "rounds": plan.rounds}),)
    return _work(state, now, plan, *place)


def _work(state: LabState, now: datetime, plan: Plan, round_number: int, task: str) -> tuple[Action, ...]:
    key = state.latest_key(task, round_number)
    outcome = state.outcomes.get(key)
    if outcome is not None:
        return _word_about(state, plan, task, outcome)
    if key in state.intents:
        return _again(state, now, plan, key)
    if task == "approve" and round_number in state.proposals:
        return ()
    earliest = not_before(state, plan, task, round_number)
    if earliest is not None and now < earliest:
        return (Wait(earliest),)
    return (build(state, plan, task, round_number),)


def _again(state: LabState, now: datetime, plan: Plan, key: str) -> tuple[Action, ...]:
    """Hand an action over again whose hand-over failed, later and not for ever."""
    attempts = state.attempts.get(key, ())
    if not attempts or key in state.faults:
        return ()
    policy = plan.section("faults")
    if len(attempts) >= policy["max_attempts"]:
        question = f"{key}: the device could not be reached {len(attempts)} times; look at it, then answer"
        return (_ask(key, question, ("done", "not-done", "abort")),)
    due = attempts[-1] + timedelta(seconds=policy["retry_wait_s"] * 2 ** (len(attempts) - 1))
    return (Resubmit(key),) if now >= due else (Wait(due),)


def _word_about(state: LabState, plan: Plan, task: str, outcome: Outcome) -> tuple[Action, ...]:
    """Ask about an outcome that needs somebody's word, or give the policy's answer."""
    fault = state.faults.get(outcome.key)
    if fault is None:
        is_physical = "device" in state.intents[outcome.key].action
        return (_ask(outcome.key, *_question(task, outcome, is_physical)),)
    choice = _policy_answer(plan, task, fault)
    if choice is None:
        return ()
    what = {"what": "answer", "fault": fault.fault, "choice": choice, "by": "policy"}
    return (Note("decision", what),)


def _policy_answer(plan: Plan, task: str, fault: Fault) -> str | None:
    policy = plan.section("faults")
    wish = (
        policy["failed_plate"] if task == "normalise" else policy["partial_load"] if task.startswith("run-") else "ask"
    )
    return wish if wish in fault.choices else None


def _question(task: str, outcome: Outcome, is_physical: bool) -> tuple[str, tuple[str, ...]]:
    if task == "normalise" and outcome.is_done:
        reasons = "; ".join(outcome.result["summary"]["reasons"])
        return f"{outcome.key}: the plate fails its quality control: {reasons}", ("use", "discard", "abort")
    if task.startswith("run-"):
        tried = outcome.result.get("transfers", ())
        said = f"{outcome.key}: stopped after {len(tried)} transfers: {outcome.message}"
        # A load that lists nothing may have stopped in its first transfer: it is retried only on the report's word.
        begun = not says_never_began(outcome.result, outcome.message)
        return said, ("accept", "lose-plate", "abort") if begun else ("retry", "lose-plate", "abort")
    choices = ["retry"]
    choices += ["done"] if is_physical and task != "acquire" else []
    choices += ["lose-plate"] if task in WITH_PLATE else []
    return f"{outcome.key}: {outcome.message}", (*choices, "abort")


def _ask(key: str, question: str, choices: tuple[str, ...]) -> Note:
    return Note("fault", {"fault": key, "key": key, "question": question, "choices": list(choices)})


def unknown_fate(intent: Intent, message: str) -> Note:
    """Ask about an action of which the device cannot say whether it happened."""
    question = f"{intent.key}: {message}; nobody can tell whether it was done: look at the device, then answer"
    half = ("write-off",) if intent.task.startswith("run-") else ()
    return _ask(intent.key, question, ("done", "not-done", *half, "abort"))


_TELLING = ("done", "not-done", "write-off", "abort")
"""Answers that tell the fate of an action that no device can tell."""


def _words_about_unknown(state: LabState) -> tuple[Action, ...]:
    """Turn a person's answer about an action of unknown fate into its outcome."""
    return tuple(
        Note("outcome", _told(intent, fault))
        for intent in state.pending()
        if (fault := state.faults.get(intent.key)) and fault.answer in _TELLING
    )


def _told(intent: Intent, fault: Fault) -> dict[str, Any]:
    status = "done" if fault.answer in ("done", "write-off") else "failed"
    message = f"{fault.by} answered {fault.answer}"
    return {
        "key": intent.key,
        "status": status,
        "result": {"told_by": fault.by, "choice": fault.answer},
        "message": message,
    }
