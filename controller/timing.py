"""When plates may begin: so that each is imaged in its time, though they share arm, incubator and imager.

A plate whose assay has a tolerance is begun only when a schedule of everything under way keeps every window, its own
among them. The schedule is made anew at every decision from the journal and the clock, so drift, faults and what
operators do need no replanning of their own. It is the rough one of nextplate.schedule, which is at hand at once.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from controller.durations import GUESSES_S
from controller.floor import is_stuck
from controller.recipe import Plan, barcode_of, chain, current
from controller.state import LabState
from nextplate.schedule import Arm, Placed, Route, Schedule, Shop, Stage, Station, Window, rough, usual_s

_SLOTS = 1000
"""More than any incubator has: a full one says so itself."""
DISPENSE, INCUBATE, IMAGE = "dispense", "incubate", "image"


def may_begin(state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan]) -> datetime | None:
    """Return when the round's plate may go onto the deck; None: at once, or nothing says when.

    Args:
        state: with the plan's campaign in focus, at its first deck load.
        now: UTC.
        plan: the campaign's.
        plans: of all campaigns that share the lab.
    """
    everybody = plans or (plan,)
    if all(p.tolerance is None for p in everybody):
        return None
    mine, floor = barcode_of(state, plan, _round(state, plan)), shop(state)
    begun = [r for r in _by_due(routes(state, now, everybody)) if r.is_begun or r.plate == mine]
    due = now + timedelta(seconds=rough(floor, begun).of(mine)[0].arrive_s - floor.arm.move_s)
    return due if due > now + timedelta(seconds=1) else None


def foreseen(state: LabState, now: datetime, plans: Sequence[Plan]) -> Schedule:
    """Plan every plate that is proven or further: when it is where, in seconds from now."""
    return rough(shop(state), _by_due(routes(state, now, plans)))


def _by_due(plates: Iterator[Route]) -> list[Route]:
    """Put first what has to leave the incubator first: a rough schedule serves in this order."""
    return sorted(plates, key=lambda r: next((p.end_s for p in r.done if p.stage == INCUBATE), 10**9))


def shop(state: LabState) -> Shop:
    """Return what plates share, as quick as it was seen to be."""
    move_s, fetch_s = (round(_usual_s(state, name)) for name in ("plate-mover move", "incubator fetch"))
    # the imager is kept free from when the incubator begins to bring the plate
    imager = Station("imager", setup_s=fetch_s)
    return Shop((Station("deck"), Station("incubator", capacity=_SLOTS), imager), Arm(move_s))


def routes(state: LabState, now: datetime, plans: Sequence[Plan]) -> Iterator[Route]:
    """Return what is left to do for every plate between its approval and its last image."""
    for plan in plans:
        view = state.focused(plan.name)
        place = None if view.campaign is None or view.campaign.is_over else current(view, plan)
        if place is None or is_stuck(view, plan, plans):
            continue  # nobody knows when it goes on
        tasks = chain(view, plan, place[0])
        if "deck-0" in tasks and "unstage" in tasks and tasks.index(place[1]) <= tasks.index("unstage"):
            yield _route(view, now, plan, place[0])


def _route(state: LabState, now: datetime, plan: Plan, number: int) -> Route:
    n_loads = sum(task.startswith("run-") for task in chain(state, plan, number))
    dispense_s = n_loads * (_usual_s(state, "plate-mover move") + _usual_s(state, "liquid-handler run-load"))
    dispense_s += _usual_s(state, "incubator store")
    stages = (
        Stage(DISPENSE, ("deck",), round(dispense_s)),
        Stage(INCUBATE, ("incubator",), round(plan.incubation.total_seconds())),
        Stage(IMAGE, ("imager",), round(_usual_s(state, "imager acquire"))),
    )
    slack_s = round(_usual_s(state, "plate-mover move")) + _usual_s(state, "incubator fetch")
    limit = None if plan.tolerance is None else round(max(plan.tolerance.total_seconds(), slack_s))
    windows = () if limit is None else (Window(INCUBATE, IMAGE, 0, limit),)
    priority = int(plan.section("campaign").get("priority", 0))
    plate = barcode_of(state, plan, number)
    done = tuple(_done(state, now, plate, number, stages))
    return Route(plate, stages, windows, priority=priority, done=done)


def _done(state: LabState, now: datetime, plate: str, number: int, stages: Sequence[Stage]) -> Iterator[Placed]:
    """Return the stages that were begun, as they were; the last one ends as expected, but not in the past."""
    stored = state.outcome("store", number)
    times = (_began(state, "deck-0", number), stored.time if stored else None, _began(state, "acquire", number))
    begun = [(stage, time) for stage, time in zip(stages, times, strict=True) if time]
    for n, (stage, time) in enumerate(begun):
        start = round((time - now).total_seconds())
        is_last = n == len(begun) - 1
        end = start + stage.duration_s
        leave = max(end, 0) if is_last else max(start, round((begun[n + 1][1] - now).total_seconds()) - 1)
        yield Placed(plate, stage.name, stage.stations[0], start, start, end if is_last else min(end, leave), leave)


def _began(state: LabState, task: str, number: int) -> datetime | None:
    intent = state.intents.get(state.latest_key(task, number))
    return intent.time if intent else None


def _usual_s(state: LabState, name: str) -> float:
    return usual_s(state.took_s.get(name, ())) or GUESSES_S[name]


def _round(state: LabState, plan: Plan) -> int:
    place = current(state, plan)
    return place[0] if place else plan.rounds
