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
