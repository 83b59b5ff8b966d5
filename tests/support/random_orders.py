"""Right orders drawn at random: what a lab may ask for, and what may stand on its shelf."""

import random

from protocols.compile import Order, Rules, Spare, Target, TipPolicy
from protocols.labware import LABWARE
from protocols.stock import StockWell
from tests.support.orders_lab import P96, P384, TROUGH, OrdersLab

DEEP, RESERVOIR = "nest_96_wellplate_2ml_deep", "nest_1_reservoir_195ml"
_FILLS = {P384: (20_000, 40_000, 45_000, 50_000), P96: (100_000, 150_000, 200_000)}
_SERIES = ((300, 100, 30, 10, 3, 1), (10, 1, 0.1), (50, 25, 12.5, 6.25), (1.0,), (0.05, 0.5), (100,))


def random_orders(seed: int) -> OrdersLab:
    """Return a compilation of a seed: plates, doses or volumes, stock, tips and rules.

    Everything in it is right by itself: wells and plates exist, volumes fit. Together it may be too much.
    """
    rng = random.Random(seed)
    robot = rng.choice(("flex", "flex", "ot2"))
    kind = rng.choice((P384, P384, P96))
    targets = tuple(Target(f"A-{n}", kind, rng.choice(_FILLS[kind])) for n in range(rng.choice((1, 1, 2, 3))))
    stock, names = _stock(rng)
    is_by_volume = rng.random() < 0.8
    orders = _doses(rng, targets, names) if is_by_volume else _volumes(rng, targets, stock)
    spare = rng.choice((P384, P384, P96, DEEP))
    rules = Rules(
        rng.choice((2.5, 4.0, 6.0, 10.0)) if is_by_volume else None, tip_policy=rng.choice(list(TipPolicy)),
        spares=tuple(Spare(f"DIL-{n}", spare) for n in range(rng.choice((1, 2, 2, 3)))),
    )  # fmt: skip
    blocked = rng.choice(((), (), ("A1", "A2", "D1", "D3") if robot == "flex" else ("1", "11", "10")))
    return OrdersLab(
        orders, targets, stock, rules, robot, has_eight=rng.random() < 0.6, n_racks=rng.choice((8, 40, 40)),
        blocked=blocked,
    )  # fmt: skip


def _stock(rng: random.Random) -> tuple[list[StockWell], list[str]]:
    """Return compounds, each in one to three wells of one or two strengths, and solvent in troughs or wells."""
    n, n_plates = rng.choice((1, 5, 11, 60, 200)), rng.choice((1, 1, 2, 4))
    kind = rng.choice((P384, P384, P96, DEEP))
    names = [f"CPD-{i:03d}" for i in range(n)]
    wells = [(f"SRC-{p}", well) for p in range(n_plates) for well in LABWARE[kind].wells_by_column()]
    if rng.random() < 0.5:
        rng.shuffle(wells)
    stock, strengths = [], rng.choice(((10_000.0,), (10_000.0, 1_000.0), (5_000.0,)))
    for i, (plate, well) in enumerate(wells[: n * len(strengths) * rng.choice((1, 1, 2))]):
        volume_nl = round(LABWARE[kind].max_volume_nl * rng.choice((0.2, 0.5, 0.9)))
        name, um = names[i % n], strengths[i // n % len(strengths)]
        stock.append(StockWell(plate, well, name, volume_nl, um, kind))
    held = sorted({item.compound_id for item in stock})
    return stock + _solvent(rng), held


def _solvent(rng: random.Random) -> list[StockWell]:
    kind, volume_nl, n = rng.choice(
        ((TROUGH, 14_000_000, 2), (TROUGH, 14_000_000, 6), (RESERVOIR, 180_000_000, 1), (DEEP, 1_900_000, 16))
    )
    wells = LABWARE[kind].wells_by_column()
    return [StockWell("SOLVENT", well, "DMSO", volume_nl, 0.0, kind) for well in wells[:n]]


def _wells(rng: random.Random, target: Target) -> list[str]:
    """Return wells in any order, or whole columns."""
    every = LABWARE[target.labware].wells_by_column()
    if rng.random() < 0.5:
        return rng.sample(every, rng.randint(1, min(60, len(every))))
    height = LABWARE[target.labware].wells_format.n_rows
    first = rng.randrange(len(every) // height)
    return list(every[first * height : (first + rng.randint(1, 4)) * height])


def _doses(rng: random.Random, targets: tuple[Target, ...], names: list[str]) -> list[Order]:
    """Return dose series and single doses, with controls of solvent, or wells that all get one dose."""
    orders: list[Order] = []
    series = rng.choice(_SERIES)
    share = rng.choice((0.0, 0.1))
    for target in targets:
        for n, well in enumerate(_wells(rng, target)):
            if rng.random() < share:
                orders.append(Order(target.barcode, well, "DMSO", 1, is_control=True))
            elif len(names) > 20:
                orders.append(Order(target.barcode, well, rng.choice(names), dose_um=rng.choice(series)))
            else:
                name = names[n // len(series) % len(names)]
                orders.append(Order(target.barcode, well, name, dose_um=series[n % len(series)]))
    return orders


def _volumes(rng: random.Random, targets: tuple[Target, ...], stock: list[StockWell]) -> list[Order]:
    """Return one volume for every well: of anything, or a plate stamped into another."""
    volume_nl = rng.choice((1_000, 2_000, 5_000))
    held = [item for item in stock if item.compound_id != "DMSO"]
    if rng.random() < 0.5 and held[0].labware == targets[0].labware:
        one = {item.source_well: item for item in held if item.source_plate == held[0].source_plate}
        return [Order(t.barcode, well, item.compound_id, volume_nl) for t in targets for well, item in one.items()]
    return [
        Order(target.barcode, well, rng.choice(held).compound_id, volume_nl)
        for target in targets
        for well in _wells(rng, target)
    ]
