"""Every wrong protocol is refused with its well named, and no right one is."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.carry_over import carry_over
from protocols.check import check
from protocols.ledger import Ledger
from protocols.model import PlateMove, Protocol, Read
from tests.support.right_protocols import right_protocol
from tests.support.wrong_protocols import NIGHT, ROBOT, WRONG, ledger, moves, of, right


def test_the_right_protocol_passes() -> None:
    assert check(right(), ledger(), ROBOT, NIGHT) == ()


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_protocol_is_refused_with_the_place(case: str) -> None:
    wrong = WRONG[case]
    found = check(wrong.make(), ledger(), ROBOT, NIGHT)
    named = [p for p in found if wrong.words in p.message and (p.plate, p.well) == (wrong.plate, wrong.well)]
    assert named, [(p.message, p.plate, p.well) for p in found]
    assert all(p.well in p.message and p.plate in p.message for p in found)


def test_a_plate_may_be_carried_out_read_and_brought_back() -> None:
    steps = (
        *moves()[:2],
        PlateMove(10, "P", "deck/C2", "reader"),
        Read(11, "P", "od"),
        PlateMove(12, "P", "reader", "deck/B1"),
        moves()[2],
        PlateMove(13, "P", "deck/B1", "stack/done"),
        PlateMove(14, "S", "deck/D2", "reader"),
        PlateMove(15, "S", "reader", "deck/D4"),
        PlateMove(16, "S", "deck/D4", "deck/C2"),
    )
    back = of(*steps)
    assert check(back, ledger(), ROBOT, NIGHT) == ()
    assert check(back, ledger()) == ()


def test_carry_over_into_a_source_by_a_mix_is_told() -> None:
    found = carry_over(WRONG["mixing a source with a tip that met another liquid"].make())
    assert [(c.touched, c.liquids, c.source) for c in found] == [(("P", "A01"), ("C2",), ("S", "A01"))]


def test_the_table_is_long_enough() -> None:
    assert len(WRONG) >= 40


def test_without_a_date_nothing_is_said_of_expiry() -> None:
    assert check(WRONG["expired"].make(), ledger(), ROBOT) == ()


def test_a_plate_that_comes_back_from_the_cold_is_thawed_again() -> None:
    care = {"S": replace(ledger().care["WORN"], n_thaws=4)}
    once = of(*moves())
    books = replace(ledger(), care=care)
    assert check(once, books, ROBOT, NIGHT) == ()
    away = replace(once.loads[0], index=1, deck=once.loads[0].deck[:2], steps=())
    back = replace(once.loads[0], index=2, steps=())
    again = replace(once, loads=(once.loads[0], away, back))
    assert ["thawed" in p.message for p in check(again, books, ROBOT, NIGHT)] == [True]
    stays = replace(once, loads=(once.loads[0], replace(back, index=1)))
    assert check(stays, books, ROBOT, NIGHT) == ()
    assert books.check(stays, ROBOT, NIGHT).care["S"].n_thaws == 5


@pytest.mark.parametrize("seed", range(200))
def test_a_right_protocol_is_never_refused(seed: int) -> None:
    protocol, books, robot = right_protocol(seed)
    assert check(protocol, books, robot, NIGHT) == ()
    assert protocol.steps


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_a_protocol_changed_in_any_field_is_judged_and_never_crashes(seed: int, data: st.DataObject) -> None:
    protocol, books, robot = right_protocol(seed)
    text = protocol.to_json()
    at = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from(["0", "-1", "NaN", "1e9", "null", '"', "A01", "Z", "true", "[]"]))
    from nextplate.errors import DataError

    try:
        other = Protocol.from_json(text[:at] + put + text[at + 1 :])
    except DataError:
        return
    check(other, books, robot, NIGHT)
    _never_half_booked(books, other)


def _never_half_booked(books: Ledger, protocol: Protocol) -> None:
    from nextplate.errors import PlanError

    try:
        after = books.check(protocol)
    except PlanError:
        return
    assert after.pending == ()
