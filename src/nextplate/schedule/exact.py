"""The schedule as a model for CP-SAT (OR-tools).

Every stage has three moments (set down, begun, picked up), every station an interval for as long as it is a plate's,
the arm one for every move. First every window has to be kept; only where that is impossible are they bent, those of
plates already begun last. The bound is the solver's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from ortools.sat.python import cp_model

from nextplate.schedule.bound import least_end
from nextplate.schedule.rough import FOREVER_S
from nextplate.schedule.work import Placed, Route, Schedule, Shop, Station, broken_windows

if TYPE_CHECKING:
    from nextplate.schedule.solve import Limits

_BROKEN = 20
"""How much worse it is, in makespans, to bend the windows of a plate that is begun than those of another."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """The variables of one stage."""

    arrive: cp_model.IntVar
    start: cp_model.IntVar
    end: cp_model.IntVar
    leave: cp_model.IntVar
    on: Mapping[str, cp_model.IntVar]
    """By station, whether it is the one."""


class Model:
    """Every moment of every plate as a variable, and what holds between them."""

    def __init__(self, shop: Shop, routes: Sequence[Route], now_s: int, begun: Schedule, *, is_strict: bool) -> None:
        self._shop, self._routes, self._now_s, self._begun = shop, routes, now_s, begun
        self._model = cp_model.CpModel()
        self._horizon_s = begun.end_s + (0 if is_strict and not begun.broken else shop.arm.move_s + 86_400)
        self._standing: dict[str, list[cp_model.IntervalVar]] = {s.name: [] for s in shop.stations}
        self._working: dict[str, list[cp_model.IntervalVar]] = {s.name: [] for s in shop.stations}
        self._carried: list[cp_model.IntervalVar] = []
        self._bent: list[cp_model.LinearExprT] = []
        self._moments = {r.plate: self._route(r) for r in routes}
        for route in routes:
            self._windows(route, is_strict=is_strict)
        self._stations()
        self._end = self._number("end")
        for moments in self._moments.values():
            self._model.add(self._end >= moments[-1].leave + shop.arm.move_s)
        self._model.add(self._end >= least_end(shop, routes, now_s))
        self._twins()
        self._hint()
        self._model.minimize(self._end if is_strict else self._end + sum(self._bent))

    def solved(self, limits: "Limits") -> Schedule | None:
        """Return the best schedule found in time; None where there is none, or none was found."""
        solver = cp_model.CpSolver()
        solver.parameters.random_seed = limits.seed
        solver.parameters.relative_gap_limit = limits.gap
        if limits.work is None:
            solver.parameters.max_time_in_seconds = limits.wall_s
            solver.parameters.num_workers = limits.workers
        else:
            solver.parameters.max_deterministic_time = limits.work
            solver.parameters.num_workers = 1
        if solver.solve(self._model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        placed = tuple(p for route in self._routes for p in self._read(route, solver))
        end_s = max(p.leave_s for p in placed) + self._shop.arm.move_s
        broken = tuple(broken_windows(tuple(self._routes), placed))
        bound_s = min(end_s, round(solver.best_objective_bound)) if not self._bent else 0
        return Schedule(placed, end_s, bound_s, broken)

    def _number(self, name: str, low: int = 0) -> cp_model.IntVar:
        return self._model.new_int_var(low, self._horizon_s, name)

    def _route(self, route: Route) -> list[_Moments]:
        earliest_s = max(self._now_s, route.release_s)
        done = {p.stage: p for p in route.done}
        moments = []
        for stage in route.stages:
            name = f"{route.plate} {stage.name}"
            at = done.get(stage.name)
            on = {station: self._model.new_bool_var(f"{name} on {station}") for station in stage.stations}
            self._model.add_exactly_one(on.values())
            if at:
                moments.append(self._fixed(on, at, name, is_last=at is route.done[-1]))
                continue
            arrive, start, end, leave = (
                self._number(f"{name} {what}", earliest_s) for what in ("in", "from", "to", "out")
            )
            one = _Moments(arrive, start, end, leave, on)
            self._model.add(arrive >= earliest_s + self._shop.arm.move_s)
            self._model.add(end == start + stage.duration_s)
            self._model.add(start == arrive if stage.is_at_once else start >= arrive)
            self._model.add(leave >= end)
            self._stand(one, name)
            moments.append(one)
        # what is done was as it was: no arm carries it again
        for before, after in pairwise(moments[max(0, len(route.done) - 1) :]):
            self._model.add(after.arrive == before.leave + self._shop.arm.move_s)
        self._carry(moments[-1].leave, f"{route.plate} home")
        return moments

    def _fixed(self, on: Mapping[str, cp_model.IntVar], at: Placed, name: str, *, is_last: bool) -> _Moments:
        """Take a stage as it was; from now on it is in the way until the plate has left it."""
        arrive, start, end, left = map(self._model.new_constant, (at.arrive_s, at.start_s, at.end_s, at.leave_s))
        leave = self._number(f"{name} out", max(at.leave_s, self._now_s)) if is_last else left
        for station, is_on in on.items():
            self._model.add(is_on == (station == at.station))
        one = _Moments(arrive, start, end, leave, on)
        move_s, setup_s = self._shop.arm.move_s, self._shop.station(at.station).setup_s
        if at.arrive_s > self._now_s:
            self._carry(one.arrive - move_s, name)
        if is_last or at.leave_s + move_s + setup_s > self._now_s:
            from_s = at.arrive_s - move_s if at.arrive_s > self._now_s else self._now_s
            size = self._model.new_int_var(0, self._horizon_s + move_s + setup_s, f"{name} stays on {at.station}")
            stop = leave + move_s + setup_s
            self._standing[at.station].append(
                self._model.new_interval_var(self._model.new_constant(from_s), size, stop, f"{name} on {at.station}")
            )
        return one

    def _stand(self, one: _Moments, name: str) -> None:
        move_s = self._shop.arm.move_s
        self._carry(one.arrive - move_s, name)
        for station, is_on in one.on.items():
            kind = self._shop.station(station)
            size = self._model.new_int_var(0, self._horizon_s + 2 * move_s + kind.setup_s, f"{name} stays on {station}")
            stop = one.leave + move_s + kind.setup_s
            self._model.add(size == stop - one.arrive + move_s).only_enforce_if(is_on)
            self._standing[station].append(
                self._model.new_optional_interval_var(one.arrive - move_s, size, stop, is_on, f"{name} on {station}")
            )
            if kind.closed:
                length = self._model.new_int_var(0, self._horizon_s, f"{name} work on {station}")
                self._working[station].append(
                    self._model.new_optional_interval_var(one.start, length, one.end, is_on, f"{name} works {station}")
                )

    def _carry(self, from_s: cp_model.LinearExprT, name: str) -> None:
        move_s = self._shop.arm.move_s
        self._carried.append(self._model.new_fixed_size_interval_var(from_s, move_s, f"carry {name}"))

    def _stations(self) -> None:
        for station in self._shop.stations:
            self._room(station)
            # Work on a station with room for several is not exclusive: each piece has to miss what is closed.
            shut = [self._shut(*span, station.name) for span in station.closed]
            for work in self._working[station.name]:
                self._model.add_no_overlap([work, *shut])
        self._model.add_no_overlap([*self._carried, *(self._shut(*s, "arm") for s in self._shop.arm.closed)])

    def _room(self, station: Station) -> None:
        intervals = self._standing[station.name]
        if station.capacity == 1:
            self._model.add_no_overlap(intervals)
        elif len(intervals) > station.capacity:
            self._model.add_cumulative(intervals, [1] * len(intervals), station.capacity)

    def _shut(self, start: int, stop: int, name: str) -> cp_model.IntervalVar:
        stop = min(stop, FOREVER_S)
        return self._model.new_fixed_size_interval_var(start, max(0, stop - start), f"{name} closed")

    def _windows(self, route: Route, *, is_strict: bool) -> None:
        at = {stage.name: one for stage, one in zip(route.stages, self._moments[route.plate], strict=True)}
        done = {p.stage for p in route.done}
        for window in route.windows:
            if window.then in done:
                continue
            wait = at[window.then].start - at[window.first].end
            if is_strict:
                self._model.add(wait >= window.min_s)
                if window.max_s is not None:
                    self._model.add(wait <= window.max_s)
                continue
            over = self._number(f"{route.plate} {window.then} late")
            under = self._number(f"{route.plate} {window.then} early")
            self._model.add(wait + under >= window.min_s)
            if window.max_s is not None:
                self._model.add(wait - over <= window.max_s)
            self._bent.append(
                (over + under) * (_BROKEN**2 if route.is_begun else _BROKEN) * (1 + max(0, route.priority))
            )

    def _twins(self) -> None:
        """Let plates that differ in nothing but their name go in their order: what is alike is tried once."""
        first: dict[object, list[_Moments]] = {}
        for route in self._routes:
            if route.is_begun:
                continue
            kind = replace(route, plate="")
            if kind in first:
                self._model.add(first[kind][0].arrive <= self._moments[route.plate][0].arrive)
            first[kind] = self._moments[route.plate]

    def _hint(self) -> None:
        for route in self._routes:
            order, n_done = self._begun.of(route.plate), len(route.done)
            for n, (one, p) in enumerate(zip(self._moments[route.plate], order, strict=True)):
                values = ((one.leave, p.leave_s), (one.arrive, p.arrive_s), (one.start, p.start_s), (one.end, p.end_s))
                # of what is done only when it leaves where it stands is open
                for variable, value in values[: 4 if n >= n_done else int(n == n_done - 1)]:
                    self._model.add_hint(variable, value)
                for station, is_on in one.on.items():
                    self._model.add_hint(is_on, int(station == p.station))
        self._model.add_hint(self._end, self._begun.end_s)

    def _read(self, route: Route, solver: cp_model.CpSolver) -> list[Placed]:
        placed = []
        for stage, one in zip(route.stages, self._moments[route.plate], strict=True):
            station = next(name for name, is_on in one.on.items() if solver.boolean_value(is_on))
            times = (solver.value(v) for v in (one.arrive, one.start, one.end, one.leave))
            placed.append(Placed(route.plate, stage.name, station, *times))
        return placed
