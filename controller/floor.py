"""Who has what of the lab, when several campaigns share it, and whose turn it is.

A plate holds the deck from its first load until the deck is cleared, the incubator's station while it goes in or
comes out, and the imager from before it is fetched until it is taken away. Whoever holds one of these may wait for
the next, always in this order, so no two plates ever wait for each other. A device does one thing at a time.

All of it follows from the journal; nothing is kept beside it.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from controller.actions import Operate
from controller.recipe import BENCH, HANDLING, INCUBATOR, Plan, Stop, chain, current, kind_of, margins, stops
from controller.state import LabState, task_key

AGEING_H = 4.0
"""Waiting this long counts as one step of priority, so that nobody waits for ever."""


class Hold(NamedTuple):
    """What is held, from the beginning of one task to the end of another."""

    what: str
    first: str
    last: str


_PLANNING = (
    Hold("the stock", "pick", "compile"),  # what one campaign plans to draw, the next has to know
    Hold("the compiler", "compile", "compile"),
    Hold("the deck", "deck-0", "clear"),
)
_DECK, _STATION, _BENCH, _IMAGER = "the deck", "the incubator's station", "the bench", "the imager"


def holds(plan: Plan) -> tuple[Hold, ...]:
    """Return what a campaign's plates hold on their way.

    What leaves the incubator takes at once what it needs to leave the station: the bench or the imager. So whoever has
    the station waits for nothing; who has the bench may wait for the station or the imager, and who has the imager for
    nothing: no two plates wait for each other.
    """
    return (*_PLANNING, *_on_the_way(stops(plan)))


def _on_the_way(way: Sequence[Stop]) -> Iterator[Hold]:
    left = way[0].bring
    """The task with which the plate last left the deck or the incubator."""
    for stop, after in pairwise(way):
        if stop.device == INCUBATOR:
            left = stop.tasks[1]
            yield Hold(_STATION, stop.bring, stop.tasks[0])
            yield Hold(_STATION, left, after.bring)
        elif after.device not in BENCH:
            yield Hold(_BENCH, left, after.bring)
    yield Hold(_IMAGER, left if way[-2].device == INCUBATOR else way[-1].bring, "unstage")


_TOUCHED = HANDLING | {"run"}
_TOUCHES = {
    _DECK: ("run-", "deck-", "clear"),
    _STATION: ("clear", "bring", "store", "fetch", "carry-", "stage"),
    _BENCH: ("clear", "bring", "carry-", "treat-", "stage", "park"),
    _IMAGER: ("fetch", "stage", "acquire", "unstage", "park"),
}
"""What each kind of task has to do with, by the beginning of its name."""
_STANDS = (*((_BENCH, place) for place in BENCH.values()), (_IMAGER, "imager"))
"""Places where a plate that nobody fetches any more is in everybody's way; the deck is cleared by the next load."""


class Holder(NamedTuple):
    """Who holds something."""

    words: str
    campaign: str | None
    """None: what a campaign that was ended left behind."""


def holders(state: LabState, plans: Sequence[Plan]) -> dict[str, Holder]:
    """Tell what is held, and by whom: a campaign that goes on, or what one that was ended left behind."""
    left = {what: Holder(words, None) for what, words in _left_behind(state)}
    held = ((what, p.name) for p in plans for what in _held(state.focused(p.name), p))
    return left | {what: Holder(f"campaign {name!r}", name) for what, name in held}


def why_wait(state: LabState, plan: Plan, plans: Sequence[Plan], task: str) -> str | None:
    """Say what a campaign has to wait for before it may begin a task; None: nothing."""
    blocked = _blocked(state, plan, plans, task)
    return f"{blocked[0]} is held by {blocked[1].words}" if blocked else None


def _blocked(state: LabState, plan: Plan, plans: Sequence[Plan], task: str) -> tuple[str, Holder] | None:
    wanted = [hold.what for hold in holds(plan) if hold.first == task]
    if not wanted:
        return None
    taken = holders(state, [other for other in plans if other.name != plan.name])
    return next(((what, taken[what]) for what in wanted if what in taken), None)


def is_stuck(state: LabState, plan: Plan, plans: Sequence[Plan]) -> bool:
    """Tell whether only a person can let the campaign in focus go on, or the one that it waits for."""
    if _needs_person(state):
        return True
    place = current(state, plan)
    blocked = _blocked(state, plan, plans, place[1]) if place else None
    holder = blocked[1].campaign if blocked else None
    return holder is not None and _needs_person(state.focused(holder))


def _needs_person(state: LabState) -> bool:
    return state.is_paused or bool(state.own_faults())


def _left_behind(state: LabState) -> Iterator[tuple[str, str]]:
    """Yield what campaigns that were ended still hold: by a device at work, or by a plate that nobody took away."""
    for key, intent in state.in_flight.items():
        if intent.activity and state.is_left(key) and _may_be_under_way(state, key):
            about = (what for what, tasks in _TOUCHES.items() if intent.task.startswith(tasks))
            yield from ((what, f"{key}, which may be under way") for what in about)
    for what, where in _STANDS:
        for barcode, place in state.places.items():
            if place == where and _is_left_plate(state, barcode):
                yield what, f"plate {barcode}; take it away, then: nextplate plate carried {barcode} stack/done"


def _is_left_plate(state: LabState, barcode: str) -> bool:
    """Tell whether a plate is of a campaign that was ended."""
    laid_out = (k for k, i in state.intents.items() if i.task == "layout" and i.action["params"]["barcode"] == barcode)
    return all(map(state.is_left, laid_out))


def why_busy(state: LabState, action: Operate) -> str | None:
    """Say what a device has to end before it can begin another action, or what suspends it; None: it is free."""
    for told in state.suspended.get(action.device, {}).values():
        return f"the {action.device} is suspended: its {told['reading']} is {told['value']:g}"
    pending = (i.key for i in state.pending() if i.action.get("device") == action.device)
    busy = next((key for key in pending if _may_be_under_way(state, key)), None)
    return f"the {action.device} is busy with {busy}" if busy else None


def _may_be_under_way(state: LabState, key: str) -> bool:
    """Tell whether a device may be at it, or may still be given it; not what an ended campaign only announced."""
    return not state.is_left(key) or key in state.accepted or key in state.faults


def turns(state: LabState, now: datetime, plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """Put campaigns in the order in which they may ask for things now.

    Plates that liquid has touched come first, of them those that have a time to keep, the nearest first; then
    priority, raised by how long a campaign has waited.
    """
    if len(plans) < 2:
        return tuple(plans)
    return tuple(sorted(plans, key=lambda plan: (*_rank(state.focused(plan.name), now, plan), plan.name)))


def _rank(state: LabState, now: datetime, plan: Plan) -> tuple[bool, float, float]:
    place = current(state, plan)
    if place is None:
        return True, 0.0, 0.0
    number, task = place
    is_touched = kind_of(task) in _TOUCHED
    left = min(margins(state, plan, number, now), default=None) if is_touched else None
    priority = float(plan.section("campaign").get("priority", 0))
    waited = _waited_h(state, now, plan, number, task) / AGEING_H
    return not is_touched, math.inf if left is None else left.total_seconds(), -(priority + waited)


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
    is_asking = state.outcome(task, number) is not None  # computing that waits for a person keeps nobody from it
    parked = tasks[tasks.index("park") - 1] if "park" in tasks else None
    for hold in holds(plan):
        # a plate that is parked is in the way until it is gone
        last = "park" if parked and (hold.last == parked or hold.last not in tasks) else hold.last
        if hold.first not in tasks or last not in tasks or (hold.last == "compile" and (is_asking or state.is_paused)):
            continue
        is_inside = tasks.index(hold.first) <= at <= tasks.index(last)
        if is_inside and task_key(plan.name, number, hold.first, 0) in state.intents:
            yield hold.what
