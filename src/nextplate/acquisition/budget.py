"""Divide a plate's wells among purposes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, isfinite

from nextplate.errors import PlanError

PURPOSES = ("exploit", "explore", "confirm", "dose-response", "controls")

FEWEST_CONTROLS = 3
"""Wells of each control that a plate needs at least: fewer give no scale."""


@dataclass(frozen=True, slots=True)
class PlateWells:
    """How many wells of a plate serve what."""

    n_negative: int
    n_positive: int
    samples: Mapping[str, int]
    """Wells by purpose: exploit, explore, confirm and dose-response."""

    @property
    def n_samples(self) -> int:
        """Wells that hold compounds."""
        return sum(self.samples.values())


def divide_plate(
    n_wells: int, n_negative: int, n_positive: int, shares: Mapping[str, float], n_doses: int = 1
) -> PlateWells:
    """Divide a plate by a budget.

    Where the shares name controls, these are shares of the whole plate, and the controls' wells are shared out as
    n_negative to n_positive. Where they do not, what the n_negative and n_positive wells leave is divided.

    Args:
        n_wells: of the plate.
        n_negative: wells for the negative control, or its part of those for controls.
        n_positive: likewise for the positive control.
        shares: of the purposes in PURPOSES, 1 together.
        n_doses: wells a compound of a dose-response series takes.

    Raises:
        PlanError: as ``well_budget``; too few wells for controls, or none for new compounds.
    """
    has_controls = "controls" in shares
    divided = n_wells if has_controls else n_wells - n_negative - n_positive
    wells = well_budget(divided, shares, {"dose-response": n_doses} if "dose-response" in shares else None)
    if has_controls:
        n_controls = wells["controls"]
        n_positive = round(n_controls * n_positive / (n_negative + n_positive))
        n_negative = n_controls - n_positive
    if min(n_negative, n_positive) < FEWEST_CONTROLS:
        what = f"{n_negative} negative and {n_positive} positive control wells"
        raise PlanError(f"the budget leaves {what}; {FEWEST_CONTROLS} of each are needed: give controls a larger share")
    samples = {name: n for name, n in wells.items() if name != "controls"}
    if samples.get("exploit", 0) + samples.get("explore", 0) == 0:
        raise PlanError("the budget leaves no well for new compounds; give exploit or explore a larger share")
    return PlateWells(n_negative, n_positive, samples)


def well_budget(
    n_wells: int, shares: Mapping[str, float], wells_each: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Turn shares into wells by largest remainder; the wells add up to n_wells exactly.

    A purpose that needs several wells a compound gets whole compounds; what that leaves over goes to the largest
    purpose that is content with single wells.

    Args:
        n_wells: to divide.
        shares: of the purposes in PURPOSES, each 0 or more, 1 together; a purpose left out gets none.
        wells_each: wells one compound of a purpose takes, 1 where not given.

    Returns:
        Wells of every purpose of ``shares``, in the order of PURPOSES.

    Raises:
        PlanError: an unknown purpose, a share out of range, shares that do not add up to 1, or wells that no
            purpose can take.
    """
    each = dict(wells_each or {})
    _check(n_wells, shares, each)
    names = [name for name in PURPOSES if name in shares]
    wells = _largest_remainder(n_wells, {name: shares[name] for name in names})
    over = {name: wells[name] % each.get(name, 1) for name in names}
    if sum(over.values()) == 0:
        return wells
    single = [name for name in names if each.get(name, 1) == 1 and shares[name] > 0]
    if not single:
        what = ", ".join(f"{name} takes {each[name]} wells each" for name in names if over[name])
        raise PlanError(f"{n_wells} wells cannot be divided into whole compounds ({what}); change the shares")
    wells = {name: wells[name] - over[name] for name in names}
    wells[max(single, key=lambda name: shares[name])] += sum(over.values())
    return wells


def _largest_remainder(n_wells: int, shares: Mapping[str, float]) -> dict[str, int]:
    # Rounded first: 0.1 * 30 is 3.0000000000000004 and 0.7 * 10 is 6.999999999999999.
    exact = {name: round(n_wells * share, 9) for name, share in shares.items()}
    wells = {name: floor(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: wells[name] - exact[name])
    for name in by_remainder[: n_wells - sum(wells.values())]:
        wells[name] += 1
    return wells


def _check(n_wells: int, shares: Mapping[str, float], each: Mapping[str, int]) -> None:
    if n_wells < 1:
        raise PlanError(f"{n_wells} wells are to be divided; there must be at least 1")
    if unknown := sorted({*shares, *each} - set(PURPOSES)):
        raise PlanError(f"there is no purpose {unknown[0]!r}; the purposes are: {', '.join(PURPOSES)}")
    for name, share in shares.items():
        if not (isfinite(share) and 0 <= share <= 1):
            raise PlanError(f"the share of {name} is {share}; it must lie between 0 and 1")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise PlanError(f"the shares add up to {sum(shares.values()):g}; they must add up to 1")
    for name, n in each.items():
        if n < 1:
            raise PlanError(f"{name} takes {n} wells each; it must be at least 1")
