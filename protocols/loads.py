"""Pack source plates and tip racks into as few deck loads as possible."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

SOLVER_WORK = 3.0
"""CP-SAT's deterministic time for all numbers of loads tried."""
SEATS_IN_FULL = 150
"""Plates times loads up to which the solver gets all of that time; beyond, less by its square."""


def pack(
    counts: Mapping[str, int], n_slots: int, racks: Sequence[int], work: float = SOLVER_WORK
) -> list[dict[str, int]]:
    """Distribute source plates over deck loads.

    Racks are used in order across loads: a load needs every rack its tips come from, so a rack used by two loads
    takes a slot in both. A plate is split over loads only when its tips do not fit one deck.

    Args:
        counts: transfers per source plate, at least 1 each.
        n_slots: slots for source plates and tip racks together, at least 2.
        racks: free tips per rack, in order of use, at least 1 each; together at least as many as transfers.
        work: of the solver, for all numbers of loads it tries; 0: it is not asked.

    Returns:
        Per load how many transfers each plate has in it.
    """
    loads = _greedy(counts, n_slots, racks)
    if sum(map(len, loads)) > len(counts):
        return loads
    fewest = -(-(len(counts) + _racks_spanned(racks, 0, sum(counts.values()))) // n_slots)
    # A large model takes long for little; greedy packing is at most a load or two from the best.
    left = work * min(1.0, SEATS_IN_FULL / (len(counts) * len(loads))) ** 2
    for n_loads in range(max(fewest, 1), len(loads)):
        if left <= 0:
            break
        better, spent = _solve(counts, n_slots, racks, n_loads, left)
        if better:
            return better
        left -= spent
    return loads


def _racks_spanned(racks: Sequence[int], used: int, n_tips: int) -> int:
    """Count the racks that the tips from number ``used`` (0-based) on come from."""
    ends = list(accumulate(racks))
    first = next(i for i, end in enumerate(ends) if end > used)
    last = next(i for i, end in enumerate(ends) if end >= used + n_tips)
    return last - first + 1


def _greedy(counts: Mapping[str, int], n_slots: int, racks: Sequence[int]) -> list[dict[str, int]]:
    left = dict(counts)
    loads: list[dict[str, int]] = []
    used = 0
    while left:
        load: dict[str, int] = {}
        for plate, n in left.items():
            n_tips = sum(load.values()) + n
            if len(load) + 1 + _racks_spanned(racks, used, n_tips) <= n_slots:
                load[plate] = n
        if not load:
            load = _split(left, n_slots, racks, used)
        for plate, n in load.items():
            left[plate] -= n
        left = {plate: n for plate, n in left.items() if n}
        used += sum(load.values())
        loads.append(load)
    return loads


def _split(left: Mapping[str, int], n_slots: int, racks: Sequence[int], used: int) -> dict[str, int]:
    """Return as many transfers of the first plate as one deck has room for tips."""
    plate, n = next(iter(left.items()))
    while 1 + _racks_spanned(racks, used, n) > n_slots:
        n -= 1
    return {plate: n}


def _solve(
    counts: Mapping[str, int], n_slots: int, racks: Sequence[int], n_loads: int, work: float
) -> tuple[list[dict[str, int]] | None, float]:
    """Return a packing into a number of loads, None where none is found, and the work it took."""
    from ortools.sat.python import cp_model

    ends = list(accumulate(racks))
    starts = [0, *ends[:-1]]
    model = cp_model.CpModel()
    seat = {(plate, i): model.NewBoolVar("") for plate in counts for i in range(n_loads)}
    for plate in counts:
        model.AddExactlyOne(seat[plate, i] for i in range(n_loads))
    total = sum(counts.values())
    done = [model.NewIntVar(0, total, "") for _ in range(n_loads + 1)]
    model.Add(done[0] == 0)
    for i in range(n_loads):
        n_tips = sum(n * seat[plate, i] for plate, n in counts.items())
        model.Add(done[i + 1] == done[i] + n_tips)
        model.Add(n_tips >= 1)
        # The first rack begins at or before the tips used so far, the last ends at or after the tips used then.
        first, last = (model.NewIntVar(0, len(racks) - 1, "") for _ in range(2))
        start, end = model.NewIntVar(0, starts[-1], ""), model.NewIntVar(0, ends[-1], "")
        model.AddElement(first, starts, start)
        model.AddElement(last, ends, end)
        model.Add(start <= done[i])
        model.Add(end >= done[i + 1])
        model.Add(sum(seat[plate, i] for plate in counts) + last - first + 1 <= n_slots)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = work
    status = solver.Solve(model)
    spent = float(solver.ResponseProto().deterministic_time)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None, spent
    found = [{plate: n for plate, n in counts.items() if solver.Value(seat[plate, i])} for i in range(n_loads)]
    return found, spent
