"""Readouts: what a microscope left on disk about one plate."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FieldImage:
    """One image: a channel of a field of a well."""

    plate: str
    well: str
    field: int
    """1-based site number."""
    channel: str
    """Channel name as the microscope gives it, e.g. DNA."""
    path: Path
    pixel_size_um: float | None
    """None when the files do not say."""
    z: int | None = None
    """1-based step of the z-stack, 0 for a projection; None: the plate has no stack."""
    t: int | None = None
    """Time point as the microscope numbers it; None: the plate is no time series."""
    x_um: float | None = None
    """Field centre in the microscope's own frame (well or stage), x to the right; None when not said."""
    y_um: float | None = None
    """Field centre, y upwards."""
    z_um: float | None = None
    page: int = 0
    """0-based page of the TIFF at `path`."""
    stack: tuple[tuple[Path, int], ...] = ()
    """(path, page) of every step when the image is the maximum over a stack, to be taken on reading; else empty."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something a readout should hold and does not, or holds and cannot be read."""

    well: str
    field: int | None
    """None: the whole well."""
    channel: str | None
    """None: every channel."""
    reason: str


@dataclass(frozen=True, slots=True)
class Readout:
    """A plate's images as found on disk; pixels are read on demand."""

    reader: str
    plate: str
    folder: Path
    channels: tuple[str, ...]
    images: tuple[FieldImage, ...]
    """Sorted by well, field, channel."""
    missing: tuple[Missing, ...]
    is_complete: bool
    """False while the microscope still writes."""
    notes: tuple[str, ...] = ()
    """Remarks on the plate as a whole."""
