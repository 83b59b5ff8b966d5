"""Judge a layout without the solver that made it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations

from nextplate.design.rules import balanced_range, edge_range, replicate_distance
from nextplate.plate import Layout, LayoutWell, PlateFormat, Role, parse_well

Place = tuple[int, int]


def layout_problems(layout: Layout) -> list[str]:
    """Return everything wrong with a layout, each naming wells; empty when it keeps every rule.

    Covers what makes a layout invalid (a well missing or twice, a control with a compound) and what makes it
    poor (controls bunched, replicates in one row). The latter may be unavoidable: LayoutPlan.notes says so.
    """
    return list(_grid_problems(layout)) or [
        *_content_problems(layout),
        *_control_problems(layout),
        *_replicate_problems(layout),
    ]


def _grid_problems(layout: Layout) -> Iterator[str]:
    expected = list(layout.plate_format.wells())
    found = [w.well for w in layout.wells]
    often = Counter(found)
    yield from (f"well {well} appears {n} times" for well, n in often.items() if n > 1)
    yield from (f"well {well} is missing" for well in expected if well not in often)
    yield from (f"well {well} is not on the plate" for well in often if well not in set(expected))
    if sorted(found) == sorted(expected) and found != expected:
        yield "wells are not in plate order, row by row"


def _content_problems(layout: Layout) -> Iterator[str]:
    for w in layout.wells:
        if (w.role is Role.SAMPLE) != (w.compound_id is not None):
            yield f"well {w.well} is {w.role.value} and holds compound {w.compound_id!r}"
        if w.role in (Role.NEGATIVE, Role.EMPTY) and w.dose_um:
            yield f"well {w.well} is {w.role.value} and has a dose of {w.dose_um} uM"


def _places(wells: Iterable[LayoutWell]) -> list[Place]:
    return [parse_well(w.well) for w in wells]


def _control_problems(layout: Layout) -> Iterator[str]:
    plate = layout.plate_format
    everything: list[Place] = []
    for role in (Role.NEGATIVE, Role.POSITIVE):
        wells = layout.by_role(role)
        places = _places(wells)
        everything += places
        yield from _balance_problems(f"{role.value} controls", places, plate)
        for one, other in combinations(wells, 2):
            (r, c), (r2, c2) = parse_well(one.well), parse_well(other.well)
            if max(abs(r - r2), abs(c - c2)) == 1:
                yield f"{role.value} controls {one.well} and {other.well} touch"
        on_rim = sum(r in (0, plate.n_rows - 1) or c in (0, plate.n_columns - 1) for r, c in places)
        low, high = edge_range(len(places), plate)
        if not low <= on_rim <= high:
            yield f"{on_rim} of {len(places)} {role.value} controls lie on the edge, not {low} to {high}"
    yield from _balance_problems("controls of both roles", everything, plate)
    yield from _balance_problems("empty wells", _places(layout.by_role(Role.EMPTY)), plate)


def _balance_problems(what: str, places: list[Place], plate: PlateFormat) -> Iterator[str]:
    half_row, half_column = plate.n_rows // 2, plate.n_columns // 2
    splits = {
        "row": (Counter(r for r, _ in places), plate.n_rows),
        "column": (Counter(c for _, c in places), plate.n_columns),
        "quadrant": (Counter(2 * (r >= half_row) + (c >= half_column) for r, c in places), 4),
    }
    for name, (counts, n_parts) in splits.items():
        low, high = balanced_range(len(places), n_parts)
        bad = [part for part in range(n_parts) if not low <= counts[part] <= high]
        if bad:
            numbers = ", ".join(f"{part + 1} has {counts[part]}" for part in bad)
            yield f"{what} are not balanced: {name} {numbers}, not {low} to {high}"


def _replicate_problems(layout: Layout) -> Iterator[str]:
    groups: dict[str, list[LayoutWell]] = {}
    for w in layout.by_role(Role.SAMPLE):
        groups.setdefault(w.compound_id or "", []).append(w)
    for compound, wells in groups.items():
        if sorted(w.replicate for w in wells) != list(range(len(wells))):
            names = ", ".join(f"{w.well} is {w.replicate}" for w in wells)
            yield f"replicates of {compound} are not numbered 0 to {len(wells) - 1}: {names}"
        for one, other in combinations(wells, 2):
            yield from _pair_problems(compound, one, other, len(wells), layout.plate_format)


def _pair_problems(compound: str, one: LayoutWell, other: LayoutWell, n: int, plate: PlateFormat) -> Iterator[str]:
    (r, c), (r2, c2) = parse_well(one.well), parse_well(other.well)
    pair = f"replicates {one.well} and {other.well} of {compound}"
    if r == r2 or c == c2:
        yield f"{pair} share a {'row' if r == r2 else 'column'}"
    elif abs(r - r2) + abs(c - c2) < replicate_distance(n, plate):
        yield f"{pair} are closer than {replicate_distance(n, plate)} steps"
