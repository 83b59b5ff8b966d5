"""What nextplate writes beside ``ome`` into an OME-Zarr plate (see `nextplate.imaging.omezarr_meta`), read back.

Plates of other writers have no such notes; theirs is what NGFF says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nextplate.errors import DataError
from nextplate.plate import parse_well, well_name
from nextplate.readout import Missing

FORMAT = 1
"""Version of the notes."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ImageNotes:
    """The numbers of one image group; one entry per page where a tuple is."""

    field: int
    t: tuple[int | None, ...]
    """Along the t axis; one number where there is none."""
    z: tuple[int | None, ...]
    absent: frozenset[int]
    """Pages that were never written."""
    x_um: tuple[float | None, ...]
    y_um: tuple[float | None, ...]
    z_um: tuple[float | None, ...]
    pixel_size_um: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class PlateNotes:
    """What is known of a plate as a whole."""

    channels: tuple[str, ...]
    wells: tuple[str, ...]
    fields: tuple[int, ...] | None
    is_complete: bool
    notes: tuple[str, ...]
    missing: tuple[Missing, ...]


def image_notes(attributes: Mapping[str, Any], n_t: int, n_z: int, n_pages: int, where: Path) -> ImageNotes | None:
    """Read an image's notes; None when there are none.

    Raises:
        DataError: notes that do not fit the array, or of a later version.
    """
    said = _notes(attributes, where)
    if said is None:
        return None
    return ImageNotes(
        field=_whole(said["field"]),
        t=_of_length(said["t"], n_t, _whole_or_none, "t", where),
        z=_of_length(said["z"], n_z, _whole_or_none, "z", where),
        absent=frozenset(_whole(page) for page in said["absent"]),
        x_um=_per_page(said["x_um"], n_pages, "x_um", where),
        y_um=_per_page(said["y_um"], n_pages, "y_um", where),
        z_um=_per_page(said["z_um"], n_pages, "z_um", where),
        pixel_size_um=_per_page(said["pixel_size_um"], n_pages, "pixel_size_um", where),
    )


def plate_notes(attributes: Mapping[str, Any], where: Path) -> PlateNotes | None:
    """Read a plate's notes; None when there are none.

    Raises:
        DataError: notes of a later version.
    """
    said = _notes(attributes, where)
    if said is None:
        return None
    return PlateNotes(
        channels=tuple(str(name) for name in said["channels"]),
        wells=tuple(well_name(*parse_well(name)) for name in said["wells"]),
        fields=None if said["fields"] is None else tuple(_whole(n) for n in said["fields"]),
        is_complete=bool(said["is_complete"]),
        notes=tuple(str(note) for note in said["notes"]),
        missing=tuple(_missing(row) for row in said["missing"]),
    )


def _notes(attributes: Mapping[str, Any], where: Path) -> Mapping[str, Any] | None:
    said = attributes.get("nextplate")
    if not isinstance(said, dict):
        return None
    if said.get("format") != FORMAT:
        raise DataError(f"{where}: nextplate's notes are of format {said.get('format')}, this version reads {FORMAT}")
    return said


def _missing(row: Mapping[str, Any]) -> Missing:
    field, channel = row["field"], row["channel"]
    return Missing(
        well=well_name(*parse_well(row["well"])),
        field=None if field is None else _whole(field),
        channel=None if channel is None else str(channel),
        reason=str(row["reason"]),
    )


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _real_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _of_length(values: Sequence[Any], n: int, convert: Callable[[Any], _T], name: str, where: Path) -> tuple[_T, ...]:
    if len(values) != n:
        raise DataError(f"{where}: nextplate's notes say {len(values)} for {name}, the array has {n}")
    return tuple(convert(value) for value in values)


def _per_page(said: Any, n: int, name: str, where: Path) -> tuple[float | None, ...]:
    if isinstance(said, list):
        return _of_length(said, n, _real_or_none, name, where)
    return (_real_or_none(said),) * n
