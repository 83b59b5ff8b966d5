"""Which transfers an 8-channel pipette can make in one motion: a whole column from a whole column, or from a trough."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from nextplate.errors import DataError
from nextplate.plate import parse_well
from protocols.labware import Labware, Pipette
from protocols.problems import ProblemKind
from protocols.steps import Transfer
from protocols.volumes import WellKey

N_CHANNELS = 8
Found = tuple[ProblemKind, str, WellKey]


def stroke_problems(
    t: Transfer,
    strokes: Mapping[int, Sequence[Transfer]],
    tool: Pipette | None,
    kind_of: Callable[[str], Labware | None],
) -> Iterator[Found]:
    """Return what is wrong with the stroke that a transfer belongs to; told once, with its first transfer."""
    if t.stroke == 0:
        return
    key = t.destination_plate, t.destination_well
    if isinstance(t.stroke, bool) or not isinstance(t.stroke, int) or t.stroke < 0:
        yield ProblemKind.STROKE, f"stroke {t.stroke!r} is no whole number of 0 or more", key
        return
    together = strokes[t.stroke]
    if together[0] is not t:
        return
    if tool is None:
        yield ProblemKind.STROKE, f"stroke {t.stroke} needs an 8-channel pipette, and the protocol names none", key
    if words := _why_not(together, kind_of):
        yield ProblemKind.STROKE, f"stroke {t.stroke} into {t.destination_well} on {t.destination_plate}: {words}", key


def _why_not(together: Sequence[Transfer], kind_of: Callable[[str], Labware | None]) -> str:
    """Say why transfers cannot be one motion of eight channels, '' when they can."""
    if len(together) != N_CHANNELS:
        return f"{len(together)} transfers, not {N_CHANNELS}"
    numbers = [t.transfer_id for t in together]
    if numbers != [numbers[0] + n for n in range(N_CHANNELS)]:
        return "its transfers do not follow each other"
    if len({repr(t.volume_nl) for t in together}) > 1:
        return "its volumes differ"
    for what, places in (
        ("sources", [(t.source_plate, t.source_well) for t in together]),
        ("destinations", [(t.destination_plate, t.destination_well) for t in together]),
        ("tips", [(t.tip_rack, t.tip_well) for t in together]),
    ):
        is_trough_allowed = what == "sources"
        if not _is_column(places, kind_of, is_trough_allowed=is_trough_allowed):
            return f"its {what} are no column that eight channels reach from top to bottom"
    return ""


def _is_column(places: Sequence[WellKey], kind_of: Callable[[str], Labware | None], *, is_trough_allowed: bool) -> bool:
    kind = kind_of(places[0][0])
    if kind is None or len({plate for plate, _ in places}) > 1:
        return False
    n_rows = kind.wells_format.n_rows
    if n_rows == 1:
        return is_trough_allowed and len(set(places)) == 1
    if n_rows % N_CHANNELS:
        return False
    try:
        cells = [parse_well(well) for _, well in places]
    except DataError:
        return False
    pitch = n_rows // N_CHANNELS
    rows, columns = [row for row, _ in cells], {column for _, column in cells}
    return len(columns) == 1 and rows == list(range(rows[0], n_rows, pitch)) and rows[0] < pitch
