"""Choose which source well serves which destination well."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nextplate.errors import PlanError
from protocols.labware import labware
from protocols.stock import StockWell

SOLVER_WORK = 2.0
"""CP-SAT's deterministic time for choosing plates."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Liquid wanted in one well, or in the eight wells that eight channels fill at once."""

    plate: str
    wells: tuple[str, ...]
    volume_nl: int
    """Into each well."""
    is_fill: bool = False
    """Whether it is solvent that fills up, or that is diluted with: it comes before what is dosed."""

    @property
    def total_nl(self) -> int:
        """Return what all its wells get together."""
        return self.volume_nl * len(self.wells)


@dataclass(frozen=True, slots=True)
class Demand:
    """One liquid, and every portion of it."""

    compound_id: str
    portions: tuple[Portion, ...]
    is_control: bool
    """Controls are drawn evenly from all their wells; a compound from its fullest."""
    strengths: frozenset[float] | None = None
    """Only source wells of these concentrations, uM, serve it; None: any."""
    dose_um: float | None = None
    """That the portions make, for people; None: several, or none."""

    @property
    def unit_nl(self) -> int:
        """Return the largest portion: wells are compared by how many of it they can give."""
        return max((portion.total_nl for portion in self.portions), default=1)

    def serves(self, item: StockWell) -> bool:
        """Tell whether a source well holds what is wanted."""
        return item.compound_id == self.compound_id and (
            self.strengths is None or item.concentration_um in self.strengths
        )


@dataclass(frozen=True, slots=True)
class Draw:
    """One portion and the well that it comes from; it has no tip yet."""

    source: StockWell
    portion: Portion


def choose_draws(demands: Sequence[Demand], stock: Iterable[StockWell]) -> list[Draw]:
    """Serve every demand from wells that keep their dead volume, using as few source plates as possible.

    Args:
        demands: no source well may serve two.
        stock: every source well.

    Raises:
        PlanError: lists every compound that cannot be served and how much is missing.
    """
    by_compound: dict[str, list[StockWell]] = {demand.compound_id: [] for demand in demands}
    for item in stock:
        if item.compound_id in by_compound:
            by_compound[item.compound_id].append(item)
    wells = {id(d): [item for item in by_compound[d.compound_id] if d.serves(item)] for d in demands}
    shortages = [words for d in demands if (words := _shortage(d, wells[id(d)]))]
    if shortages:
        raise PlanError("the stock cannot serve this plate:\n  " + "\n  ".join(shortages))
    plates = _fewest_plates(demands, wells)
    draws = []
    for demand in demands:
        usable = [item for item in wells[id(demand)] if item.source_plate in plates]
        draws += _draw(demand, usable) or _draw(demand, wells[id(demand)])
    return draws


def usable_nl(item: StockWell) -> int:
    """Return what a source well can give before it reaches its dead volume."""
    return max(item.volume_nl - labware(item.labware).dead_volume_nl, 0)


def n_transfers(item: StockWell, volume_nl: int) -> int:
    """Count the transfers a source well can give before it reaches its dead volume."""
    return usable_nl(item) // volume_nl


def _shortage(demand: Demand, wells: Sequence[StockWell]) -> str:
    served = _draw(demand, wells)
    if served or not demand.portions:
        return ""
    n_all = sum(len(portion.wells) for portion in demand.portions)
    names = [well for portion in demand.portions for well in portion.wells][:6]
    into = ", ".join(names) + (" .." if n_all > 6 else "")
    held = ", ".join(
        f"{item.source_well} on {item.source_plate} holds {item.volume_nl} nl, "
        f"{labware(item.labware).dead_volume_nl} of them dead volume"
        for item in wells[:6]
    )
    dose = "" if demand.dose_um is None else f" at {demand.dose_um:g} uM"
    none = "not in stock" if demand.strengths is None else "not in stock at the strength that makes it"
    held += " .." if len(wells) > 6 else ""
    missing_nl = _missing_nl(demand, wells)
    what = f"{demand.compound_id}{dose} for {into}: {missing_nl} nl missing ({held or none})"
    roomy = max(wells, key=_room_nl, default=None)
    if roomy is None:
        return what
    more = "" if missing_nl <= _room_nl(roomy) else f", where only {_room_nl(roomy)} nl fit, and set up further wells"
    return f"{what}; fill up {roomy.source_well} on {roomy.source_plate}{more}"


def _room_nl(item: StockWell) -> int:
    return labware(item.labware).max_volume_nl - item.volume_nl


def _missing_nl(demand: Demand, wells: Sequence[StockWell]) -> int:
    """Return how much no well can give, portions of one size taken whole."""
    room = [usable_nl(item) for item in wells]
    missing_nl = 0
    for portion in sorted(demand.portions, key=lambda p: -p.total_nl):
        best = max(range(len(room)), key=room.__getitem__, default=None)
        if best is None or room[best] < portion.total_nl:
            missing_nl += portion.total_nl
        else:
            room[best] -= portion.total_nl
    return missing_nl


def _fewest_plates(demands: Sequence[Demand], wells: Mapping[int, Sequence[StockWell]]) -> set[str]:
    """Return the plates to draw from; a small integer program where compounds sit on several plates."""
    forced: set[str] = set()
    open_demands = []
    for demand in demands:
        unit_nl = demand.unit_nl
        plates = {item.source_plate for item in wells[id(demand)] if n_transfers(item, unit_nl)}
        if demand.is_control or len(plates) == 1:
            forced |= plates
        else:
            open_demands.append(demand)
    return forced | _cover(open_demands, wells, forced) if open_demands else forced


def _cover(demands: Sequence[Demand], wells: Mapping[int, Sequence[StockWell]], forced: set[str]) -> set[str]:
    from ortools.sat.python import cp_model

    room: dict[int, dict[str, int]] = {}
    for demand in demands:
        by_plate = room.setdefault(id(demand), {})
        for item in wells[id(demand)]:
            n = n_transfers(item, demand.unit_nl)
            by_plate[item.source_plate] = by_plate.get(item.source_plate, 0) + n
    model = cp_model.CpModel()
    names = sorted({plate for by_plate in room.values() for plate in by_plate})
    used = {plate: model.NewBoolVar(plate) for plate in names}
    for demand in demands:
        by_plate = room[id(demand)]
        # No more than all plates together have, where portions of several sizes fit that do not fit as the largest.
        need = min(len(demand.portions), sum(by_plate.values()))
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


def _draw(demand: Demand, wells: Sequence[StockWell]) -> list[Draw]:
    """Draw from the fullest well: for a compound until it is empty, for a control well by well in turn.

    Returns:
        Nothing where the wells cannot serve it.
    """
    room, unit_nl = [usable_nl(item) for item in wells], demand.unit_nl
    # The largest first: what is left in a well may still do for a small one.
    waiting = sorted(demand.portions, key=lambda portion: -portion.total_nl)
    draws: list[Draw] = []
    chosen: int | None = None
    for portion in waiting:
        if chosen is None or demand.is_control or room[chosen] < portion.total_nl:
            chosen = _fullest(wells, room, portion.total_nl, unit_nl)
        if chosen is None:
            return []
        room[chosen] -= portion.total_nl
        draws.append(Draw(wells[chosen], portion))
    return draws


def _fullest(wells: Sequence[StockWell], room: Sequence[int], volume_nl: int, unit_nl: int) -> int | None:
    """Return the well that can give most units; None where none can give this one."""
    able = [n for n, nl in enumerate(room) if nl >= volume_nl]
    keys = ((-(room[n] // unit_nl), wells[n].source_plate, wells[n].source_well, n) for n in able)
    return min(keys)[-1] if able else None
