"""What a protocol draws from: liquid in source wells, tips in racks."""

from dataclasses import dataclass
from datetime import date

DOSE_TOLERANCE = 0.05
"""A source well gives a dose when its concentration misses the one needed by at most this share."""


@dataclass(frozen=True, slots=True)
class StockWell:
    """Liquid in one source well."""

    source_plate: str
    source_well: str
    """Zero-padded: A01."""
    compound_id: str
    """A control's name for control liquids."""
    volume_nl: int
    """Now, after confirmed transfers; dead volume included."""
    concentration_um: float
    labware: str
    """Load name of the source plate."""

    def gives(self, dose_um: float, transfer_nl: int, well_volume_nl: int) -> bool:
        """Tell whether one transfer into a well that held well_volume_nl before makes the dose."""
        made_um = self.concentration_um * transfer_nl / (transfer_nl + well_volume_nl)
        return abs(made_um / dose_um - 1) <= DOSE_TOLERANCE


@dataclass(frozen=True, slots=True)
class TipRack:
    """A tip rack, perhaps partly used."""

    barcode: str
    labware: str
    free_wells: tuple[str, ...]
    """Zero-padded positions that still hold a tip."""


@dataclass(frozen=True, slots=True)
class PlateCare:
    """What a plate may suffer, and what it has suffered."""

    n_thaws: int = 0
    """How often it came out of the cold."""
    max_thaws: int | None = None
    """None: as often as one likes."""
    expires: date | None = None
    """The last day on which it may be used; None: it keeps."""
    evaporation_nl_per_h: int = 0
    """The most that a well loses while the plate stands open."""
