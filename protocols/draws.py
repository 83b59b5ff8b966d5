"""Choose which source well serves which destination well."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nextplate.errors import PlanError
from protocols.labware import labware
from protocols.stock import StockWell

SOLVER_WORK = 2.0
"""CP-SAT's deterministic time for choosing plates."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Liquid wanted in destination wells."""

    compound_id: str
    wells: tuple[str, ...]
    is_control: bool
    """Controls are drawn evenly from all their wells; a compound from its fullest."""
    dose_um: float | None = None
    """Only source wells of the strength that makes this dose serve it; None: any."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One transfer before it has a tip."""

    source: StockWell
    destination_well: str


def choose_draws(
    demands: Sequence[Demand], stock: Iterable[StockWell], volume_nl: int, well_volume_nl: int | None = None
) -> list[Draw]:
    """Serve every demand from wells that keep their dead volume, using as few source plates as possible.

    Args:
        demands: one per compound and dose; no source well may serve two.
        stock: every source well.
        volume_nl: of a transfer.
        well_volume_nl: in a destination well before it; needed where demands have doses.

    Raises:
        PlanError: lists every compound that cannot be served and how much is missing.
    """
    held: dict[str, list[StockWell]] = {demand.compound_id: [] for demand in demands}
    for item in stock:
        if item.compound_id in held:
            held[item.compound_id].append(item)
    wells = {demand: _of_strength(demand, held[demand.compound_id], volume_nl, well_volume_nl) for demand in demands}
    shortages = [words for demand in demands if (words := _shortage(demand, wells[demand], volume_nl))]
    if shortages:
        raise PlanError("the stock cannot serve this plate:\n  " + "\n  ".join(shortages))
    plates = _fewest_plates(demands, wells, volume_nl)
    draws = []
    for demand in demands:
        usable = [item for item in wells[demand] if item.source_plate in plates]
        draws += _draw(demand, usable, volume_nl)
    return draws


def _of_strength(demand: Demand, wells: list[StockWell], volume_nl: int, well_volume_nl: int | None) -> list[StockWell]:
    if demand.dose_um is None or well_volume_nl is None:
        return wells
    return [item for item in wells if item.gives(demand.dose_um, volume_nl, well_volume_nl)]


def n_transfers(item: StockWell, volume_nl: int) -> int:
    """Count the transfers a source well can give before it reaches its dead volume."""
    return max(item.volume_nl - labware(item.labware).dead_volume_nl, 0) // volume_nl


def _shortage(demand: Demand, wells: Sequence[StockWell], volume_nl: int) -> str:
    short = len(demand.wells) - sum(n_transfers(item, volume_nl) for item in wells)
    if short <= 0:
        return ""
    into = ", ".join(demand.wells[:6]) + (" .." if len(demand.wells) > 6 else "")
    held = ", ".join(
        f"{item.source_well} on {item.source_plate} holds {item.volume_nl} nl, "
        f"{labware(item.labware).dead_volume_nl} of them dead volume"
        for item in wells[:6]
    )
    dose = "" if demand.dose_um is None else f" at {demand.dose_um:g} uM"
    none = "not in stock" if demand.dose_um is None else "not in stock at the strength that makes it"
    return f"{demand.compound_id}{dose} for {into}: {short * volume_nl} nl missing ({held or none})"


def _fewest_plates(demands: Sequence[Demand], wells: Mapping[Demand, Sequence[StockWell]], volume_nl: int) -> set[str]:
    """Return the plates to draw from; a small integer program where compounds sit on several plates."""
    forced: set[str] = set()
    open_demands = []
    for demand in demands:
        plates = {item.source_plate for item in wells[demand] if n_transfers(item, volume_nl)}
        if demand.is_control or len(plates) == 1:
            forced |= plates
        else:
            open_demands.append(demand)
    return forced | _cover(open_demands, wells, volume_nl, forced) if open_demands else forced


def _cover(
    demands: Sequence[Demand], wells: Mapping[Demand, Sequence[StockWell]], volume_nl: int, forced: set[str]
) -> set[str]:
    from ortools.sat.python import cp_model

    room: dict[Demand, dict[str, int]] = {}
    for demand in demands:
        for item in wells[demand]:
            by_plate = room.setdefault(demand, {})
            by_plate[item.source_plate] = by_plate.get(item.source_plate, 0) + n_transfers(item, volume_nl)
    model = cp_model.CpModel()
    names = sorted({plate for by_plate in room.values() for plate in by_plate})
    used = {plate: model.NewBoolVar(plate) for plate in names}
    for demand in demands:
        by_plate = room[demand]
        need = len(demand.wells)
        # No more than the need counts, which makes the relaxation tight.
        model.Add(sum(min(n, need) * used[plate] for plate, n in by_plate.items()) >= need)
    for plate in names:
        model.AddHint(used[plate], 1)
        if plate in forced:
            model.Add(used[plate] == 1)
    model.Minimize(sum(used.values()))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = SOLVER_WORK
    if solver.Solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        # All plates together always serve, so only a solver that ran out of time at once comes here.
        return set(names)
    return {plate for plate in names if solver.Value(used[plate])}


def _draw(demand: Demand, wells: Sequence[StockWell], volume_nl: int) -> list[Draw]:
    """Draw from the fullest well: for a compound until it is empty, for a control well by well in turn."""
    heap = [(-n_transfers(item, volume_nl), item.source_plate, item.source_well, item) for item in wells]
    heapq.heapify(heap)
    draws: list[Draw] = []
    while len(draws) < len(demand.wells):
        left, plate, well, item = heapq.heappop(heap)
        n = 1 if demand.is_control else min(-left, len(demand.wells) - len(draws))
        draws += [Draw(item, target) for target in demand.wells[len(draws) : len(draws) + n]]
        heapq.heappush(heap, (left + n, plate, well, item))
    return draws
