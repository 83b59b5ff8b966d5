"""Find what eight channels can do at once: whole columns from a trough, and whole columns from whole columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from nextplate.plate import parse_well, well_name
from protocols.draws import Draw, Portion
from protocols.judge_strokes import N_CHANNELS
from protocols.labware import Pipette, labware
from protocols.stock import StockWell

Column = tuple[str, int, int]
"""Plate, column, and the first of the rows that eight channels reach at once; all 0-based."""


def bundled(portions: Iterable[Portion], kinds: Mapping[str, str], tool: Pipette) -> list[Portion]:
    """Join the portions of one liquid that fill a column, each well alike, into one; the others stay.

    Args:
        portions: into single wells.
        kinds: load name of every destination plate, by barcode.
        tool: of eight channels.
    """
    portions = list(portions)
    by_column: dict[tuple[Column, int, bool], dict[int, Portion]] = {}
    for portion in portions:
        if tool.min_nl <= portion.volume_nl <= tool.max_nl:
            column, channel = _column(portion.plate, portion.wells[0], kinds[portion.plate])
            by_column.setdefault((column, portion.volume_nl, portion.is_fill), {}).setdefault(channel, portion)
    whole = [dict(sorted(found.items())) for found in by_column.values() if len(found) == N_CHANNELS]
    joined = {id(portion) for found in whole for portion in found.values()}
    made = [replace(f[0], wells=tuple(portion.wells[0] for portion in f.values())) for f in whole]
    return made + [portion for portion in portions if id(portion) not in joined]


def is_trough(load_name: str) -> bool:
    """Tell whether eight channels draw from one well of it at once."""
    return labware(load_name).wells_format.n_rows == 1


def stamped(draws: Sequence[Draw], kinds: Mapping[str, str], tool: Pipette) -> Iterator[tuple[Draw, ...]]:
    """Group draws that go from a whole column into a whole column, eight each; all others come one by one.

    Args:
        draws: of single wells.
        kinds: load name of every destination plate, by barcode.
        tool: of eight channels.
    """
    groups: dict[tuple[Column, Column, int], dict[int, Draw]] = {}
    for draw in draws:
        if len(draw.portion.wells) > 1 or not tool.min_nl <= draw.portion.volume_nl <= tool.max_nl:
            continue
        source, channel = _column(draw.source.source_plate, draw.source.source_well, draw.source.labware)
        target, other = _column(draw.portion.plate, draw.portion.wells[0], kinds[draw.portion.plate])
        if channel == other and not is_trough(draw.source.labware):
            groups.setdefault((source, target, draw.portion.volume_nl), {}).setdefault(channel, draw)
    whole = [tuple(f[i] for i in range(N_CHANNELS)) for f in groups.values() if len(f) == N_CHANNELS]
    joined = {id(draw) for group in whole for draw in group}
    yield from whole
    yield from ((draw,) for draw in draws if id(draw) not in joined)


def _column(plate: str, well: str, load_name: str) -> tuple[Column, int]:
    """Return the column a well is of, and the channel that reaches it; -1 where eight cannot reach the plate's rows."""
    row, column = parse_well(well)
    n_rows = labware(load_name).wells_format.n_rows
    if n_rows % N_CHANNELS:
        return (plate, column, row), -1
    pitch = n_rows // N_CHANNELS
    return (plate, column, row % pitch), row // pitch


def channels_of(source: StockWell, n: int) -> tuple[str, ...]:
    """Return the wells that channels draw from at once, beginning at a well; of a trough, one well for all."""
    if n == 1 or is_trough(source.labware):
        return (source.source_well,) * n
    row, column = parse_well(source.source_well)
    pitch = labware(source.labware).wells_format.n_rows // N_CHANNELS
    return tuple(well_name(row + i * pitch, column) for i in range(n))
