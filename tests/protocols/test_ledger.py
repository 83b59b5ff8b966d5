"""The ledger refuses every wrong protocol, naming the well, and never loses a nanolitre."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, PlanError
from protocols.ledger import Ledger, WellState
from protocols.model import DeckItem, DeckLoad, DeckRole, Incubate, Protocol, Step, Transfer
from protocols.outcome import EXACT, Handling, Outcome
from protocols.stock import PlateCare, StockWell, TipRack
from protocols.volumes import Interval
from tests.support import wrong_protocols
from tests.support.protocol_lab import PLATE, TARGET, SmallLab

TIPS = "opentrons_flex_96_tiprack_50ul"


def ledger() -> Ledger:
    """Open a source plate, an assay plate with 100 ul in every well and G12 almost full, a rack with three tips."""
    stock = [StockWell("S", "A01", "C1", 20_000, 1.0, PLATE), StockWell("S", "B01", "C2", 20_000, 1.0, PLATE)]
    books = Ledger.of(stock, [TipRack("T", TIPS, ("A01", "B01", "C01"))], {"P": (TARGET, 100_000)})
    return replace(books, wells={**books.wells, ("P", "G12"): Interval.exactly(358_000)})


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


def protocol(moves: Sequence[Step] | None = None, deck: tuple[DeckItem, ...] = DECK, **changes: Any) -> Protocol:
    load = DeckLoad(0, deck, tuple(transfers() if moves is None else moves))
    return replace(Protocol("night", "flex", "flex_1channel_50", "left", (load,)), **changes)


def changed(number: int, **fields: Any) -> Protocol:
    return protocol([replace(t, **fields) if t.transfer_id == number else t for t in transfers()])


def test_a_right_protocol_passes_and_the_volumes_after_it_are_exact() -> None:
    after = ledger().check(protocol())
    assert after.volume("S", "A01") == Interval.exactly(18_000)
    assert after.volume("S", "B01") == Interval.exactly(17_500)
    assert [after.volume("P", w).low_nl for w in ("A01", "A02", "H12", "B05")] == [101_000, 101_000, 102_500, 100_000]
    assert after.tips == {"T": frozenset()}
    assert after.pending == ()


def test_all_problems_are_listed_at_once_and_a_dry_well_only_once() -> None:
    moves = [replace(t, volume_nl=15_000) for t in transfers()]
    moves[2] = replace(moves[2], source_well="A01", compound_id="C1", tip_well="H12")
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


def committed(status: str, result: dict[str, Any], handling: Handling = EXACT) -> Ledger:
    plan = protocol()
    return ledger().reserve(plan).commit(plan.digest, 0, Outcome.of(status, result, plan.loads[0]), handling)


def test_commit_takes_what_really_moved() -> None:
    after = committed("failed", {"transfers": [[1, 1_000], [2, 400]]})
    # A clogged tip may have drawn what it did not give.
    assert after.volume("S", "A01") == Interval(18_000, 18_600)
    assert after.state("S", "A01") is WellState.UNKNOWN
    assert after.volume("P", "A02") == Interval.exactly(100_400)
    # The robot may have failed at any moment of transfer 3, whose tip may hang on the pipette.
    assert after.volume("S", "B01") == Interval(17_500, 20_000)
    assert after.volume("P", "H12") == Interval(100_000, 102_500)
    assert after.tips["T"] == frozenset()
    assert committed("failed", {"transfers": [[1, 1_000]]}).tips["T"] == {"C01"}


def test_a_device_that_tells_what_it_drew_leaves_no_doubt() -> None:
    after = committed("failed", {"transfers": [[1, 1_000], [2, 400]], "drawn": [[1, 1_000], [2, 700], [3, 2_500]]})
    assert after.volume("S", "A01") == Interval.exactly(18_300)
    assert after.volume("S", "B01") == Interval.exactly(17_500)
    assert after.volume("P", "H12") == Interval.exactly(100_000)
    assert after.waste == Interval.exactly(300 + 2_500)
    assert after.unknown == frozenset()
    assert after.total_nl() == ledger().total_nl()


def test_of_an_unknown_outcome_everything_planned_may_have_happened_or_not() -> None:
    after = committed("unknown", {})
    assert after.volume("S", "A01") == Interval(18_000, 20_000)
    assert after.volume("P", "A01") == Interval(100_000, 101_000)
    assert after.unknown == {("S", "A01"), ("S", "B01"), ("P", "A01"), ("P", "A02"), ("P", "H12")}
    assert after.tips["T"] == frozenset()
    # Neither has a load that calls itself done and does not say of what.
    assert committed("done", {"transfers": [[1, 1_000]]}).volume("S", "B01") == Interval(17_500, 20_000)


def test_a_failure_before_anything_begins_leaves_the_first_transfer_in_doubt_only() -> None:
    after = committed("failed", {"transfers": []})
    assert after.volume("S", "A01") == Interval(19_000, 20_000)
    assert after.volume("S", "B01") == Interval.exactly(20_000)
    assert after.tips["T"] == {"B01", "C01"}


def test_a_confirmed_volume_is_as_good_as_the_device() -> None:
    everything = {"transfers": [[1, 1_000], [2, 1_000], [3, 2_500]]}
    after = committed("done", everything, Handling(error_share=0.05))
    assert after.volume("P", "H12") == Interval(102_375, 102_625)
    assert after.volume("S", "A01") == Interval(17_900, 18_100)
    assert after.state("S", "A01") is WellState.CONFIRMED
    blind = committed("done", everything, Handling(notices_blockage=False))
    assert blind.volume("P", "H12") == Interval(100_000, 102_500)
    assert blind.volume("S", "B01") == Interval(17_500, 20_000)


def test_somebody_who_looks_ends_the_doubt() -> None:
    after = committed("unknown", {}).measured("S", "A01", Interval(18_900, 19_100))
    assert after.volume("S", "A01") == Interval(18_900, 19_100)
    assert after.state("S", "A01") is WellState.CONFIRMED
    for plate, well, volume in (
        ("X", "A01", Interval(0, 1)), ("S", "Z01", Interval(0, 1)), ("S", "A01", Interval(0, 112_001)),
        ("S", "A01", Interval(2, 1)),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"{well} of {plate}"):
            after.measured(plate, well, volume)


def test_a_booked_well_is_pending_until_its_load_is_over() -> None:
    plan = protocol()
    booked = ledger().reserve(plan)
    assert booked.state("S", "A01") is booked.state("P", "H12") is WellState.PENDING
    assert booked.state("P", "B05") is WellState.CONFIRMED
    assert booked.rollback(plan.digest).state("S", "A01") is WellState.CONFIRMED


def test_open_plates_lose_to_the_air_and_sealed_ones_do_not() -> None:
    books = replace(ledger(), care={"P": PlateCare(evaporation_nl_per_h=333)})
    shut = replace(books, sealed=frozenset("P"))
    assert books.check(protocol([Incubate(9, "P", 5400)])).volume("P", "A01") == Interval(99_500, 100_000)
    assert books.check(protocol([Incubate(9, "S", 5400)])).volume("S", "A01") == Interval.exactly(20_000)
    assert books.check(protocol([Incubate(9, "P", 30_000_000)])).volume("P", "A01") == Interval(0, 100_000)
    assert shut.check(protocol([Incubate(9, "P", 5400)])) == shut


def test_every_kind_of_step_is_entered() -> None:
    books, plan = wrong_protocols.ledger(), wrong_protocols.right()
    after = books.check(plan, wrong_protocols.ROBOT)
    trough = 2_000_000 - 8 * 5_000 - 2 * 5_000 - 2 * 50_000
    assert after.volume("R", "A01") == Interval.exactly(trough)
    assert after.volume("P", "B05") == Interval.exactly(105_000)
    assert after.volume("P", "B07") == Interval(0, 5_000)
    assert after.sealed == {"SHUT"}
    # The incubation was under a seal, so nothing evaporated; the wash sucked off what was in its well and its buffer.
    assert after.volume("P", "A01") == Interval.exactly(101_000)
    assert after.waste == Interval(195_000, 200_000)
    assert after.total_nl().contains(books.total_nl().low_nl)


def test_a_load_that_stops_in_a_wash_leaves_its_wells_in_doubt() -> None:
    books, plan = wrong_protocols.ledger(), wrong_protocols.right()
    load = plan.loads[0]
    moved = [[t.transfer_id, t.volume_nl] for t in load.transfers]
    outcome = Outcome.of("failed", {"transfers": moved, "steps": [5, 20]}, load)
    after = books.reserve(plan, wrong_protocols.ROBOT).commit(plan.digest, 0, outcome)
    assert after.volume("P", "B05") == Interval.exactly(105_000)
    assert after.volume("P", "B07") == Interval(0, 100_000)
    assert after.state("P", "B07") is after.state("R", "A01") is WellState.UNKNOWN
    assert after.volume("R", "A01") == Interval(1_850_000, 1_950_000)


@pytest.mark.parametrize(
    ("confirmed", "words"),
    [
        ([[9, 1_000]], "transfer 9 is not of this load"),
        ([[1, 1_000], [1, 0]], "transfer 1 is confirmed twice"),
        ([[1, 1_001]], "A01 of P: 1001 nl confirmed"),
        ([[1, -1]], "-1 nl confirmed"),
        ([[1, 0.5]], "0.5 nl confirmed"),
        ([[1, True]], "True nl confirmed"),
        ([["1", 5]], "not of this load"),
        ([[[1], 5]], "not of this load"),
        (["15"], "no pair"),
        ([[1]], "no pair"),
        ([5], "no pair"),
    ],
)
def test_an_impossible_confirmation_is_refused(confirmed: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        committed("failed", {"transfers": confirmed})
    with pytest.raises(DataError, match=r"step 77|step 'x'"):
        committed("failed", {"steps": [77 if confirmed else "x"]})


def test_only_booked_loads_are_committed() -> None:
    with pytest.raises(PlanError, match=r"load 0 .* is not booked"):
        ledger().commit(protocol().digest, 0, Outcome({}))


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
        mine = {t.transfer_id: confirmed[t.transfer_id] for t in load.transfers if t.transfer_id in confirmed}
        failed = {"transfers": list(mine.items()), "drawn": list(mine.items())}
        books = books.commit(plan.digest, load.index, Outcome.of("failed", failed, load))
    # The transfer under way when the robot failed may have drawn: the total is known to its volume.
    assert books.total_nl().contains(before.total_nl().low_nl)
    assert books.total_nl().low_nl >= before.total_nl().low_nl - sum(volumes)
    assert books.pending == ()
    if n_done == len(plan.transfers):
        assert books.total_nl() == before.total_nl()
        moved = sum(v.low_nl - before.wells[key].low_nl for key, v in books.wells.items() if key[0] == "P-1")
        assert moved == sum(confirmed.values())
    assert min(volume.low_nl for volume in books.wells.values()) >= 0
