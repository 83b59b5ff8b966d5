"""The layout of a measured plate: who sat in which well, as a person wrote it down."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from nextplate.plate import Layout, LayoutWell, PlateFormat, Role, fitting_format, parse_well

INDEX = "index"
"""The unit of doses that only count the steps of a dilution."""
CONCENTRATIONS_UM: Mapping[str, float] = {"pM": 1e-6, "nM": 1e-3, "uM": 1.0, "mM": 1e3, "M": 1e6}
"""Concentration units, and what one of each is in micromolar."""


@dataclass(frozen=True, slots=True)
class MeasuredWell:
    """One well that the layout names."""

    well: str
    role: Role
    compound_id: str | None
    """Of a sample what it holds; of a control the series it belongs to, None when it belongs to all."""
    dose: float | None
    """In `dose_unit`; None when not given."""
    dose_unit: str
    """pM, nM, uM, mM, M or index; '' without a dose."""
    further: Mapping[str, str]
    """The layout's further columns, as written."""

    @property
    def dose_um(self) -> float | None:
        """Return the dose in micromolar; None without a dose or on an index axis."""
        if self.dose is None or self.dose_unit not in CONCENTRATIONS_UM:
            return 0.0 if self.dose == 0 else None
        factor = CONCENTRATIONS_UM[self.dose_unit]
        # To 12 digits, or 700 nM and 0.7 uM would be two doses, and their wells no replicates.
        return self.dose if factor == 1 else float(f"{self.dose * factor:.12g}")


@dataclass(frozen=True, slots=True)
class MeasuredLayout:
    """The wells of one plate in plate order; wells not named are empty."""

    plate_format: PlateFormat
    wells: tuple[MeasuredWell, ...]
    source: str
    """The file it was read from, for messages."""

    @property
    def series(self) -> tuple[str, ...]:
        """List the series that have controls of their own, negative and positive; () when controls serve all."""
        kinds = {(w.compound_id, w.role) for w in self.wells if w.compound_id is not None}
        both = (Role.NEGATIVE, Role.POSITIVE)
        return tuple(sorted({str(c) for c, _ in kinds if all((c, role) in kinds for role in both)}))

    def occupied(self) -> tuple[MeasuredWell, ...]:
        """Return the wells that hold something."""
        return tuple(w for w in self.wells if w.role is not Role.EMPTY)

    def covering(self, wells: Iterable[str]) -> "MeasuredLayout":
        """Return it for a plate that has these wells too: a layout may name a corner of a larger plate.

        Raises:
            DataError: not a well name, or a well that no plate has.
        """
        names = set(wells)
        if names <= set(self.plate_format.wells()):
            return self
        return replace(self, plate_format=fitting_format(names | {w.well for w in self.wells}))

    def plan(self, plate: str) -> Layout:
        """Return it as the loop's layout of a plate of this name.

        `dose_um` holds the bare dose where it is an index: there it only tells the doses of a compound apart.
        """
        seen: Counter[tuple[str | None, float | None]] = Counter()
        named = {}
        for w in self.wells:
            key = (w.compound_id, w.dose)
            named[w.well] = _planned(w, seen[key] if w.role is Role.SAMPLE else 0)
            seen[key] += w.role is Role.SAMPLE
        empty = (
            named.get(well) or LayoutWell(well, Role.EMPTY, None, 0, 0.0, "") for well in self.plate_format.wells()
        )
        return Layout(plate, self.plate_format, tuple(empty))

    def table(self) -> pl.DataFrame:
        """Return one row per occupied well: well, compound_id, dose, dose_unit, dose_um, then the further columns."""
        wells = self.occupied()
        names = list(dict.fromkeys(name for w in wells for name in w.further))
        return pl.DataFrame(
            [
                pl.Series("well", [w.well for w in wells], pl.String),
                pl.Series("compound_id", [w.compound_id for w in wells], pl.String),
                pl.Series("dose", [w.dose for w in wells], pl.Float64),
                pl.Series("dose_unit", [w.dose_unit or None for w in wells], pl.String),
                pl.Series("dose_um", [w.dose_um for w in wells], pl.Float64),
                *(pl.Series(name, [w.further.get(name) for w in wells], pl.String) for name in names),
            ]
        )


def _planned(w: MeasuredWell, replicate: int) -> LayoutWell:
    dose = w.dose if w.dose_um is None else w.dose_um
    compound = w.compound_id if w.role is Role.SAMPLE else None
    return LayoutWell(w.well, w.role, compound, replicate, dose or 0.0, "")


def in_plate_order(wells: Iterable[MeasuredWell]) -> tuple[MeasuredWell, ...]:
    """Sort wells row by row."""
    return tuple(sorted(wells, key=lambda w: parse_well(w.well)))


def from_plan(layout: Layout) -> MeasuredLayout:
    """Take the loop's own layout as that of a measured plate; doses are micromolar."""
    wells = (
        MeasuredWell(w.well, w.role, w.compound_id, w.dose_um, "uM", {}) for w in layout.wells if w.role != Role.EMPTY
    )
    return MeasuredLayout(layout.plate_format, in_plate_order(wells), f"the layout of plate {layout.barcode}")
