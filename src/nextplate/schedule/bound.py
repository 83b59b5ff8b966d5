"""How early the last plate can be back at best: by the busiest station alone.

All that has to be done on one station follows after the soonest that any of it can begin, and the shortest that is
left to do after it. Solvers find that only slowly; telling them is allowed, since every schedule keeps it.
"""

from collections.abc import Iterator, Sequence

from nextplate.schedule.rough import straight
from nextplate.schedule.work import Route, Shop, Station


def least_end(shop: Shop, routes: Sequence[Route], now_s: int = 0) -> int:
    """Return a time before which no schedule of this work ends."""
    alone = [straight(route, _names(route), shop.arm.move_s, max(now_s, route.release_s))[-1] for route in routes]
    ends = [p.end_s + shop.arm.move_s for p in alone]
    return max([*ends, *(_by_station(station, shop, routes, now_s) for station in shop.stations)], default=now_s)


def _by_station(station: Station, shop: Shop, routes: Sequence[Route], now_s: int) -> int:
    pieces = [piece for route in routes for piece in _pieces(station, shop, route, now_s)]
    if not pieces or station.capacity > 1:
        return 0
    sizes = sum(size for _, size, _ in pieces)
    return min(head for head, _, _ in pieces) + sizes - station.setup_s + min(tail for _, _, tail in pieces)


def _pieces(station: Station, shop: Shop, route: Route, now_s: int) -> Iterator[tuple[int, int, int]]:
    """Yield for each stage that has to be on a station: its soonest begin, how long it takes, what comes after."""
    move_s = shop.arm.move_s
    plan = straight(route, _names(route), move_s, max(now_s, route.release_s))
    n_done = len(route.done)
    for n, (stage, p) in enumerate(zip(route.stages, plan, strict=True)):
        if n >= n_done and stage.stations == (station.name,):
            after = route.stages[n + 1 :]
            tail_s = sum(later.duration_s + move_s for later in after)
            yield p.arrive_s - move_s, stage.duration_s + 2 * move_s + station.setup_s, tail_s


def _names(route: Route) -> list[str]:
    return [stage.stations[0] for stage in route.stages[len(route.done) :]]
