"""What a vendor's commands say of places and volumes: wells of channels, slots, nanolitres."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nextplate.plate import parse_well, well_name


def spelled(columns: Sequence[Sequence[str]], well: str, n_active: int) -> Iterator[str]:
    """Return the well of each channel, as the vendor spells it; a trough once for each.

    Args:
        columns: wells of the plate, column by column.
        well: of the first channel.
        n_active: 1, 8 or 96 channels.

    Raises:
        ValueError: not every channel stands in a well.
    """
    if n_active == 1:
        yield well
        return
    at = next((n for n, column in enumerate(columns) if well in column), None)
    if at is None:
        raise ValueError("there is no such well")
    for n in _spread(len(columns), at, 12) if n_active == 96 else (at,):
        column = columns[n]
        yield from (column[row] for row in _spread(len(column), columns[at].index(well), 8))


def _spread(n_there: int, start: int, n_channels: int) -> Iterator[int]:
    """Return which of the rows (or columns) of wells each channel stands in, 9 mm apart, or some together in a trough.

    Raises:
        ValueError: not every channel stands in a well.
    """
    pitch = max(1, n_there // n_channels)
    if start >= pitch:
        raise ValueError(f"{n_channels} channels from the one at {start + 1} of {n_there} on do not all stand in wells")
    return (start + i * pitch if n_there >= n_channels else i * n_there // n_channels for i in range(n_channels))


def plates_filled(commands: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the ids of labware that is dispensed into, and of which the file does not say what it holds."""
    ids: dict[str, set[str]] = {"dispense": set(), "loadLiquid": set()}
    for command in commands:
        if isinstance(command, Mapping) and isinstance(params := command.get("params"), Mapping):
            ids.get(str(command.get("commandType")), set()).add(str(params.get("labwareId")))
    return frozenset(ids["dispense"] - ids["loadLiquid"])


def slot_of(location: Any) -> str:
    """Return the slot of a location; empty: on another piece, on a module, or off the deck."""
    if not isinstance(location, Mapping):
        return ""
    return str(location.get("slotName") or location.get("addressableAreaName") or "")


def padded(well: str) -> str:
    """Return a well of the vendor, A1, as ours are named: A01."""
    return well_name(*parse_well(well))


def nanolitres(volume_ul: Any) -> int:
    """Return whole nanolitres of microlitres."""
    return round(float(volume_ul) * 1000)
