"""What a protocol draws from: liquid in source wells, tips in racks."""

from collections.abc import Mapping
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
        if not dose_um > 0:
            return False
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

    def __str__(self) -> str:
        limit = "" if self.max_thaws is None else f" of {self.max_thaws} times"
        keeps = "" if self.expires is None else f", keeps until {self.expires}"
        return f"thawed {self.n_thaws}{limit or ' times'}{keeps}"

    def unusable(self, today: date | None) -> str:
        """Say why the plate may not leave the cold once more; "" when it may. With None nothing is said of expiry."""
        if self.expires is not None and today is not None and today > self.expires:
            return f"it kept until {self.expires}"
        if self.max_thaws is not None and self.n_thaws >= self.max_thaws:
            return f"it has been thawed {self.n_thaws} times and may be {self.max_thaws}"
        return ""


def unusable_plates(care: Mapping[str, PlateCare], today: date | None) -> dict[str, str]:
    """Return the plates that may not leave the cold once more, and why."""
    return {plate: why for plate, one in sorted(care.items()) if (why := one.unusable(today))}
