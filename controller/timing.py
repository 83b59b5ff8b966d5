"""When plates may begin: so that each is imaged in its time, though they share arm, incubator and imager.

In a lab where some plate has a time to keep, a plate is begun, and taken out of the incubator, only when a schedule of
everything under way says so: it keeps every window that can be kept. It is made anew from the journal and the clock
whenever something has happened, so drift, faults and what operators do need no replanning of their own. It is the rough
one of nextplate.schedule, which is at hand at once; where that breaks a window, CP-SAT looks for a better one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby, pairwise, takewhile

from controller.durations import usually_s
from controller.floor import is_stuck
from controller.recipe import (
    BENCH,
    INCUBATOR,
    Plan,
    Stop,
    activity_of,
    barcode_of,
    chain,
    current,
    kind_of,
    step_of,
    stops,
)
from controller.state import LabState
from nextplate.errors import PlanError
from nextplate.schedule import (
    Arm,
    Limits,
    Placed,
    Route,
    Schedule,
    Shop,
    Stage,
    Station,
    Window,
    rough,
    solve,
)

_WORK = 0.3
"""Deterministic work that a solver may do at a decision; about as many seconds."""
_KEPT = timedelta(minutes=1)
_MOVE, _FETCH = "plate-mover move", "incubator fetch"
_SLOTS = 1000
"""More than any incubator has: a full one says so itself."""
DISPENSE, INCUBATE, IMAGE = "dispense", "incubate", "image"


Closed = Sequence[tuple[datetime, datetime]]
"""From when until when robots may begin nothing, in order; nothing is known of later."""
Shut = Callable[[datetime], Closed]
"""Tells, when it is asked for, when robots may not move from a time on."""
Due = Callable[[LabState, datetime, Plan, Sequence[Plan], str], datetime | None]
"""What `due` is."""


def always_open(_now: datetime) -> Closed:
    """Close nothing: robots may always move."""
    return ()


@dataclass(slots=True)
class Remembered:
    """What is due, remembered until something happens, a minute has passed, or it is due: solvers take their time."""

    head: Callable[[], int]
    """Sequence number of the journal's last event."""
    closed: Shut = always_open
    _known: dict[tuple[str, str], tuple[int, datetime, datetime]] = field(default_factory=dict)

    def __call__(self, state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], task: str) -> datetime | None:
        """Tell when a task may begin, as `due` does."""
        head, made, then = self._known.get((plan.name, task), (-1, now, now))
        if head == self.head() and made <= now < min(then, made + _KEPT):
            return then
        found = due(state, now, plan, plans, task, self.closed)
        if found is not None:
            self._known[plan.name, task] = self.head(), now, found
        return found


def due(
    state: LabState, now: datetime, plan: Plan, plans: Sequence[Plan], task: str, closed: Shut = always_open
) -> datetime | None:
    """Return when a task may begin, so that no window is broken that can be kept; None: at once.

    Only the first deck load and what takes a plate out of the incubator are held back, and only in a lab in which
    some plate has a time to keep.

    Args:
        state: with the plan's campaign in focus.
        now: UTC.
        plan: the campaign's.
        plans: of all campaigns that share the lab.
        task: that would begin now.
        closed: when robots may not move.
    """
    everybody = plans or (plan,)
    if (task != "deck-0" and kind_of(task) != "fetch") or not any(
        stop.tolerance for p in everybody for stop in stops(p)
    ):
        return None
    mine = barcode_of(state, plan, _round(state, plan))
    begun = [r for r in _in_turn(routes(state, now, everybody)) if r.is_begun or r.plate == mine]
    here = next((r for r in begun if r.plate == mine), None)
    if here is None or here.is_begun == (task == "deck-0"):
        return None
    nearest = _scheduled(state, now, begun, closed(now)).of(mine)[len(here.done)]
    away_s = sum(round(_usual_s(state, name)) for name in (_MOVE, *((_FETCH,) if here.is_begun else ())))
    then = now + timedelta(seconds=nearest.arrive_s - away_s)
    return then if then > now + timedelta(seconds=1) else None


def planned(floor: Shop, plates: Sequence[Route]) -> Schedule:
    """Plan at once; think longer only where that breaks a window. The same plates give the same schedule."""
    first = rough(floor, plates)
    return solve(floor, plates, Limits(work=_WORK)) if first.broken or _is_beyond(floor, first) else first


def _is_beyond(floor: Shop, found: Schedule) -> bool:
    """Tell whether something is put off until nobody knows when robots may move."""
    return bool(floor.arm.closed) and any(p.start_s >= floor.arm.closed[-1][1] for p in found.placed)


def _scheduled(state: LabState, now: datetime, plates: Sequence[Route], closed: Closed) -> Schedule:
    """Plan around the times at which robots may not move; where they leave no room, as if they might always move."""
    return _between(shop(state, now, closed), plates) or planned(shop(state, now), plates)


def _between(floor: Shop, plates: Sequence[Route]) -> Schedule | None:
    try:
        found = planned(floor, plates)
    except PlanError:
        return None  # a stage is longer than robots may ever work at a stretch
    return None if _is_beyond(floor, found) else found


def kept_out(state: LabState, now: datetime, plans: Sequence[Plan], plate: str, closed: Closed) -> str | None:
    """Say why a plate's times cannot be kept, whenever it is begun, because of when robots may move; None: they can."""
    mine = [r for r in routes(state, now, plans) if r.plate == plate and r.windows] if closed else []
    if not mine:
        return None
    alone = _between(shop(state, now, closed), mine)
    if alone is not None and not alone.broken:
        return None
    what = str(alone.broken[0]) if alone else f"plate {plate}: there is no time at which all of it could be done"
    return f"{what}; robots may not move at all times ([nightly] move in lab.toml), whenever it is begun"


def foreseen(state: LabState, now: datetime, plans: Sequence[Plan], closed: Closed = ()) -> Schedule:
    """Plan every plate that is proven or further: when it is where, in seconds from now."""
    return _scheduled(state, now, _in_turn(routes(state, now, plans)), closed)


def _in_turn(plates: Iterator[Route]) -> list[Route]:
    """Put first what has a time to keep, and of those what has to leave the incubator first.

    A rough schedule serves in this order: what may wait takes what the others leave.
    """
    return sorted(plates, key=lambda r: (not _awaited(r), max((p.end_s for p in r.done), default=10**9)))


def _awaited(route: Route) -> bool:
    """Tell whether a plate stands in a stage that has to be left in time."""
    return bool(route.done) and any(window.first == route.done[-1].stage for window in route.windows)


def shop(state: LabState, now: datetime, closed: Closed = ()) -> Shop:
    """Return what plates share, as quick as it was seen to be."""
    move_s, fetch_s = (round(_usual_s(state, name)) for name in (_MOVE, _FETCH))
    # the arm comes when the incubator has brought the plate, and that begins no earlier than robots may move
    shut = tuple((_seconds(begin - now), _seconds(end - now) + fetch_s) for begin, end in closed)
    # bench and imager are kept free from when the incubator begins to bring the plate; a load is not cut in two
    kept = (Station("bench", setup_s=fetch_s), Station("imager", setup_s=fetch_s))
    return Shop((Station("deck", closed=shut), Station("incubator", capacity=_SLOTS), *kept), Arm(move_s, shut))


def _seconds(time: timedelta) -> int:
    return round(time.total_seconds())


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


@dataclass(frozen=True, slots=True)
class _Leg:
    """A stage of a plate's way, and the journal's word for when it began."""

    stage: Stage
    begins: str
    """The task with which it does."""
    is_from_outcome: bool = False
    """It begins when that task has ended."""
    tolerance: timedelta | None = None
    """By how much it may be too long before the next one begins."""


def _legs(state: LabState, plan: Plan, n_loads: int) -> Iterator[_Leg]:
    """Divide a plate's way; what is done on the bench one after the other is one stage of it."""
    move_s = _usual_s(state, _MOVE)
    dispense_s = n_loads * (move_s + _usual_s(state, "liquid-handler run-load")) + _usual_s(state, "incubator store")
    yield _Leg(Stage(DISPENSE, ("deck",), round(dispense_s)), "deck-0")
    for is_on_bench, group in groupby(stops(plan), lambda stop: stop.device in BENCH):
        way = list(group)
        if is_on_bench:
            work_s = sum(_treating_s(state, plan, stop) + move_s for stop in way) - move_s
            yield _Leg(Stage(f"bench {way[0].tasks[0]}", ("bench",), round(work_s)), way[0].tasks[0])
            continue
        for stop in way:
            if stop.device == INCUBATOR:
                name = INCUBATE if stop.tasks[0] == "store" else f"{INCUBATE} {stop.tasks[0]}"
                stage = Stage(name, ("incubator",), round(stop.stay.total_seconds()), is_at_once=True)
                yield _Leg(stage, stop.tasks[0], is_from_outcome=True, tolerance=stop.tolerance)
            else:
                yield _Leg(Stage(IMAGE, ("imager",), round(_usual_s(state, "imager acquire"))), "acquire")


def _treating_s(state: LabState, plan: Plan, stop: Stop) -> float:
    usual = step_of(plan, stop.tasks[0]).get("duration_s") or _usual_s(state, activity_of(plan, stop.tasks[0]))
    return float(usual) + stop.stay.total_seconds()


def _route(state: LabState, now: datetime, plan: Plan, number: int) -> Route:
    n_loads = sum(task.startswith("run-") for task in chain(state, plan, number))
    legs = tuple(_legs(state, plan, n_loads))
    slack_s = round(_usual_s(state, _MOVE)) + _usual_s(state, _FETCH)
    windows = tuple(
        Window(leg.stage.name, after.stage.name, 0, round(max(leg.tolerance.total_seconds(), slack_s)))
        for leg, after in pairwise(legs)
        if leg.tolerance is not None
    )
    priority = int(plan.section("campaign").get("priority", 0))
    plate = barcode_of(state, plan, number)
    done = tuple(_done(state, now, plate, number, legs))
    return Route(plate, tuple(leg.stage for leg in legs), windows, priority=priority, done=done)


def _done(state: LabState, now: datetime, plate: str, number: int, legs: Sequence[_Leg]) -> Iterator[Placed]:
    """Return the stages that were begun, as they were; the last one ends as expected, but not in the past."""
    times = ((leg.stage, _begun(state, leg, number)) for leg in legs)
    begun = [(stage, time) for stage, time in takewhile(lambda pair: pair[1] is not None, times) if time]
    for n, (stage, time) in enumerate(begun):
        start = round((time - now).total_seconds())
        is_last = n == len(begun) - 1
        end = start + stage.duration_s
        leave = max(end, 0) if is_last else max(start, round((begun[n + 1][1] - now).total_seconds()) - 1)
        yield Placed(plate, stage.name, stage.stations[0], start, start, end if is_last else min(end, leave), leave)


def _begun(state: LabState, leg: _Leg, number: int) -> datetime | None:
    if leg.is_from_outcome:
        outcome = state.outcome(leg.begins, number)
        return outcome.ended if outcome else None
    return _began(state, leg.begins, number)


def _began(state: LabState, task: str, number: int) -> datetime | None:
    intent = state.intents.get(state.latest_key(task, number))
    return intent.time if intent else None


def _usual_s(state: LabState, name: str) -> float:
    return usually_s(state.took_s, name)


def _round(state: LabState, plan: Plan) -> int:
    place = current(state, plan)
    return place[0] if place else plan.rounds
