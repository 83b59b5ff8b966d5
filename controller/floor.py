"""Who has what of the lab, when several campaigns share it, and whose turn it is.

A plate holds the deck from its first load until the deck is cleared, the incubator's station while it goes in or
comes out, and the imager from before it is fetched until it is taken away. Whoever holds one of these may wait for
the next, always in this order, so no two plates ever wait for each other. A device does one thing at a time.

All of it follows from the journal; nothing is kept beside it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from controller.actions import Operate
from controller.recipe import Plan, chain, current
from controller.state import LabState

AGEING_H = 4.0
"""Waiting this long counts as one step of priority, so that nobody waits for ever."""


class Hold(NamedTuple):
    """What is held, from the beginning of one task to the end of another."""

    what: str
    first: str
    last: str


HOLDS = (
    Hold("the stock", "pick", "compile"),  # what one campaign plans to draw, the next has to know
    Hold("the compiler", "compile", "compile"),
    Hold("the deck", "deck-0", "clear"),
    Hold("the incubator's station", "clear", "store"),
    Hold("the incubator's station", "fetch", "stage"),
    Hold("the imager", "fetch", "unstage"),
)
_TOUCHED = frozenset(("clear", "store", "fetch", "stage", "acquire", "unstage"))


def holders(state: LabState, plans: Sequence[Plan]) -> dict[str, str]:
    """Tell what is held, and by which campaign."""
    return {what: plan.name for plan in plans for what in _held(state.focused(plan.name), plan)}


def why_wait(state: LabState, plan: Plan, plans: Sequence[Plan], task: str) -> str | None:
    """Say what a campaign has to wait for before it may begin a task; None: nothing."""
    wanted = [hold.what for hold in HOLDS if hold.first == task]
    if not wanted or len(plans) < 2:
        return None
    taken = holders(state, [other for other in plans if other.name != plan.name])
    return next((f"{what} is held by campaign {taken[what]!r}" for what in wanted if what in taken), None)


def why_busy(state: LabState, action: Operate) -> str | None:
    """Say which action a device has to end before it can begin another; None: it is free."""
    pending = (i.key for i in state.pending() if i.action.get("device") == action.device)
    busy = next((key for key in pending if _may_be_under_way(state, key)), None)
    return f"the {action.device} is busy with {busy}" if busy else None


def _may_be_under_way(state: LabState, key: str) -> bool:
    """Tell whether a device may be at it, or may still be given it; not what an ended campaign only announced."""
    owner = state.campaigns.get(state.owner(key) or "")
    is_left = owner is None or owner.is_over
    return not is_left or key in state.accepted or key in state.faults


def turns(state: LabState, now: datetime, plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """Put campaigns in the order in which they may ask for things now.

    Plates that liquid has touched come first; then priority, raised by how long a campaign has waited.
    """
    return tuple(sorted(plans, key=lambda plan: (*_rank(state.focused(plan.name), now, plan), plan.name)))


def _rank(state: LabState, now: datetime, plan: Plan) -> tuple[bool, float]:
    place = current(state, plan)
    if place is None:
        return True, 0.0
    number, task = place
    is_touched = task in _TOUCHED or task.startswith("run-")
    priority = float(plan.section("campaign").get("priority", 0))
    return not is_touched, -(priority + _waited_h(state, now, plan, number, task) / AGEING_H)


def _waited_h(state: LabState, now: datetime, plan: Plan, number: int, task: str) -> float:
    """Return how long ago what came before in the round ended; approval leaves no outcome."""
    tasks = chain(state, plan, number)
    before = (state.outcome(t, number) for t in reversed(tasks[: tasks.index(task)]))
    last = next((outcome for outcome in before if outcome), None)
    return (now - last.time).total_seconds() / 3600 if last else 0.0


def _held(state: LabState, plan: Plan) -> Iterator[str]:
    if state.campaign is None or state.campaign.is_over:
        return
    place = current(state, plan)
    if place is None:
        return
    number, task = place
    tasks = chain(state, plan, number)
    at = tasks.index(task)
    is_stuck = state.outcome(task, number) is not None  # computing that waits for a person keeps nobody from it
    for hold in HOLDS:
        last = hold.last if hold.last in tasks else "park"  # a plate that is parked is in the way until it is gone
        if hold.first not in tasks or last not in tasks or (hold.last == "compile" and is_stuck):
            continue
        is_inside = tasks.index(hold.first) <= at <= tasks.index(last)
        if is_inside and state.latest_key(hold.first, number) in state.intents:
            yield hold.what
