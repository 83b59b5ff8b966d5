"""Edges that were accepted, shown or a traceback once: a key told twice, a name that steers a terminal, and more."""

from dataclasses import replace

import pytest

from nextplate.errors import DataError, PlanError
from protocols.check import check
from protocols.compile import compile_orders
from protocols.describe import describe
from protocols.difference import diff
from protocols.labware import robot_deck, vendor_well
from protocols.ledger import Ledger
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.orders import Order, Rules, Target
from protocols.problems import Problem, ProblemKind
from protocols.proof import _offset_differences
from protocols.sentences import plain, well_on
from protocols.stock import StockWell, TipRack
from protocols.worklists.echo import EchoPlates, write_echo

KIND, TIPS = "corning_96_wellplate_360ul_flat", "opentrons_flex_96_tiprack_50ul"
BIG = "opentrons_flex_96_tiprack_1000ul"
ESCAPE = "\x1b[2J\u202e"


def small(name: str = "n", barcode: str = "P") -> Protocol:
    deck = (
        DeckItem("C2", barcode, KIND, DeckRole.DESTINATION),
        DeckItem("B2", "S", KIND, DeckRole.SOURCE),
        DeckItem("D2", "T", TIPS, DeckRole.TIPS),
    )
    dose = Transfer(1, "S", "A01", barcode, "A01", 5_000, "T", "A01", "C1")
    return Protocol(name, "flex", "flex_1channel_50", "left", (DeckLoad(0, deck, (dose,)),))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"volume_nl":5000', '"volume_nl":5000,"volume_nl":9000'),
        ('"format":1', '"format":1,"format":1'),
        ('"barcode":"P"', '"barcode":"P","barcode":"Q"'),
    ],
)
def test_a_key_told_twice_is_refused_wherever_it_stands(old: str, new: str) -> None:
    text = small().to_json()
    assert old in text
    with pytest.raises(DataError, match="twice in one object"):
        Protocol.from_json(text.replace(old, new, 1))


def test_names_do_not_steer_a_terminal() -> None:
    evil = small(f"night{ESCAPE}", f"P{ESCAPE}")
    shown = [describe(evil), *diff(small(), evil), *diff(evil, small()), well_on(f"P{ESCAPE}", "A01")]
    shown.append(str(Problem(ProblemKind.PLATE, f"plate {ESCAPE}")))
    for text in shown:
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert plain("µ-Ω 日本") == "µ-Ω 日本"


@pytest.mark.parametrize(("old", "new"), [('"name":"n"', r'"name":"\ud800"'), ('"name":', r'"n\udfffame":')])
def test_half_of_a_surrogate_pair_is_refused_as_text(old: str, new: str) -> None:
    assert old in small().to_json()
    with pytest.raises(DataError, match=r"ud[8f].*half of a surrogate pair"):
        Protocol.from_json(small().to_json().replace(old, new, 1))
    assert plain("a\ud800").encode() == rb"a\ud800"


def verdict(protocol: Protocol) -> list[str]:
    racks = [TipRack("T", TIPS, ("A01", "B01"))]
    stock = [StockWell("S", "A01", "C1", 300_000, 1e4, KIND)]
    ledger = Ledger.of(stock, racks, {protocol.loads[0].deck[0].barcode: (KIND, 0)})
    return list(map(str, check(protocol, ledger)))


@pytest.mark.parametrize("barcode", ["", "P1\nimport os", "../../P1", "..\\P1", "P" * 65, "P\u202e"])
def test_a_barcode_that_no_label_can_say_is_refused_with_its_slot(barcode: str) -> None:
    (found,) = verdict(small(barcode=barcode))
    assert "load 0, slot C2" in found
    assert "is no barcode: 1 to 64 printable characters" in found
    assert "\n" not in found


@pytest.mark.parametrize("barcode", ["P" * 64, "µ-Ω 日本", "A-001_b.2"])
def test_one_that_a_label_can_say_is_not(barcode: str) -> None:
    assert verdict(small(barcode=barcode)) == []


def test_transfers_are_numbered_in_the_order_they_are_done() -> None:
    (load,) = small().loads
    again = replace(load.transfers[0], transfer_id=2, destination_well="B01", tip_well="B01")
    right = replace(small(), loads=(replace(load, steps=(*load.steps, again)),))
    assert verdict(right) == []
    (found,) = verdict(replace(right, loads=(replace(load, steps=(again, *load.steps)),)))
    assert "transfer 1 (A01 on S to A01 on P): the number 1 comes after 2" in found


def ordered(order: Order, racks: list[TipRack], robot: str = "flex", source: str = KIND) -> Protocol:
    stock = [StockWell("S", "A01", "C1", 60_000 if robot == "echo" else 300_000, 1e4, source)]
    tool = "flex_1channel_1000" if robot == "flex" else None
    deck = robot_deck(robot, pipette_name=tool)
    return compile_orders([order], [Target("D", KIND)], stock, racks, deck, Rules(), "n").protocol


@pytest.mark.parametrize("dose_um", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize(("robot", "source"), [("flex", KIND), ("echo", "labcyte_384_pp")])
def test_a_dose_of_nothing_is_refused_with_the_well(robot: str, source: str, dose_um: float) -> None:
    racks = [TipRack("A", BIG, ("A01",))]
    with pytest.raises(PlanError, match=r"A01 of D: a dose of .* is none"):
        ordered(Order("D", "A01", "C1", 5_000, dose_um), racks, robot, source)


def test_a_rack_of_small_tips_does_not_forbid_what_another_can_do() -> None:
    racks = [TipRack("B", TIPS, ("A01",)), TipRack("A", BIG, ("A01",))]
    (dose,) = ordered(Order("D", "A01", "C1", 100_000), racks).transfers
    assert dose.tip_rack == "A"
    with pytest.raises(PlanError, match="takes 5000 to 50000 nl"):
        ordered(Order("D", "A01", "C1", 100_000), racks[:1])


@pytest.mark.parametrize(
    "location", [{"addressableAreaName": "D4"}, "offDeck", {"moduleId": "m"}, None], ids=["area", "off", "module", "no"]
)
def test_an_offset_that_is_of_no_slot_is_a_difference_and_no_crash(location: object) -> None:
    found = [{"definitionUri": "opentrons/x/1", "location": location, "vector": {"x": 1, "y": 0, "z": 0}}]
    (words,) = _offset_differences(found, (), small().loads[0])
    assert "which is no slot of the deck" in words


def test_a_well_gives_no_more_than_its_window_is_wide() -> None:
    window = EchoPlates(windows_nl={KIND: (20_000, 24_000)})
    with pytest.raises(PlanError, match="A01 of S holds 24000 nl; 5000 nl can be drawn"):
        write_echo(small(), 0, window)
    assert write_echo(small(), 0, EchoPlates(windows_nl={KIND: (20_000, 25_000)})).text


@pytest.mark.parametrize(("well", "spelled"), [("A01", "A1"), ("P24", "P24"), ("AA01", "AA1"), ("AF48", "AF48")])
def test_rows_of_two_letters_are_spelled_as_vendors_do(well: str, spelled: str) -> None:
    assert vendor_well(well) == spelled
