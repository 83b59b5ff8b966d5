"""The nouns of a schedule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from nextplate.errors import PlanError

Span = tuple[int, int]
"""From a second on, up to another one."""


@dataclass(frozen=True, slots=True)
class Station:
    """A place where plates stand while something is done to them, or nothing is."""

    name: str
    capacity: int = 1
    """Plates at a time."""
    setup_s: int = 0
    """Between one plate's leaving and the next one's coming."""
    closed: tuple[Span, ...] = ()
    """When it does not work; plates may stand on it."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What carries plates, one at a time."""

    move_s: int
    """From any station to any other, at most."""
    closed: tuple[Span, ...] = ()
    """When it may not move."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What plates share."""

    stations: tuple[Station, ...]
    arm: Arm

    def station(self, name: str) -> Station:
        """Return a station.

        Raises:
            PlanError: there is none of that name.
        """
        for station in self.stations:
            if station.name == name:
                return station
        raise PlanError(f"there is no station {name!r}; there are {', '.join(s.name for s in self.stations)}")


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing done to a plate at one station."""

    name: str
    """Unique in its route."""
    stations: tuple[str, ...]
    """Any one of them will do."""
    duration_s: int
    is_at_once: bool = False
    """It begins by itself when the plate is set down, as an incubation does; else the plate may stand there before."""


@dataclass(frozen=True, slots=True)
class Window:
    """How long after the end of one stage another has to begin."""

    first: str
    then: str
    min_s: int = 0
    max_s: int | None = None
    """None: whenever it likes."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A stage in time: the plate is set down, worked on, and picked up again."""

    plate: str
    stage: str
    station: str
    arrive_s: int
    """Set down: the arm began to carry it move_s before."""
    start_s: int
    end_s: int
    leave_s: int
    """Picked up; the next station has it move_s later."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a plate goes through, in order."""

    plate: str
    stages: tuple[Stage, ...]
    windows: tuple[Window, ...] = ()
    release_s: int = 0
    """It is not carried before."""
    priority: int = 0
    """Of two plates that want the same, the higher goes first in a rough plan, and its windows count more."""
    done: tuple[Placed, ...] = ()
    """Stages begun already, in order, as they were; the last one may be under way still (leave_s: the earliest)."""

    def __post_init__(self) -> None:
        """Refuse a route that makes no sense.

        Raises:
            PlanError: no stages, one name twice, two stages in a row on one station, a window of stages
                that are not there or that looks back.
        """
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise PlanError(f"plate {self.plate}: its stages are {', '.join(names) or 'none'}; each has its name")
        if [p.stage for p in self.done] != names[: len(self.done)]:
            raise PlanError(f"plate {self.plate}: what is done of it are not the first of its stages")
        for before, after in pairwise(self.stages):
            if both := sorted(set(before.stations) & set(after.stations)):
                raise PlanError(
                    f"plate {self.plate}: {before.name} and {after.name} follow each other and may both be on "
                    f"{both[0]}; make them one stage, or name the place where it waits between them"
                )
        for window in self.windows:
            self._check(window, names)

    def _check(self, window: Window, names: list[str]) -> None:
        what = f"plate {self.plate}: the window from {window.first!r} to {window.then!r}"
        if window.first not in names or window.then not in names:
            raise PlanError(f"{what} names a stage that it does not have ({', '.join(names)})")
        if names.index(window.first) >= names.index(window.then):
            raise PlanError(f"{what} looks back")
        if window.min_s < 0 or (window.max_s is not None and window.max_s < window.min_s):
            raise PlanError(f"{what} is from {window.min_s} s to {window.max_s} s; it has to be 0 <= min <= max")

    @property
    def is_begun(self) -> bool:
        """Tell whether something was done to the plate already: it is saved first."""
        return bool(self.done)


@dataclass(frozen=True, slots=True)
class Break:
    """A window that a schedule does not keep."""

    plate: str
    window: Window
    wait_s: int
    """What it makes of it."""

    def __str__(self) -> str:
        limit = self.window.min_s if self.wait_s < self.window.min_s else self.window.max_s
        return (
            f"plate {self.plate}: {self.window.then} begins {self.wait_s} s after {self.window.first}, and "
            f"{'at least' if self.wait_s < self.window.min_s else 'at most'} {limit} s are allowed"
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where every plate is when."""

    placed: tuple[Placed, ...]
    """By plate, in order of its route."""
    end_s: int
    """When the last plate is back."""
    bound_s: int
    """No schedule of this work ends before; 0: nothing was proven."""
    broken: tuple[Break, ...] = ()

    @property
    def gap(self) -> float:
        """Return how far the end may lie above the best possible, as a share; infinite where nothing is proven."""
        return self.end_s / self.bound_s - 1 if self.bound_s else float("inf")

    def of(self, plate: str) -> tuple[Placed, ...]:
        """Return the stages of a plate."""
        return tuple(p for p in self.placed if p.plate == plate)


def broken_windows(routes: tuple[Route, ...], placed: tuple[Placed, ...]) -> Iterator[Break]:
    """Return every window that is not kept."""
    at: Mapping[tuple[str, str], Placed] = {(p.plate, p.stage): p for p in placed}
    for route in routes:
        for window in route.windows:
            wait_s = at[route.plate, window.then].start_s - at[route.plate, window.first].end_s
            if wait_s < window.min_s or (window.max_s is not None and wait_s > window.max_s):
                yield Break(route.plate, window, wait_s)
