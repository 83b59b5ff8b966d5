"""Place the replicates of compounds with CP-SAT: never in one row or column, and far apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from ortools.sat.python import cp_model

from nextplate.design.controls import new_solver
from nextplate.design.rules import balanced_range, columns, quadrants, replicate_distance, rows, steps
from nextplate.plate import PlateFormat

SOLVER_WORK = 1.0
"""CP-SAT's deterministic time per attempt."""


BATCH_WELLS = 400
"""Wells placed by one model; a bigger plate is dealt out in shares, each spread over the whole plate."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How far apart replicates must be in one attempt."""

    distance_share: float
    """Of rules.replicate_distance; 0 lifts the rule."""
    n_extra: int
    """How often a row or column may hold a compound beyond what its number of wells forces (which is once)."""
    note: str


LADDER = (
    Rule(1.0, 0, ""),
    Rule(0.5, 0, "some replicates are closer together than wished, at least half the distance"),
    Rule(0.0, 0, "replicates may be near each other; rows and columns still differ"),
    Rule(0.0, 1, "some replicates share a row or a column, two at most"),
)
"""Tried from the top; a rung is climbed down only when the one above has no solution or takes too long."""


def place_replicates(
    plate_format: PlateFormat,
    free: Sequence[int],
    counts: Sequence[int],
    n_empty: int,
    rng: np.random.Generator,
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Choose wells for compounds with two wells or more.

    Args:
        plate_format: the plate.
        free: wells that may be used, counted row by row from 0; at least sum(counts).
        counts: wells per compound.
        n_empty: wells that will stay empty; room is left to spread them over the plate.
        rng: decides among equally good plates.

    Returns:
        Per compound its wells in random order, and what could not be kept.
    """
    if not counts:
        return [], ()
    notes: dict[str, None] = {_crowding(counts, plate_format): None}
    groups: list[list[int]] = []
    for share, batch in _batches(free, counts, rng):
        # A share of a big plate cannot see the rest of it, so empty wells are spread on what remains.
        room = _room(plate_format, share, sum(batch), n_empty) if n_empty and len(batch) == len(counts) else []
        placed, note = _place_batch(plate_format, share, batch, room, rng)
        groups += [rng.permutation(group).tolist() for group in placed]
        notes[note] = None
    return groups, tuple(filter(None, notes))


def _batches(
    free: Sequence[int], counts: Sequence[int], rng: np.random.Generator
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield (wells, counts): the compounds in turn, each batch with a random share of the wells."""
    n_batches = -(-sum(counts) // BATCH_WELLS)
    spare = len(free) - sum(counts)
    shuffled = rng.permutation(free).tolist()
    for i in range(n_batches):
        batch = list(counts[len(counts) * i // n_batches : len(counts) * (i + 1) // n_batches])
        n_share = sum(batch) + (spare * (i + 1) // n_batches - spare * i // n_batches)
        yield sorted(shuffled[:n_share]), batch
        del shuffled[:n_share]


def _room(
    plate_format: PlateFormat, free: Sequence[int], n_samples: int, n_empty: int
) -> list[tuple[list[int], int, int]]:
    """Return (wells, fewest, most) replicates for every row, column and quadrant that let empty wells be balanced."""
    n_single = len(free) - n_samples - n_empty
    bounds = []
    for parts in (rows(plate_format), columns(plate_format), quadrants(plate_format)):
        low, high = balanced_range(n_empty, len(parts))
        for part in parts:
            wells = sorted(set(part) & set(free))
            bounds.append((wells, max(len(wells) - high - n_single, 0), len(wells) - low))
    return bounds


def _place_batch(
    plate_format: PlateFormat,
    free: Sequence[int],
    counts: Sequence[int],
    room: Sequence[tuple[list[int], int, int]],
    rng: np.random.Generator,
) -> tuple[list[list[int]], str]:
    seed = int(rng.integers(2**31 - 1))
    tried = set()
    for rule in LADDER:
        distances = tuple(_distance(count, plate_format, rule) for count in counts)
        if (distances, rule.n_extra) in tried:
            continue
        tried.add((distances, rule.n_extra))
        for breadth in (12, 40):
            candidates = _candidates(free, counts, breadth, rng)
            found = _solve(plate_format, candidates, counts, rule, room if rule.n_extra == 0 else (), seed)
            if found:
                return found, rule.note
    shuffled = rng.permutation(free).tolist()
    cuts = np.cumsum([0, *counts]).tolist()
    return [shuffled[a:b] for a, b in pairwise(cuts)], "replicates may share rows and columns"


def _distance(count: int, plate_format: PlateFormat, rule: Rule) -> int:
    """Return the distance to ask for; 0 where differing rows and columns say enough."""
    distance = int(replicate_distance(count, plate_format) * rule.distance_share)
    return distance if distance > 2 else 0


def _crowding(counts: Sequence[int], plate_format: PlateFormat) -> str:
    shortest = min(plate_format.n_rows, plate_format.n_columns)
    if max(counts) <= shortest:
        return ""
    return f"compounds with more than {shortest} wells repeat in rows, as evenly as can be"


def _candidates(free: Sequence[int], counts: Sequence[int], breadth: int, rng: np.random.Generator) -> list[list[int]]:
    """Give every compound some wells to choose from, every well to equally many compounds.

    A few wells per compound keep the model small; dealing them from shuffled decks makes sure that no well is
    left without a taker on a full plate.
    """
    deck: list[int] = []
    hands = []
    for count in counts:
        size = min(len(free), max(breadth, 2 * breadth // 3 * count))
        while len(deck) < size:
            deck.extend(rng.permutation(free).tolist())
        hands.append(sorted(set(deck[:size])))
        del deck[:size]
    return [sorted(free) if len(hand) < count else hand for hand, count in zip(hands, counts, strict=True)]


def _solve(
    plate_format: PlateFormat,
    candidates: Sequence[list[int]],
    counts: Sequence[int],
    rule: Rule,
    room: Sequence[tuple[list[int], int, int]],
    seed: int,
) -> list[list[int]] | None:
    model = cp_model.CpModel()
    takers: dict[int, list[cp_model.IntVar]] = {}
    seats = []
    for hand, count in zip(candidates, counts, strict=True):
        seat = {well: model.NewBoolVar("") for well in hand}
        seats.append(seat)
        for well, var in seat.items():
            takers.setdefault(well, []).append(var)
        model.Add(sum(seat.values()) == count)
        _keep_apart(model, plate_format, seat, count, rule)
    for variables in takers.values():
        model.AddAtMostOne(variables)
    for wells, low, high in room:
        model.AddLinearConstraint(sum(var for well in wells for var in takers.get(well, [])), low, high)
    solver = new_solver(seed, SOLVER_WORK)
    if solver.Solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return [[well for well, var in seat.items() if solver.Value(var)] for seat in seats]


def _keep_apart(
    model: cp_model.CpModel,
    plate_format: PlateFormat,
    seat: dict[int, cp_model.IntVar],
    count: int,
    rule: Rule,
) -> None:
    for axis, n_lines in enumerate((plate_format.n_rows, plate_format.n_columns)):
        lines: dict[int, list[cp_model.IntVar]] = {}
        for well, var in seat.items():
            lines.setdefault(divmod(well, plate_format.n_columns)[axis], []).append(var)
        limit = -(-count // n_lines) + rule.n_extra
        for variables in lines.values():
            if len(variables) > limit:
                model.AddLinearConstraint(sum(variables), 0, limit)
    distance = _distance(count, plate_format, rule)
    for one, other in combinations(seat, 2) if distance else ():
        if steps(one, other, plate_format) < distance:
            model.AddBoolOr(seat[one].Not(), seat[other].Not())
