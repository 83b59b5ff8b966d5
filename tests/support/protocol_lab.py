"""A small lab shared by the tests of protocols: two source plates, a control reservoir, tips, one 96-well plate."""

from dataclasses import dataclass, field

from nextplate.plate import PLATE_96, Layout, LayoutWell, Role
from protocols.compile import compile_protocol
from protocols.labware import RobotDeck, labware, pipette, robot_deck
from protocols.ledger import Ledger
from protocols.model import Protocol
from protocols.stock import StockWell, TipRack

PLATE = "corning_384_wellplate_112ul_flat"
RESERVOIR = "nest_12_reservoir_15ml"
TARGET = "corning_96_wellplate_360ul_flat"
CONTROLS = {Role.NEGATIVE: "DMSO", Role.POSITIVE: "REF-1"}
NASTY = ['"); os.system("true"); ("', "line\nbreak", "µ-Ω\u2028", "'''", "{{ x }}", "\\", "N" * 500, "%s{0}"]


def stock_well(plate: str, well: str, compound: str, volume_nl: int = 20_000, kind: str = PLATE) -> StockWell:
    return StockWell(plate, well, compound, volume_nl, 10_000.0, kind)


def full_rack(barcode: str, deck: RobotDeck, n_tips: int = 96) -> TipRack:
    kind = pipette(deck.pipette).tips[0]
    return TipRack(barcode, kind, labware(kind).wells_by_column()[96 - n_tips :])


def small_layout(compounds: list[str], barcode: str = "P-1") -> Layout:
    """Put compounds in wells from A01 on, then one negative and one positive control; the rest is empty."""
    wells = []
    for i, well in enumerate(PLATE_96.wells()):
        if i < len(compounds):
            wells.append(LayoutWell(well, Role.SAMPLE, compounds[i], 0, 10.0, "explore"))
        elif i < len(compounds) + 2:
            role = Role.NEGATIVE if i == len(compounds) else Role.POSITIVE
            wells.append(LayoutWell(well, role, None, 0, 0.0, "control"))
        else:
            wells.append(LayoutWell(well, Role.EMPTY, None, 0, 0.0, "empty"))
    return Layout(barcode, PLATE_96, tuple(wells))


@dataclass(frozen=True)
class SmallLab:
    """Everything one compilation needs."""

    robot: str = "flex"
    compounds: tuple[str, ...] = ("C1", "C2", "C3", *NASTY)
    stock: list[StockWell] = field(default_factory=list)

    @property
    def deck(self) -> RobotDeck:
        return robot_deck(self.robot)

    @property
    def tips(self) -> list[TipRack]:
        return [full_rack("TIPS-1", self.deck), full_rack("TIPS-2", self.deck, 3)]

    @property
    def wells(self) -> list[StockWell]:
        rows = "ABCDEFGHIJKLMNOP"
        made = [stock_well(f"SRC-{i % 2}", f"{rows[i]}{i + 7:02d}", c) for i, c in enumerate(self.compounds)]
        made.append(stock_well("CTRL", "A01", "DMSO", 5_000_000, RESERVOIR))
        made.append(stock_well("CTRL", "A12", "REF-1", 5_000_000, RESERVOIR))
        return self.stock or made

    @property
    def layout(self) -> Layout:
        return small_layout(list(self.compounds))

    def protocol(self, transfer_nl: int = 1_250) -> Protocol:
        return compile_protocol(self.layout, self.wells, self.tips, self.deck, transfer_nl, CONTROLS, "night 1")

    def ledger(self, fill_nl: int = 100_000) -> Ledger:
        return Ledger.of(self.wells, self.tips, {"P-1": (TARGET, fill_nl)})
