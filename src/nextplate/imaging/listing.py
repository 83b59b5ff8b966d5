"""Everything a reader found in a plate folder, before a z-step and a time point are chosen."""

from dataclasses import dataclass
from pathlib import Path

from nextplate.plate import parse_well
from nextplate.readout import Missing

PROJECTION = 0
"""The z of an image that is the projection of a stack."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One grey image of one field, channel, z-step and time point."""

    well: str
    field: int
    """1-based."""
    channel: str
    path: Path
    z: int | None = None
    """1-based step, 0 for a projection; None: the plate has no stack."""
    t: int | None = None
    """Time point as the microscope numbers it (1-based where the format counts from 0); None: no time series."""
    page: int = 0
    """0-based page of the TIFF."""
    x_um: float | None = None
    """Field centre, x to the right, in the microscope's own frame (well or stage); None when not said."""
    y_um: float | None = None
    """Field centre, y upwards, as the vendors of indexed formats write it."""
    z_um: float | None = None
    pixel_size_um: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A plate folder as listed by one reader."""

    reader: str
    plate: str
    channels: tuple[str, ...]
    """In the microscope's order, also those that were never written."""
    planes: tuple[Plane, ...]
    refused: tuple[Missing, ...] = ()
    """What the folder holds or names and cannot be used, with the reason."""
    wells: frozenset[str] | None = None
    """Wells that were to be imaged; None: the format does not say."""
    fields: tuple[int, ...] | None = None
    """Fields of every well; None: those seen in any well."""
    is_complete: bool = True
    """False: not known to be complete."""
    is_writing: bool = False
    """True only on evidence that the microscope still writes; then incomplete wells are held back."""
    is_ended: bool | None = None
    """Whether what the format writes last is there (HTD EndFile, a closed index ..); None: it has no such mark."""
    n_steps: int | None = None
    """Steps of the z-stack that were ordered, a projection not counted; None: the format does not say."""
    n_times: int | None = None
    """Time points that were ordered; None: the format does not say."""
    notes: tuple[str, ...] = ()
    """Remarks on the plate as a whole."""

    def __post_init__(self) -> None:
        """Refuse a well that is not a well name, so that sorting later cannot fail."""
        for well in {p.well for p in self.planes} | {m.well for m in self.refused}:
            parse_well(well)
