"""Protocols as data: every step survives JSON, old files are still read, and a difference is told in words."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, PlanError
from protocols.difference import diff
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
from protocols.render import render
from tests.support.protocol_lab import PLATE, TARGET, SmallLab

TRANSFER = Transfer(1, "S-1", "A01", "A-001", "B07", 500, "T", "A01", "CPD-17")
STEPS: tuple[Step, ...] = (
    TRANSFER,
    replace(TRANSFER, transfer_id=2, destination_well="C07", stroke=3),
    Mix(3, "A-001", "B07", 2_000, 3, "T", "A01"),
    Dispense(4, "A-001", ("A01", "B01"), 10_000, "BOTTLE", "A01", "medium"),
    Wash(5, "A-001", (), 3, 50_000, 5_000, "PBS-1", "A01", "PBS"),
    Incubate(6, "A-001", 3_600, 37.0, 300),
    PlateMove(7, "A-001", "deck/C2", "incubator"),
    Seal(8, "A-001"),
    Seal(9, "A-001", is_on=False),
    Read(10, "A-001", "fluorescence"),
)
DECK = (
    DeckItem("C2", "A-001", TARGET, DeckRole.DESTINATION),
    DeckItem("B2", "S-1", PLATE, DeckRole.SOURCE),
    DeckItem("D2", "DIL-1", PLATE, DeckRole.INTERMEDIATE),
)


def of(*steps: Step, **changes: Any) -> Protocol:
    base = Protocol("n", "flex", "flex_1channel_50", "left", (DeckLoad(0, DECK, steps),), "flex_8channel_50")
    return replace(base, **changes)


def test_every_step_survives_json() -> None:
    assert Protocol.from_json(of(*STEPS).to_json()) == of(*STEPS)
    assert Protocol.from_json(of(*STEPS).to_json()).digest == of(*STEPS).digest


def test_what_format_1_can_say_is_written_in_it_and_keeps_its_digest() -> None:
    plain = replace(of(TRANSFER), multichannel="", loads=(DeckLoad(0, DECK[:2], (TRANSFER,)),))
    assert json.loads(plain.to_json())["format"] == 1
    # Written by the nextplate that had no other steps than transfers.
    assert plain.digest == "da95954044737e61543e52c9e8be1eeb3300ad91fbaad97963ea5cc4ff15576f"
    assert Protocol.from_json(plain.to_json()) == plain
    assert json.loads(of(TRANSFER).to_json())["format"] == 2


BROKEN = {
    "not json": ("{", "not a protocol"),
    "a list": ("[]", "not an object"),
    "next format": ('{"format": 3}', "protocol format is 3, not 1 or 2"),
    "no loads": ('{"format": 2}', "loads"),
    "deep": ("[" * 100_000, "not a protocol"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_protocol_is_refused_in_one_line(case: str) -> None:
    text, words = BROKEN[case]
    with pytest.raises(DataError, match=words) as error:
        Protocol.from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source_well": 5}, r"load 0, step 1 \(transfer\): source_well is 5, not text"),
        ({"volume_nl": "5"}, r"volume_nl is '5', not a number"),
        ({"volume_nl": None}, r"volume_nl is null"),
        ({"colour": "red"}, r"there is no field colour"),
        ({"step": "stir"}, r"step 'stir' is not known; known are dispense, incubate, mix"),
        ({"step": ["mix"]}, r"is not known"),
    ],
)
def test_a_wrong_field_is_named_with_its_step(change: dict[str, Any], words: str) -> None:
    body = json.loads(of(TRANSFER).to_json())
    body["loads"][0]["steps"][0].update(change)
    with pytest.raises(DataError, match=words):
        Protocol.from_json(json.dumps(body))


def test_a_missing_field_is_named() -> None:
    body = json.loads(of(TRANSFER).to_json())
    del body["loads"][0]["steps"][0]["tip_well"]
    with pytest.raises(DataError, match=r"load 0, step 1 \(transfer\): a field is missing \(tip_well\)"):
        Protocol.from_json(json.dumps(body))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_json_is_read_or_refused_and_never_crashes(data: st.DataObject) -> None:
    text = of(*STEPS).to_json()
    at = data.draw(st.integers(0, len(text) - 1))
    n = data.draw(st.integers(0, 20))
    put = data.draw(st.text(alphabet='{}[]",:0123456789.eE-+ntfalsuri\\N', max_size=8))
    with contextlib.suppress(DataError):
        Protocol.from_json(text[:at] + put + text[at + n :])


DIFFERENCES: dict[str, tuple[Protocol, str]] = {
    "volume": (of(replace(TRANSFER, volume_nl=250)), "B07 of A-001 gets 250 nL instead of 500 nL of CPD-17"),
    "liquid": (
        of(replace(TRANSFER, compound_id="CPD-18", source_well="A02")),
        "B07 of A-001 gets 500 nL of CPD-18 instead of 500 nL of CPD-17",
    ),
    "source": (
        of(replace(TRANSFER, source_well="A02")),
        "B07 of A-001 gets its CPD-17 from A02 of S-1 instead of A01 of S-1",
    ),
    "more": (of(TRANSFER, replace(TRANSFER, transfer_id=2)), "B07 of A-001 gets 500 nL of CPD-17 too"),
    "nothing": (of(), "B07 of A-001 no longer gets 500 nL of CPD-17"),
    "elsewhere": (of(replace(TRANSFER, destination_well="B08")), "B08 of A-001 gets 500 nL of CPD-17 too"),
    "step": (of(TRANSFER, STEPS[5]), "added: let A-001 stand for 3600 s at 37 C, shaken at 300 rpm"),
    "pipette": (of(TRANSFER, pipette="p5"), "the pipette is p5 instead of flex_1channel_50"),
    "deck": (
        replace(of(TRANSFER), loads=(DeckLoad(0, DECK[:1], (TRANSFER,)),)),
        f"load 1, slot B2: nothing instead of S-1 ({PLATE}, source)",
    ),
    "tip": (
        of(replace(TRANSFER, tip_well="A02")),
        "1 transfer is made with another tip, the first into B07 of A-001",
    ),
    "number": (of(replace(TRANSFER, transfer_id=9)), "the steps are numbered or divided"),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_a_difference_is_told_in_words(case: str) -> None:
    other, words = DIFFERENCES[case]
    found = diff(of(TRANSFER), other)
    assert any(line.startswith(words) for line in found), found


def test_a_changed_step_names_both_and_a_left_out_one_is_named() -> None:
    assert diff(of(STEPS[9]), of(replace(STEPS[9], readout="absorbance"))) == (
        "changed: read A-001 (absorbance), instead of: read A-001 (fluorescence)",
    )
    assert diff(of(*STEPS), of(*STEPS[:-1])) == ("left out: read A-001 (fluorescence)",)


def test_another_order_is_told() -> None:
    two = of(TRANSFER, replace(TRANSFER, destination_well="C07"))
    swapped = of(replace(TRANSFER, destination_well="C07"), TRANSFER)
    assert diff(two, swapped) == (
        "the same steps are done in another order; step 1 is now: 500 nL of CPD-17 from A01 of S-1 to C07 of A-001",
    )


_TRANSFERS = st.builds(
    Transfer,
    st.integers(1, 4), st.sampled_from(["S-1", "S-2"]), st.sampled_from(["A01", "A02"]), st.just("A-001"),
    st.sampled_from(["A01", "B07"]), st.sampled_from([250, 500, float("nan")]), st.just("T"),
    st.sampled_from(["A01", "A02"]), st.sampled_from(["X", "Y"]), st.integers(0, 1),
)  # fmt: skip
_PROTOCOLS = st.lists(st.one_of(_TRANSFERS, st.sampled_from(STEPS)), max_size=4).map(lambda steps: of(*steps))


@settings(max_examples=300, deadline=None)
@given(_PROTOCOLS, _PROTOCOLS)
def test_nothing_is_told_of_equal_protocols_and_something_of_others(a: Protocol, b: Protocol) -> None:
    assert (diff(a, b) == ()) == (a == b)
    assert all(line == line.strip() for line in diff(a, b))


def test_a_compiled_protocol_differs_from_itself_in_nothing() -> None:
    assert diff(SmallLab().protocol(), SmallLab().protocol()) == ()
    assert len(diff(SmallLab().protocol(1_000), SmallLab().protocol(2_000))) == 13


def test_no_file_is_rendered_for_steps_that_the_robot_file_cannot_say() -> None:
    for step in STEPS[5:]:
        with pytest.raises(PlanError, match=r"^load 0: .*(step|transfer) \d+"):
            render(of(step), 0)
    with pytest.raises(PlanError, match="transfer 1 uses T, which is not on the deck of load 0"):
        render(of(*STEPS[:2]), 0)


def test_a_name_stays_on_one_line_and_short() -> None:
    said_ = diff(of(TRANSFER), of(replace(TRANSFER, compound_id='a\nb"); os.system("x' + "N" * 300)))
    assert said_ == (
        'B07 of A-001 gets 500 nL of a\\nb"); os.system("xNNNNNNNNN..' + "N" * 29 + " instead of 500 nL of CPD-17",
    )


def test_a_mix_with_another_tip_and_wells_beyond_the_first_are_differences() -> None:
    mix, wash = STEPS[2], replace(STEPS[4], wells=("A01", "B01", "C01", "D01", "E01"))
    assert isinstance(mix, Mix)
    assert isinstance(wash, Wash)
    assert diff(of(TRANSFER, mix), of(TRANSFER, replace(mix, tip_well="H12"))) == (
        "1 mix is made with another tip, the first in B07 of A-001",
    )
    other = replace(wash, wells=(*wash.wells[:4], "H12"))
    (words,) = diff(of(wash), of(other))
    assert words.endswith("wells A01, B01, C01, D01, H12 instead of A01, B01, C01, D01, E01")
    (words,) = diff(of(Read(1, "P", "x" * 90 + "a" + "x" * 90)), of(Read(1, "P", "x" * 90 + "b" + "x" * 90)))
    assert words.startswith("changed: read P")
    assert "readout" in words
