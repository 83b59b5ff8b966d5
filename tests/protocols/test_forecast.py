"""A night that would run dry is refused, and the bottle to fill is named with how much; filled, it runs."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.forecast import Need, Refill, Retip, dry, shortages
from protocols.ledger import Ledger
from protocols.model import Incubate, Mix
from protocols.stock import PlateCare, StockWell
from protocols.volumes import Interval
from tests.support.orders_lab import TROUGH, dose_lab
from tests.support.right_protocols import right_protocol
from tests.support.wrong_protocols import WRONG, ledger, moves, of, right


def test_a_night_that_has_everything_may_run() -> None:
    assert shortages(ledger(), [right()]) == ()


def test_the_bottle_is_named_with_what_is_missing() -> None:
    short = replace(ledger(), wells={**ledger().wells, ("R", "A01"): Interval(1_100_000, 1_200_000)})
    drawn = 8 * 5_000 + 2 * 5_000 + 2 * 50_000
    assert shortages(short, [right()]) == (Refill("R", "A01", "medium", drawn - 100_000, 13_800_000),)
    assert str(shortages(short, [right()])[0]) == "fill A01 of R with medium by at least 50000 nl"


def test_several_protocols_of_a_night_are_taken_together() -> None:
    two = [
        of(*(replace(t, volume_nl=9_000) for t in moves()[:1])),
        of(*(replace(t, volume_nl=9_000) for t in moves()[1:2])),
    ]
    assert shortages(ledger(), two[:1]) == shortages(ledger(), two[1:]) == ()
    assert shortages(ledger(), two) == (Refill("S", "A01", "C1", 2_000, 92_000),)
    assert shortages(ledger().reserve(two[0]), two[1:]) == (Refill("S", "A01", "C1", 2_000, 92_000),)


def test_what_does_not_fit_asks_for_a_second_well() -> None:
    found = shortages(ledger(), [of(*(replace(t, volume_nl=49_000) for t in moves()[:2]))])
    assert str(found[0]) == "fill A01 of S with C1 by at least 82000 nl"
    three = of(*(replace(t, volume_nl=45_000, source_well="A01") for t in moves()))
    assert str(shortages(ledger(), [three])[0]).endswith("119000 nl, of which only 92000 nl fit: set up a second well")


def test_missing_tips_are_named_by_rack() -> None:
    found = shortages(ledger(), [WRONG["tip never there"].make()])
    assert found == (Retip("T", "opentrons_flex_96_tiprack_50ul", ("E01",)),)
    assert str(found[0]).startswith("1 tip(s) missing in T (E01): put in a full opentrons_flex")


def test_a_dilution_that_the_protocol_makes_itself_is_not_missed() -> None:
    lab = dose_lab(10, (10.0, 1.0, 0.1))
    assert shortages(lab.ledger(), [lab.compiled().protocol]) == ()


def test_what_evaporates_is_missing_afterwards() -> None:
    books = replace(ledger(), care={"S": PlateCare(evaporation_nl_per_h=10_000)})
    late = of(Incubate(9, "S", 5_400), *moves())
    assert shortages(ledger(), [late]) == ()
    assert shortages(books, [late]) == (
        Refill("S", "A01", "C1", 1_000, 92_000),
        Refill("S", "B01", "C2", 1_500, 92_000),
    )


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_a_filled_bottle_is_enough_and_a_nanolitre_less_is_not(seed: int, share: float) -> None:
    protocol, books, _ = right_protocol(seed)
    drained = replace(books, wells={k: Interval.exactly(int(v.low_nl * share)) for k, v in books.wells.items()})
    found = [s for s in shortages(drained, [protocol]) if isinstance(s, Refill)]
    assert (not found) == (not _overdrawn(drained, protocol))
    assert not _overdrawn(_filled(drained, found, 0), protocol)
    if found:
        assert _overdrawn(_filled(drained, found, -1), protocol)


def _filled(books: Ledger, refills: list[Refill], by_nl: int) -> Ledger:
    more = {(r.plate, r.well): r.missing_nl + by_nl for r in refills}
    wells = {key: Interval.exactly(v.low_nl + more.get(key, 0)) for key, v in books.wells.items()}
    return replace(books, wells=wells)


def _overdrawn(books: Ledger, protocol: object) -> list[str]:
    from protocols.check import ProblemKind, check
    from protocols.model import Protocol

    assert isinstance(protocol, Protocol)
    # Mixing asks for liquid too, and takes none.
    mixed = {(s.plate, s.well) for s in protocol.steps if isinstance(s, Mix)}
    found = check(protocol, books)
    return [p.message for p in found if p.kind is ProblemKind.OVERDRAW and (p.plate, p.well) not in mixed]


def test_liquids_of_a_night_before_it_is_compiled() -> None:
    stock = [
        StockWell("R", "A01", "DMSO", 1_500_000, 0.0, TROUGH),
        StockWell("R", "A02", "DMSO", 1_050_000, 0.0, TROUGH),
        StockWell("R", "A03", "REF", 1_000_000, 0.0, TROUGH),
    ]
    assert list(dry([Need("DMSO", 100, 5_000), Need("DMSO", 10, 5_000)], stock)) == []
    assert list(dry([Need("DMSO", 111, 5_000)], stock)) == [Refill("R", "A02", "DMSO", 5_000, 13_950_000)]
    assert list(dry([Need("REF", 2, 5_000)], stock)) == [Refill("R", "A03", "REF", 10_000, 14_000_000)]
