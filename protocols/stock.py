"""What a protocol draws from: liquid in source wells, tips in racks."""

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class TipRack:
    """A tip rack, perhaps partly used."""

    barcode: str
    labware: str
    free_wells: tuple[str, ...]
    """Zero-padded positions that still hold a tip."""
