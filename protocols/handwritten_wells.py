"""Which wells the channels of a pipette stand in, given the well of the first."""

from collections.abc import Iterator, Sequence


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
