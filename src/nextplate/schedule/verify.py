"""Whether a schedule can be carried out: nothing of the planners is trusted."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from nextplate.schedule.work import Placed, Route, Schedule, Shop, Span


def conflicts(shop: Shop, routes: Sequence[Route], schedule: Schedule, now_s: int = 0) -> tuple[str, ...]:
    """Return everything that cannot be: two plates in one place, an arm in two, a stage left out or too short.

    Windows are not among it: what of them is broken the schedule says itself.
    """
    found = [words for route in routes for words in _route_problems(route, schedule.of(route.plate), shop, now_s)]
    for station in shop.stations:
        standing = [p for p in schedule.placed if p.station == station.name]
        spans = [(p.arrive_s - shop.arm.move_s, p.leave_s + shop.arm.move_s) for p in standing]
        if (n := _most_at_once(spans)) > station.capacity:
            found.append(f"{station.name} has {n} plates at a time and room for {station.capacity}")
        worked = [(p.start_s, p.end_s) for p in standing if p.start_s >= now_s]
        found += [
            f"{station.name} works while it is closed ({span})" for span in worked if _meets(span, station.closed)
        ]
    carried = list(_carried(schedule.placed, routes, shop.arm.move_s))
    if _most_at_once(carried) > 1:
        found.append("the arm carries two plates at once")
    found += [f"the arm moves while it may not ({s})" for s in carried if s[0] >= now_s and _meets(s, shop.arm.closed)]
    return tuple(found)


def _route_problems(route: Route, placed: Sequence[Placed], shop: Shop, now_s: int) -> Iterator[str]:
    if [p.stage for p in placed] != [stage.name for stage in route.stages]:
        yield f"plate {route.plate} goes through {[p.stage for p in placed]}"
        return
    for stage, p in zip(route.stages, placed, strict=True):
        is_done = p.stage in {d.stage for d in route.done}
        if p.station not in stage.stations or (p.end_s - p.start_s < stage.duration_s and not is_done):
            yield f"plate {route.plate}: {stage.name} is cut short, or on {p.station}"
        if not p.arrive_s <= p.start_s <= p.end_s <= p.leave_s:
            yield f"plate {route.plate}: {stage.name} is out of order"
        if not is_done and p.arrive_s - shop.arm.move_s < max(now_s, route.release_s):
            yield f"plate {route.plate}: {stage.name} begins before it may"
    for before, after in pairwise(placed):
        if after.arrive_s < before.leave_s + shop.arm.move_s:
            yield f"plate {route.plate} is in two places: {before.stage} and {after.stage}"


def _carried(placed: Sequence[Placed], routes: Sequence[Route], move_s: int) -> Iterator[Span]:
    last = {(route.plate, route.stages[-1].name) for route in routes}
    for p in placed:
        yield p.arrive_s - move_s, p.arrive_s
        if (p.plate, p.stage) in last:
            yield p.leave_s, p.leave_s + move_s


def _most_at_once(spans: Sequence[Span]) -> int:
    return max((sum(a <= start < b for a, b in spans) for start, stop in spans if stop > start), default=0)


def _meets(span: Span, closed: Sequence[Span]) -> bool:
    return any(start < span[1] and stop > span[0] for start, stop in closed)
