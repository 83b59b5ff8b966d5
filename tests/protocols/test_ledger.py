"""The ledger refuses every wrong protocol, naming the well, and never loses a nanolitre."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, PlanError
from protocols.ledger import Ledger
from protocols.model import DeckItem, DeckLoad, DeckRole, Protocol, Transfer
from protocols.stock import StockWell, TipRack
from tests.support.protocol_lab import PLATE, TARGET, SmallLab

TIPS = "opentrons_flex_96_tiprack_50ul"


def ledger() -> Ledger:
    """Open a source plate, an assay plate with 100 ul in every well and G12 almost full, a rack with three tips."""
    stock = [StockWell("S", "A01", "C1", 20_000, 1.0, PLATE), StockWell("S", "B01", "C2", 20_000, 1.0, PLATE)]
    books = Ledger.of(stock, [TipRack("T", TIPS, ("A01", "B01", "C01"))], {"P": (TARGET, 100_000)})
    return replace(books, volumes={**books.volumes, ("P", "G12"): 358_000})


DECK = (
    DeckItem("C2", "P", TARGET, DeckRole.DESTINATION),
    DeckItem("B2", "T", TIPS, DeckRole.TIPS),
    DeckItem("D2", "S", PLATE, DeckRole.SOURCE),
)


def transfers() -> list[Transfer]:
    return [
        Transfer(1, "S", "A01", "P", "A01", 1_000, "T", "A01", "C1"),
        Transfer(2, "S", "A01", "P", "A02", 1_000, "T", "B01", "C1"),
        Transfer(3, "S", "B01", "P", "H12", 2_500, "T", "C01", "C2"),
    ]


def protocol(moves: list[Transfer] | None = None, deck: tuple[DeckItem, ...] = DECK, **changes: Any) -> Protocol:
    load = DeckLoad(0, deck, tuple(transfers() if moves is None else moves))
    return replace(Protocol("night", "flex", "flex_1channel_50", "left", (load,)), **changes)


def changed(number: int, **fields: Any) -> Protocol:
    return protocol([replace(t, **fields) if t.transfer_id == number else t for t in transfers()])


def test_a_right_protocol_passes_and_the_volumes_after_it_are_exact() -> None:
    after = ledger().check(protocol())
    assert after.volumes["S", "A01"] == 18_000
    assert after.volumes["S", "B01"] == 17_500
    assert [after.volumes["P", w] for w in ("A01", "A02", "H12", "B05")] == [101_000, 101_000, 102_500, 100_000]
    assert after.tips == {"T": frozenset()}
    assert after.pending == ()


# The first four are what the vendor's simulator lets pass.
WRONG: dict[str, tuple[Callable[[], Protocol], str]] = {
    "overdraw": (
        lambda: changed(3, volume_nl=16_001),
        "overdraw: B01 on S holds 20000 nl, 4000 of them dead volume, so 16000",
    ),
    "overfill": (
        lambda: changed(3, destination_well="G12"),
        "G12 on P): overfill: G12 on P would hold 360500 nl, its maximum is 360000",
    ),
    "source never filled": (lambda: changed(2, source_well="P24"), "overdraw: P24 on S holds 0 nl"),
    "under the minimum": (
        lambda: changed(2, volume_nl=999),
        "(A01 on S to A02 on P): 999 nl is under the 1000 nl minimum",
    ),
    "over the maximum": (lambda: changed(2, volume_nl=50_001), "A02 on P): 50001 nl is over the 50000 nl"),
    "zero": (lambda: changed(1, volume_nl=0), "A01 on P): volume 0 nl is not above 0"),
    "negative": (lambda: changed(1, volume_nl=-5), "volume -5 nl is not above 0"),
    "nan": (lambda: changed(1, volume_nl=float("nan")), "A01 on P): volume nan is not a whole number"),
    "a fraction": (lambda: changed(1, volume_nl=1000.5), "volume 1000.5 is not a whole number"),
    "absurd": (lambda: changed(1, volume_nl=10**9), "1000000000 nl is over"),
    "tip used twice": (lambda: changed(2, tip_well="A01"), "A02 on P): no tip at A01 of rack T"),
    "tip never there": (
        lambda: changed(2, tip_well="D01"),
        "no tip at D01 of rack T: used, booked or never there; 2 tips left",
    ),
    "rack not on deck": (lambda: changed(2, tip_rack="T9"), "tip rack T9 is not on the deck"),
    "source well off the plate": (lambda: changed(2, source_well="Q01"), f"{PLATE} S has no well 'Q01'"),
    "unpadded well": (lambda: changed(2, source_well="A1"), "S has no well 'A1'"),
    "target well off the plate": (lambda: changed(2, destination_well="A13"), f"{TARGET} P has no well 'A13'"),
    "source not on deck": (
        lambda: changed(2, source_plate="X"),
        "source X of well A01 is not on the deck of this load",
    ),
    "plate not in ledger": (lambda: changed(2, source_plate="X"), "plate X of well A01 is not in the ledger"),
    "into a source": (
        lambda: changed(2, destination_plate="S", destination_well="B01"),
        "B01 is on the deck as source, not as destination",
    ),
    "number twice": (lambda: changed(2, transfer_id=1), "the number 1 is used twice"),
    "slot twice": (lambda: protocol(deck=(*DECK[:2], replace(DECK[2], slot="B2"))), "load 0, slot B2: holds T and S"),
    "plate twice": (lambda: protocol(deck=(*DECK, replace(DECK[2], slot="A1"))), "slot A1: S is in another slot too"),
    "trash slot": (
        lambda: protocol(deck=(*DECK[:2], replace(DECK[2], slot="A3"))),
        "slot A3: the flex has no such slot",
    ),
    "unknown labware": (
        lambda: protocol(deck=(*DECK[:2], replace(DECK[2], labware="cup"))),
        "slot D2: labware 'cup' of S is not known",
    ),
    "other labware": (
        lambda: protocol(deck=(*DECK[:2], replace(DECK[2], labware=TARGET))),
        f"S is {PLATE} in the ledger",
    ),
    "tips as plate": (
        lambda: protocol(deck=(DECK[0], replace(DECK[1], role=DeckRole.SOURCE), DECK[2])),
        "cannot serve as source",
    ),
    "unknown robot": (lambda: protocol(robot="r2d2"), "robot 'r2d2' is not known; known are flex, ot2"),
    "unknown pipette": (lambda: protocol(pipette="p5"), "pipette 'p5' is not known"),
    "tips do not fit": (lambda: protocol(pipette="p20_single_gen2"), "do not fit p20_single_gen2"),
    "mount": (lambda: protocol(mount="middle"), "'middle'"),
    "load numbers": (lambda: protocol(loads=(replace(protocol().loads[0], index=3),)), "numbered [3]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_protocol_is_refused_with_the_place(case: str) -> None:
    make, words = WRONG[case]
    before = ledger()
    assert any(words in problem for problem in before.problems(make())), before.problems(make())
    with pytest.raises(PlanError) as error:
        before.check(make())
    assert words in str(error.value)
    with pytest.raises(PlanError):
        before.reserve(make())


def test_all_problems_are_listed_at_once_and_a_dry_well_only_once() -> None:
    moves = [replace(t, volume_nl=15_000) for t in transfers()]
    moves[2] = replace(moves[2], source_well="A01", tip_well="H12")
    problems = ledger().problems(protocol(moves))
    assert len([p for p in problems if "overdraw: A01" in p]) == 1
    assert len([p for p in problems if "no tip at H12" in p]) == 1
    assert len(problems) == 2


def test_booked_volume_and_tips_are_not_given_twice() -> None:
    draw = [replace(transfers()[0], volume_nl=10_000)]
    booked = ledger().reserve(protocol(draw))
    second = [replace(transfers()[1], volume_nl=10_000)]
    assert any("overdraw: A01 on S holds 10000" in p for p in booked.problems(protocol(second)))
    third = [replace(transfers()[2], tip_well="A01")]
    assert any("no tip at A01" in p for p in booked.problems(protocol(third)))
    with pytest.raises(PlanError, match="booked already"):
        booked.reserve(protocol(draw))


def test_what_is_booked_for_a_source_does_not_count_as_arrived() -> None:
    """A destination's booked arrivals fill it for the overfill check but cannot be drawn."""
    booked = ledger().reserve(protocol())
    assert booked.most()["P", "A01"] == 101_000
    assert booked.least()["P", "A01"] == 100_000
    assert booked.least()["S", "A01"] == 18_000
    assert booked.most()["S", "A01"] == 20_000


def test_rollback_restores_everything() -> None:
    before = ledger()
    plan = protocol()
    assert before.reserve(plan).rollback(plan.digest) == before
    assert before.reserve(plan).rollback(plan.digest, 0) == before
    with pytest.raises(PlanError, match="nothing booked"):
        before.rollback(plan.digest)


def test_commit_takes_what_really_moved() -> None:
    plan = protocol()
    after = ledger().reserve(plan).commit(plan.digest, 0, [[1, 1_000], [2, 400]])
    assert after.volumes["S", "A01"] == 18_600
    assert after.volumes["P", "A02"] == 100_400
    assert after.volumes["S", "B01"] == 20_000
    # The tip of transfer 3 may hang on the pipette of the robot that failed.
    assert after.tips["T"] == frozenset()
    assert ledger().reserve(plan).commit(plan.digest, 0, [[1, 1_000]]).tips["T"] == {"C01"}


@pytest.mark.parametrize(
    ("confirmed", "words"),
    [
        ([[9, 1_000]], "transfer 9 is not of this load"),
        ([[1, 1_000], [1, 0]], "transfer 1 is confirmed twice"),
        ([[1, 1_001]], "A01 of P: 1001 nl confirmed"),
        ([[1, -1]], "-1 nl confirmed"),
        ([[1, 0.5]], "0.5 nl confirmed"),
    ],
)
def test_an_impossible_confirmation_is_refused(confirmed: list[list[int]], words: str) -> None:
    plan = protocol()
    with pytest.raises(DataError, match=words):
        ledger().reserve(plan).commit(plan.digest, 0, confirmed)


def test_only_booked_loads_are_committed() -> None:
    with pytest.raises(PlanError, match=r"load 0 .* is not booked"):
        ledger().commit(protocol().digest, 0, [])


def test_one_barcode_is_one_thing() -> None:
    with pytest.raises(DataError, match="P is in the ledger already"):
        ledger().with_plate("P", TARGET)
    with pytest.raises(DataError, match="S is listed as"):
        Ledger.of([StockWell("S", "A01", "C", 1, 1.0, PLATE)], [TipRack("S", TIPS, ())])
    with pytest.raises(DataError, match="'cup' is not known"):
        ledger().with_plate("X", "cup")


@settings(max_examples=60, deadline=None)
@given(
    volumes=st.lists(st.integers(1_000, 5_000), min_size=13, max_size=13),
    shares=st.lists(st.floats(0, 1), min_size=13, max_size=13),
    n_done=st.integers(0, 13),
    robot=st.sampled_from(["flex", "ot2"]),
)
def test_no_nanolitre_is_ever_lost(volumes: list[int], shares: list[float], n_done: int, robot: str) -> None:
    lab = SmallLab(robot)
    plan = lab.protocol(1_000)
    loads = tuple(
        replace(load, steps=tuple(replace(t, volume_nl=volumes[t.transfer_id - 1]) for t in load.transfers))
        for load in plan.loads
    )
    plan = replace(plan, loads=loads)
    before = lab.ledger()
    books = before.reserve(plan)
    assert books.total_nl() == before.total_nl()
    ids = [t.transfer_id for t in plan.transfers][:n_done]
    confirmed = {n: int(volumes[n - 1] * shares[n - 1]) for n in ids}
    for load in plan.loads:
        mine = [(t.transfer_id, confirmed[t.transfer_id]) for t in load.transfers if t.transfer_id in confirmed]
        books = books.commit(plan.digest, load.index, mine)
    assert books.total_nl() == before.total_nl()
    assert books.pending == ()
    moved = sum(books.volumes[key] - before.volumes[key] for key in books.volumes if key[0] == "P-1")
    assert moved == sum(confirmed.values())
    assert min(books.volumes.values()) >= 0
