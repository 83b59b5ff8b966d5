"""Files written by hand, command by command: tips, lids, least volumes, what a file says of its liquid."""

from typing import Any

import pytest

from protocols.handwritten import account
from protocols.handwritten_books import Account
from protocols.handwritten_time import time_of
from protocols.tip_past import Liquid

Command = dict[str, Any]
_WELLS = {f"{row}{column}": {"totalLiquidVolume": 200.0} for row in "ABCDEFGH" for column in range(1, 13)}
_ORDER = [[f"{row}{column}" for row in "ABCDEFGH"] for column in range(1, 13)]


def do(kind: str, params: dict[str, Any], result: dict[str, Any] | None = None) -> Command:
    return {"commandType": kind, "status": "succeeded", "params": params, "result": result or {}}


def load(name: str, slot: str, kind: str = "nest_96_wellplate_200ul_flat") -> Command:
    definition = {"parameters": {"loadName": kind}, "wells": _WELLS, "ordering": _ORDER}
    params = {"location": {"slotName": slot}, "displayName": name}
    return do("loadLabware", params, {"labwareId": name, "definition": definition})


def holds(name: str, **volumes: Any) -> Command:
    return do("loadLiquid", {"labwareId": name, "volumeByWell": volumes})


def at(kind: str, plate: str, well: str, volume: float | None = None) -> Command:
    more = {} if volume is None else {"volume": volume}
    return do(kind, {"pipetteId": "p", "labwareId": plate, "wellName": well, **more})


TRASH = do("dropTipInPlace", {"pipetteId": "p"})
PAUSE = do("waitForResume", {"message": "new racks"})


def books(*commands: Command, tool: str = "p1000_single_flex", **options: Any) -> Account:
    pipette = do("loadPipette", {"pipetteName": tool}, {"pipetteId": "p"})
    start = (load("S", "1"), load("D", "2"), load("T", "3", "opentrons_flex_96_tiprack_200ul"), pipette)
    return account([*start, *commands], **options)


def moved(tip: str, source: str, target: str, volume: float = 50.0, end: Command = TRASH) -> list[Command]:
    return [at("pickUpTip", "T", tip), at("aspirate", "S", source, volume), at("dispense", "D", target, volume), end]


FULL = holds("S", A1=150.0, B1=150.0)
BACK = at("dropTip", "T", "A1")
OVER = do(
    "aspirate",
    {"pipetteId": "p", "labwareId": "S", "wellName": "A1", "volume": 20, "wellLocation": {"offset": {"z": 9}}},
)
"""Air, drawn above a well."""
WRONG: dict[str, tuple[list[Command], str]] = {
    "a tip taken twice": ([*moved("A1", "A1", "A1"), *moved("A1", "A1", "B1")], "no tip at A01 of T: the file took it"),
    "a returned tip in another liquid": (
        [*moved("A1", "A1", "A1", end=BACK), *moved("A1", "B1", "B1")],
        "the tip of A01 of T drew liquid from A01 of S and is used again for B01 of S; take a fresh tip",
    ),
    "returned with liquid": (
        [at("pickUpTip", "T", "A1"), at("aspirate", "S", "A1", 50), BACK], "is returned with 50000 nl in it",
    ),
    "left on": (moved("A1", "A1", "A1")[:3], "the file ends with the tip of A01 of T on p1000_single_flex; drop it"),
    "air for liquid": (
        [at("pickUpTip", "T", "A1"), OVER, at("dispense", "D", "A1", 20), TRASH],
        "20000 nl of air go into A01 of D",
    ),
    "given under the minimum": (
        [*moved("A1", "A1", "A1")[:2], at("dispense", "D", "A1", 2), at("dispense", "D", "B1", 48), TRASH],
        "2000 nl into A01 of D are under the 5000 nl minimum",
    ),
    "drawn in no volume": (moved("A1", "A1", "A1", 0), "0 nl from A01 of S is not above 0"),
    "given in no volume": ([*moved("A1", "A1", "A1")[:3], at("dispense", "D", "C1", 0), TRASH], "0 nl into C01 of D"),
    "declared anew": ([*moved("A1", "A1", "A1"), FULL], "A01 of S is declared anew after liquid was moved there"),
    "declared under nothing": ([holds("S", C1=-50.0)], "C01 of S is declared to hold -50.0 ul, which is no volume"),
    "declared as no number": ([holds("S", C1=None)], "C01 of S is declared to hold None ul, which is no volume"),
    "the dead volume of a well just filled": (
        [*moved("A1", "A1", "A1", 30.0)[:3], at("aspirate", "D", "A1", 25), at("dispense", "D", "B1", 25), TRASH],
        "overdraw: A01 of D holds 30000 nl, 10000 of them dead volume",
    ),
    "a source before and after": (
        [*moved("A1", "B1", "B1"), *moved("B1", "A1", "B1", end=at("blowout", "S", "B1")), TRASH],
        "the tip of B01 of T drew liquid from A01 of S and is used again for B01 of S",
    ),
    "a returned tip that met another liquid": (
        [*moved("B1", "B1", "D1"), *moved("A1", "A1", "D1", end=BACK), *moved("A1", "A1", "E1")],
        "the tip of A01 of T met other liquid in D01 of D and goes back into A01 of S",
    ),
    "under a lid": (
        [do("loadLid", {"location": {"labwareId": "D"}}, {"labwareId": "L"}), *moved("A1", "A1", "A1")],
        "A01 of D is under a lid; take it off first",
    ),
}  # fmt: skip
CELLS = {"B1": 100.0, "C1": 100.0}
RIGHT: dict[str, list[Command]] = {
    "each its own tip": [*moved("A1", "A1", "A1"), *moved("B1", "B1", "B1")],
    "a returned tip in the same liquid": [*moved("A1", "A1", "A1", end=BACK), *moved("A1", "A1", "B1")],
    "mixed after": [
        *moved("A1", "A1", "A1", 30.0)[:3], at("aspirate", "D", "A1", 25), at("dispense", "D", "A1", 25), TRASH,
    ],
    "a lid taken off": [
        do("loadLid", {"location": {"labwareId": "D"}}, {"labwareId": "L"}),
        do("moveLabware", {"labwareId": "L", "newLocation": {"slotName": "4"}, "strategy": "usingGripper"}),
        *moved("A1", "A1", "A1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_its_place(case: str) -> None:
    commands, words = WRONG[case]
    found = books(FULL, *commands).problems
    assert any(words in p.message for p in found), [p.message for p in found]


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_file_is_not(case: str) -> None:
    assert books(FULL, *RIGHT[case]).problems == []


EIGHT = [holds("S", **{f"{row}{column}": 150.0 for row in "ABCDEFGH" for column in (1, 2)})]


def test_each_of_eight_tips_has_its_own_past() -> None:
    own = [*moved("A1", "A1", "A1")[:3], at("aspirate", "S", "A1", 50), at("dispense", "S", "A1", 50), TRASH]
    assert books(*EIGHT, *own, tool="p1000_multi_flex").problems == []
    other = [*moved("A1", "A1", "A1")[:3], at("aspirate", "S", "A2", 50), at("dispense", "D", "A2", 50), TRASH]
    mixed = [*own[:3], at("aspirate", "D", "A1", 20), at("dispense", "D", "A1", 20), at("blowout", "S", "A1"), TRASH]
    reagent = holds("D", **{f"{row}1": 50.0 for row in "ABCDEFGH"})
    (found,) = books(*EIGHT, reagent, *mixed, tool="p1000_multi_flex").problems
    assert "drew liquid from A01 of D and is used again for A01 of S; take a fresh tip (7 more" in found.message
    (found,) = books(*EIGHT, *other, tool="p1000_multi_flex").problems
    assert (found.plate, found.well) == ("S", "A02")
    assert found.message.endswith("used again for A02 of S; take a fresh tip (7 more of its tips likewise)")


def test_nozzles_that_nobody_knows_are_told() -> None:
    odd = {"pipetteId": "p", "configurationParams": {"style": "ODD", "primaryNozzle": "A1"}}
    (found,) = books(do("configureNozzleLayout", odd), tool="p1000_multi_flex").problems
    assert "nozzles laid out as 'ODD' are not followed here" in found.message


def test_one_liquid_in_two_wells_is_one_to_a_tip_and_medium_is_nobodys() -> None:
    twice = [*moved("A1", "A1", "A1")[:3], *moved("A1", "B1", "B1")[1:]]
    water = {("S", "A01"): Liquid("w", "water"), ("S", "B01"): Liquid("w", "water")}
    known = {("S", "A01"): 150_000, ("S", "B01"): 150_000}
    assert books(*twice, known=known, liquids=water, fill_nl=50_000).problems == []
    other = water | {("S", "B01"): Liquid("d", "DMSO")}
    (found,) = books(*twice, known=known, liquids=other).problems
    assert "drew water from A01 of S and is used again for B01 of S" in found.message


def test_a_reagent_straight_from_its_bottle_may_be_put_into_samples() -> None:
    added = [at("aspirate", "S", "A1", 50), at("dispense", "S", "B1", 25), at("dispense", "S", "C1", 25), TRASH]
    aliquot = moved("A1", "B1", "A1", 20.0)
    start = (holds("S", A1=150.0), do("loadLiquid", {"labwareId": "S", "liquidId": "cells", "volumeByWell": CELLS}))
    assert books(*start, *aliquot, at("pickUpTip", "T", "B1"), *added).problems == []


def test_somebody_who_stands_by_may_set_full_racks() -> None:
    again = [*moved("A1", "A1", "A1"), PAUSE, *moved("A1", "A1", "B1")]
    assert books(FULL, *again, is_attended=True).problems == []


def test_the_least_volume_of_a_pipette_that_is_not_ours_comes_from_its_maker() -> None:
    small = moved("A1", "A1", "A1", 20.0)
    assert books(FULL, *small, tool="p300_single").problems == []
    found = books(FULL, *small, tool="p300_single", least_nl={"p300_single": 30_000}).problems
    assert [(p.plate, p.well) for p in found] == [("S", "A01"), ("D", "A01")]
    assert "20000 nl from A01 of S are under the 30000 nl minimum of p300_single" in found[0].message


def test_plates_that_a_file_fills_hold_what_the_lab_says() -> None:
    assert books(FULL, *moved("A1", "A1", "A1"), fill_nl=100_000).problems == []
    (found,) = books(FULL, *moved("A1", "A1", "A1"), fill_nl=160_000).problems
    assert "overfill: A01 of D would hold 210000 nl, its maximum is 200000" in found.message
    # What the file, or the lab, says of a plate counts; and a plate that is only drawn from is none to be filled.
    assert books(FULL, holds("D", B1=1.0), *moved("A1", "A1", "A1"), fill_nl=160_000).problems == []
    assert books(FULL, *moved("A1", "A1", "A1"), fill_nl=160_000, known={("D", "A01"): 0}).problems == []
    (found, *_) = books(*moved("A1", "A1", "A1"), fill_nl=100_000).problems
    assert "nothing says that it was filled" in found.message


def test_a_tip_that_drew_from_cells_gives_nothing_back_into_stock() -> None:
    """It poured what it drew from the cells into the lab's only stock, and nobody said a word."""
    out = moved("A1", "A1", "A1")[:3]
    back = [at("aspirate", "D", "A1", 10), at("dispense", "S", "A1", 10), TRASH]
    (found,) = books(FULL, *out, *back, fill_nl=100_000).problems
    assert "the tip of A01 of T drew liquid from A01 of D and is used again for A01 of S; take a fresh" in found.message
    mixed = [at("aspirate", "D", "A1", 10), at("dispense", "D", "A1", 10)]
    (found,) = books(FULL, *out, *mixed, *moved("A1", "A1", "B1")[1:], fill_nl=100_000).problems
    assert "the tip of A01 of T drew liquid from A01 of D and is used again for A01 of S; take a fresh" in found.message
    assert books(FULL, *out, *mixed, TRASH, fill_nl=100_000).problems == []
    (found,) = books(FULL, holds("D", A1=100.0), *out, *back).problems
    assert "drew liquid from A01 of D and is used again for A01 of S" in found.message


def test_a_tip_that_stood_in_cells_and_draws_again_is_noted() -> None:
    again = [*moved("A1", "A1", "A1")[:3], *moved("A1", "A1", "B1")[1:]]
    found = books(FULL, *again, fill_nl=100_000)
    assert found.problems == []
    (note,) = found.notes
    assert "the tip of A01 of T was in A01 of D and goes into A01 of S: what stood there before can be carr" in note
    rest = [*moved("A1", "A1", "A1")[:2], at("dispense", "D", "A1", 40), at("dispense", "S", "A1", 10), TRASH]
    assert [n.partition("was in")[2] for n in books(FULL, *rest, fill_nl=100_000).notes] == [
        note.partition("was in")[2]
    ]
    assert books(FULL, *again).notes == [], "nothing stood in an empty plate"
    (note,) = books(*EIGHT, *again, fill_nl=100_000, tool="p1000_multi_flex").notes
    assert note.endswith("can be carried over (7 more of its tips likewise)")


def test_eight_channels_beside_the_plate_are_told_with_the_well() -> None:
    steps = [at("pickUpTip", "T", "A1"), at("aspirate", "S", "B1", 50)]
    found = books(FULL, *steps, tool="p1000_multi_flex").problems
    assert any("p1000_multi_flex at B01 of S: 8 channels from the one at 2 of 8" in p.message for p in found)
    assert not any("Error(" in p.message for p in found)


def test_what_failed_is_told_by_the_analysis_alone() -> None:
    failed = do("loadLabware", {"location": {"slotName": "5"}, "loadName": "nosuch"})
    assert books({**failed, "status": "failed"}).problems == []
    # Where the file failed the tip is still on: that is no second mistake.
    assert books(FULL, *moved("A1", "A1", "A1")[:3], is_whole=False).problems == []


def test_the_time_of_a_file_grows_with_what_it_does_and_holds_its_waits() -> None:
    one = time_of(moved("A1", "A1", "A1"), "OT-2 Standard")
    assert 10 < one.low_s < one.seconds < one.high_s < 60
    two = time_of([*moved("A1", "A1", "A1"), *moved("B1", "A1", "A1")], "OT-2 Standard")
    assert two.seconds == pytest.approx(2 * one.seconds)
    wait = do("waitForDuration", {"seconds": 3_600})
    assert time_of([wait, *moved("A1", "A1", "A1")], "OT-2 Standard").seconds == pytest.approx(one.seconds + 3_600)
    assert time_of([do("waitForDuration", {"seconds": float("nan")}), {}], "").seconds == 0
