"""What a compiled protocol promises, and every plan it refuses."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextplate.errors import DataError, PlanError
from nextplate.plate import PLATE_384, PLATE_1536, Layout, LayoutWell, Role
from protocols.compile import compile_protocol
from protocols.draws import Demand, Portion, choose_draws
from protocols.labware import labware, pipette, robot_deck
from protocols.ledger import Ledger
from protocols.loads import pack
from protocols.model import DeckRole, Protocol
from protocols.stock import StockWell, TipRack
from tests.support.protocol_lab import CONTROLS, PLATE, RESERVOIR, SmallLab, full_rack, small_layout, stock_well


def compiled(lab: SmallLab, **changes: Any) -> Protocol:
    given_ = {
        "layout": lab.layout, "stock": lab.wells, "tips": lab.tips, "deck": lab.deck, "transfer_nl": 1_000,
        "controls": CONTROLS, "name": "n",
    }  # fmt: skip
    return compile_protocol(**{**given_, **changes})


def test_every_well_gets_its_liquid_once_with_its_own_tip(lab: SmallLab) -> None:
    protocol = lab.protocol()
    wanted = {w.well: w.compound_id or CONTROLS.get(w.role) for w in lab.layout.wells if w.role is not Role.EMPTY}
    assert {t.destination_well: t.compound_id for t in protocol.transfers} == wanted
    holds = {(s.source_plate, s.source_well): s.compound_id for s in lab.wells}
    assert all(holds[t.source_plate, t.source_well] == t.compound_id for t in protocol.transfers)
    assert len({(t.tip_rack, t.tip_well) for t in protocol.transfers}) == len(protocol.transfers) == len(wanted)
    assert [t.transfer_id for t in protocol.transfers] == list(range(1, len(wanted) + 1))


def test_the_ledger_accepts_what_the_compiler_makes(lab: SmallLab) -> None:
    assert lab.ledger().problems(lab.protocol()) == []


def test_json_round_trip_and_determinism(lab: SmallLab) -> None:
    assert Protocol.from_json(lab.protocol().to_json()) == lab.protocol()


def test_partly_used_racks_come_first(lab: SmallLab) -> None:
    assert [t.tip_rack for t in lab.protocol().transfers][:4] == ["TIPS-2"] * 3 + ["TIPS-1"]
    assert lab.protocol().transfers[0].tip_well == "F12"


def test_source_wells_are_visited_column_by_column() -> None:
    lab = SmallLab(compounds=("A", "B", "C"), stock=[
        stock_well("S", "B01", "A"), stock_well("S", "A02", "B"), stock_well("S", "A01", "C"),
        stock_well("K", "A01", "DMSO", 5_000_000, RESERVOIR), stock_well("K", "A02", "REF-1", 5_000_000, RESERVOIR),
    ])  # fmt: skip
    assert [t.source_well for t in compiled(lab).transfers if t.source_plate == "S"] == ["A01", "B01", "A02"]


def screen(n_plates: int, n_picks: int, robot: str, copies: int = 1) -> tuple[Protocol, Ledger]:
    """Compile a full 384-well plate from many source plates."""
    wells = list(PLATE_384.wells())
    stock = [
        stock_well(f"SRC-{(i + k) % n_plates:02d}", wells[i // n_plates + k * 40], f"C{i:04d}")
        for i in range(n_picks) for k in range(copies)
    ]  # fmt: skip
    stock += [stock_well("CTRL", f"A{c:02d}", "DMSO" if c < 7 else "REF-1", 9_000_000, RESERVOIR) for c in range(1, 13)]
    names = [f"C{i:04d}" for i in range(n_picks)]
    seats = [LayoutWell(w, Role.SAMPLE, n, 0, 1.0, "") for w, n in zip(wells, names, strict=False)]
    rest = wells[n_picks:]
    roles = (Role.NEGATIVE, Role.POSITIVE)
    seats += [LayoutWell(w, roles[i % 2], None, i, 0.0, "") for i, w in enumerate(rest)]
    deck = robot_deck(robot)
    tips = [full_rack(f"T{i}", deck) for i in range(5)]
    protocol = compile_protocol(Layout("P-1", PLATE_384, tuple(seats)), stock, tips, deck, 1_000, CONTROLS, "screen")
    return protocol, Ledger.of(stock, tips, {"P-1": (PLATE, 50_000)})


@pytest.mark.parametrize("robot", ["flex", "ot2"])
def test_a_whole_screen_plate_takes_four_loads(robot: str) -> None:
    protocol, ledger = screen(29, 352, robot)
    assert len(protocol.transfers) == 384
    # 29 plates, a reservoir and at least 4 racks in loads of 10 free slots: 4 is the least.
    assert len(protocol.loads) == 4
    assert ledger.problems(protocol) == []
    for load in protocol.loads:
        assert len({item.slot for item in load.deck}) == len(load.deck) <= 11
    drawn = Counter(t.source_well for t in protocol.transfers if t.source_plate == "CTRL")
    assert set(drawn.values()) <= {2, 3}


def test_labware_needed_again_stays_in_its_slot() -> None:
    protocol, _ = screen(29, 352, "flex")
    for before, after in zip(protocol.loads, protocol.loads[1:], strict=False):
        slots = {item.barcode: item.slot for item in before.deck}
        kept = [item for item in after.deck if item.barcode in slots]
        assert "P-1" in [item.barcode for item in kept]
        assert all(slots[item.barcode] == item.slot for item in kept)


def test_copies_on_several_plates_are_used_to_save_plates() -> None:
    few, _ = screen(28, 352, "flex", copies=2)
    plates = {t.source_plate for t in few.transfers} - {"CTRL"}
    # Neighbours share their compounds, so every second plate is enough.
    assert len(plates) == 14
    assert len(few.loads) == 3


def test_the_fullest_well_serves_and_the_next_takes_over() -> None:
    lab = SmallLab(compounds=("A",))
    stock = [*lab.wells[1:], stock_well("S", "A01", "A", 5_000), stock_well("S", "B01", "A", 6_500)]
    wells = tuple(
        replace(w, role=Role.SAMPLE, compound_id="A") if w.well in ("A01", "A04", "A05") else w
        for w in lab.layout.wells
    )
    protocol = compiled(lab, stock=stock, layout=replace(lab.layout, wells=wells))
    assert [t.source_well for t in protocol.transfers if t.compound_id == "A"] == ["A01", "B01", "B01"]


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    n_slots=st.integers(2, 6),
    racks=st.lists(st.integers(1, 96), min_size=1, max_size=6),
)
def test_packing_serves_every_plate_within_the_slots(counts: list[int], n_slots: int, racks: list[int]) -> None:
    plates = {f"S{i:02d}": n for i, n in enumerate(counts)}
    racks += [96] * (1 + sum(counts) // 96)
    loads = pack(plates, n_slots, racks)
    total: Counter[str] = Counter()
    tip_racks = [i for i, size in enumerate(racks) for _ in range(size)]
    done = 0
    for load in loads:
        n = sum(load.values())
        assert n > 0
        assert len(load) + len(set(tip_racks[done : done + n])) <= n_slots
        done += n
        total.update(load)
    assert total == plates


REFUSED = {
    "unknown compound": (
        {"stock": lambda s: [x for x in s if x.compound_id != "C2"]},
        ["C2 for A02", "1000 nl missing", "not in stock"],
    ),
    "too little": (
        {"stock": lambda s: [replace(x, volume_nl=4_999) if x.compound_id in ("C1", "C3") else x for x in s]},
        ["C1 for A01", "C3 for A03", "4999 nl", "4000 of them dead"],
    ),
    "control dry": (
        {"stock": lambda s: [replace(x, volume_nl=1_000_500) if x.compound_id == "DMSO" else x for x in s]},
        ["DMSO for", "A01 on CTRL", "1000 nl missing", "; fill up A01 on CTRL"],
    ),
    "no control named": ({"controls": {Role.NEGATIVE: "DMSO"}}, ["positive control", "well"]),
    "too few tips": ({"tips": lambda t: t[1:]}, ["13 tips needed", "3 free", "load 1 more full rack"]),
    "tips of another robot": ({"tips": [TipRack("T", "opentrons_96_tiprack_300ul", ("A01",))]}, ["0 free in 0 racks"]),
    "tip listed twice": ({"tips": lambda t: [replace(t[0], free_wells=("A01", "A01"))]}, ["TIPS-1", "twice"]),
    "rack listed twice": ({"tips": lambda t: [t[0], t[0]]}, ["TIPS-1 is listed twice"]),
    "volume under minimum": ({"transfer_nl": 999}, ["999 nl into A01", "1000 to 50000"]),
    "volume over maximum": ({"transfer_nl": 50_001}, ["50001 nl"]),
    "volume zero": ({"transfer_nl": 0}, ["0 nl"]),
    "volume nan": ({"transfer_nl": float("nan")}, ["nan", "whole number"]),
    "one well twice": ({"stock": lambda s: [*s, replace(s[0], compound_id="X")]}, ["A07 on SRC-0 holds C1 and X"]),
    "well outside": ({"stock": lambda s: [*s, replace(s[0], source_well="Q01")]}, ["Q01 on SRC-0 is not a well"]),
    "overfull stock": ({"stock": lambda s: [replace(s[0], volume_nl=112_001), *s[1:]]}, ["A07 on SRC-0", "112001"]),
    "negative stock": ({"stock": lambda s: [replace(s[0], volume_nl=-1), *s[1:]]}, ["-1 nl"]),
    "barcode clash": ({"layout": lambda p: replace(p, barcode="SRC-1")}, ["SRC-1 is also a assay plate"]),
    "wrong plate": ({"destination_labware": PLATE}, ["P-1 has 96 wells", "384"]),
    "1536 plate": ({"layout": lambda p: replace(p, plate_format=PLATE_1536)}, ["1536"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_that_cannot_work_is_refused_with_the_place_and_the_reason(case: str) -> None:
    lab = SmallLab()
    originals = {"stock": lab.wells, "tips": lab.tips, "layout": lab.layout}
    changes, words = REFUSED[case]
    changes = {key: value(originals[key]) if callable(value) else value for key, value in changes.items()}
    with pytest.raises(PlanError) as error:
        compiled(lab, **changes)
    for word in words:
        assert word in str(error.value)


def test_unknown_labware_lists_the_known() -> None:
    lab = SmallLab()
    with pytest.raises(DataError, match=r"'thimble' is not known; known are .*corning_384"):
        compiled(lab, stock=[replace(lab.wells[0], labware="thimble"), *lab.wells[1:]])


def test_tables_answer_by_name_or_say_what_there_is() -> None:
    assert labware(PLATE).max_volume_nl == 112_000
    assert labware("nest_12_reservoir_15ml").wells_by_column()[-1] == "A12"
    assert labware("opentrons_96_tiprack_20ul").wells_by_column()[:3] == ("A01", "B01", "C01")
    for call in (lambda: pipette("p5"), lambda: robot_deck("r2d2"), lambda: robot_deck("flex", blocked=("Z9",))):
        with pytest.raises(DataError):
            call()
    with pytest.raises(PlanError, match="2 usable slots"):
        robot_deck("ot2", blocked=tuple("123456789"))


def test_an_empty_layout_needs_nothing() -> None:
    layout = small_layout([])
    empty = replace(layout, wells=tuple(replace(w, role=Role.EMPTY) for w in layout.wells))
    assert compiled(SmallLab(), layout=empty).loads == ()


def test_deck_roles(lab: SmallLab) -> None:
    roles = Counter(item.role for item in lab.protocol().loads[0].deck)
    assert roles == {DeckRole.DESTINATION: 1, DeckRole.TIPS: 2, DeckRole.SOURCE: 3}


def test_what_does_not_fit_into_one_well_is_not_advised_to_be_filled_in() -> None:
    full = [StockWell("CTRL", f"A0{n}", "DMSO", 30_000, 10_000.0, "corning_384_wellplate_112ul_flat") for n in (1, 2)]
    wanted = Demand("DMSO", tuple(Portion("P1", ("A01",), 5_000) for _ in range(48)), is_control=True)
    with pytest.raises(PlanError, match="fill up A01 on CTRL, where only 82000 nl fit, and set up further wells"):
        choose_draws([wanted], full)
