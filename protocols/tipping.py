"""Tips: which racks serve, and in which order their positions are used."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nextplate.errors import PlanError
from protocols.judge_strokes import N_CHANNELS
from protocols.labware import Pipette, labware
from protocols.orders import Order
from protocols.stock import TipRack
from protocols.volumes import is_volume

Tip = tuple[TipRack, str]


def usable_racks(tips: Sequence[TipRack], tool: Pipette) -> list[TipRack]:
    """Return racks that fit and hold tips: partly used ones first, the emptiest before others.

    Raises:
        PlanError: a rack listed twice, a position unknown or listed twice.
    """
    often = Counter(rack.barcode for rack in tips)
    if twice := sorted(barcode for barcode, n in often.items() if n > 1):
        raise PlanError(f"tip rack {', '.join(twice)} is listed twice")
    racks = [rack for rack in tips if rack.labware in tool.tips and rack.free_wells]
    for rack in racks:
        kind = labware(rack.labware)
        bad = [well for well in rack.free_wells if not kind.has(well)]
        if bad or len(set(rack.free_wells)) < len(rack.free_wells):
            raise PlanError(f"tip rack {rack.barcode}: {', '.join(bad) or 'a position'} unknown or listed twice")
    return sorted(racks, key=lambda r: (len(r.free_wells), r.barcode))


def holding(racks: Sequence[TipRack], orders: Iterable[Order]) -> list[TipRack]:
    """Leave racks aside whose tips are too small for the largest volume ordered; all where every rack's are."""
    volumes = [order.volume_nl for order in orders if is_volume(order.volume_nl)]
    most_nl = max((nl for nl in volumes if nl is not None), default=0)
    return [rack for rack in racks if labware(rack.labware).max_volume_nl >= most_nl] or list(racks)


def single_tips(racks: Sequence[TipRack]) -> list[Tip]:
    """Return all free tips in the order in which they are used: rack by rack, down the columns."""
    free: list[Tip] = []
    for rack in racks:
        held = set(rack.free_wells)
        free += [(rack, well) for well in labware(rack.labware).wells_by_column() if well in held]
    return free


def columns_of_tips(racks: Sequence[TipRack]) -> list[tuple[TipRack, tuple[str, ...]]]:
    """Return the whole columns of tips, from the fullest racks first."""
    columns = []
    for rack in sorted(racks, key=lambda r: (-len(r.free_wells), r.barcode)):
        kind, held = labware(rack.labware), set(rack.free_wells)
        wells = kind.wells_by_column()
        height = kind.wells_format.n_rows
        for start in range(0, len(wells), height):
            column = wells[start : start + height]
            if height == N_CHANNELS and held.issuperset(column):
                columns.append((rack, column))
    return columns


def without(racks: Sequence[TipRack], taken: Sequence[tuple[TipRack, tuple[str, ...]]]) -> list[TipRack]:
    """Return racks without the columns taken, partly used ones first."""
    gone: dict[str, set[str]] = {}
    for rack, column in taken:
        gone.setdefault(rack.barcode, set()).update(column)
    left = [
        replace(rack, free_wells=tuple(well for well in rack.free_wells if well not in gone.get(rack.barcode, set())))
        for rack in racks
    ]
    return sorted((rack for rack in left if rack.free_wells), key=lambda r: (len(r.free_wells), r.barcode))


def too_few(n_needed: int, n_free: int, n_racks: int, tool: Pipette) -> PlanError:
    """Make the error that says how many racks to load."""
    size = labware(tool.tips[0]).n_wells
    return PlanError(
        f"{n_needed} tips needed, {n_free} free in {n_racks} racks; load {-(-(n_needed - n_free) // size)} more full "
        f"rack(s) of {tool.tips[0]}"
    )
