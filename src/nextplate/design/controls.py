"""Place control wells and empty wells with CP-SAT.

Rules are tried all together first. Where they cannot all hold, they are added one by one, the most important first,
and a rule that cannot be added is given up and reported, never dropped in silence.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from nextplate.design.rules import (
    balanced_range,
    columns,
    edge_range,
    is_edge,
    max_not_touching,
    quadrants,
    rows,
    squares,
)
from nextplate.plate import PlateFormat, Role

CONTROL_ROLES = (Role.NEGATIVE, Role.POSITIVE)
SOLVER_WORK = 0.5
"""CP-SAT's deterministic time per attempt on up to 384 wells, about seconds on one slow core."""

N_ORDERS = 3
"""Random orders of branching tried before a rule is given up: an unlucky one can lead the search astray."""

RULES = (
    "each control role is balanced over rows and columns",
    "each control role is balanced over quadrants",
    "no two controls of one role touch",
    "each control role has its share of edge and interior",
    "the controls together are balanced over rows, columns and quadrants",
    "the empty wells are balanced over rows, columns and quadrants",
)
"""Most important first; a later one gives way to an earlier one."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the controls and empty wells go."""

    wells: Mapping[Role, tuple[int, ...]]
    """Wells counted row by row from 0, ascending."""
    notes: tuple[str, ...]
    """Rules that could not be kept."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The wells of these variables must count between low and high."""

    rule: int
    """Index into RULES."""
    variables: Sequence[cp_model.IntVar]
    low: int
    high: int


Choice = Mapping[Role, Sequence[cp_model.IntVar]]


def place(
    plate_format: PlateFormat,
    counts: Mapping[Role, int],
    rng: np.random.Generator,
    taken: Collection[int] = (),
) -> Placed:
    """Choose wells for controls or empty wells among those not taken; there must be enough of them."""
    wanted = {role: n for role, n in counts.items() if n}
    size = plate_format.n_wells
    work = SOLVER_WORK * max(size / 384, 1.0)
    searches = [
        _Search(plate_format, wanted, taken, rng.permutation(size).tolist(), int(rng.integers(2**31 - 1)))
        for _ in range(N_ORDERS)
    ]
    every = tuple(range(len(RULES)))
    if not wanted:
        return Placed({}, ())
    for search in searches:
        wells = search.solve(every, work)
        if wells is not None:
            return Placed(wells, ())
    kept: tuple[int, ...] = ()
    best = searches[0].solve(kept, work) or {}
    for rule in every:
        wells = searches[0].solve((*kept, rule), work)
        if wells is not None:
            kept, best = (*kept, rule), wells
    return Placed(best, tuple(f"not kept: {RULES[rule]}" for rule in every if rule not in kept))


@dataclass(frozen=True, slots=True)
class _Search:
    """One plate's question to the solver."""

    plate_format: PlateFormat
    wanted: Mapping[Role, int]
    taken: Collection[int]
    order: Sequence[int]
    """Wells in the order of branching: random, so that the plates of different seeds differ."""
    seed: int

    def solve(self, rules: Sequence[int], work: float) -> dict[Role, tuple[int, ...]] | None:
        """Return wells by role that keep these rules; None when there are none or the work runs out."""
        model = cp_model.CpModel()
        n_wells = self.plate_format.n_wells
        choice: Choice = {role: [model.NewBoolVar(f"{role}{well}") for well in range(n_wells)] for role in self.wanted}
        for role, count in self.wanted.items():
            model.Add(sum(choice[role]) == count)
        for well in range(n_wells):
            model.AddAtMostOne(choice[role][well] for role in self.wanted)
        for well in self.taken:
            model.Add(sum(choice[role][well] for role in self.wanted) == 0)
        for bound in _bounds(self.plate_format, self.wanted, choice):
            if bound.rule in rules:
                model.AddLinearConstraint(sum(bound.variables), bound.low, bound.high)
        shuffled = [choice[role][well] for well in self.order for role in self.wanted]
        model.AddDecisionStrategy(shuffled, cp_model.CHOOSE_FIRST, cp_model.SELECT_MAX_VALUE)
        solver = new_solver(self.seed, work)
        solver.parameters.search_branching = cp_model.FIXED_SEARCH
        if solver.Solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        return {role: tuple(well for well, var in enumerate(choice[role]) if solver.Value(var)) for role in choice}


def new_solver(seed: int, work: float) -> cp_model.CpSolver:
    """Return a solver that gives the same answer on every machine: one worker, work counted, not timed."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = work
    return solver


def _bounds(plate_format: PlateFormat, wanted: Mapping[Role, int], choice: Choice) -> Iterable[Bound]:
    controls = [role for role in CONTROL_ROLES if role in wanted]
    lines, quarters = [rows(plate_format), columns(plate_format)], [quadrants(plate_format)]
    for role in controls:
        yield from _balance(0, choice[role], wanted[role], lines)
        yield from _balance(1, choice[role], wanted[role], quarters)
        yield from _apart(choice[role], wanted[role], plate_format)
        rim = [var for well, var in enumerate(choice[role]) if is_edge(well, plate_format)]
        yield Bound(3, rim, *edge_range(wanted[role], plate_format))
    if len(controls) == 2:
        # Any control in a well: the sum of two variables of which at most one is 1.
        both = [a + b for a, b in zip(choice[controls[0]], choice[controls[1]], strict=True)]
        yield from _balance(4, both, sum(wanted[role] for role in controls), lines + quarters)
    if Role.EMPTY in wanted:
        yield from _balance(5, choice[Role.EMPTY], wanted[Role.EMPTY], lines + quarters)


def _balance(
    rule: int, variables: Sequence[cp_model.IntVar], n_wells: int, splits: Sequence[list[list[int]]]
) -> Iterable[Bound]:
    for parts in splits:
        low, high = balanced_range(n_wells, len(parts))
        for part in parts:
            yield Bound(rule, [variables[well] for well in part], low, high)


def _apart(variables: Sequence[cp_model.IntVar], n_wells: int, plate_format: PlateFormat) -> Iterable[Bound]:
    if n_wells > max_not_touching(plate_format):
        # Cannot hold; one impossible bound says so at once, where the blocks would need a long proof.
        yield Bound(2, variables, 0, n_wells - 1)
        return
    for square in squares(plate_format):
        yield Bound(2, [variables[well] for well in square], 0, 1)
