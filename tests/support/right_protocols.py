"""Right protocols made at random, each with the lab it is right in; without the compiler, with books of its own."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from protocols.labware import LABWARE, PIPETTES, RobotDeck, robot_deck
from protocols.ledger import Ledger
from protocols.model import (
    DeckItem,
    DeckLoad,
    DeckRole,
    Dispense,
    Incubate,
    Mix,
    PlateMove,
    Protocol,
    Read,
    Seal,
    Step,
    Transfer,
    Wash,
)
from protocols.stock import StockWell, TipRack

_PLATES = (
    "corning_384_wellplate_112ul_flat",
    "corning_96_wellplate_360ul_flat",
    "nest_96_wellplate_200ul_flat",
    "biorad_384_wellplate_50ul",
)
_TROUGH = "nest_12_reservoir_15ml"
_TARGETS = ("corning_384_wellplate_112ul_flat", "corning_96_wellplate_360ul_flat", "nest_96_wellplate_200ul_flat")
_SEVERAL = ["transfer"] * 6 + ["column", "dispense", "wash", "mix"]
_ALONE = ["transfer"] * 3 + ["column", "columns", "stamp", "mix", "wait"]
"""What an Opentrons robot does without other devices."""
_EIGHT = {"flex": "flex_8channel_50", "ot2": "p20_multi_gen2"}


@dataclass
class Maker:
    """A lab and a protocol in the making."""

    rng: random.Random
    robot: RobotDeck
    room: dict[tuple[str, str], int] = field(default_factory=dict)
    """Nanolitres that may still be drawn, by source well."""
    space: dict[tuple[str, str], int] = field(default_factory=dict)
    """Nanolitres that still fit, by destination well."""
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    """Liquid in each source well."""
    tips: list[tuple[str, str]] = field(default_factory=list)
    columns: list[tuple[str, list[str]]] = field(default_factory=list)
    fresh: list[tuple[str, str]] = field(default_factory=list)
    """Destination wells that nothing went into."""
    number: int = 0
    n_filled: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often liquid went into each well."""
    stacks: list[tuple[str, int, int]] = field(default_factory=list)
    """Whole columns of a 384-well source plate that eight channels reach: plate, column, first row."""

    def was_filled(self, transfers: list[Transfer]) -> bool:
        """Tell whether other liquid went into the wells of transfers before: the tips may not go back then."""
        return any(self.n_filled[t.destination_plate, t.destination_well] > 1 for t in transfers)

    def next(self) -> int:
        self.number += self.rng.randint(1, 3)
        return self.number


def right_protocol(
    seed: int, *, is_for_handler: bool = False, robot_name: str = ""
) -> tuple[Protocol, Ledger, RobotDeck]:
    """Make a protocol of one to three loads, the ledger it is right in, and the robot.

    With ``robot_name`` it is for that robot, and only of what an Opentrons robot does alone.
    """
    rng = random.Random(seed)
    name = robot_name or rng.choice(["flex", "ot2"])
    robot = robot_deck(name, multichannel=_EIGHT[name])
    make = Maker(rng, robot)
    fill_nl = rng.choice([0, 20_000, 50_000])
    targets = {f"P-{i}": rng.choice(_TARGETS) for i in range(rng.randint(1, 3))}
    sources = {f"S-{i}": rng.choice(_PLATES) for i in range(rng.randint(1, 3))}
    stock = [*_stock(make, sources), *_trough(make)]
    racks = _racks(make)
    for plate, kind in targets.items():
        for well in LABWARE[kind].wells_by_column():
            make.space[plate, well] = LABWARE[kind].max_volume_nl - fill_nl
    make.fresh = list(make.space)
    kinds = _ALONE if robot_name else [*_SEVERAL, *(["stand"] * (not is_for_handler))]
    loads = tuple(_load(make, n, targets, sources, racks, kinds) for n in range(rng.randint(1, 3)))
    ledger = Ledger.of(stock, racks, {plate: (kind, fill_nl) for plate, kind in targets.items()})
    protocol = Protocol(f"night {seed}", name, robot.pipette, rng.choice(["left", "right"]), loads, robot.multichannel)
    return protocol, ledger, robot


def _stock(make: Maker, sources: dict[str, str]) -> Iterator[StockWell]:
    for plate, kind in sources.items():
        item = LABWARE[kind]
        wells = make.rng.sample(item.wells_by_column(), make.rng.randint(1, 30))
        if item.n_wells == 384:
            column, start = make.rng.randint(1, 24), make.rng.randrange(2)
            make.stacks.append((plate, column, start))
            wells += [f"{chr(65 + row)}{column:02d}" for row in range(start, 16, 2)]
        for well in dict.fromkeys(wells):
            volume_nl = make.rng.randint(item.dead_volume_nl, item.max_volume_nl)
            compound = make.rng.choice(["CPD", "µ-Ω", '"); os.system(', "N" * 300]) + f"-{plate}{well}"
            make.room[plate, well] = volume_nl - item.dead_volume_nl
            make.held[plate, well] = compound
            yield StockWell(plate, well, compound, volume_nl, 10.0, kind)


def _trough(make: Maker) -> Iterator[StockWell]:
    yield StockWell("R", "A01", "DMSO", 14_000_000, 0.0, _TROUGH)
    make.room["R", "A01"] = 13_000_000
    make.held["R", "A01"] = "DMSO"


def _racks(make: Maker) -> list[TipRack]:
    kind = PIPETTES[make.robot.pipette].tips[0]
    racks = []
    for n in range(2):
        wells = LABWARE[kind].wells_by_column()
        free = sorted(make.rng.sample(wells, make.rng.randint(40, 96)), key=wells.index)
        racks.append(TipRack(f"T-{n}", kind, tuple(free)))
        make.tips += [(f"T-{n}", well) for well in free]
    wells = LABWARE[kind].wells_by_column()
    racks.append(TipRack("T-8", kind, wells))
    make.columns = [("T-8", list(wells[i : i + 8])) for i in range(0, 96, 8)]
    return racks


def _load(
    make: Maker,
    index: int,
    targets: dict[str, str],
    sources: dict[str, str],
    racks: list[TipRack],
    kinds: list[str],
) -> DeckLoad:
    wanted = [(b, kind, DeckRole.DESTINATION) for b, kind in targets.items()]
    wanted += [(b, kind, DeckRole.SOURCE) for b, kind in (*sources.items(), ("R", _TROUGH))]
    wanted += [(rack.barcode, rack.labware, DeckRole.TIPS) for rack in racks]
    slots = make.rng.sample(make.robot.slots, len(wanted))
    deck = tuple(DeckItem(slot, *item) for slot, item in zip(slots, wanted, strict=True))
    steps: list[Step] = []
    for _ in range(make.rng.randint(1, 12)):
        steps += _steps(make, make.rng.choice(kinds), targets)
    if kinds is _ALONE:
        steps += _carried(make, deck, targets)
    elif "stand" in kinds and make.rng.random() < 0.5 and index == 2:
        plate, at = make.rng.choice(sorted(targets)), {item.barcode: item.slot for item in deck}
        steps += [
            PlateMove(make.next(), plate, f"deck/{at[plate]}", "imager"),
            Read(make.next(), plate, "fluorescence"),
        ]
    return DeckLoad(index, deck, tuple(steps))


def _steps(make: Maker, kind: str, targets: dict[str, str]) -> list[Step]:
    plate = make.rng.choice(sorted(targets))
    match kind:
        case "transfer":
            return list(_transfers(make, targets))
        case "column":
            return list(_column(make, plate, targets[plate]))
        case "columns":
            return _columns(make, plate, targets[plate])
        case "stamp":
            return list(_stamp(make, plate, targets[plate]))
        case "wait":
            return [Incubate(make.next(), plate, make.rng.randint(1, 7200))]
        case "dispense":
            wells = tuple(make.rng.sample(LABWARE[targets[plate]].wells_by_column(), 3))
            volume_nl = min(5_000, *(make.space[plate, well] for well in wells))
            if volume_nl < 1:
                return []
            _move(make, ("R", "A01"), [(plate, well) for well in wells], volume_nl)
            return [Dispense(make.next(), plate, wells, volume_nl, "R", "A01", "DMSO")]
        case "wash":
            well = make.rng.choice(LABWARE[targets[plate]].wells_by_column())
            make.room["R", "A01"] -= 40_000
            make.space[plate, well] = LABWARE[targets[plate]].max_volume_nl - 2_000
            return [Wash(make.next(), plate, (well,), 2, 20_000, 2_000, "R", "A01", "DMSO")]
        case "mix":
            made = list(_transfers(make, targets))
            last = made[-1] if made else None
            if last is None or last.volume_nl > PIPETTES[make.robot.pipette].max_nl:
                return list(made)
            here = last.destination_plate, last.destination_well
            return [*made, Mix(make.next(), *here, last.volume_nl, 3, last.tip_rack, last.tip_well)]
    return [Seal(make.next(), plate), Incubate(make.next(), plate, 60, 37.0), Seal(make.next(), plate, is_on=False)]


def _transfers(make: Maker, targets: dict[str, str]) -> Iterator[Transfer]:
    """One to three transfers of one source with one tip, into wells that nothing else went into before."""
    tool = PIPETTES[make.robot.pipette]
    source = make.rng.choice(sorted(make.room))
    tip = make.tips.pop(0) if make.tips else None
    for key in make.rng.sample(make.fresh, min(len(make.fresh), make.rng.randint(1, 3))):
        most = min(tool.max_nl, make.room[source], make.space[key])
        if most < tool.min_nl or tip is None:
            return
        volume_nl = make.rng.randint(tool.min_nl, most)
        _move(make, source, [key], volume_nl)
        yield Transfer(make.next(), *source, *key, volume_nl, *tip, make.held[source])


def _column(make: Maker, plate: str, kind: str) -> Iterator[Transfer]:
    rows = LABWARE[kind].wells_format.n_rows
    column, first = make.rng.randint(1, LABWARE[kind].wells_format.n_columns), make.rng.randrange(rows // 8)
    keys = [(plate, f"{chr(65 + row)}{column:02d}") for row in range(first, rows, rows // 8)]
    volume_nl = min(3_000, *(make.space[key] for key in keys))
    if volume_nl < 1_000 or not make.columns or make.room["R", "A01"] < 24_000:
        return
    rack, tips = make.columns.pop(0)
    number = make.next()
    _move(make, ("R", "A01"), keys, volume_nl)
    make.number += 8
    for i, (key, tip) in enumerate(zip(keys, tips, strict=True)):
        yield Transfer(number + i, "R", "A01", *key, volume_nl, rack, tip, "DMSO", number)


def _columns(make: Maker, plate: str, kind: str) -> list[Step]:
    """Two columns with the same eight tips, where nothing else stands in the wells."""
    first = list(_column(make, plate, kind))
    free = [key for key in make.fresh if key[0] == plate and key[1].startswith("A")]
    if not first or not free:
        return list(first)
    rows, column = LABWARE[kind].wells_format.n_rows, free[0][1][1:]
    keys = [(plate, f"{chr(65 + row)}{column}") for row in range(0, rows, rows // 8)]
    if not set(keys) <= set(make.fresh) or make.room["R", "A01"] < 8 * first[0].volume_nl or make.was_filled(first):
        return list(first)
    _move(make, ("R", "A01"), keys, first[0].volume_nl)
    number = make.next()
    make.number += 8
    again = [
        replace(t, transfer_id=number + i, destination_plate=key[0], destination_well=key[1], stroke=number)
        for i, (t, key) in enumerate(zip(first, keys, strict=True))
    ]
    return [*first, *again]


def _stamp(make: Maker, plate: str, kind: str) -> Iterator[Transfer]:
    """A whole column of a source plate into a column: eight compounds at once."""
    rows, width = LABWARE[kind].wells_format.n_rows, LABWARE[kind].wells_format.n_columns
    for source, column, start in make.stacks:
        sources = [(source, f"{chr(65 + row)}{column:02d}") for row in range(start, 16, 2)]
        first, target = make.rng.randrange(rows // 8), make.rng.randint(1, width)
        keys = [(plate, f"{chr(65 + row)}{target:02d}") for row in range(first, rows, rows // 8)]
        volume_nl = min(2_500, *(make.space[key] for key in keys), *(make.room[key] for key in sources))
        if volume_nl < 1_000 or not make.columns:
            continue
        rack, tips = make.columns.pop(0)
        number = make.next()
        make.number += 8
        for i, (here, key, tip) in enumerate(zip(sources, keys, tips, strict=True)):
            _move(make, here, [key], volume_nl)
            yield Transfer(number + i, *here, *key, volume_nl, rack, tip, make.held[here], number)
        return


def _carried(make: Maker, deck: tuple[DeckItem, ...], targets: dict[str, str]) -> Iterator[Step]:
    """At the end of a load, carry a plate to a free slot, where the robot has a gripper."""
    free = sorted({*make.robot.slots, *make.robot.staging} - {item.slot for item in deck})
    if not make.robot.staging or make.rng.random() < 0.5:
        return
    plate = make.rng.choice(sorted(targets))
    item = next(item for item in deck if item.barcode == plate)
    yield PlateMove(make.next(), item.barcode, f"deck/{item.slot}", f"deck/{make.rng.choice(free)}")


def _move(make: Maker, source: tuple[str, str], targets: list[tuple[str, str]], volume_nl: int) -> None:
    make.room[source] -= volume_nl * len(targets)
    for key in targets:
        make.space[key] -= volume_nl
        make.n_filled[key] += 1
        if key in make.fresh:
            make.fresh.remove(key)
