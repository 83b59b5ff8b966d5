"""Compilations of many wells, with everything they need: stock, tips, troughs of solvent."""

import random
from dataclasses import dataclass, field
from typing import Any

from protocols.compile import Compiled, Order, Rules, Spare, Target, compile_orders
from protocols.labware import LABWARE, Fixture, RobotDeck, pipette, robot_deck
from protocols.ledger import Ledger
from protocols.stock import StockWell, TipRack

P384 = "corning_384_wellplate_112ul_flat"
P96 = "corning_96_wellplate_360ul_flat"
TROUGH = "nest_12_reservoir_15ml"
EIGHT = {"flex": "flex_8channel_50", "ot2": "p20_multi_gen2"}


@dataclass
class OrdersLab:
    """One compilation."""

    orders: list[Order]
    targets: tuple[Target, ...]
    stock: list[StockWell]
    rules: Rules = field(default_factory=Rules)
    robot: str = "flex"
    has_eight: bool = False
    n_racks: int = 40
    blocked: tuple[str, ...] = ()
    fixtures: tuple[Fixture, ...] = ()

    @property
    def deck(self) -> RobotDeck:
        eight = EIGHT[self.robot] if self.has_eight else ""
        return robot_deck(self.robot, multichannel=eight, blocked=self.blocked, fixtures=self.fixtures)

    @property
    def tips(self) -> list[TipRack]:
        kind = pipette(self.deck.pipette).tips[0]
        return [TipRack(f"TIPS-{n:02d}", kind, LABWARE[kind].wells_by_column()) for n in range(self.n_racks)]

    def compiled(self) -> Compiled:
        return compile_orders(self.orders, self.targets, self.stock, self.tips, self.deck, self.rules, "night")

    def ledger(self) -> Ledger:
        plates = {t.barcode: (t.labware, t.fill_nl) for t in self.targets}
        plates |= {s.barcode: (s.labware, 0) for s in self.rules.spares}
        return Ledger.of(self.stock, self.tips, plates)


def solvent(n_wells: int = 2) -> list[StockWell]:
    return [StockWell("TROUGH", f"A{n + 1:02d}", "DMSO", 14_000_000, 0.0, TROUGH) for n in range(n_wells)]


def compounds(n: int, n_plates: int, um: float = 10_000.0, volume_nl: int = 60_000) -> list[StockWell]:
    wells = LABWARE[P384].wells_by_column()
    return [
        StockWell(f"SRC-{i % n_plates:02d}", wells[i // n_plates], f"CPD-{i:04d}", volume_nl, um, P384)
        for i in range(n)
    ]  # fmt: skip


def dose_lab(n_compounds: int, doses: tuple[float, ...], seed: int = 0, **changes: Any) -> OrdersLab:
    """Order a series of doses of every compound over as many 384-well plates as it takes, controls in column 24."""
    rng = random.Random(seed)
    wells = [w for w in LABWARE[P384].wells_by_column() if not w.endswith("24")]
    wanted = [(f"CPD-{i:04d}", dose) for i in range(n_compounds) for dose in doses]
    rng.shuffle(wanted)
    orders: list[Order] = []
    plates = -(-len(wanted) // len(wells))
    for p in range(plates):
        for well, (compound, dose) in zip(wells, wanted[p * len(wells) : (p + 1) * len(wells)], strict=False):
            orders.append(Order(f"A-{p:03d}", well, compound, dose_um=dose))
        controls = [w for w in LABWARE[P384].wells_by_column() if w.endswith("24")]
        orders += [Order(f"A-{p:03d}", well, "DMSO", 1, is_control=True) for well in controls]
    values: dict[str, Any] = {
        "targets": tuple(Target(f"A-{p:03d}", P384, 45_000) for p in range(plates)),
        "stock": [*compounds(n_compounds, 1 + n_compounds // 300), *solvent()],
        "rules": Rules(final_dmso_percent=10.0, spares=(Spare("DIL-1", P384), Spare("DIL-2", P384))),
    }
    return OrdersLab(orders, **{**values, **changes})


def plain_lab(n_transfers: int, n_sources: int, n_targets: int, **changes: Any) -> OrdersLab:
    """Order one volume of a compound of its own for every well."""
    wells = LABWARE[P384].wells_by_column()
    targets = tuple(Target(f"A-{p:03d}", P384, 45_000) for p in range(n_targets))
    places = [(f"A-{p:03d}", well) for p in range(n_targets) for well in wells][:n_transfers]
    orders = [Order(plate, well, f"CPD-{i:04d}", 2_000) for i, (plate, well) in enumerate(places)]
    return OrdersLab(orders, targets, compounds(n_transfers, n_sources), **changes)
