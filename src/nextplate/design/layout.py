"""Draw a plate: who sits in which well, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextplate.design.controls import Placed, place
from nextplate.design.replicates import place_replicates
from nextplate.errors import PlanError
from nextplate.plate import Layout, LayoutWell, PlateFormat, Role
from nextplate.prediction import Pick

Seat = tuple[Role, str | None, int, float, str]
"""Role, compound, replicate, dose in micromolar, reason."""


@dataclass(frozen=True, slots=True)
class LayoutPlan:
    """A layout and what could not be had of it."""

    layout: Layout
    notes: tuple[str, ...]
    """Rules given up because they could not all be kept, in words; empty when every rule holds."""


def layout(
    barcode: str,
    picks: Sequence[Pick],
    plate_format: PlateFormat,
    n_negative: int,
    n_positive: int,
    dose_um: float,
    seed: int,
) -> LayoutPlan:
    """Seat picks and controls on one plate.

    Controls are scattered evenly, replicates of a compound kept apart (see design.rules); single wells go to
    random places, whatever their order in picks or on the source plates. Same arguments, same plate.

    Args:
        barcode: of the assay plate.
        picks: compounds with their number of wells, and their doses where they have their own; each compound once.
        plate_format: of the assay plate.
        n_negative: wells for the negative control.
        n_positive: wells for the positive control.
        dose_um: final concentration of the positive control, and of samples without doses of their own, micromolar.
        seed: any whole number from 0.

    Raises:
        PlanError: more wells are asked for than the plate has, a count is negative, a compound appears twice.
    """
    n_empty = _count_empty(picks, plate_format, n_negative, n_positive)
    rng = np.random.default_rng(seed)
    seats: dict[int, Seat] = {}
    counts = {Role.NEGATIVE: n_negative, Role.POSITIVE: n_positive}
    # Few empty wells are spread together with the controls. Many leave replicates too little choice, so then the
    # replicates go first.
    has_many_empty = 2 * n_empty > plate_format.n_wells - n_negative - n_positive
    first = counts if has_many_empty else {**counts, Role.EMPTY: n_empty}
    notes = _seat_roles(seats, place(plate_format, first, rng), dose_um)
    n_left = n_empty if has_many_empty else 0
    notes += _seat_repeated(seats, picks, plate_format, dose_um, n_left, rng)
    notes += _seat_roles(seats, place(plate_format, {Role.EMPTY: n_left}, rng, taken=list(seats)), dose_um)
    _seat_single(seats, picks, plate_format, dose_um, rng)
    wells_in_order = tuple(LayoutWell(name, *seats[i]) for i, name in enumerate(plate_format.wells()))
    return LayoutPlan(Layout(barcode, plate_format, wells_in_order), notes)


def _count_empty(picks: Sequence[Pick], plate_format: PlateFormat, n_negative: int, n_positive: int) -> int:
    for what, count in (("negative", n_negative), ("positive", n_positive)):
        if count < 0:
            raise PlanError(f"{count} {what} control wells asked for; give 0 or more")
    problems = [f"{p.compound_id} asks for {p.n_wells} wells; give 1 or more" for p in picks if p.n_wells < 1]
    problems += [
        f"{p.compound_id} has {len(p.doses_um)} doses for {p.n_wells} wells; give each well one"
        for p in picks
        if p.doses_um and len(p.doses_um) != p.n_wells
    ]
    often = Counter(pick.compound_id for pick in picks)
    problems += [f"{name} is picked {n} times; set n_wells instead" for name, n in sorted(often.items()) if n > 1]
    if problems:
        raise PlanError("the picks cannot be laid out: " + "; ".join(problems))
    n_samples = sum(pick.n_wells for pick in picks)
    n_empty = plate_format.n_wells - n_samples - n_negative - n_positive
    if n_empty < 0:
        raise PlanError(
            f"{n_samples} sample, {n_negative} negative and {n_positive} positive control wells do not fit on a "
            f"{plate_format.n_wells}-well plate; take away {-n_empty}"
        )
    return n_empty


def _seat_roles(seats: dict[int, Seat], placed: Placed, dose_um: float) -> tuple[str, ...]:
    """Seat controls and empty wells; return what could not be kept."""
    for role, wells in placed.wells.items():
        dose = dose_um if role is Role.POSITIVE else 0.0
        for replicate, well in enumerate(wells):
            is_empty = role is Role.EMPTY
            seats[well] = (role, None, 0 if is_empty else replicate, dose, "empty" if is_empty else "control")
    return placed.notes


def _seat_repeated(
    seats: dict[int, Seat],
    picks: Sequence[Pick],
    plate_format: PlateFormat,
    dose_um: float,
    n_empty: int,
    rng: np.random.Generator,
) -> tuple[str, ...]:
    """Seat compounds with two wells or more; return what could not be kept."""
    repeated = [pick for pick in picks if pick.n_wells > 1]
    free = [well for well in range(plate_format.n_wells) if well not in seats]
    groups, notes = place_replicates(plate_format, free, [pick.n_wells for pick in repeated], n_empty, rng)
    for pick, group in zip(repeated, groups, strict=True):
        for replicate, well in enumerate(group):
            dose = pick.doses_um[replicate] if pick.doses_um else dose_um
            seats[well] = (Role.SAMPLE, pick.compound_id, replicate, dose, pick.reason)
    return notes


def _seat_single(
    seats: dict[int, Seat],
    picks: Sequence[Pick],
    plate_format: PlateFormat,
    dose_um: float,
    rng: np.random.Generator,
) -> None:
    """Shuffle the compounds with one well into the wells that are left."""
    single = [pick for pick in picks if pick.n_wells == 1]
    free = [well for well in range(plate_format.n_wells) if well not in seats]
    for pick, well in zip(single, rng.permutation(free).tolist(), strict=True):
        dose = pick.doses_um[0] if pick.doses_um else dose_um
        seats[int(well)] = (Role.SAMPLE, pick.compound_id, 0, dose, pick.reason)
