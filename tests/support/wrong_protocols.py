"""A lab and a right protocol in it, and a table of wrong ones: each differs from the right one in one thing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from protocols.labware import RobotDeck, robot_deck
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
from protocols.stock import PlateCare, StockWell, TipRack
from protocols.volumes import Interval

SOURCE = "corning_384_wellplate_112ul_flat"
TARGET = "corning_96_wellplate_360ul_flat"
DENSE = "greiner_1536_wellplate_10ul"
TROUGH = "nest_12_reservoir_15ml"
TIPS = "opentrons_flex_96_tiprack_50ul"
OTHER_TIPS = "opentrons_96_tiprack_20ul"
ROWS = "ABCDEFGH"
NIGHT = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)

ROBOT: RobotDeck = robot_deck("flex", multichannel="flex_8channel_50", blocked=("A1",))
"""Slot A1 of the lab's robot holds a heater."""


def ledger() -> Ledger:
    """Open the lab: sources fresh, old, worn, sealed and dense; a trough; an assay plate with 100 ul in every well."""
    stock = [
        StockWell("S", "A01", "C1", 20_000, 1.0, SOURCE),
        StockWell("S", "B01", "C2", 20_000, 1.0, SOURCE),
        StockWell("OLD", "A01", "C3", 20_000, 1.0, SOURCE),
        StockWell("WORN", "A01", "C4", 20_000, 1.0, SOURCE),
        StockWell("SHUT", "A01", "C5", 20_000, 1.0, SOURCE),
        StockWell("DENSE", "A01", "C6", 8_000, 1.0, DENSE),
        StockWell("R", "A01", "medium", 2_000_000, 0.0, TROUGH),
    ]
    racks = [
        TipRack("T", TIPS, ("A01", "B01", "C01", "D01")),
        TipRack("T8", TIPS, tuple(f"{row}{column:02d}" for column in (1, 2) for row in ROWS)),
        TipRack("T20", OTHER_TIPS, ("A01",)),
    ]
    care = {
        "OLD": PlateCare(expires=date(2026, 11, 24)),
        "WORN": PlateCare(n_thaws=5, max_thaws=5),
        "P": PlateCare(evaporation_nl_per_h=500),
    }
    books = Ledger.of(stock, racks, {"P": (TARGET, 100_000), "DRY": (TARGET, 0)}, care)
    wells = {**books.wells, ("P", "G12"): Interval.exactly(358_000), ("S", "C01"): Interval(0, 20_000)}
    return replace(books, wells=wells, sealed=frozenset({"SHUT"}), unknown=frozenset({("S", "C01")}))


DECK = (
    DeckItem("C2", "P", TARGET, DeckRole.DESTINATION),
    DeckItem("B2", "T", TIPS, DeckRole.TIPS),
    DeckItem("D2", "S", SOURCE, DeckRole.SOURCE),
    DeckItem("B3", "T8", TIPS, DeckRole.TIPS),
    DeckItem("C3", "R", TROUGH, DeckRole.SOURCE),
)


def moves() -> tuple[Transfer, ...]:
    return (
        Transfer(1, "S", "A01", "P", "A01", 1_000, "T", "A01", "C1"),
        Transfer(2, "S", "A01", "P", "A02", 1_000, "T", "B01", "C1"),
        Transfer(3, "S", "B01", "P", "H12", 2_500, "T", "C01", "C2"),
    )


def stroke(first: int = 11, number: int = 1, **changes: Any) -> list[Transfer]:
    """Return eight transfers from the trough into column 3, made at once."""
    made = [Transfer(first + i, "R", "A01", "P", f"{r}03", 5_000, "T8", f"{r}01", "medium") for i, r in enumerate(ROWS)]
    return [replace(t, stroke=number, **changes) for t in made]


def of(*steps: Step, deck: tuple[DeckItem, ...] = DECK, **changes: Any) -> Protocol:
    base = Protocol("night", "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, steps),), "flex_8channel_50")
    return replace(base, **changes)


def right() -> Protocol:
    """Return the right protocol, with every kind of step."""
    return of(
        *moves(),
        Transfer(4, "S", "B01", "P", "H11", 2_500, "T", "C01", "C2"),
        Mix(5, "P", "H11", 2_000, 3, "T", "C01"),
        *stroke(),
        Dispense(20, "P", ("B05", "B06"), 5_000, "R", "A01", "medium"),
        Wash(21, "P", ("B07",), 2, 50_000, 5_000, "R", "A01", "medium"),
        Seal(22, "P"),
        Incubate(23, "P", 3_600, 37.0),
        Seal(24, "P", is_on=False),
        PlateMove(25, "P", "deck/C2", "imager"),
        Read(26, "P", "fluorescence"),
    )


def changed(number: int, **fields: Any) -> Protocol:
    return of(*(replace(t, **fields) if t.transfer_id == number else t for t in moves()))


def with_slot(item: int, **fields: Any) -> Protocol:
    deck = tuple(replace(it, **fields) if n == item else it for n, it in enumerate(DECK))
    return of(*moves(), deck=deck)


def from_plate(plate: str, labware: str, compound: str) -> Protocol:
    deck = (*DECK[:2], DeckItem("D2", plate, labware, DeckRole.SOURCE))
    return of(Transfer(1, plate, "A01", "P", "A01", 1_000, "T", "A01", compound), deck=deck)


@dataclass(frozen=True)
class Wrong:
    """A wrong protocol, and what must be said of it."""

    make: Callable[[], Protocol]
    words: str
    plate: str
    """The well or tip or slot that has to be named; empty where the whole protocol is wrong."""
    well: str = ""


W = Wrong
DISPENSE = Dispense(9, "P", ("B05", "B06"), 5_000, "R", "A01", "medium")
WASH = Wash(9, "P", ("B07",), 2, 50_000, 5_000, "R", "A01", "medium")
MIX = Mix(9, "P", "A01", 2_000, 3, "T", "D01")

# The first six are what the vendor's simulator lets pass.
WRONG: dict[str, Wrong] = {
    "overfilled well": W(lambda: changed(3, destination_well="G12"), "G12 on P would hold 360500 nl", "P", "G12"),
    "overdrawn source": W(lambda: changed(3, volume_nl=16_001), "so 16000 nl can be drawn and not", "S", "B01"),
    "overdrawn by two": W(
        lambda: of(*(replace(t, source_well="A01", compound_id="C1", volume_nl=6_000) for t in moves())),
        "overdraw: A01 on S", "S", "A01",
    ),
    "empty source": W(lambda: changed(2, source_well="P24"), "P24 on S holds 0 nl", "S", "P24"),
    "under the minimum": W(lambda: changed(2, volume_nl=999), "999 nl is under the 1000 nl minimum", "P", "A02"),
    "filled beyond its well": W(
        lambda: of(replace(DISPENSE, volume_nl=260_001)), "B05 on P would hold 360001 nl", "P", "B05"
    ),
    "source uncertain after a fault": W(lambda: changed(2, source_well="C01"), "C01 on S holds 0 nl", "S", "C01"),
    "over the pipette": W(lambda: changed(2, volume_nl=50_001), "50001 nl is over the 50000 nl", "P", "A02"),
    "over the tip": W(
        lambda: of(replace(moves()[0], volume_nl=60_000), pipette="flex_1channel_1000"),
        "60000 nl is over the 50000 nl that flex_1channel_1000 takes with this tip", "P", "A01",
    ),
    "zero": W(lambda: changed(1, volume_nl=0), "volume 0 nl is not above 0", "P", "A01"),
    "negative": W(lambda: changed(1, volume_nl=-5), "volume -5 nl is not above 0", "P", "A01"),
    "nan": W(lambda: changed(1, volume_nl=float("nan")), "volume nan is not a whole number", "P", "A01"),
    "infinite": W(lambda: changed(1, volume_nl=float("inf")), "volume inf is not a whole number", "P", "A01"),
    "a fraction": W(lambda: changed(1, volume_nl=1000.5), "volume 1000.5 is not a whole number", "P", "A01"),
    "absurd": W(lambda: changed(1, volume_nl=10**9), "1000000000 nl is over", "P", "A01"),
    "true for a volume": W(lambda: changed(1, volume_nl=True), "volume True is not a whole number", "P", "A01"),
    "other content": W(lambda: changed(2, compound_id="C9"), "A01 of S holds C1, not C9", "S", "A01"),
    "source and destination one well": W(
        lambda: changed(2, destination_plate="S", destination_well="A01"), "is both the source and the", "S", "A01"
    ),
    "tip taken twice": W(
        lambda: of(*moves(), replace(moves()[0], transfer_id=4)), "no tip at A01 of rack T: taken by", "T", "A01"
    ),
    "tip across compounds": W(
        lambda: changed(3, tip_well="B01"), "B01 of T drew C1 from A01 of S and is used again for C2", "T", "B01"
    ),
    "tip back into the stock": W(
        lambda: of(
            replace(moves()[2], destination_well="A05"),
            replace(moves()[0], destination_well="A05", tip_well="D01"),
            replace(moves()[1], tip_well="D01"),
        ),
        "D01 of T met C2 in A05 of P and goes back into A01 of S", "T", "D01",
    ),
    "tip never there": W(lambda: changed(2, tip_well="E01"), "no tip at E01 of rack T: used, booked or", "T", "E01"),
    "tip outside its rack": W(lambda: changed(2, tip_well="Z99"), "no tip at Z99 of rack T", "T", "Z99"),
    "rack not on deck": W(lambda: changed(2, tip_rack="T9"), "tip rack T9 is not on the deck", "T9", "B01"),
    "plate for tips": W(lambda: changed(2, tip_rack="S"), "tip rack S is not on the deck of this load as", "S", "B01"),
    "tips of another robot": W(
        lambda: of(
            replace(moves()[0], tip_rack="T20"), deck=(*DECK, DeckItem("D3", "T20", OTHER_TIPS, DeckRole.TIPS))
        ),
        "tips of T20 (opentrons_96_tiprack_20ul) do not fit", "T20", "A01",
    ),
    "source well off the plate": W(lambda: changed(2, source_well="Q01"), "S has no well 'Q01'", "S", "Q01"),
    "unpadded well": W(lambda: changed(2, source_well="A1"), "S has no well 'A1'", "S", "A1"),
    "no well": W(lambda: changed(2, destination_well=""), "P has no well ''", "P", ""),
    "well in Greek": W(lambda: changed(2, destination_well="Α01"), "P has no well 'Α01'", "P", "Α01"),
    "target well off the plate": W(lambda: changed(2, destination_well="A13"), "P has no well 'A13'", "P", "A13"),
    "source not on deck": W(lambda: changed(2, source_plate="X"), "source X of well A01 is not on", "X", "A01"),
    "destination not on deck": W(
        lambda: changed(2, destination_plate="DRY"), "destination DRY of well A02 is not on the deck", "DRY", "A02"
    ),
    "plate not in ledger": W(lambda: changed(2, source_plate="X"), "plate X of well A01 is not in the", "X", "A01"),
    "into a source": W(
        lambda: changed(2, destination_plate="S", destination_well="B01"), "on the deck as source, not as", "S", "B01"
    ),
    "out of a destination": W(
        lambda: changed(2, source_plate="P", source_well="B01"), "on the deck as destination, not as source", "P", "B01"
    ),
    "1536 wells": W(
        lambda: from_plate("DENSE", DENSE, "C6"), "flex_1channel_50 cannot reach into A01 of DENSE", "DENSE", "A01"
    ),
    "expired": W(lambda: from_plate("OLD", SOURCE, "C3"), "expired: it keeps until 2026-11-24", "OLD", "A01"),
    "thawed too often": W(lambda: from_plate("WORN", SOURCE, "C4"), "been 5 time(s) and may be 5", "WORN", "A01"),
    "sealed source": W(lambda: from_plate("SHUT", SOURCE, "C5"), "SHUT of well A01 is sealed", "SHUT", "A01"),
    "sealed by an earlier step": W(lambda: of(Seal(9, "P"), *moves()), "P of well A01 is sealed", "P", "A01"),
    "sealed twice": W(lambda: of(Seal(8, "P"), Seal(9, "P")), "P is sealed already", "P"),
    "no seal to take off": W(lambda: of(Seal(9, "P", is_on=False)), "P is not sealed", "P"),
    "number twice": W(lambda: changed(2, transfer_id=1), "the number 1 is used twice", "P", "A02"),
    "number zero": W(lambda: changed(2, transfer_id=0), "the number 0 is no whole number above 0", "P", "A02"),
    "two labware in one slot": W(lambda: with_slot(2, slot="B2"), "load 0, slot B2: holds T and S", "S"),
    "one plate in two slots": W(
        lambda: of(*moves(), deck=(*DECK, replace(DECK[2], slot="B1"))), "slot B1: S is in another slot too", "S"
    ),
    "trash slot": W(lambda: with_slot(2, slot="A3"), "slot A3: the flex has no such slot for labware; the trash", "S"),
    "staging slot": W(lambda: with_slot(2, slot="D4"), "slot D4: the gripper of the flex reaches this slot", "S"),
    "blocked slot": W(lambda: with_slot(2, slot="A1"), "slot A1: the slot is blocked on the lab's flex", "S"),
    "slot of another robot": W(lambda: with_slot(2, slot="11"), "slot 11: the flex has no such slot", "S"),
    "unknown labware": W(lambda: with_slot(2, labware="cup"), "slot D2: labware 'cup' of S is not known", "S"),
    "other labware": W(lambda: with_slot(2, labware=TARGET), f"S is {SOURCE} in the ledger, {TARGET} in", "S"),
    "tips as source": W(lambda: with_slot(1, role=DeckRole.SOURCE), "of T cannot serve as source", "T"),
    "plate as tips": W(lambda: with_slot(2, role=DeckRole.TIPS), "of S cannot serve as tips", "S"),
    "unknown robot": W(lambda: of(robot="r2d2"), "robot 'r2d2' is not known; known are", ""),
    "another robot": W(lambda: of(robot="ot2", pipette="p20_single_gen2"), "for the ot2, the lab has the flex", ""),
    "unknown pipette": W(lambda: of(pipette="p5"), "pipette 'p5' is not known", ""),
    "pipette of another robot": W(lambda: of(pipette="p20_single_gen2"), "goes on the ot2, not on the flex", ""),
    "pipette not mounted": W(lambda: of(pipette="flex_1channel_1000"), "is not on the lab's flex, which has", ""),
    "eight channels for one": W(lambda: of(pipette="flex_8channel_50"), "has 8 channel(s) and stands where", ""),
    "mount": W(lambda: of(mount="middle"), "mount 'middle' is neither left nor right", ""),
    "load numbers": W(lambda: of(loads=(DeckLoad(3, DECK, ()),)), "loads are numbered [3]", ""),
    "seven of a column": W(lambda: of(*stroke()[:7]), "7 transfers, not 8", "P", "A03"),
    "column of two volumes": W(
        lambda: of(*stroke()[:7], replace(stroke()[7], volume_nl=6_000)), "its volumes differ", "P", "A03"
    ),
    "a row at once": W(
        lambda: of(*(replace(t, destination_well=f"A{n:02d}") for n, t in enumerate(stroke(), start=3))),
        "its destinations are no column", "P", "A03",
    ),
    "column half with fresh tips": W(
        lambda: of(*stroke(), *(replace(t, destination_well=t.destination_well[0] + "04", tip_well=f"{r}{c}")
                               for t, r, c in zip(stroke(21, 2), ROWS, ["01"] * 4 + ["02"] * 4, strict=True))),
        "E02 of T8: some of the eight are on already", "T8", "E02",
    ),
    "column of compounds of one well": W(
        lambda: of(*stroke(source_plate="S", compound_id="C1")), "its sources are no column", "P", "A03"
    ),
    "column without eight channels": W(
        lambda: of(*stroke(), multichannel=""), "needs an 8-channel pipette, and the protocol names none", "P", "A03"
    ),
    "mixing more than there is": W(
        lambda: of(replace(MIX, plate="DRY"), deck=(*DECK, DeckItem("B1", "DRY", TARGET, DeckRole.DESTINATION))),
        "A01 of DRY may hold only 0 nl", "DRY", "A01",
    ),
    "mixing no times": W(lambda: of(replace(MIX, cycles=0)), "it is done 0 times", "P", "A01"),
    "mixing with a dirty tip": W(
        lambda: of(moves()[0], replace(MIX, well="B01", tip_well="A01")), "A01 of T was in A01 of P", "T", "A01"
    ),
    "dispensing what is not there": W(
        lambda: of(replace(DISPENSE, wells=(), volume_nl=20_000)), "overdraw: A01 on R", "R", "A01"
    ),
    "dispensing something else": W(lambda: of(replace(DISPENSE, reagent="PBS")), "holds medium, not PBS", "R", "A01"),
    "dispensing twice into one": W(
        lambda: of(replace(DISPENSE, wells=("B05", "B05"))), "B05 of P is listed twice", "P", "B05"
    ),
    "dispensing nothing": W(lambda: of(replace(DISPENSE, volume_nl=0)), "volume 0 nl is not above 0", "P", "B05"),
    "washing over the rim": W(
        lambda: of(replace(WASH, volume_nl=355_001)), "B07 on P would hold 360001 nl", "P", "B07"
    ),
    "washing from a dry bottle": W(
        lambda: of(replace(WASH, reservoir_well="A02")), "overdraw: A02 on R holds 0 nl", "R", "A02"
    ),
    "washing no times": W(lambda: of(replace(WASH, cycles=-1)), "-1 cycles", "P", "B07"),
    "standing for ever": W(lambda: of(Incubate(9, "P", 0)), "P cannot stand for 0 s", "P"),
    "standing in fire": W(lambda: of(Incubate(9, "P", 60, 1000.0)), "P cannot stand at 1000.0 C", "P"),
    "evaporated": W(
        lambda: of(Incubate(9, "P", 200 * 3600), replace(MIX, step_id=10)), "A01 of P may hold only 0 nl", "P", "A01"
    ),
    "carried nowhere": W(lambda: of(PlateMove(9, "P", "deck/C2", "")), "P cannot be carried from", "P"),
    "used after it was carried away": W(
        lambda: of(PlateMove(9, "P", "deck/C2", "imager"), *moves()), "P of well A01 is not on the deck", "P", "A01"
    ),
    "carried onto another": W(
        lambda: of(PlateMove(9, "P", "deck/C2", "deck/B2")), "from deck/C2 to deck/B2: T is there", "P"
    ),
    "carried into the trash": W(lambda: of(PlateMove(9, "P", "deck/C2", "deck/A3")), "the trash stands there", "P"),
    "carried onto a heater": W(lambda: of(PlateMove(9, "P", "deck/C2", "deck/A1")), "the slot is blocked", "P"),
    "carried to no slot": W(lambda: of(PlateMove(9, "P", "deck/C2", "deck/Z9")), "has none of that name", "P"),
    "carried from where it is not": W(
        lambda: of(PlateMove(9, "P", "hotel/9", "deck/B1")), "from hotel/9 to deck/B1: it is at deck/C2", "P",
    ),
    "carried twice": W(
        lambda: of(PlateMove(9, "P", "deck/C2", "reader"), PlateMove(10, "P", "deck/C2", "waste")), "at reader", "P"
    ),
    "carried from another deck": W(
        lambda: of(PlateMove(9, "DRY", "deck/B1", "reader")), "it is not on the deck of this load", "DRY"
    ),
    "two in one reader": W(
        lambda: of(PlateMove(9, "P", "deck/C2", "reader"), PlateMove(10, "S", "deck/D2", "reader")), "P is there", "S"
    ),
    "pipetted on a staging slot": W(
        lambda: of(PlateMove(9, "P", "deck/C2", "deck/D4"), *moves()), "P of well A01 is not on the deck", "P", "A01"
    ),
    "rack read": W(lambda: of(Read(9, "T", "od")), "T is a tip rack, and is not read", "T"),
    "rack sealed": W(lambda: of(Seal(9, "T")), "T is a tip rack, and is not sealed", "T"),
    "dispensing into a rack": W(
        lambda: of(replace(DISPENSE, plate="T", wells=("A01",))), "T is a tip rack, and holds no liquid", "T", "A01"
    ),
    "washing a rack": W(
        lambda: of(replace(WASH, plate="T", wells=("A01",))), "T is a tip rack, and holds no liquid", "T", "A01"
    ),
    "dispensing into itself": W(
        lambda: of(replace(DISPENSE, plate="R", wells=("A01",))), "A01 of R is both the source and", "R", "A01"
    ),
    "mixing for years": W(lambda: of(*moves(), replace(MIX, cycles=10**9)), "it is done 1000000000 times", "P", "A01"),
    "standing for a century": W(lambda: of(Incubate(9, "P", 10**12)), "P cannot stand for 1000000000000 s", "P"),
    "shaken to pieces": W(lambda: of(Incubate(9, "P", 60, None, 10**6)), "cannot be shaken at 1000000 rpm", "P"),
    "dilution of something else": W(
        lambda: of(
            Transfer(1, "S", "A01", "DRY", "A01", 9_000, "T", "A01", "C1"),
            Transfer(2, "S", "B01", "DRY", "A01", 9_000, "T", "B01", "C2"),
            Transfer(3, "DRY", "A01", "P", "A01", 1_000, "T", "C01", "C3"),
            deck=(*DECK, DeckItem("B1", "DRY", TARGET, DeckRole.INTERMEDIATE)),
        ),
        "A01 of DRY holds C1 and C2, not C3", "DRY", "A01",
    ),
    "mixing a source with a tip that met another liquid": W(
        lambda: of(
            Transfer(1, "S", "B01", "P", "A01", 1_000, "T", "A01", "C2"),
            Transfer(2, "S", "A01", "P", "A01", 1_000, "T", "B01", "C1"),
            Mix(3, "S", "A01", 1_000, 3, "T", "B01"),
        ),
        "tip B01 of T met C2 in A01 of P and goes back into A01 of S", "T", "B01",
    ),
    "unknown plate read": W(lambda: of(Read(9, "X", "fluorescence")), "plate X is not in the ledger", "X"),
    "read for nothing": W(lambda: of(Read(9, "P", "")), "what is to be read of P is not said", "P"),
}  # fmt: skip
