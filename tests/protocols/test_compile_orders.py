"""Doses by volume, dilutions, several plates, eight channels and tips that stay on: what the compiler promises."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import PlanError
from protocols.check import check
from protocols.compile import Compiled, Order, Rules, Spare, Target, TipPolicy, compile_orders
from protocols.dosing import Dilution, in_moves, mixtures
from protocols.draws import Portion
from protocols.duration import n_swaps
from protocols.labware import LABWARE, pipette
from protocols.model import DeckRole, Mix, Protocol, Transfer
from protocols.stock import DOSE_TOLERANCE, StockWell, TipRack
from tests.support.orders_lab import P96, P384, OrdersLab, compounds, dose_lab, plain_lab, solvent

DOSES = (10.0, 3.0, 1.0, 0.3, 0.1)


@dataclass
class Mixed:
    """What is in a well when a protocol has been done by the book."""

    volume_nl: float = 0.0
    solvent_nl: float = 0.0
    """Of it, everything but medium."""
    fmol: dict[str, float] = field(default_factory=dict)

    def take(self, volume_nl: float) -> "Mixed":
        share = volume_nl / self.volume_nl
        part = Mixed(volume_nl, self.solvent_nl * share, {name: n * share for name, n in self.fmol.items()})
        self.volume_nl -= volume_nl
        self.solvent_nl -= part.solvent_nl
        self.fmol = {name: n - part.fmol[name] for name, n in self.fmol.items()}
        return part

    def add(self, other: "Mixed") -> None:
        self.volume_nl += other.volume_nl
        self.solvent_nl += other.solvent_nl
        for name, n in other.fmol.items():
            self.fmol[name] = self.fmol.get(name, 0.0) + n


def carried_out(lab: OrdersLab, protocol: Protocol) -> dict[tuple[str, str], Mixed]:
    wells: dict[tuple[str, str], Mixed] = {}
    for item in lab.stock:
        amount = item.volume_nl * item.concentration_um
        wells[item.source_plate, item.source_well] = Mixed(item.volume_nl, item.volume_nl, {item.compound_id: amount})
    for target in lab.targets:
        for well in LABWARE[target.labware].wells_by_column():
            wells[target.barcode, well] = Mixed(target.fill_nl)
    for t in protocol.transfers:
        part = wells[t.source_plate, t.source_well].take(t.volume_nl)
        wells.setdefault((t.destination_plate, t.destination_well), Mixed()).add(part)
    return wells


def assert_as_ordered(lab: OrdersLab, compiled: Compiled) -> None:
    """Check every ordered well: its dose, and the one share of solvent."""
    assert check(compiled.protocol, lab.ledger(), lab.deck) == ()
    wells = carried_out(lab, compiled.protocol)
    percent = lab.rules.final_dmso_percent
    for order in lab.orders:
        there = wells[order.plate, order.well]
        if percent is not None:
            assert 100 * there.solvent_nl / there.volume_nl == pytest.approx(percent, rel=1e-3)
        if order.dose_um is not None:
            made_um = there.fmol[order.compound_id] / there.volume_nl
            assert made_um == pytest.approx(order.dose_um, rel=DOSE_TOLERANCE)
            if (order.plate, order.well) in compiled.made_um:
                assert made_um == pytest.approx(compiled.made_um[order.plate, order.well], rel=0.01)
        elif percent is None:
            assert there.solvent_nl == pytest.approx(order.volume_nl, abs=1e-3)
    ordered = {(order.plate, order.well) for order in lab.orders}
    for key, there in wells.items():
        if key[0] in {t.barcode for t in lab.targets} and key not in ordered:
            assert there.solvent_nl == 0


LABS: dict[str, OrdersLab] = {
    "doses": dose_lab(20, DOSES),
    "doses, tips kept": dose_lab(20, DOSES, rules=Rules(10.0, tip_policy=TipPolicy.KEEP, spares=(Spare("D", P384),))),
    "doses, eight channels": dose_lab(20, DOSES, has_eight=True),
    "doses, eight channels, tips kept": dose_lab(
        20, DOSES, has_eight=True, rules=Rules(10.0, tip_policy=TipPolicy.KEEP, spares=(Spare("D", P384),))
    ),
    "doses on two plates": dose_lab(
        100, DOSES, n_racks=60, rules=Rules(10.0, spares=(Spare("D", P384), Spare("E", P384)))
    ),
    "doses on the ot2": dose_lab(20, DOSES, robot="ot2"),
    "doses on a small deck": dose_lab(20, DOSES, blocked=("A1", "A2", "D1", "D3", "C1", "B1", "C3")),
    "weak stock": dose_lab(20, DOSES, stock=[*compounds(20, 2, um=100.0), *solvent()]),
    "plates": plain_lab(700, 5, 2),
    "plates, eight channels": plain_lab(768, 2, 2, has_eight=True),
    "plates on a small deck": plain_lab(700, 5, 2, blocked=("A1", "A2", "D1", "D3", "C1", "B1")),
}  # fmt: skip


@pytest.mark.parametrize("case", LABS)
def test_every_well_gets_its_dose_and_one_share_of_solvent(case: str) -> None:
    assert_as_ordered(LABS[case], LABS[case].compiled())


@settings(max_examples=25, deadline=None)
@given(
    doses=st.lists(st.floats(0.02, 90), min_size=1, max_size=6),
    percent=st.sampled_from([2.5, 5.0, 10.0, 20.0]),
    um=st.sampled_from([1_000.0, 5_000.0, 10_000.0]),
    has_eight=st.booleans(),
    policy=st.sampled_from(TipPolicy),
    seed=st.integers(0, 99),
)
def test_whatever_doses_are_ordered_are_made_or_refused_by_name(
    doses: list[float], percent: float, um: float, has_eight: bool, policy: TipPolicy, seed: int
) -> None:
    spares = tuple(Spare(f"D-{n}", P96) for n in range(2))
    lab = dose_lab(
        4, tuple(doses), seed, has_eight=has_eight, stock=[*compounds(4, 2, um=um), *solvent()],
        rules=Rules(percent, tip_policy=policy, spares=spares),
    )  # fmt: skip
    refusal = ""
    try:
        compiled = lab.compiled()
    except PlanError as error:
        refusal = str(error)
    if refusal:
        assert "of A-000" in refusal
        return
    assert_as_ordered(lab, compiled)
    assert Protocol.from_json(compiled.protocol.to_json()) == compiled.protocol


def test_small_doses_are_made_from_dilutions_that_are_mixed_before_they_are_drawn_from() -> None:
    compiled = LABS["doses"].compiled()
    roles = {item.barcode: item.role for load in compiled.protocol.loads for item in load.deck}
    assert roles["DIL-1"] is DeckRole.INTERMEDIATE
    assert compiled.dilutions == {"DIL-1": P384}
    mixed: set[str] = set()
    for step in compiled.protocol.steps:
        if isinstance(step, Mix):
            mixed.add(step.well)
        elif isinstance(step, Transfer) and step.source_plate == "DIL-1":
            assert step.source_well in mixed
    assert mixed


def test_fresh_tips_carry_nothing_and_kept_ones_are_reported() -> None:
    assert LABS["doses"].compiled().carry_over == ()
    kept = LABS["doses, tips kept"].compiled()
    assert kept.carry_over
    # Only what stood in a well before can get into a source; never another compound.
    assert {c.liquids for c in kept.carry_over} == {()}
    assert "was in" in str(kept.carry_over[0])
    assert "what stood there before can be carried over" in str(kept.carry_over[0])
    n_tips = [len({(t.tip_rack, t.tip_well) for t in c.protocol.transfers}) for c in (kept, LABS["doses"].compiled())]
    assert n_tips[0] < n_tips[1] - 50


def test_eight_channels_fill_whole_columns_at_once() -> None:
    compiled = LABS["doses, eight channels"].compiled()
    assert compiled.protocol.multichannel == "flex_8channel_50"
    strokes = {(load.index, t.stroke) for load in compiled.protocol.loads for t in load.transfers if t.stroke}
    assert len(strokes) >= 2
    assert LABS["doses"].compiled().protocol.multichannel == ""


def test_a_plate_is_stamped_into_another_by_columns() -> None:
    rows, wells = "ABCDEFGHIJKLMNOP", LABWARE[P384].wells_by_column()
    stock = [StockWell("S", well, f"C-{well}", 50_000, 1.0, P384) for well in wells]
    lab = OrdersLab(
        [Order("A", w, f"C-{w}", 2_000) for w in wells], (Target("A", P384, 20_000),), stock, has_eight=True
    )
    protocol = lab.compiled().protocol
    assert all(t.stroke for t in protocol.transfers)
    assert len({t.stroke for t in protocol.transfers}) == 48
    assert {t.source_well[0] for t in protocol.transfers if t.stroke == 1} in (set(rows[::2]), set(rows[1::2]))
    assert_as_ordered(lab, lab.compiled())
    # A 96-well plate into one quadrant of a 384-well plate.
    small = [StockWell("S", well, f"C-{well}", 50_000, 1.0, P96) for well in LABWARE[P96].wells_by_column()]
    place = {s: f"{rows[2 * rows.index(s.source_well[0]) + 1]}{2 * int(s.source_well[1:]):02d}" for s in small}
    orders = [Order("A", place[s], s.compound_id, 2_000) for s in small]
    lab = OrdersLab(orders, (Target("A", P384, 20_000),), small, has_eight=True)
    assert len({t.stroke for t in lab.compiled().protocol.transfers}) == 12
    assert_as_ordered(lab, lab.compiled())


def test_without_whole_columns_of_tips_one_channel_does_it() -> None:
    lab = LABS["plates, eight channels"]
    kind = pipette(lab.deck.pipette).tips[0]
    holed = [TipRack(f"T{n}", kind, LABWARE[kind].wells_by_column()[1::2]) for n in range(30)]
    compiled = compile_orders(lab.orders, lab.targets, lab.stock, holed, lab.deck, lab.rules, "n")
    assert compiled.protocol.multichannel == ""
    assert not any(t.stroke for t in compiled.protocol.transfers)


def test_several_destinations_stand_together_where_that_saves_swaps() -> None:
    lab = plain_lab(96, 6, 2)
    both = {order.plate for order in lab.orders}
    assert both == {"A-000"}
    spread = [replace(order, plate=f"A-00{n % 2}") for n, order in enumerate(lab.orders)]
    protocol = replace(lab, orders=spread).compiled().protocol
    assert len(protocol.loads) == 1
    assert n_swaps(protocol) == 2 * (2 + 6 + 1)


def test_a_deck_load_stays_within_the_slots_of_the_robot() -> None:
    for lab in LABS.values():
        for load in lab.compiled().protocol.loads:
            assert {item.slot for item in load.deck} <= set(lab.deck.slots)


SMALL = dose_lab(1, (10.0,))
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no spare plate": (
        {"rules": Rules(10.0)},
        ["10 uM of CPD-0000", "under the 1000 nl minimum of flex_1channel_50", "name an empty plate", "of A-000"],
    ),
    "too strong a dose": (
        {"orders": [Order("A-000", "B07", "CPD-0000", dose_um=5_000.0)]},
        ["B07 of A-000: 5000 uM of CPD-0000 from 10000 uM", "too strong a dose"],
    ),
    "no such compound": (
        {"orders": [Order("A-000", "B07", "CPD-9", dose_um=5.0)]},
        ["B07 of A-000: CPD-9 is not in stock"],
    ),
    "dose of nothing": (
        {"orders": [Order("A-000", "B07", "CPD-0000", dose_um=float("nan"))]},
        ["B07 of A-000: a dose of nan uM"],
    ),
    "no solvent": ({"stock": compounds(1, 1)}, ["DMSO for", "nl missing (not in stock)"]),
    "solvent of 100 percent": ({"rules": Rules(100.0)}, ["final_dmso_percent = 100"]),
    "too little solvent share": (
        {"rules": Rules(1.0, spares=(Spare("D", P384),))},
        ["A24 of A-000: 455 nl of DMSO and 0 nl", "flex_1channel_50 moves 1000 to 50000 nl"],
    ),
    "no such plate": ({"orders": [Order("X", "B07", "CPD-0000", dose_um=1.0)]}, ["B07 of X is ordered for"]),
    "no such well": ({"orders": [Order("A-000", "Q07", "CPD-0000", dose_um=1.0)]}, ["A-000 has no well 'Q07'"]),
    "plate named twice": ({"rules": Rules(10.0, spares=(Spare("A-000", P384),))}, ["A-000 is named twice"]),
    "dilution in a stock plate": (
        {"rules": Rules(10.0, spares=(Spare("SRC-00", P384),))},
        ["SRC-00 is also a"],
    ),
    "tip rack as target": (
        {"targets": (Target("A-000", "opentrons_flex_96_tiprack_50ul"),)}, ["tip rack, and cannot be filled"],
    ),
    "no tips": ({"n_racks": 0}, ["tips needed, 0 free in 0 racks"]),
    "dilutions where no tip can go": (
        {"rules": Rules(10.0, spares=(Spare("D", "greiner_1536_wellplate_10ul"),))},
        ["flex_1channel_50 cannot reach into D", "1536 wells"],
    ),
    "stock where no tip can go": (
        {"stock": [StockWell("X", "A01", "CPD-0000", 9_000, 1e4, "greiner_1536_wellplate_10ul"), *solvent()]},
        ["flex_1channel_50 cannot reach into A01 of X, the only well with CPD-0000"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_made_is_refused_with_the_well(case: str) -> None:
    changes, words = REFUSED[case]
    with pytest.raises(PlanError) as error:
        replace(SMALL, **changes).compiled()
    for word in words:
        assert word in str(error.value)


def test_the_wells_of_spare_plates_can_run_out() -> None:
    lab = dose_lab(200, DOSES, rules=Rules(10.0, spares=(Spare("D", P96),)), n_racks=80)
    with pytest.raises(PlanError, match=r"no well is left for a dilution of .* on D; name one more empty plate"):
        lab.compiled()


def test_a_well_too_small_for_a_dilution_is_refused() -> None:
    with pytest.raises(PlanError, match=r"at least 200000 nl and what is drawn from it, and a well of .* 112000 nl"):
        mixtures(Dilution("C", 1e4, 10.0), [Portion("A", ("B07",), 20_000)], P384, pipette("p300_single_gen2"))


@given(st.integers(1, 10**7), st.sampled_from(["flex_1channel_50", "p300_single_gen2"]))
def test_a_large_volume_is_moved_in_parts_that_the_pipette_takes(volume_nl: int, name: str) -> None:
    tool = pipette(name)
    parts = in_moves(volume_nl, tool)
    assert sum(parts) == volume_nl
    assert max(parts) <= tool.max_nl
    assert min(parts) >= tool.min_nl or volume_nl < tool.min_nl


def test_what_is_mixed_is_mixed_in_every_well_and_not_with_the_tips_of_eight_channels() -> None:
    """Diluted with eight channels, a column used to be mixed in its first well only."""
    protocol = dose_lab(64, (10.0, 1.0, 0.1), has_eight=True).compiled().protocol
    mixed = {(step.plate, step.well) for step in protocol.steps if isinstance(step, Mix)}
    spares = {item.barcode for load in protocol.loads for item in load.deck if item.role is DeckRole.INTERMEDIATE}
    diluted = {(t.destination_plate, t.destination_well) for t in protocol.transfers if t.compound_id != "DMSO"}
    assert mixed == {key for key in diluted if key[0] in spares}
    assert len(mixed) > 8
    before = None
    for step in protocol.steps:
        assert not (isinstance(step, Mix) and isinstance(before, Transfer) and before.stroke)
        before = step
