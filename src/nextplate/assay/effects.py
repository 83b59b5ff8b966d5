"""Position effects with their significance, and controls whose place cannot be told from what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from nextplate.assay.spatial import Bools, edge_wells
from nextplate.assay.statistics import Values
from nextplate.errors import DataError
from nextplate.plate import PlateFormat, Role, parse_well, row_letters

Codes = npt.NDArray[np.int64]
_MANY = 0.9
"""A role with at least this share of its wells in one place sits there."""


@dataclass(frozen=True, slots=True)
class PositionEffect:
    """One-way analysis of variance of a plate by place; None where it cannot be computed."""

    factor: str
    """row, column or edge."""
    f: float | None
    """F = (between / (k - 1)) / (within / (n - k)); infinite when the place explains everything."""
    p: float | None
    """Of F under normal noise; the wells must otherwise read alike."""
    eta_squared: float | None
    """between / total, 0 to 1; (k - 1) / (n - 1) by chance alone."""
    n_wells: int
    n_places: int
    reason: str
    """Why there are no numbers; '' when there are."""


@dataclass(frozen=True, slots=True)
class Confounding:
    """A control whose place and label cannot be told apart."""

    role: Role
    factor: str
    """row, column or edge."""
    message: str
    """What was found and what to do, for the operator."""


def position_effects(
    values: Values, wells: Sequence[str], plate_format: PlateFormat, is_tested: Bools
) -> tuple[PositionEffect, ...]:
    """Test row, column and edge one at a time on wells that should read alike (see `spatial.inactive`).

    The p-values are of single tests; on a plate with empty rows or columns the three factors overlap.

    Args:
        values: shape (n,); NaN is left out.
        wells: their names.
        plate_format: of the plate.
        is_tested: shape (n,), the wells to use.
    """
    used = is_tested & np.isfinite(values)
    return tuple(_effect(name, values[used], code[used]) for name, code in _places(wells, plate_format).items())


def confounding(wells: Sequence[str], roles: Sequence[Role], plate_format: PlateFormat) -> tuple[Confounding, ...]:
    """Warn where the place of the controls could pass for their effect.

    Three patterns: a control has nine tenths of its wells in one row or column that holds less than half of the other
    control; positives and negatives share neither a row nor, separately, a column; nearly all wells of one control lie
    in the outer ring and not those of the other.

    Raises:
        DataError: as many roles as wells are needed.
    """
    if len(wells) != len(roles):
        raise DataError(f"{len(wells)} wells and {len(roles)} roles: give one role for each well")
    places = _places(wells, plate_format)
    at = {role: np.array([r is role for r in roles], dtype=np.bool_) for role in (Role.NEGATIVE, Role.POSITIVE)}
    if not all(mask.any() for mask in at.values()):
        return ()
    found = [w for factor in ("row", "column") for w in _in_lines(factor, places[factor], at)]
    return (*found, *_on_edge(places["edge"], at))


def _places(wells: Sequence[str], plate_format: PlateFormat) -> Mapping[str, Codes]:
    place = np.array([parse_well(w) for w in wells], dtype=np.int64).reshape(-1, 2)
    return {"row": place[:, 0], "column": place[:, 1], "edge": edge_wells(wells, plate_format).astype(np.int64)}


def _effect(factor: str, values: Values, place: Codes) -> PositionEffect:
    names, code = np.unique(place, return_inverse=True)
    n, k = len(values), len(names)
    if k < 2 or n - k < 2:
        return PositionEffect(factor, None, None, None, n, k, f"{n} wells in {k} places: too few")
    total = float(((values - values.mean()) ** 2).sum())
    if total <= 1e-24 * max(float((values**2).sum()), 1e-300):
        return PositionEffect(factor, None, None, None, n, k, "all wells read the same")
    means = np.bincount(code, values) / np.bincount(code)
    within = float(((values - means[code]) ** 2).sum())
    between = max(total - within, 0.0)
    f = (between / (k - 1)) / (within / (n - k)) if within > 0 else float("inf")
    return PositionEffect(factor, f, float(special.fdtrc(k - 1, n - k, f)), between / total, n, k, "")


def _in_lines(factor: str, place: Codes, at: Mapping[Role, Bools]) -> list[Confounding]:
    found = [
        Confounding(role, factor, _in_one_line(role, factor, line))
        for role, other in _PAIRS
        if (line := _common(place[at[role]])) is not None and (place[at[other]] == line).mean() < 0.5
    ]
    shared = np.intersect1d(place[at[Role.POSITIVE]], place[at[Role.NEGATIVE]])
    if len(shared) == 0 and not found:
        words = (
            f"positive and negative controls share no {factor}: a {factor} effect would pass for the control effect; "
            "scatter the controls"
        )
        found.append(Confounding(Role.POSITIVE, factor, words))
    return found


def _in_one_line(role: Role, factor: str, line: int) -> str:
    name = row_letters(line) if factor == "row" else str(line + 1)
    return (
        f"the {role} controls sit in {factor} {name}, the other control does not: its effect and that of the {factor} "
        "cannot be told apart; scatter the controls"
    )


def _common(place: Codes) -> int | None:
    """Return the line that holds nearly all of these wells; None when there is none, or only one well."""
    names, count = np.unique(place, return_counts=True)
    i = int(count.argmax())
    return int(names[i]) if len(place) > 1 and count[i] >= _MANY * len(place) else None


def _on_edge(edge: Codes, at: Mapping[Role, Bools]) -> list[Confounding]:
    return [
        Confounding(
            role,
            "edge",
            f"{edge[at[role]].mean():.0%} of the {role} controls lie in the outer ring, {edge[at[other]].mean():.0%} "
            "of the other control: evaporation or heat there would pass for the control effect; scatter the controls",
        )
        for role, other in _PAIRS
        if edge[at[role]].mean() >= _MANY and edge[at[other]].mean() < 0.5
    ]


_PAIRS = ((Role.NEGATIVE, Role.POSITIVE), (Role.POSITIVE, Role.NEGATIVE))
