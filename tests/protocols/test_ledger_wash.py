"""Washes, mixes, seals and bookings in the ledger: its interval holds the truth, and the judge is told no less."""

from dataclasses import replace

import pytest

from protocols.check import check
from protocols.forecast import shortages
from protocols.ledger import Ledger, WellState
from protocols.model import DeckItem, DeckLoad, DeckRole, Incubate, Mix, Protocol, Seal, Step, Transfer, Wash
from protocols.outcome import Handling, Outcome
from protocols.stock import PlateCare, StockWell, TipRack
from protocols.volumes import Interval

KIND, BOTTLE, TIPS = (
    "corning_384_wellplate_112ul_flat",
    "nest_1_reservoir_195ml",
    "opentrons_flex_96_tiprack_50ul",
)
DECK = (
    DeckItem("C2", "D", KIND, DeckRole.DESTINATION),
    DeckItem("B2", "S", KIND, DeckRole.SOURCE),
    DeckItem("D2", "T", TIPS, DeckRole.TIPS),
)


def plan(*steps: Step, name: str = "n") -> Protocol:
    return Protocol(name, "flex", "flex_1channel_50", "left", (DeckLoad(0, DECK, steps),))


def books(fill_nl: int = 0, care: dict[str, PlateCare] | None = None) -> Ledger:
    stock = [StockWell("S", f"A0{n}", "C1", 112_000, 1e4, KIND) for n in (1, 2, 3)]
    stock.append(StockWell("RES", "A01", "buffer", 100_000_000, 0.0, BOTTLE))
    rack = TipRack("T", TIPS, ("A01", "B01", "C01", "D01"))
    return Ledger.of(stock, [rack], {"D": (KIND, fill_nl)}, care)


def wash(rest_nl: int, volume_nl: int = 50_000, cycles: int = 1, wells: tuple[str, ...] = ("A01",)) -> Wash:
    return Wash(1, "D", wells, cycles, volume_nl, rest_nl, "RES", "A01", "buffer")


def dose(number: int, volume_nl: int, source: str = "A01", tip: str = "A01", well: str = "A01") -> Transfer:
    return Transfer(number, "S", source, "D", well, volume_nl, "T", tip, "C1")


def test_the_rest_of_a_wash_counts_in_an_empty_well_too() -> None:
    fills = (dose(2, 50_000), dose(3, 50_000, "A02", "B01"), dose(4, 12_000, "A03", "C01"))
    assert [p.kind.value for p in check(plan(wash(10_000), *fills), books())] == ["overfill"]
    assert check(plan(wash(0), *fills), books()) == ()


def test_small_cycles_add_up_to_the_rest() -> None:
    after = books().check(plan(wash(10_000, volume_nl=3_000, cycles=5)))
    assert after.volume("D", "A01") == Interval(0, 10_000)
    after = books().check(plan(wash(10_000, volume_nl=3_000, cycles=2)))
    assert after.volume("D", "A01") == Interval(0, 6_000)


@pytest.mark.parametrize("fill_nl", [0, 30_000])
def test_what_stays_in_a_washed_well_is_not_in_the_waste(fill_nl: int) -> None:
    before = books(fill_nl)
    after = before.check(plan(wash(10_000)))
    for rest_nl in (0, 4_000, 10_000):
        assert after.volume("D", "A01").contains(rest_nl)
        assert after.waste.contains(fill_nl + 50_000 - rest_nl)
    assert after.total_nl().contains(before.total_nl().low_nl)


@pytest.mark.parametrize("handling", [Handling(), Handling(0.05)])
def test_a_mix_that_broke_off_may_have_taken_its_liquid_with_the_tip(handling: Handling) -> None:
    night = plan(dose(1, 5_000), Mix(2, "D", "A01", 20_000, 3, "T", "A01"))
    before = books(50_000)
    told = Outcome.of("failed", {"transfers": [[1, 5_000]]}, night.loads[0])
    after = before.reserve(night).commit(night.digest, 0, told, handling)
    assert after.volume("D", "A01").contains(35_000)
    assert after.volume("D", "A01").contains(55_000)
    assert after.state("D", "A01") is WellState.UNKNOWN
    assert after.total_nl().contains(before.total_nl().low_nl)


def test_a_booked_thaw_counts() -> None:
    a, b = plan(dose(1, 5_000), name="a"), plan(dose(1, 5_000, tip="B01", well="B01"), name="b")
    booked = books(care={"S": PlateCare(max_thaws=1)}).reserve(a)
    assert any("thawed once too often" in problem for problem in booked.problems(b))
    after = booked.commit(a.digest, 0, Outcome.whole(a.loads[0]))
    assert after.care["S"].n_thaws == 1


def test_a_booked_wash_leaves_nothing_to_count_on_and_at_most_its_rest_more() -> None:
    booked = books(50_000).reserve(plan(wash(1_000, wells=()), name="w"))
    assert (booked.least()["D", "A01"], booked.most()["D", "A01"]) == (0, 50_000)
    booked = books(0).reserve(plan(wash(1_000, wells=()), name="w"))
    assert (booked.least()["D", "A01"], booked.most()["D", "A01"]) == (0, 1_000)


def test_booked_seals_and_waits_count() -> None:
    care = {"S": PlateCare(evaporation_nl_per_h=2_000)}
    shut = books(care=care).reserve(plan(Seal(1, "D"), Incubate(2, "S", 3600), name="s"))
    assert any("D of well A01 is sealed" in problem for problem in shut.problems(plan(dose(1, 5_000))))
    assert shut.least()["S", "A01"] == 110_000
    assert shut.lab().sealed == {"D"}


def test_a_plate_unsealed_on_the_way_dries_in_the_forecast_too() -> None:
    care = {"S": PlateCare(evaporation_nl_per_h=106_000)}
    shut = replace(books(care=care), sealed=frozenset({"S"}))
    night = plan(Seal(1, "S", is_on=False), Incubate(2, "S", 3600), dose(3, 5_000))
    assert [p.kind.value for p in check(night, shut)] == ["overdraw"]
    assert [(r.plate, r.well) for r in shortages(shut, [night])] == [("S", "A01")]
    closed = plan(Seal(1, "S", is_on=False), Seal(2, "S"), Incubate(3, "S", 3600))
    assert shortages(shut, [closed]) == ()


def test_a_transfer_told_as_drawn_alone_was_the_one_under_way() -> None:
    night = plan(dose(1, 5_000), dose(2, 5_000, "A02", "B01", "B01"), dose(3, 5_000, "A03", "C01", "C01"))
    told = Outcome.of("failed", {"transfers": [[1, 5_000]], "drawn": [[2, 3_000]]}, night.loads[0])
    after = books().reserve(night).commit(night.digest, 0, told)
    assert after.volume("S", "A02") == Interval.exactly(109_000)
    assert after.volume("S", "A03") == Interval.exactly(112_000)
    assert after.tips["T"] == {"C01", "D01"}


def test_a_load_that_never_began_leaves_the_books_as_they_were() -> None:
    night = plan(dose(1, 5_000))
    told = Outcome.of("failed", {"transfers": [], "begun": 0}, night.loads[0])
    after = books().reserve(night).commit(night.digest, 0, told)
    assert after == books()
    silent = Outcome.of("failed", {"transfers": []}, night.loads[0])
    assert books().reserve(night).commit(night.digest, 0, silent).volume("S", "A01") == Interval(107_000, 112_000)
