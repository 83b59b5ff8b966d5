"""How long a protocol takes on a robot, from the motions it is made of.

Speeds, accelerations and flow rates are the vendor's defaults (opentrons 9.0.0: config/defaults_ot3, defaults_ot2 and
the pipettes' definitions). What a robot does between motions (pressing a tip on, ejecting it, thinking) is not in
them: those constants are estimates, and nobody has held a stop-watch beside a robot. An estimate is therefore told as
a range; what really was is in the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from nextplate.plate import parse_well
from protocols.geometry import distance_mm
from protocols.labware import LABWARE, ROBOTS, Labware
from protocols.model import DeckItem, DeckLoad, Protocol
from protocols.steps import Dispense, Incubate, Mix, PlateMove, Read, Seal, Step, Transfer, Wash
from protocols.volumes import wells_of

_SHARE = 0.3
"""Of what robots do themselves; the range is that much shorter and longer."""
_SEAL_S, _READ_S = 20.0, 300.0
_WASH_WELL_S = 0.15
"""A 96-channel head empties and fills a plate in some 15 s."""
_DISPENSE_WELL_S = 0.08
_ACOUSTIC_S = 0.5
"""One transfer by sound, whatever its volume."""


@dataclass(frozen=True, slots=True)
class Gantry:
    """How fast a robot is."""

    speed_mm_s: float
    acceleration_mm_s2: float
    z_speed_mm_s: float
    lift_mm: float
    """Up and down again between two wells."""
    pick_up_s: float
    """Pressing a tip on, beside the way there."""
    drop_s: float
    settle_s: float
    """After each draw and each dispense."""
    carry_s: float
    """One piece of labware to the deck or from it."""


GANTRIES: Mapping[str, Gantry] = {
    "flex": Gantry(320.0, 650.0, 100.0, 110.0, 5.0, 2.0, 0.4, 25.0),
    "ot2": Gantry(400.0, 1500.0, 125.0, 80.0, 3.0, 1.5, 0.4, 25.0),
}
_FLOW_UL_S: Mapping[str, float] = {
    "flex_1channel_50": 35.0, "flex_8channel_50": 35.0, "flex_1channel_1000": 478.0, "flex_8channel_1000": 478.0,
    "p20_single_gen2": 3.78, "p20_multi_gen2": 7.6, "p300_single_gen2": 46.43, "p300_multi_gen2": 94.0,
}  # fmt: skip
_UNKNOWN = GANTRIES["flex"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A duration and how far it may be off."""

    seconds: float
    low_s: float
    high_s: float

    def plus(self, other: "Estimate") -> "Estimate":
        """Return the duration of one after the other."""
        return Estimate(self.seconds + other.seconds, self.low_s + other.low_s, self.high_s + other.high_s)


def estimate(protocol: Protocol) -> Estimate:
    """Estimate the whole: every load, the labware carried between them, and incubations.

    A robot that is not known counts as a Flex.
    """
    total = Estimate(0.0, 0.0, 0.0)
    for spent in estimate_loads(protocol):
        total = total.plus(spent)
    return total.plus(_carried(len(protocol.loads[-1].deck) if protocol.loads else 0, protocol))


def n_swaps(protocol: Protocol) -> int:
    """Count pieces of labware carried on or off the deck, from an empty deck to an empty deck."""
    before: set[tuple[str, str]] = set()
    total = 0
    for load in protocol.loads:
        now = {(item.slot, item.barcode) for item in load.deck}
        total += len(before ^ now)
        before = now
    return total + len(before)


def estimate_loads(protocol: Protocol) -> tuple[Estimate, ...]:
    """Estimate each load, with the labware carried before it."""
    before: frozenset[tuple[str, str]] = frozenset()
    spent = []
    for load in protocol.loads:
        now = frozenset((item.slot, item.barcode) for item in load.deck)
        spent.append(_carried(len(before ^ now), protocol).plus(_load(load, protocol)))
        before = now
    return tuple(spent)


def _carried(n: int, protocol: Protocol) -> Estimate:
    return own(n * GANTRIES.get(protocol.robot, _UNKNOWN).carry_s)


def own(seconds: float) -> Estimate:
    """Return the range of what robots do themselves."""
    return Estimate(seconds, seconds * (1 - _SHARE), seconds * (1 + _SHARE))


def _load(load: DeckLoad, protocol: Protocol) -> Estimate:
    work = _Arm(load, protocol)
    seconds = sum(work.step_s(step) for step in load.steps) + work.end_s()
    waits_s = sum(step.wait_s for step in load.steps if isinstance(step, Incubate))
    return own(seconds).plus(Estimate(waits_s, waits_s, waits_s))


class _Arm:
    """Where the pipettes are, and what is on them, while a load is gone through."""

    def __init__(self, load: DeckLoad, protocol: Protocol) -> None:
        self._robot = protocol.robot
        self._gantry = GANTRIES.get(protocol.robot, _UNKNOWN)
        self._items: dict[str, DeckItem] = {item.barcode: item for item in load.deck}
        self._kinds = {item.barcode: item.labware for item in load.deck}
        self._single, self._eight = (_flow_ul_s(name) for name in (protocol.pipette, protocol.multichannel))
        robot = ROBOTS.get(protocol.robot)
        self._trash = (robot.trash_slot or "12") if robot else ""
        self._at = self._trash, 0.0, 0.0
        self._tips: set[tuple[str, str]] = set()
        self._stroke = 0

    def step_s(self, step: Step) -> float:
        match step:
            case Transfer():
                return self._transfer_s(step)
            case Mix():
                way_s = self._tip_s(step.tip_rack, step.tip_well, 0) + self._go_s(step.plate, step.well)
                return way_s + 2 * step.cycles * (step.volume_nl / 1000 / self._single + self._gantry.settle_s)
            case PlateMove():
                return self._gantry.carry_s
            case Dispense():
                return _DISPENSE_WELL_S * len(wells_of(step, self._kinds))
            case Wash():
                return _WASH_WELL_S * step.cycles * len(wells_of(step, self._kinds))
            case Seal():
                return _SEAL_S
            case Read():
                return _READ_S
            case _:
                return 0.0

    def end_s(self) -> float:
        """Return what it takes to drop the last tip."""
        return self._drop_s() if self._tips else 0.0

    def _transfer_s(self, t: Transfer) -> float:
        if t.stroke and t.stroke == self._stroke:
            self._tips.add((t.tip_rack, t.tip_well))
            return 0.0
        if not t.tip_rack:
            return _ACOUSTIC_S
        flow_ul_s = self._eight if t.stroke else self._single
        way_s = self._tip_s(t.tip_rack, t.tip_well, t.stroke)
        way_s += self._go_s(t.source_plate, t.source_well) + self._go_s(t.destination_plate, t.destination_well)
        return way_s + 2 * (t.volume_nl / 1000 / flow_ul_s + self._gantry.settle_s)

    def _tip_s(self, rack: str, tip: str, stroke: int) -> float:
        """Return what it takes to have a tip on: nothing where it is on already."""
        self._stroke = stroke
        if (rack, tip) in self._tips or not rack:
            return 0.0
        dropped_s = self._drop_s() if self._tips else 0.0
        self._tips = {(rack, tip)}
        return dropped_s + self._go_s(rack, tip) + self._gantry.pick_up_s

    def _drop_s(self) -> float:
        self._tips = set()
        return self._travel_s((self._trash, 0.0, 0.0)) + self._gantry.drop_s

    def _go_s(self, barcode: str, well: str) -> float:
        item = self._items.get(barcode)
        return self._travel_s((item.slot if item else "", *_inside(well, LABWARE.get(item.labware) if item else None)))

    def _travel_s(self, to: tuple[str, float, float]) -> float:
        (slot, x, y), self._at = self._at, to
        across_mm = distance_mm(self._robot, slot, to[0]) if slot != to[0] else abs(x - to[1]) + abs(y - to[2])
        lift_mm = self._gantry.lift_mm if slot != to[0] else self._gantry.lift_mm / 4
        return _trapezoid_s(across_mm, self._gantry) + 2 * lift_mm / self._gantry.z_speed_mm_s


def _trapezoid_s(way_mm: float, gantry: Gantry) -> float:
    """Return how long a way takes from rest to rest, with the acceleration and top speed of the gantry."""
    ramp_mm = gantry.speed_mm_s**2 / gantry.acceleration_mm_s2
    if way_mm < ramp_mm:
        return 2 * sqrt(way_mm / gantry.acceleration_mm_s2)
    return gantry.speed_mm_s / gantry.acceleration_mm_s2 + way_mm / gantry.speed_mm_s


def _inside(well: str, kind: Labware | None) -> tuple[float, float]:
    """Return where a well is in its labware, mm."""
    if kind is None or not kind.has(well):
        return 0.0, 0.0
    row, column = parse_well(well)
    return column * 108.0 / kind.wells_format.n_columns, row * 72.0 / kind.wells_format.n_rows


def _flow_ul_s(pipette: str) -> float:
    return _FLOW_UL_S.get(pipette, 35.0)


def words(spent: Estimate) -> str:
    """Write a duration for people: 2 h 05 min (1 h 28 min to 2 h 43 min)."""
    return f"{duration_words(spent.seconds)} ({duration_words(spent.low_s)} to {duration_words(spent.high_s)})"


def duration_words(seconds: float) -> str:
    """Write seconds as hours and minutes: 2 h 05 min."""
    hours, minutes = divmod(-(-int(seconds) // 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
