"""What a vendor's commands say of places and volumes: wells of channels, slots, nanolitres."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextplate.plate import parse_well, well_name

N_ROWS, N_COLUMNS = 8, 12
"""Of nozzles, 9 mm apart."""


@dataclass(frozen=True, slots=True)
class Nozzles:
    """Which nozzles of a pipette have tips: rows and columns from the one that goes to the well that is named."""

    rows: range
    columns: range

    @property
    def n(self) -> int:
        """Count them."""
        return len(self.rows) * len(self.columns)


ONE = Nozzles(range(1), range(1))
WHOLE = {1: ONE, N_ROWS: Nozzles(range(N_ROWS), range(1)), N_ROWS * N_COLUMNS: Nozzles(range(N_ROWS), range(N_COLUMNS))}
"""All nozzles, by the number of a pipette's channels."""


def nozzles_of(params: Mapping[str, Any], n_channels: int) -> Nozzles:
    """Return the nozzles that a ``configureNozzleLayout`` leaves in use.

    Args:
        params: its ``configurationParams``: a style, and nozzles named as the wells of a plate of 96.
        n_channels: of the pipette.

    Raises:
        KeyError: a nozzle that is not named.
        ValueError: a style that is not known here.
        DataError: a nozzle that is none.
    """
    style = str(params["style"])
    if style == "ALL" or n_channels == 1:
        return WHOLE[n_channels]
    top, left = bottom, right = row, column = parse_well(str(params["primaryNozzle"]))
    match style:
        case "SINGLE":
            pass
        case "COLUMN":
            top, bottom = 0, N_ROWS - 1
        case "ROW":
            left, right = 0, N_COLUMNS - 1
        case "QUADRANT":
            (top, left), (bottom, right) = parse_well(params["backLeftNozzle"]), parse_well(params["frontRightNozzle"])
        case _:
            raise ValueError(f"nozzles laid out as {style!r:.40} are not followed here")
    return Nozzles(range(top - row, bottom - row + 1), range(left - column, right - column + 1))


def spelled(columns: Sequence[Sequence[str]], well: str, nozzles: Nozzles) -> Iterator[str]:
    """Return the well of each channel, as the vendor spells it; a trough once for each.

    Args:
        columns: wells of the plate, column by column.
        well: of the first channel.
        nozzles: that have tips.

    Raises:
        ValueError: not every channel stands in a well.
    """
    if nozzles.n == 1:
        yield well
        return
    at = next((n for n, column in enumerate(columns) if well in column), None)
    if at is None:
        raise ValueError("there is no such well")
    for n in _spread(len(columns), at, nozzles.columns, N_COLUMNS):
        column = columns[n]
        yield from (column[row] for row in _spread(len(column), columns[at].index(well), nozzles.rows, N_ROWS))


def _spread(n_there: int, start: int, nozzles: range, n_nozzles: int) -> list[int]:
    """Return which of the rows (or columns) of wells each nozzle stands in, 9 mm apart, or some together in a trough.

    Raises:
        ValueError: not every channel stands in a well.
    """
    pitch = n_there // n_nozzles if n_there >= n_nozzles else n_there / n_nozzles
    found = [start + int(nozzle * pitch) for nozzle in nozzles]
    if not all(0 <= row < n_there for row in found):
        words = f"{len(found)} channels from the one at {start + 1} of {n_there} on do not all stand in wells"
        raise ValueError(words)
    return found


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


def label_of(params: Mapping[str, Any], definition: Mapping[str, Any]) -> str:
    """Return the name of loaded labware: its label, else its kind and slot."""
    load_name = definition["parameters"]["loadName"]
    return str(params.get("displayName") or f"{load_name} in {slot_of(params['location']) or 'its place'}")


def padded(well: str) -> str:
    """Return a well of the vendor, A1, as ours are named: A01."""
    return well_name(*parse_well(well))


def nanolitres(volume_ul: Any) -> int:
    """Return whole nanolitres of microlitres."""
    return round(float(volume_ul) * 1000)
