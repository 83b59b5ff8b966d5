"""Geometry of the labware the simulated lab knows: wells, capacity, and the liquid no tip can reach."""

from dataclasses import dataclass

from nextplate.errors import DataError
from nextplate.plate import PLATE_96, PLATE_384, PlateFormat, parse_well


@dataclass(frozen=True, slots=True)
class Labware:
    """A kind of plate."""

    load_name: str
    plate_format: PlateFormat
    capacity_nl: int
    """A well holds this much before it spills."""
    dead_nl: int
    """A tip draws air when less than this is left."""

    def has_well(self, well: str) -> bool:
        """Tell whether the plate has a well of this zero-padded name."""
        row, column = parse_well(well)
        return row < self.plate_format.n_rows and column < self.plate_format.n_columns


RESERVOIR_12 = PlateFormat(1, 12)
_PLATES = (
    Labware("corning_384_wellplate_112ul_flat", PLATE_384, 112_000, 4_000),
    Labware("biorad_384_wellplate_50ul", PLATE_384, 50_000, 3_000),
    Labware("corning_96_wellplate_360ul_flat", PLATE_96, 360_000, 15_000),
    Labware("nest_96_wellplate_200ul_flat", PLATE_96, 200_000, 10_000),
    Labware("labcyte_384_pp", PLATE_384, 65_000, 15_000),
    Labware("labcyte_384_ldv", PLATE_384, 14_000, 2_500),
    Labware("nest_12_reservoir_15ml", RESERVOIR_12, 15_000_000, 600_000),
)
BY_NAME = {item.load_name: item for item in _PLATES}


def find_labware(load_name: str) -> Labware:
    """Return the geometry of a plate.

    Raises:
        DataError: the simulated lab does not know it.
    """
    if load_name not in BY_NAME:
        raise DataError(f"the simulated lab has no labware {load_name!r}; it knows {', '.join(sorted(BY_NAME))}")
    return BY_NAME[load_name]


def is_tip_rack(load_name: str) -> bool:
    """Tell whether a load name is a rack of 96 tips."""
    return "tiprack" in load_name or "tip_rack" in load_name
