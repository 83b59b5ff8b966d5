"""Faults: which sorts there are, what may be answered to each, and what the lab's policy answers by itself.

==============  ====================================================================================================
step            a computing step failed
refused         a device says that it failed and that nothing was begun
failed          a device says that it failed; something may have been begun
partial         a load of the liquid handler broke off
stranger        a plate stands where one was to be put on the deck
quality         a plate fails its quality control
unreachable     a command could not be handed over, again and again
unknown         nobody can tell whether an action was done
stall           a device or a computing step takes longer than it ever does; it may still end
==============  ====================================================================================================
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from controller.actions import Note
from controller.durations import GUESSES_S
from controller.recipe import PARKED_FROM, WITH_PLATE, Plan, kind_of, stand_in
from controller.state import Fault, Intent, LabState, Outcome
from nextplate.schedule.durations import late_s
from protocols.outcome import says_never_began

ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "retry": "try once more, as a new action",
        "other-device": "have the other device of this kind do it, as a new action",
        "replan": "plan the round's pipetting anew without the place that is taken; it is proven and approved again",
        "done": "a person saw that it was done; go on",
        "not-done": "a person saw that it was not done; do it, as a new action",
        "half-done": "a person saw which plates arrived (--arrived PLATE, once for each); the rest as a new action",
        "accept": "go on; wells that got too little are left out of the responses",
        "use": "use the plate's responses in spite of its quality",
        "discard": "keep the plate's data but learn nothing from it",
        "write-off": "go on; nobody knows which wells were dosed, so all are left out and all stock is debited",
        "park": "the arm takes the assay plate out of the way; the campaign goes on with the next round",
        "lose-plate": "the assay plate has been taken away; the campaign goes on with the next round",
        "wait": "leave it alone until it ends; asked again when it is late once more, or after --minutes N",
        "abort": "end the campaign here",
    }
)  # fmt: skip
"""Every answer a fault may offer, and what it does."""

TELLING = ("done", "not-done", "half-done", "write-off", "abort")
"""Answers that tell the fate of an action that no device can tell."""


def ask(key: str, kind: str, question: str, choices: Sequence[str]) -> Note:
    """Put a question to a person."""
    return Note("fault", {"fault": key, "key": key, "kind": kind, "question": question, "choices": list(choices)})


def unreachable(intent: Intent, n_attempts: int) -> Note:
    """Ask about a command that never arrived, as far as anybody knows."""
    question = f"{intent.key}: the device could not be reached {n_attempts} times; look at it, then answer"
    return ask(intent.key, "unreachable", question, ("done", "not-done", *_half(intent), "abort"))


def unknown_fate(intent: Intent, message: str) -> Note:
    """Ask about an action of which the device cannot say whether it happened."""
    question = f"{intent.key}: {message}; nobody can tell whether it was done: look at the device, then answer"
    half = ("write-off",) if intent.task.startswith("run-") else ()
    return ask(intent.key, "unknown", question, ("done", "not-done", *_half(intent), *half, "abort"))


def moved_by(intent: Intent) -> tuple[str, ...]:
    """List the plates that an action moves."""
    return tuple(barcode for barcode, _source, _target in intent.action.get("command", {}).get("moves", ()))


def _half(intent: Intent) -> tuple[str, ...]:
    """Offer to say which of several plates arrived."""
    return ("half-done",) if len(moved_by(intent)) > 1 else ()


def stalled(state: LabState, now: datetime) -> tuple[list[Note], list[datetime]]:
    """Ask about every action of the campaign in focus that takes too long; tell when the others would be late.

    Who was told to wait is asked again when that is over.
    """
    notes, times = [], []
    for intent in state.pending():
        is_own = state.campaign is not None and state.campaign.owns(intent.key)
        limit = _limit(state, intent) if is_own else None
        if limit is not None and now >= limit:
            notes.append(_late(state, intent, limit))
        elif limit is not None:
            times.append(limit)
    return notes, times


def _limit(state: LabState, intent: Intent) -> datetime | None:
    """Return when an action is late, or late again; None: nobody is asked about it now."""
    fault, since = state.faults.get(intent.key), _since(state, intent)
    if since is None or (fault is not None and (fault.is_doubt or fault.answered is None)):
        return None
    limit_s = _patience_s(state, intent)
    if fault is not None and fault.answered is not None:
        since, limit_s = fault.answered, limit_s if fault.wait_s is None else fault.wait_s
    return since + timedelta(seconds=min(limit_s, _LONGEST_S))


def _since(state: LabState, intent: Intent) -> datetime | None:
    """Return since when somebody is at it: the intent may be older than a night that was cut short; None: nobody is."""
    if intent.activity is None:
        return max(intent.time, state.started or intent.time)
    accepted = state.accepted.get(intent.key)
    return None if accepted is None else max(intent.time, accepted)


def _patience_s(state: LabState, intent: Intent) -> float:
    seconds = late_s(state.took_s.get(intent.work, ()))
    if seconds is None:
        return max(_LEAST_S, _GUESSED * GUESSES_S.get(intent.work, 0.0))
    return max(_PATIENCE * seconds, _LEAST_STEP_S if intent.activity is None else 0.0)


_LEAST_S, _GUESSED = 3600.0, 10.0
"""What was never seen at a device is late after an hour, or ten times what is guessed."""
_LEAST_STEP_S = 900.0
"""A step of seconds is not late while the machine is busy with something else."""
_LONGEST_S = 7 * 86400.0
"""Few and very unlike durations (one was cut by a crash or a closed window) give a limit beyond the calendar."""
_PATIENCE = 1.5
"""How far above the 99th percentile of what is usual something may be before somebody is called."""


def _late(state: LabState, intent: Intent, limit: datetime) -> Note:
    who = f"the {intent.action['device']}" if intent.activity else f"the computing {intent.work}"
    hint = "look at it" if intent.activity else "see logs/worker.log; its process may be ended, it is then begun again"
    said = state.faults.get(intent.key)
    waited = f" ({said.by} said wait at {said.answered:%H:%M})" if said is not None and said.answered else ""
    question = (
        f"{intent.key}: {who} has been at it since {intent.time:%Y-%m-%d %H:%M} UTC and should "
        f"have ended by {limit:%H:%M}{waited}; {hint}. If it ends after all, the campaign goes on by itself"
    )
    return ask(intent.key, "stall", question, ("wait",))


def about(state: LabState, plan: Plan, task: str, intent: Intent, outcome: Outcome) -> Note:
    """Ask about an outcome that needs somebody's word."""
    key = outcome.key
    if "occupied" in outcome.result and kind_of(task) == "deck":
        return _stranger(state, intent, outcome)
    if task == "normalise" and outcome.is_done:
        reasons = "; ".join(outcome.result["summary"]["reasons"])
        question = f"{key}: the plate fails its quality control: {reasons}"
        return ask(key, "quality", question, ("use", "discard", "abort"))
    if task.startswith("run-"):
        tried = outcome.result.get("transfers", ())
        said = f"{key}: stopped after {len(tried)} transfers: {outcome.message}"
        # A load that lists nothing may have stopped in its first transfer: it is retried only on the report's word.
        if says_never_began(outcome.result, outcome.message):
            return ask(key, "refused", said, ("retry", "lose-plate", "abort"))
        return ask(key, "partial", said, ("accept", "lose-plate", "abort"))
    is_physical, kind = "device" in intent.action, kind_of(task)
    # What was poured or washed half-way is never begun again on a policy's word; a person who looked says what it is.
    is_half = kind == "treat" and "program" in intent.action["command"]
    is_half = is_half and not says_never_began(outcome.result, outcome.message)
    offered = ["not-done"] if is_half else ["retry"]
    # only what is certainly not done: an action of unknown fate has no outcome, and is asked about elsewhere
    offered += ["other-device"] if is_physical and not is_half and stand_in(plan, intent.action["device"]) else []
    offered += ["done"] if is_physical and task != "acquire" else []
    offered += _half(intent)
    offered += ["park"] if kind in PARKED_FROM else []
    offered += ["lose-plate"] if kind in WITH_PLATE else []
    return ask(key, "failed" if is_physical else "step", f"{key}: {outcome.message}", (*offered, "abort"))


def _stranger(state: LabState, intent: Intent, outcome: Outcome) -> Note:
    """Ask about a plate that stands where one was to be put; before anything was pipetted another slot will do."""
    place, who = outcome.result["occupied"]
    is_known = "stands there" if who in state.places else "nobody registered it here"
    question = f"{outcome.key}: {place} is taken by plate {who or 'of unknown barcode'} ({is_known}); it is left alone"
    campaign = next((c for c in state.campaigns.values() if c.owns(intent.key)), None)
    mine = [i for i in state.intents.values() if campaign and campaign.owns(i.key) and i.round == intent.round]
    is_begun = any(kind_of(i.task) == "run" for i in mine)
    return ask(outcome.key, "stranger", question, (*(() if is_begun else ("replan",)), "retry", "lose-plate", "abort"))


def policy_answer(state: LabState, now: datetime, plan: Plan, task: str, fault: Fault) -> str | datetime | None:
    """Return what the lab's policy answers to a fault now, or when it will; None: it leaves it to a person.

    The answers that lab.toml lists for a device (or for ``step``) are used up one after the other, each try of the
    same task taking the next; between tries the policy waits, twice as long every time.
    """
    policy = plan.section("faults")
    if fault.kind == "stranger":
        return _offered("replan", fault)
    if task == "normalise" and fault.kind in ("quality", ""):
        return _offered(policy["failed_plate"], fault)
    if fault.kind in ("partial", "") and task.startswith("run-"):
        return _offered(policy["partial_load"], fault)
    n = n_tries(state, fault)
    listed = policy.get("policy", {}).get(_policy_name(state, fault), ())
    answer = _offered(listed[n] if n < len(listed) else "ask", fault)
    due = fault.time + timedelta(seconds=policy["retry_wait_s"] * 2**n) if answer == "retry" and fault.time else now
    return due if answer is not None and now < due else answer


def n_tries(state: LabState, fault: Fault) -> int:
    """Return how often the policy has had a task tried again before this."""
    intent = state.intents[fault.key]
    again = (f for f in state.faults.values() if f.answer in ("retry", "other-device") and f.by == "policy")
    stem = _stem(fault.key, intent.task)
    return sum(_stem(f.key, state.intents[f.key].task) == stem for f in again)


def _stem(key: str, task: str) -> str:
    """Name a task without the number of its try."""
    return key[: key.rindex(task) + len(task)]


def _policy_name(state: LabState, fault: Fault) -> str:
    return str(state.intents[fault.key].action.get("device", "step"))


def _offered(wish: str, fault: Fault) -> str | None:
    return wish if wish in fault.choices else None


def told(intent: Intent, fault: Fault) -> dict[str, Any]:
    """Make the outcome of an action from a person's word about it."""
    moved = {"moved": list(fault.arrived)} if fault.answer == "half-done" else {}
    return {
        "key": intent.key,
        "status": "done" if fault.answer in ("done", "write-off") else "failed",
        "result": {"told_by": fault.by, "choice": fault.answer, **moved},
        "message": f"{fault.by} answered {fault.answer}",
    }
