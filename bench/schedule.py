"""Schedules: eight plates through nine steps of cell painting, replanned after a fault; against the rough plan."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from bench.table import Figure
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
    conflicts,
    rough,
    solve,
)

_T = TypeVar("_T")
_HOUR = 3600
_COMMAND = "python -m bench.run schedule"
SHOP = Shop(
    (
        Station("handler"), Station("incubator", 44), Station("dispenser", setup_s=60), Station("washer", setup_s=60),
        Station("imager"), Station("hotel", 20),
    ),
    Arm(40),
)  # fmt: skip


def cell_painting(plate: str) -> Route:
    """Return nine steps: 24 h of exposure within 15 min, stained alive, fixed, washed, stained, imaged (Bray 2016)."""
    steps = (
        ("dose", "handler", 25), ("expose", "incubator", 1_420), ("stain live", "dispenser", 3),
        ("live", "incubator", 28), ("fix", "dispenser", 3), ("fixing", "hotel", 18), ("wash", "washer", 6),
        ("stain", "dispenser", 4), ("image", "imager", 40),
    )  # fmt: skip
    stages = tuple(Stage(name, (station,), minutes * 60) for name, station, minutes in steps)
    windows = (
        Window("dose", "stain live", 24 * _HOUR - 900, 24 * _HOUR + 900), Window("stain live", "fix", 1_740, 1_920),
        Window("fix", "wash", 1_140, 1_320), Window("wash", "stain", 0, 600),
        Window("stain", "image", 1_800, 4 * _HOUR),
    )  # fmt: skip
    return Route(plate, stages, windows)


def figures() -> list[Figure]:
    """Measure the plans."""
    routes = [cell_painting(f"P{n}") for n in range(8)]
    first, rough_s = _timed(lambda: rough(SHOP, routes))
    best, best_s = _timed(lambda: solve(SHOP, routes, Limits(wall_s=30.0)))
    again, again_s = _timed(lambda: _replanned(best, routes))
    wrong = [*conflicts(SHOP, routes, first), *conflicts(SHOP, routes, best), *first.broken, *best.broken]
    return [
        Figure("8 plates, 9 steps: a first plan", f"{rough_s:.3f} s, {first.end_s / _HOUR:.1f} h", "< 2 s", _COMMAND),
        Figure(
            "the same, solved for at most 30 s on 2 cores",
            f"{best.end_s / _HOUR:.1f} h, {100 * best.gap:.1f} % above the proven bound, in {best_s:.0f} s",
            f"<= 2 %; rough plan {first.end_s / _HOUR:.1f} h",
            _COMMAND,
        ),
        Figure("windows broken, conflicts found", str(len(wrong)), "0", _COMMAND),
        Figure(
            "replanned half an hour after the washer failed for an hour", again, f"< 5 s: {again_s:.1f} s", _COMMAND
        ),
    ]


def _replanned(plan: Schedule, routes: list[Route]) -> str:
    """Let the washer fail when the first plate needs it next, and plan again with what was done."""
    now_s = min(p.start_s for p in plan.placed if p.stage == "wash") - 60
    shut = replace(SHOP, stations=tuple(
        replace(s, closed=((now_s, now_s + _HOUR),)) if s.name == "washer" else s for s in SHOP.stations
    ))  # fmt: skip
    begun = [replace(route, done=_done(plan.of(route.plate), now_s)) for route in routes]
    again = solve(shut, begun, Limits(wall_s=4.0), now_s)
    saved = len(routes) - len({broken.plate for broken in again.broken})
    wrong = conflicts(shut, begun, again, now_s)
    return f"{again.end_s / _HOUR:.1f} h; {saved} of 8 plates keep every window; {len(wrong)} conflicts"


def _done(placed: tuple[Placed, ...], now_s: int) -> tuple[Placed, ...]:
    return tuple(p for p in placed if p.arrive_s - SHOP.arm.move_s < now_s)


def _timed(plan: Callable[[], _T]) -> tuple[_T, float]:
    begun = time.perf_counter()
    return plan(), time.perf_counter() - begun
