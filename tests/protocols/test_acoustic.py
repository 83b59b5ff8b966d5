"""The acoustic dispenser: no tips, whole droplets, and the window of its source wells."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_files import echo_report

from nextplate.errors import PlanError
from protocols.carry_over import carry_over
from protocols.check import ProblemKind, check
from protocols.compile import compile_orders
from protocols.deckmap import slot_places
from protocols.describe import describe
from protocols.labware import LABWARE, pipette, robot_deck
from protocols.ledger import Ledger
from protocols.model import Protocol, Transfer
from protocols.orders import Compiled, Order, Rules, Target
from protocols.stock import StockWell
from protocols.worklists.account import as_outcome
from protocols.worklists.echo import read_echo, write_echo
from protocols.worklists.echo_report import read_echo_report
from protocols.worklists.names import Names
from protocols.worklists.picks import pick_of

TARGET = Target("A-1", "corning_384_wellplate_112ul_flat", 50_000)
DECK = robot_deck("echo")
WELLS = LABWARE[TARGET.labware].wells_by_column()


def stock(kind: str = "labcyte_384_pp", volume_nl: int = 60_000, um: float = 10_000.0) -> list[StockWell]:
    wells = LABWARE[kind].wells_by_column()
    made = [StockWell(f"S-{n % 3}", wells[n], f"C{n}", volume_nl, um, kind) for n in range(24)]
    return [*made, StockWell("S-D", "A01", "DMSO", 60_000, 0.0, "labcyte_384_pp")]


def compiled(orders: Sequence[Order], held: list[StockWell] | None = None, rules: Rules | None = None) -> Compiled:
    return compile_orders(orders, (TARGET,), held or stock(), (), DECK, rules or Rules(), "night")


def ledger(held: list[StockWell] | None = None) -> Ledger:
    return Ledger.of(held or stock(), (), {"A-1": (TARGET.labware, TARGET.fill_nl)})


PICKS = [Order("A-1", WELLS[n], f"C{n}", 25) for n in range(24)]
DOSES = [Order("A-1", WELLS[n], f"C{n}", dose_um=10.0) for n in range(24)]
DMSO = Rules(final_dmso_percent=0.5)


def test_picks_become_a_protocol_that_may_run() -> None:
    protocol = compiled(PICKS).protocol
    assert {t.tip_rack for t in protocol.transfers} == {""}
    assert len(protocol.loads) == 3
    assert check(protocol, ledger(), DECK) == ()
    assert carry_over(protocol) == ()
    assert "S-1" in describe(protocol)
    assert set(slot_places("echo")) == {item.slot for load in protocol.loads for item in load.deck}
    assert Protocol.from_json(protocol.to_json()) == protocol


def test_doses_are_made_of_whole_droplets_and_what_they_make_is_told() -> None:
    found = compiled(DOSES, rules=DMSO)
    total_nl = 250  # 0.5 per cent of the whole well, 251 nl, in droplets of 5 nl
    assert all(um == pytest.approx(10_000 * 50 / (50_000 + total_nl)) for um in found.made_um.values())
    per_well: dict[str, int] = {}
    for t in found.protocol.transfers:
        per_well[t.destination_well] = per_well.get(t.destination_well, 0) + t.volume_nl
    assert set(per_well.values()) == {total_nl}
    assert check(found.protocol, ledger(), DECK) == ()


def test_a_1536_well_source_is_drawn_from() -> None:
    held = stock("labcyte_1536_ldv", 5_000)
    protocol = compiled(PICKS, held).protocol
    assert check(protocol, ledger(held), DECK) == ()


def test_a_pipette_still_cannot_reach_into_it() -> None:
    picks = [replace(order, volume_nl=1_000) for order in PICKS]
    with pytest.raises(PlanError, match="cannot reach into"):
        compile_orders(picks, (TARGET,), stock("labcyte_1536_ldv", 5_000), (), robot_deck("flex"), Rules(), "x")


@pytest.mark.parametrize(
    ("orders", "held", "rules", "says"),
    [
        ([Order("A-1", "B07", "C1", 27)], stock(), Rules(), "B07 of A-1: 27 nl is not a whole number of droplets"),
        ([Order("A-1", "B07", "C1", 2)], stock(), Rules(), "2 nl into B07"),
        ([Order("A-1", "B07", "C1", 20_000)], stock(), Rules(), "20000 nl into B07"),
        ([Order("A-1", "B07", "C1", 25)], stock(volume_nl=65_001), Rules(), "the stock table is wrong"),
        ([Order("A-1", "B07", "C1", 25)], stock("labcyte_384_ldv", 13_000), Rules(), "B01 of S-1: it holds 13000 nl"),
        ([Order("A-1", "B07", "C1", 25)], stock("corning_384_wellplate_112ul_flat"), Rules(), "sound does not go"),
        ([Order("A-1", "B07", "C1", 25)], stock(volume_nl=15_000), Rules(), "dead volume"),
        ([Order("A-1", "B07", "C1", dose_um=0.5)], stock(), DMSO, "B07 of A-1: 0.5 uM of C1"),
        ([Order("A-1", "B07", "C1", dose_um=1.5)], stock(), DMSO, "make 1.99005 uM|make 0.99"),
        ([Order("A-1", "B07", "C1", dose_um=90.0)], stock(), DMSO, "B07 of A-1: 90 uM of C1"),
        ([Order("A-1", "B07", "C1", dose_um=float("nan"))], stock(), DMSO, "B07 of A-1: a dose of nan uM"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_well(
    orders: list[Order], held: list[StockWell], rules: Rules, says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        compiled(orders, held, rules)


def changed(**values: object) -> Protocol:
    protocol = compiled(PICKS).protocol
    first: Transfer = replace(protocol.transfers[0], **values)  # type: ignore[arg-type]
    load = protocol.loads[0]
    return replace(protocol, loads=(replace(load, steps=(first, *load.steps[1:])), *protocol.loads[1:]))


@pytest.mark.parametrize(
    ("protocol", "held", "kind"),
    [
        (changed(volume_nl=27), stock(), ProblemKind.VOLUME),
        (changed(volume_nl=0), stock(), ProblemKind.VOLUME),
        (changed(volume_nl=15_000), stock(), ProblemKind.VOLUME),
        (changed(tip_rack="T", tip_well="A01"), stock(), ProblemKind.TIP),
        (changed(stroke=1), stock(), ProblemKind.STROKE),
        (changed(), stock(volume_nl=15_020), ProblemKind.OVERDRAW),
        (changed(source_well="Q01"), stock(), ProblemKind.WELL),
        (replace(changed(), pipette="echo_525"), [replace(s, volume_nl=60_000) for s in stock()], None),
        (replace(compiled([Order("A-1", "A01", "C0", 30)]).protocol, pipette="echo_525"), stock(), ProblemKind.VOLUME),
    ],
)
def test_the_checker_refuses_what_it_cannot_do(
    protocol: Protocol, held: list[StockWell], kind: ProblemKind | None
) -> None:
    problems = check(protocol, ledger(held))
    if kind is None:
        assert problems == ()
    else:
        assert kind in {problem.kind for problem in problems}
        assert all(problem.well for problem in problems)


def test_an_overfull_source_well_is_refused() -> None:
    held = stock("labcyte_384_ldv", 12_000)
    protocol = compiled(PICKS, held).protocol
    over = [replace(s, volume_nl=12_100) if s.source_plate != "S-D" else s for s in held]
    problems = check(protocol, ledger(over), DECK)
    assert len(problems) == 24
    assert "hold at most 12000 nl" in str(problems[0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 23), st.integers(0, 383), st.integers(1, 400)), min_size=1, max_size=30))
def test_lists_and_reports_of_it_conserve_every_nanolitre(wanted: list[tuple[int, int, int]]) -> None:
    orders = [Order("A-1", WELLS[well], f"C{n}", 5 * droplets) for n, well, droplets in wanted]
    protocol = compiled(orders).protocol
    books = ledger().reserve(protocol)
    before = books.total_nl()
    for load in protocol.loads:
        made = write_echo(protocol, load.index)
        assert read_echo(made.text, made.names) == tuple(pick_of(t) for t in load.transfers)
        one = replace(protocol, loads=(load,))
        account = read_echo_report(echo_report(one), load, Names({}))
        books = books.commit(protocol.digest, load.index, as_outcome(account))
    assert books.total_nl() == before
    assert books.volume("S-D", "A01").is_exact
    assert sum(t.volume_nl for t in protocol.transfers) == sum(5 * d for _, _, d in wanted)


@pytest.mark.parametrize(("name", "step_nl"), [("echo_550", 5), ("echo_525", 25), ("flex_1channel_50", 1)])
def test_the_smallest_step_is_whole_nanolitres(name: str, step_nl: int) -> None:
    assert pipette(name).step_nl == step_nl
