"""What stands beside what: modules with a latch, thick fingers, and heights that are the vendor's."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from nextplate.errors import DataError
from protocols.check import check
from protocols.geometry import FOOTPRINT_MM, distance_mm, fits_beside, fixture, neighbours, place
from protocols.labware import LABWARE, ROBOTS, Hand, robot_deck
from protocols.model import DeckRole
from tests.support.orders_lab import dose_lab
from tests.support.protocol_lab import SmallLab

THICK = Hand(finger_mm=12.0, grip_height_mm=20.0)
"""Thicker than the 4.7 mm between two plates side by side on an OT-2."""


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_every_slot_has_a_place_of_its_own_and_labware_fits_between(robot: str):
    slots = (*ROBOTS[robot].slots, *ROBOTS[robot].staging)
    places = {place(robot, slot) for slot in slots}
    assert None not in places
    assert len(places) == len(slots)
    assert min(distance_mm(robot, a, b) for a in slots for b in slots if a != b) > FOOTPRINT_MM[1]


@pytest.mark.parametrize(
    ("robot", "slot", "axis", "expected"),
    [
        ("flex", "C2", "x", {"C1", "C3"}),
        ("flex", "C3", "x", {"C2", "C4"}),
        ("flex", "A1", "y", {"B1"}),
        ("ot2", "5", "x", {"4", "6"}),
        ("ot2", "5", "y", {"2", "8"}),
        ("ot2", "1", "x", {"2"}),
        ("ot2", "99", "x", set()),
        ("flex", "E9", "y", set()),
    ],
)
def test_neighbours(robot: str, slot: str, axis: str, expected: set[str]):
    assert set(neighbours(robot, slot, axis)) == expected


def test_heights_are_those_of_the_vendors_definitions():
    folder = Path(str(files("opentrons_shared_data").joinpath("data/labware/definitions/2")))
    compared = 0
    for name, kind in LABWARE.items():
        heights = [json.loads(p.read_text())["dimensions"]["zDimension"] for p in (folder / name).glob("*.json")]
        if heights:
            compared += 1
            assert min(heights) <= kind.height_mm <= max(heights), name
    assert compared == sum(not kind.acoustic_max_nl for kind in LABWARE.values()) - 1  # and the 1536-well plate


def test_a_module_takes_its_slot_and_what_is_high_may_not_stand_beside_it():
    deck = robot_deck("flex", fixtures=(fixture("flex", "heater-shaker", "C1"),))
    assert "C1" not in deck.slots
    rack, plate = "opentrons_flex_96_tiprack_50ul", "corning_384_wellplate_112ul_flat"
    assert not fits_beside(deck, "C2", rack, {})
    assert fits_beside(deck, "C2", plate, {})
    assert fits_beside(deck, "C3", rack, {})
    assert not fits_beside(deck, "C1", plate, {})


def test_the_ot2s_racks_may_stand_beside_a_heater_shaker():
    deck = robot_deck("ot2", fixtures=(fixture("ot2", "heater-shaker", "1"),))
    assert fits_beside(deck, "2", "opentrons_96_tiprack_20ul", {})


def test_thick_fingers_need_room_beside_the_plate_they_grip():
    deck = robot_deck("ot2", hand=THICK)
    rack, plate = "opentrons_96_tiprack_20ul", "corning_384_wellplate_112ul_flat"
    assert not fits_beside(deck, "5", plate, {"4": rack})
    assert fits_beside(deck, "5", plate, {"4": plate, "2": rack})
    assert fits_beside(replace(deck, hand=replace(THICK, finger_mm=4.0)), "5", plate, {"4": rack})
    assert not fits_beside(replace(deck, hand=replace(THICK, axis="y")), "5", plate, {"2": rack})


@pytest.mark.parametrize(
    ("kind", "slot", "expected"),
    [("blender", "A1", "known are heater-shaker"), ("thermocycler", "C1", "stands in A1, B1")],
)
def test_a_module_that_is_none_is_refused(kind: str, slot: str, expected: str):
    with pytest.raises(DataError, match=expected):
        fixture("flex", kind, slot)


def test_the_checker_refuses_what_is_in_the_way_and_names_the_slot():
    lab = SmallLab("flex")
    protocol = lab.protocol()
    racks = [item.slot for item in protocol.loads[0].deck if item.role is DeckRole.TIPS]
    pairs = [(rack, slot) for rack in racks for slot in neighbours("flex", rack, "x")]
    rack, beside = next((rack, slot) for rack, slot in pairs if slot in robot_deck("flex").slots)
    here = robot_deck("flex", fixtures=(fixture("flex", "heater-shaker", beside),))
    problems = check(protocol, lab.ledger(), here)
    assert [p for p in problems if f"slot {rack}:" in str(p) and "heater-shaker" in str(p)]
    assert not check(protocol, lab.ledger(), robot_deck("flex"))


def test_the_compiler_finds_slots_where_nothing_is_in_the_way():
    lab = dose_lab(20, (10.0, 1.0, 0.1), fixtures=(fixture("flex", "heater-shaker", "B1"),))
    protocol = lab.compiled().protocol
    high = [item for load in protocol.loads for item in load.deck if LABWARE[item.labware].height_mm > 53]
    assert high
    assert not {item.slot for item in high} & {"B1", *neighbours("flex", "B1", "x")}
    assert not check(protocol, lab.ledger(), lab.deck)
