"""A feasible schedule at once: plate after plate, each as early as it fits as a whole.

A plate goes through its route without waiting, but for what its windows ask; it is shifted later until every station
and the arm are free for it. So no window is broken that the route alone can keep. Plates that were begun come first,
then those of higher priority.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice, product

from nextplate.errors import PlanError
from nextplate.schedule.calendar import Calendar
from nextplate.schedule.work import Placed, Route, Schedule, Shop, Span, broken_windows

_MOST_CHOICES = 64
"""Of stations that are tried for one plate."""
FOREVER_S = 10**9
"""Thirty years."""


def rough(shop: Shop, routes: Sequence[Route], now_s: int = 0) -> Schedule:
    """Plan every plate.

    Args:
        shop: what plates share.
        routes: what they go through.
        now_s: nothing that is not done already begins before.

    Raises:
        PlanError: a station that is not there, or a plate that never fits.
    """
    for name in {name for route in routes for stage in route.stages for name in stage.stations}:
        shop.station(name)
    calendars = {s.name: Calendar(s.capacity) for s in shop.stations}
    works = {s.name: Calendar(s.capacity, s.closed) for s in shop.stations}
    arm = Calendar(1, shop.arm.closed)
    placed: dict[str, tuple[Placed, ...]] = {}
    for route in routes:
        _enter(route.done, shop, route, calendars, arm)
        if route.done:
            calendars[route.done[-1].station].take(_for_ever(route.done[-1]))
    waiting = sorted(routes, key=lambda r: (not r.is_begun, -r.priority, r.release_s))
    while waiting:
        # A plate that stands where another has to go is planned first, whatever its priority.
        planned = next((r for r in waiting if _plan(r, shop, now_s, calendars, works, arm, placed)), None)
        if planned is None:
            raise PlanError(f"plate {waiting[0].plate} fits nowhere: a station or the arm is taken or closed for good")
        waiting.remove(planned)
    whole = tuple(p for route in routes for p in placed[route.plate])
    end_s = max((p.leave_s for p in whole), default=now_s) + shop.arm.move_s
    return Schedule(whole, end_s, 0, tuple(broken_windows(tuple(routes), whole)))


def _plan(
    route: Route,
    shop: Shop,
    now_s: int,
    calendars: Mapping[str, Calendar],
    works: Mapping[str, Calendar],
    arm: Calendar,
    placed: dict[str, tuple[Placed, ...]],
) -> bool:
    """Plan one plate, unless it fits nowhere."""
    last = route.done[-1] if route.done else None
    if last is not None:
        calendars[last.station].release(_for_ever(last))
    plan = _fitted(route, shop, now_s, calendars, works, arm)
    if plan is None:
        if last is not None:
            calendars[last.station].take(_for_ever(last))
        return False
    placed[route.plate] = plan
    _enter(plan[max(0, len(route.done) - 1) :], shop, route, calendars, arm)
    return True


def _for_ever(p: Placed) -> Span:
    """Return from when a plate stands where it stands, until somebody plans when it leaves."""
    return p.arrive_s, FOREVER_S


def _fitted(
    route: Route,
    shop: Shop,
    now_s: int,
    calendars: Mapping[str, Calendar],
    works: Mapping[str, Calendar],
    arm: Calendar,
) -> tuple[Placed, ...] | None:
    open_stages = route.stages[len(route.done) :]
    if not open_stages:
        return _taken_home(route, now_s, shop.arm.move_s, arm)
    found: list[tuple[Placed, ...]] = []
    for names in islice(product(*(stage.stations for stage in open_stages)), _MOST_CHOICES):
        shift_s, late_s = max(now_s, route.release_s), 1
        plan: tuple[Placed, ...] = ()
        while late_s and shift_s < FOREVER_S:
            plan = straight(route, names, shop.arm.move_s, shift_s)
            late_s = _late_s(plan[len(route.done) :], shop, calendars, works, arm)
            shift_s += late_s
        if plan and not late_s and plan[-1].leave_s < FOREVER_S:  # not behind a plate that nobody has planned yet
            found.append(plan)
    return min(found, key=lambda plan: plan[-1].end_s, default=None)


def _taken_home(route: Route, now_s: int, move_s: int, arm: Calendar) -> tuple[Placed, ...] | None:
    """Have a plate picked up to which everything was done."""
    *before, last = route.done
    leave_s = max(now_s, last.leave_s)
    while leave_s < FOREVER_S and (late_s := arm.next_free((leave_s, leave_s + move_s))):
        leave_s += late_s
    return (*before, replace(last, leave_s=leave_s)) if leave_s < FOREVER_S else None


def straight(route: Route, names: Sequence[str], move_s: int, from_s: int) -> tuple[Placed, ...]:
    """Go through a route as fast as its windows allow; nothing not done begins before ``from_s``.

    What has to wait for a window waits where it stands already.
    """
    plan = list(route.done)
    ends = {p.stage: p.end_s for p in plan}
    for stage, name in zip(route.stages[len(plan) :], names, strict=True):
        asked = [ends[w.first] + w.min_s for w in route.windows if w.then == stage.name]
        at_s = max([from_s + move_s, *asked, *([plan[-1].leave_s + move_s] if plan else [])])
        if plan:
            plan[-1] = replace(plan[-1], leave_s=at_s - move_s)
        ends[stage.name] = at_s + stage.duration_s
        plan.append(Placed(route.plate, stage.name, name, at_s, at_s, ends[stage.name], ends[stage.name]))
    return tuple(plan)


def stands(p: Placed, move_s: int, setup_s: int) -> Span:
    """Return when a station is a plate's: while it is brought, while it stands there, while it is taken away."""
    return p.arrive_s - move_s, p.leave_s + move_s + setup_s


def _late_s(
    plan: Sequence[Placed],
    shop: Shop,
    calendars: Mapping[str, Calendar],
    works: Mapping[str, Calendar],
    arm: Calendar,
) -> int:
    """Return by how much a plate has to come later at least; 0: it fits."""
    move_s = shop.arm.move_s
    for p in plan:
        checks = (
            (calendars[p.station], stands(p, move_s, shop.station(p.station).setup_s)),
            (works[p.station], (p.start_s, p.end_s)),
            (arm, (p.arrive_s - move_s, p.arrive_s)),
        )
        for calendar, span in checks:
            if late_s := calendar.next_free(span):
                return late_s
    return arm.next_free((plan[-1].leave_s, plan[-1].leave_s + move_s))


def _enter(plan: Sequence[Placed], shop: Shop, route: Route, calendars: Mapping[str, Calendar], arm: Calendar) -> None:
    move_s = shop.arm.move_s
    for p in plan:
        calendars[shop.station(p.station).name].take(stands(p, move_s, shop.station(p.station).setup_s))
        arm.take((p.arrive_s - move_s, p.arrive_s))
    if plan and plan[-1].stage == route.stages[-1].name:
        arm.take((plan[-1].leave_s, plan[-1].leave_s + move_s))
