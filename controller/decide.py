"""decide: what to do next, as a pure function of the state, the time and the plans."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from controller.actions import Action, Note, Operate, Resubmit, Wait
from controller.approving import approval_word
from controller.faults import TELLING, about, policy_answer, stalled, told, unreachable
from controller.floor import why_busy, why_wait
from controller.recipe import Plan, build, current, not_before
from controller.state import LabState, Outcome
from controller.timing import Due, Shut, always_open, due


def decide(
    state: LabState,
    now: datetime,
    plan: Plan,
    plans: Sequence[Plan] = (),
    due_at: Due = due,
    closed: Shut = always_open,
) -> tuple[Action, ...]:
    """Return the actions of one campaign to take now.

    Args:
        state: with this campaign in focus.
        now: UTC.
        plan: the campaign's.
        plans: of all campaigns that share the lab, this one among them or not.
        due_at: tells when a task may begin by the schedule; the loop gives one that remembers.
        closed: when robots may not move: a plate whose times that breaks is put before a person first.

    Returns:
        An empty tuple means: wait for what is in flight, for another campaign, or for a person.
    """
    words = _words_about_unknown(state)
    if words:
        return words
    late, times = stalled(state, now)
    if late:
        return tuple(late)
    waits = (Wait(min(times)),) if times else ()
    if state.is_finished or state.is_aborted or state.is_paused:
        return waits
    place = current(state, plan)
    if place is None:
        return (Note("campaign.finished", {"name": plan.name, "rounds": plan.rounds}),)
    if place[1] == "approve":
        return _let_go(state, now, plan, plans, place[0], closed) or waits
    return _work(state, now, plan, plans, due_at, *place) or waits


def _work(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], due_at: Due, round_number: int, task: str
) -> tuple[Action, ...]:
    key = state.latest_key(task, round_number)
    outcome = state.outcomes.get(key)
    if outcome is not None:
        return _word_about(state, now, plan, task, outcome)
    if key in state.intents:
        return _again(state, now, plan, key)
    earliest = not_before(state, plan, task, round_number)
    if earliest is not None and now < earliest:
        return (Wait(earliest),)
    if why_wait(state, plan, plans, task):
        return ()
    if then := due_at(state, now, plan, plans, task):
        return (Wait(then),)
    action = build(state, plan, task, round_number)
    return () if isinstance(action, Operate) and why_busy(state, action) else (action,)


def _let_go(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], round_number: int, closed: Shut
) -> tuple[Action, ...]:
    """Approve a round by the policy, or ask, once for what is planned now."""
    asked, planned = state.proposals.get(round_number), state.outcome("propose", round_number)
    if asked is not None and planned is not None and asked.digest == planned.result["summary"]["digest"]:
        return ()
    return (approval_word(state, now, plan, plans, round_number, closed(now)),)


def _again(state: LabState, now: datetime, plan: Plan, key: str) -> tuple[Action, ...]:
    """Hand an action over again whose hand-over failed, later and not for ever."""
    attempts = state.attempts.get(key, ())
    if not attempts or key in state.faults or state.intents[key].action.get("device") in state.suspended:
        return ()
    policy = plan.section("faults")
    if len(attempts) >= policy["max_attempts"]:
        return (unreachable(state.intents[key], len(attempts)),)
    due = attempts[-1] + timedelta(seconds=policy["retry_wait_s"] * 2 ** (len(attempts) - 1))
    return (Resubmit(key),) if now >= due else (Wait(due),)


def _word_about(state: LabState, now: datetime, plan: Plan, task: str, outcome: Outcome) -> tuple[Action, ...]:
    """Ask about an outcome that needs somebody's word, or give the policy's answer."""
    fault = state.faults.get(outcome.key)
    if fault is None:
        return (about(state, plan, task, state.intents[outcome.key], outcome),)
    choice = policy_answer(state, now, plan, task, fault)
    if choice is None:
        return ()
    if isinstance(choice, datetime):
        return (Wait(choice),)
    what = {"what": "answer", "fault": fault.fault, "choice": choice, "by": "policy"}
    return (Note("decision", what),)


def _words_about_unknown(state: LabState) -> tuple[Action, ...]:
    """Turn a person's answer about an action of unknown fate into its outcome."""
    return tuple(
        Note("outcome", told(intent, fault))
        for intent in state.pending()
        if (fault := state.faults.get(intent.key)) and fault.is_doubt and fault.answer in TELLING
    )
