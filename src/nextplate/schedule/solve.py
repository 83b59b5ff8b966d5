"""A better schedule while time allows: CP-SAT (OR-tools), begun from the rough one.

The model stands in nextplate.schedule.exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nextplate.schedule.rough import rough
from nextplate.schedule.work import Route, Schedule, Shop


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a solver may think."""

    wall_s: float = 30.0
    workers: int = 2
    gap: float = 0.0
    """It stops within this share of the bound."""
    seed: int = 1
    work: float | None = None
    """Deterministic work, by one worker, instead of the wall's time: the same work gives the same schedule."""


def solve(shop: Shop, routes: Sequence[Route], limits: Limits = Limits(), now_s: int = 0) -> Schedule:
    """Plan every plate; never worse than the rough schedule.

    Args:
        shop: what plates share.
        routes: what they go through.
        limits: when to stop.
        now_s: nothing that is not done already begins before.

    Raises:
        PlanError: a station that is not there, or a plate that never fits.
    """
    begun = rough(shop, routes, now_s)
    if not begun.placed:
        return begun
    # Loaded only where a solver is asked: it brings numpy and pandas, and `nextplate status` must answer at once.
    from nextplate.schedule.exact import Model

    kept = Model(shop, routes, now_s, begun, is_strict=True).solved(limits)
    if kept is not None:
        return kept
    if not begun.broken:
        return begun
    return Model(shop, routes, now_s, begun, is_strict=False).solved(limits) or begun
